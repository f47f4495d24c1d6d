"""What RestrictedNamespace declares.

Mocks show the labels and the policy. That a cluster refuses an unconfined pod for them, and that its network enforces
the policy (not every one does), they cannot prove.
"""

import pytest

from components.cluster import Cluster
from components.restricted_namespace import RestrictedNamespace
from tools.recorder import Recorded, Resource, record, record_program, stack_config


@pytest.fixture(scope="module")
def run() -> Recorded:
    return record(lambda: RestrictedNamespace("arcade"))


def test_the_namespace_has_the_name_of_the_component(run: Recorded) -> None:
    assert run.one("Namespace").manifest["metadata"]["name"] == "arcade"


def test_a_cluster_upgrade_does_not_change_what_restricted_means(run: Recorded) -> None:
    labels = run.one("Namespace").manifest["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce-version"].startswith("v1.")


def test_the_name_of_the_namespace_is_an_output(run: Recorded) -> None:
    assert run.one("RestrictedNamespace").outputs == {"namespace": "arcade"}


class TestNamespaceOfSomebodyElse:
    """With createNamespace false, somebody else has created the namespace, and keeps it."""

    @pytest.fixture
    def ours(self) -> dict[str, Resource]:
        return self.declared(Cluster(namespace={}))

    @pytest.fixture
    def theirs(self) -> dict[str, Resource]:
        known = Cluster(namespace={"name": "pacman", "labels": {"team": "games"}})
        return self.declared(known, **{"pacman:createNamespace": "false"})

    @staticmethod
    def declared(known: Cluster, **config: str) -> dict[str, Resource]:
        return {r.urn: r for r in record_program(stack_config("dev") | config, known).resources}

    def test_a_given_namespace_is_not_declared_and_neither_is_a_default_deny_policy_in_it(
        self, ours: dict[str, Resource], theirs: dict[str, Resource]
    ) -> None:
        assert {(ours[urn].kind, ours[urn].name) for urn in ours.keys() - theirs.keys()} == {
            ("RestrictedNamespace", "pacman"),
            ("Namespace", "pacman"),
            ("NetworkPolicy", "pacman-default-deny"),
        }

    def test_in_a_given_namespace_everything_else_is_the_same(
        self, ours: dict[str, Resource], theirs: dict[str, Resource]
    ) -> None:
        differ = [found.kind for urn, found in theirs.items() if found.inputs != ours[urn].inputs]
        assert differ == ["Namespace"], "the guard remembers who created it, and nothing else differs"
