"""What keeps a stack in its namespace and on its cluster: what it says to a change, and that it is asked first.

Mocks show each call of the provider by itself. That the engine asks it with the inputs of the last `up`, tests/engine
shows.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from components.cluster import Cluster
from components.dynamic_providers import UNKNOWN, NamespaceProvider
from components.fixed_namespace import FixedNamespace, FixedNamespaceArgs, namespace_owner
from tools.recorder import record, record_program, stack_config

WAS = {
    "namespace": "pacman",
    "context": "here",
    "stack": "pacman/dev",
    "cluster": "1-2-3",
    "owner": "",
    "created": True,
}
OURS = {"labels": {"app.kubernetes.io/part-of": "pacman", "app.kubernetes.io/managed-by": "pulumi"}}


def reasons(olds: Mapping[str, Any], **news: object) -> list[str]:
    return [failure.reason for failure in NamespaceProvider().check(dict(olds), WAS | news).failures]


class TestFirstUp:
    def test_a_free_namespace_is_taken(self) -> None:
        assert reasons({}) == []
        assert NamespaceProvider().create(WAS).outs == WAS

    def test_a_namespace_that_somebody_has_is_refused_in_one_line(self) -> None:
        assert reasons({}, owner="the stack pacman/prod") == [
            'pacman:namespace is "pacman": belongs to the stack pacman/prod in context here; set another namespace'
        ]
        assert reasons({}, owner="a stack pacman/dev that has another state") == [
            'pacman:namespace is "pacman": belongs to a stack pacman/dev that has another state in context here; log in'
            " to the backend that has it, or set another namespace"
        ]

    def test_a_preview_goes_on_where_the_namespace_cannot_be_read_and_an_up_does_not(self) -> None:
        """The state would call the namespace its own from then on, whoever has it."""
        assert reasons({}, owner=UNKNOWN) == []
        with pytest.raises(RuntimeError, match="cannot read the namespace pacman in context here: whether it is free"):
            NamespaceProvider().create(WAS | {"owner": UNKNOWN})

    @pytest.mark.parametrize(
        ("metadata", "owner"),
        [
            (None, UNKNOWN),
            ({}, ""),
            ({"name": "pacman"}, "somebody else"),
            ({"labels": {"app.kubernetes.io/managed-by": "pulumi"}}, "somebody else"),
            ({"labels": None}, "somebody else"),
            ({**OURS, "annotations": {"pacman/stack": "pacman/prod"}}, "the stack pacman/prod"),
            ({**OURS, "annotations": {"pacman/stack": "pacman/dev"}}, "a stack pacman/dev that has another state"),
            # Created by this program before it wrote the annotation.
            (OURS, ""),
        ],
    )
    def test_the_owner_is_known_by_labels_and_annotation(self, metadata: Mapping[str, Any] | None, owner: str) -> None:
        found: list[str] = []
        record(lambda: found.append(namespace_owner(metadata)), name="dev")
        assert found == [owner]

    def test_the_program_marks_its_namespace_with_what_is_looked_for(self) -> None:
        run = record_program(stack_config("dev"), name="prod")
        (made,) = [r for r in run.of("Namespace") if r.type.startswith("kubernetes:")]
        found: list[str] = []
        record(lambda: found.append(namespace_owner(made.manifest["metadata"])), name="dev")
        assert found == ["the stack pacman/prod"]

    def test_a_namespace_that_was_made_for_the_stack_is_nobody_else_s(self) -> None:
        known = Cluster(namespace={"name": "pacman", "labels": {"team": "games"}})
        config = stack_config("dev") | {"pacman:createNamespace": "false"}
        assert record_program(config, known).one("Namespace").inputs["owner"] == ""


class TestLaterUps:
    def test_the_same_place_is_taken_whoever_seems_to_have_the_namespace(self) -> None:
        assert reasons(WAS, owner="a stack pacman/dev that has another state") == []

    def test_another_namespace_is_refused_in_one_line_that_says_what_to_do(self) -> None:
        assert reasons(WAS, namespace="arcade") == [
            'pacman:namespace is "arcade": must stay pacman: a stack cannot move, because Pulumi would delete the old'
            " namespace with its scores; create another stack"
        ]

    @pytest.mark.parametrize("context", ["here", "there"])
    def test_another_cluster_is_refused_also_under_the_same_context(self, context: str) -> None:
        (reason,) = reasons(WAS, context=context, cluster="9-9-9")
        assert reason.startswith(
            f'pacman:context is "{context}": leads to another cluster than the one that this stack was deployed to'
        )
        assert "`pulumi stack rm --force --preserve-config` forgets it" in reason

    def test_another_name_for_the_same_cluster_is_taken(self) -> None:
        assert reasons(WAS, context="renamed") == []

    def test_another_context_is_refused_where_it_is_not_known_whether_the_cluster_is_the_same(self) -> None:
        (reason,) = reasons(WAS, context="there", cluster="")
        assert reason.startswith('pacman:context is "there": must stay here, since it is not known')
        assert reasons(WAS, cluster="") == []

    def test_a_stack_of_before_clusters_were_identified_gets_the_identity(self) -> None:
        old = {"namespace": "pacman", "context": "here", "stack": "pacman/dev"}
        assert NamespaceProvider().check(old, dict(WAS)).inputs == WAS
        assert NamespaceProvider().diff("namespace", old, dict(WAS)).changes is True
        assert NamespaceProvider().update("namespace", old, dict(WAS)).outs == WAS

    def test_a_namespace_that_somebody_else_created_cannot_become_this_stacks_own(self) -> None:
        assert reasons({**WAS, "created": False}) == [
            "pacman:createNamespace is true: must stay false, since somebody else created pacman, and `pulumi destroy`"
            " would delete it with everything in it"
        ]
        assert reasons({**WAS, "created": False}, created=False) == []

    def test_a_stack_that_created_its_namespace_cannot_hand_it_over_since_it_would_delete_it(self) -> None:
        before = {key: value for key, value in WAS.items() if key != "created"}
        for was in (WAS, before):
            assert reasons(was, created=False) == [
                "pacman:createNamespace is false: must stay true, since this stack created pacman, and would delete it"
                " with its scores"
            ]

    def test_an_identity_that_cannot_be_read_stays_what_it_was(self) -> None:
        assert NamespaceProvider().check(dict(WAS), WAS | {"cluster": ""}).inputs == WAS

    def test_another_provider_is_a_change_so_that_the_state_does_not_keep_a_class_that_has_moved(self) -> None:
        old, new = ({**WAS, "__provider": each} for each in ("old", "new"))
        assert NamespaceProvider().diff("namespace", old, new).changes is True
        assert NamespaceProvider().diff("namespace", new, new).changes is False


def test_it_is_one_resource_whose_name_is_not_that_of_the_namespace() -> None:
    def declared(namespace: str) -> list[str]:
        args = FixedNamespaceArgs(namespace=namespace, context="here", cluster="1-2-3", owner="")
        return [r.urn for r in record(lambda: FixedNamespace("namespace", args)).resources]

    assert declared("pacman") == declared("arcade")


def test_the_program_asks_it_before_it_creates_anything() -> None:
    run = record_program(stack_config("dev"))
    (asked,) = [r for r in run.of("Namespace") if not r.type.startswith("kubernetes:")]
    assert asked.urn in run.one("RestrictedNamespace").depends_on
    run = record_program(stack_config("dev") | {"pacman:createNamespace": "false"})
    (asked,) = run.of("Namespace")
    assert asked.urn in run.one("MongoStatefulSet").depends_on
    assert asked.urn in run.one("DefaultStorageClass").depends_on
