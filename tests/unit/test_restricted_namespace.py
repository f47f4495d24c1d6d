"""What RestrictedNamespace declares.

Mocks show the labels and the policy. That a cluster refuses an unconfined pod for them, and that its network enforces
the policy (not every one does), they cannot prove.
"""

import pytest

from components.restricted_namespace import RestrictedNamespace
from tools.recorder import Recorded, record


@pytest.fixture(scope="module")
def run() -> Recorded:
    return record(lambda: RestrictedNamespace("arcade"))


def test_the_namespace_has_the_name_of_the_component(run: Recorded) -> None:
    assert run.one("Namespace").manifest["metadata"]["name"] == "arcade"


def test_it_lets_only_restricted_pods_run_and_warns_of_others(run: Recorded) -> None:
    labels = run.one("Namespace").manifest["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert labels["pod-security.kubernetes.io/warn"] == "restricted"


def test_a_cluster_upgrade_does_not_change_what_restricted_means(run: Recorded) -> None:
    labels = run.one("Namespace").manifest["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce-version"].startswith("v1.")


def test_nobody_reaches_a_pod_that_no_policy_opens(run: Recorded) -> None:
    policy = run.one("NetworkPolicy").manifest
    assert policy["metadata"]["name"] == "default-deny"
    assert policy["metadata"]["namespace"] == "arcade"
    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_it_gives_out_the_name_once_the_namespace_exists(run: Recorded) -> None:
    assert run.one("RestrictedNamespace").outputs == {"namespace": "arcade"}
