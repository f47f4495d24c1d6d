"""The example, as it is: a program that takes one component twice.

Mocks show that no two objects have the same name, and that no policy opens one database to the other's clients. That
both come up in one namespace, tests/engine shows.
"""

import runpy
from collections import Counter
from unittest import mock

import pytest

from components import cluster
from components.cluster import Cluster, RunningMongo
from tests.harness.violations import violations
from tools.recorder import ROOT, Recorded, SecretValue, record

CONFIG = {
    "pacman:context": "mine",
    "pacman:namespace": "shop",
    "pacman:image": "mongo:8.0.32",
    "pacman:storageClass": "fast",
}


def read(context: str, namespace: str, database: str = "") -> Cluster:
    """What the cluster has: `users` runs already, with as many members as are wanted of it."""
    mongo = RunningMongo(1, "fast", "1Gi", "mongo:8.0.32", rotated=7) if database == "users" else None
    return Cluster(namespace={}, identity="1-2-3", mongo=mongo)


@pytest.fixture(scope="module")
def run() -> Recorded:
    # The recorder's project is called pacman, and so are the keys then.
    with mock.patch.object(cluster, "read", read):
        return record(lambda: runpy.run_path(str(ROOT / "examples/two-databases/__main__.py")), CONFIG)


def test_the_example_declares_two_databases_and_exports_secret_uris(run: Recorded) -> None:
    assert [each.name for each in run.of("MongoStatefulSet")] == ["orders", "users"]
    assert run.exports.keys() == {"orders_uri", "users_uri"}
    assert all(isinstance(value, SecretValue) for value in run.exports.values())


def test_each_is_compared_with_what_runs_of_it(run: Recorded) -> None:
    seen = {each.name: each.inputs["runs"] for each in run.of("Database")}
    assert seen["orders-guard"] == {}
    assert seen["users-guard"]["rotated"] == 7


def test_no_two_objects_have_one_name(run: Recorded) -> None:
    names = Counter((r.kind, r.manifest["metadata"]["name"]) for r in run.kubernetes())
    assert [name for name, count in names.items() if count > 1] == []
    assert [urn for urn, count in Counter(r.urn for r in run.resources).items() if count > 1] == []


def test_each_selects_its_own_pods_only(run: Recorded) -> None:
    labels = {r.name: r.manifest["spec"]["template"]["metadata"]["labels"] for r in run.of("StatefulSet")}
    for kind in ("Service", "NetworkPolicy", "PodDisruptionBudget"):
        for r in run.of(kind):
            spec = r.manifest["spec"]
            selector = spec.get("podSelector", spec.get("selector", {}))
            wanted = selector.get("matchLabels", {} if kind != "Service" else selector)
            if wanted:
                assert [name for name, has in labels.items() if wanted.items() <= has.items()] == [r.name]


def test_the_example_satisfies_the_policy_pack(run: Recorded) -> None:
    assert violations(run) == []
