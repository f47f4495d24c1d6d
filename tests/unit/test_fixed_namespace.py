"""What keeps a stack in its namespace: what it says to a change, and that nothing is made before it has been asked.

Mocks show each call of the provider by itself. That the engine asks it with the inputs of the last `up`, tests/engine
shows.
"""

from collections.abc import Mapping
from typing import Any

import pytest

import cluster
from components import FixedNamespace
from components.fixed_namespace import _NamespaceProvider
from tests.harness.recorder import record, record_program, stack_config

WANTED = {"namespace": "pacman", "context": "here", "stack": "pacman/dev"}


def reasons(was: str | None, is_now: str) -> list[str]:
    olds = {"namespace": was} if was else {}
    return [failure.reason for failure in _NamespaceProvider().check(olds, WANTED | {"namespace": is_now}).failures]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, Mapping[str, Any]]:
    """The namespaces of the cluster, and their metadata."""
    found: dict[str, Mapping[str, Any]] = {}
    monkeypatch.setattr(cluster, "namespace_metadata", lambda context, name: found.get(name))
    return found


OURS = {"labels": {"app.kubernetes.io/part-of": "pacman", "app.kubernetes.io/managed-by": "pulumi"}}


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({}, "somebody else"),
        ({"labels": {"app.kubernetes.io/managed-by": "pulumi"}}, "somebody else"),
        ({**OURS, "annotations": {"pacman/stack": "pacman/prod"}}, "the stack pacman/prod"),
        ({**OURS, "annotations": {"pacman/stack": "pacman/dev"}}, "a stack pacman/dev that has another state"),
    ],
)
def test_one_that_somebody_has_is_not_begun_in(
    there: dict[str, Mapping[str, Any]], metadata: Mapping[str, Any], owner: str
) -> None:
    there["pacman"] = metadata
    assert reasons(None, "pacman") == [
        f'pacman:namespace is "pacman": belongs to {owner} in context here; name one that does not exist, or delete'
        " that one, with everything in it"
    ]
    with pytest.raises(RuntimeError, match=f"belongs to {owner} in context here"):
        _NamespaceProvider().create(WANTED)
    assert reasons("pacman", "pacman") == []


def test_one_from_before_namespaces_named_their_stack_is_the_stack_s_own(there: dict[str, Mapping[str, Any]]) -> None:
    there["pacman"] = OURS
    assert reasons(None, "pacman") == []
    assert _NamespaceProvider().create(WANTED).outs == WANTED


def test_a_preview_goes_on_where_the_namespaces_cannot_be_read_and_an_up_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The state would call the namespace its own from then on, whoever has it."""

    def away(context: str, name: str) -> Mapping[str, Any]:
        raise OSError(f"{context} is away, and {name} with it\nand more that nobody reads")

    monkeypatch.setattr(cluster, "namespace_metadata", away)
    assert reasons(None, "pacman") == []
    with pytest.raises(RuntimeError) as told:
        _NamespaceProvider().create(WANTED)
    assert str(told.value) == "cannot read the namespaces of context here: here is away, and pacman with it"


def test_the_program_marks_its_namespace_with_what_is_looked_for(there: dict[str, Mapping[str, Any]]) -> None:
    run = record_program(stack_config("dev"), name="prod")
    (made,) = [r for r in run.of("Namespace") if r.type.startswith("kubernetes:")]
    there["pacman"] = made.manifest["metadata"]
    assert "belongs to the stack pacman/prod" in reasons(None, "pacman")[0]


def test_the_first_one_and_the_same_one_are_taken() -> None:
    assert reasons(None, "pacman") == reasons("pacman", "pacman") == []


def test_another_one_is_refused_in_one_line_that_says_what_to_do() -> None:
    assert reasons("pacman", "arcade") == [
        'pacman:namespace is "arcade": must stay pacman, since to move is to delete that with its scores;'
        " make another stack, or `pulumi destroy` this one first"
    ]


def test_it_is_one_resource_whose_name_is_not_that_of_the_namespace() -> None:
    first = record(lambda: FixedNamespace("namespace", "pacman", "here"))
    second = record(lambda: FixedNamespace("namespace", "arcade", "here"))
    assert [r.urn for r in first.resources] == [r.urn for r in second.resources]


def test_the_program_asks_it_before_it_makes_the_namespace() -> None:
    run = record_program(stack_config("dev"))
    (made,) = [r for r in run.of("Namespace") if r.type.startswith("kubernetes:")]
    (asked,) = [r for r in run.of("Namespace") if not r.type.startswith("kubernetes:")]
    assert asked.urn in made.depends_on | run.one("RestrictedNamespace").depends_on
