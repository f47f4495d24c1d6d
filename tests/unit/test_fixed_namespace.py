"""What keeps a stack in its namespace: what it says to a change, and that nothing is made before it has been asked.

Mocks show each call of the provider by itself. That the engine asks it with the inputs of the last `up`, tests/engine
shows.
"""

from components import FixedNamespace
from components.fixed_namespace import _NamespaceProvider
from tests.harness.recorder import record, record_program, stack_config


def reasons(was: str | None, is_now: str) -> list[str]:
    olds = {"namespace": was} if was else {}
    return [failure.reason for failure in _NamespaceProvider().check(olds, {"namespace": is_now}).failures]


def test_the_first_one_and_the_same_one_are_taken() -> None:
    assert reasons(None, "pacman") == reasons("pacman", "pacman") == []


def test_another_one_is_refused_in_one_line_that_says_what_to_do() -> None:
    assert reasons("pacman", "arcade") == [
        'pacman:namespace is "arcade": must stay pacman, since to move is to delete that with its scores;'
        " make another stack, or `pulumi destroy` this one first"
    ]


def test_it_is_one_resource_whose_name_is_not_that_of_the_namespace() -> None:
    first = record(lambda: FixedNamespace("namespace", "pacman"))
    second = record(lambda: FixedNamespace("namespace", "arcade"))
    assert [r.urn for r in first.resources] == [r.urn for r in second.resources]


def test_the_program_asks_it_before_it_makes_the_namespace() -> None:
    run = record_program(stack_config("dev"))
    (made,) = [r for r in run.of("Namespace") if r.type.startswith("kubernetes:")]
    (asked,) = [r for r in run.of("Namespace") if not r.type.startswith("kubernetes:")]
    assert asked.urn in made.depends_on | run.one("RestrictedNamespace").depends_on
