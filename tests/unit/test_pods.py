"""What every pod has in common: resources, and where it may run.

Mocks show the fields. That a scheduler, a quota or an admission webhook takes them, they cannot prove.
"""

import json
from functools import cache
from typing import Any

import pytest

from components.pods import Placement, Resources
from tests.unit import invariants
from tools.recorder import Recorded, record_program, stack_config

WORKLOADS = ("StatefulSet", "Job", "Deployment")
TOLERATION = {"key": "dedicated", "operator": "Equal", "value": "games", "effect": "NoExecute", "tolerationSeconds": 60}
CPU_LIMITS = {"mongoCpu": "250m/1", "pacmanCpu": "50m/500m"}


@cache
def run(**config: str) -> Recorded:
    return record_program(stack_config("dev") | {f"pacman:{key}": value for key, value in config.items()})


def pods(**config: str) -> dict[str, dict[str, Any]]:
    """The spec of the pods of each workload."""
    return {kind: run(**config).one(kind).manifest["spec"]["template"]["spec"] for kind in WORKLOADS}


def resources(**config: str) -> dict[str, dict[str, dict[str, str]]]:
    """The resources of every container of the stack, init containers too."""
    return {
        container["name"]: container["resources"]
        for pod in pods(**config).values()
        for container in (*pod.get("initContainers", []), *pod["containers"])
    }


class TestResources:
    def test_a_single_cpu_value_is_a_request_without_a_limit(self) -> None:
        assert Resources(("100m",), ("1Gi",), ("1Mi",)).args().limits == {"memory": "1Gi", "ephemeral-storage": "1Mi"}

    def test_a_single_value_of_memory_and_disk_is_request_and_limit(self) -> None:
        args = Resources(("100m",), ("1Gi",), ("1Mi",)).args()
        assert args.requests == {"cpu": "100m", "memory": "1Gi", "ephemeral-storage": "1Mi"}
        assert args.limits == {"memory": "1Gi", "ephemeral-storage": "1Mi"}

    def test_a_second_value_is_the_limit(self) -> None:
        args = Resources(("100m", "1"), ("1Gi", "2Gi"), ("1Mi", "2Mi")).args()
        assert args.requests == {"cpu": "100m", "memory": "1Gi", "ephemeral-storage": "1Mi"}
        assert args.limits == {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "2Mi"}

    @pytest.mark.parametrize(
        ("other", "cpu"),
        [(("100m",), ("50m",)), (("100m", "1"), ("50m", "1")), (("20m", "0.04"), ("0.04", "0.04"))],
    )
    def test_the_cpu_limit_of_another_container_is_taken_and_the_request_is_not_beyond_it(
        self, other: tuple[str, ...], cpu: tuple[str, ...]
    ) -> None:
        small = Resources(("50m",), ("64Mi",), ("1Mi",))
        assert small.with_cpu_limit_of(Resources(other, ("1Gi",), ("1Gi",))) == Resources(cpu, ("64Mi",), ("1Mi",))


class TestEveryContainer:
    def test_no_container_has_a_cpu_limit_unless_the_config_sets_limits(self) -> None:
        assert [name for name, found in resources().items() if "cpu" in found["limits"]] == []

    def test_every_container_has_a_cpu_limit_if_the_config_sets_limits_since_a_quota_may_require_it(self) -> None:
        found = {name: found["limits"].get("cpu") for name, found in resources(**CPU_LIMITS).items()}
        assert found == {name: "500m" if name == "pacman" else "1" for name in resources()}

    def test_the_config_sets_requests_and_limits_of_the_members_and_of_the_game(self) -> None:
        found = resources(**CPU_LIMITS, mongoMemory="2Gi/4Gi", pacmanMemory="128Mi")
        assert found["mongo"]["requests"] | {"ephemeral-storage": ""} == {
            "cpu": "250m",
            "memory": "2Gi",
            "ephemeral-storage": "",
        }
        assert found["mongo"]["limits"]["memory"] == "4Gi"
        assert found["pacman"]["requests"]["cpu"] == "50m"
        assert found["pacman"]["requests"]["memory"] == found["pacman"]["limits"]["memory"] == "128Mi"

    def test_one_value_for_both_makes_request_and_limit_equal_as_autopilot_sets_them(self) -> None:
        found = resources(mongoMemory="2Gi", mongoCpu="500m/500m", pacmanMemory="512Mi", pacmanCpu="250m/250m")
        for container in ("mongo", "pacman"):
            for resource in ("cpu", "memory"):
                assert found[container]["requests"][resource] == found[container]["limits"][resource]


def of_every_pod(field: str, **config: str) -> object:
    """A field that the pods of all workloads have alike."""
    first, *others = (pod[field] for pod in pods(**config).values())
    assert others == [first] * 2
    return first


def test_the_pods_of_every_workload_are_placed_and_limited_as_the_config_says() -> None:
    """Also those of the CronJobs."""
    every = invariants.pods(
        run(
            **CPU_LIMITS,
            backupSnapshotClass="snapshots",
            nodeSelector='{"disk": "ssd"}',
            tolerations=json.dumps([TOLERATION]),
            imagePullSecrets='["mirror"]',
        )
    )
    assert len(every) == 6
    for each in every:
        assert each.spec["nodeSelector"] == {"kubernetes.io/os": "linux", "disk": "ssd"}, each.workload.name
        assert each.spec["tolerations"] == [TOLERATION], each.workload.name
        assert each.spec["imagePullSecrets"] == [{"name": "mirror"}], each.workload.name
        for container in (*each.spec.get("initContainers", []), *each.spec["containers"]):
            assert "cpu" in container["resources"]["limits"], (each.workload.name, container["name"])


class TestPlacement:
    def test_a_pod_runs_on_linux_nodes_only_since_its_image_does(self) -> None:
        assert of_every_pod("nodeSelector") == {"kubernetes.io/os": "linux"}

    def test_the_node_selector_of_the_config_comes_on_top_for_every_pod(self) -> None:
        found = of_every_pod("nodeSelector", nodeSelector='{"disk": "ssd"}')
        assert found == {"kubernetes.io/os": "linux", "disk": "ssd"}

    def test_every_pod_tolerates_the_taints_of_the_config_with_all_fields_of_a_toleration(self) -> None:
        given = [TOLERATION, {"operator": "Exists"}]
        assert of_every_pod("tolerations", tolerations=json.dumps(given)) == given

    def test_every_pod_pulls_with_the_secrets_of_the_config(self) -> None:
        found = of_every_pod("imagePullSecrets", imagePullSecrets='["mirror", "second"]')
        assert found == [{"name": "mirror"}, {"name": "second"}]

    def test_without_config_a_pod_has_neither_tolerations_nor_pull_secrets(self) -> None:
        for pod in pods().values():
            assert not pod.keys() & {"tolerations", "imagePullSecrets"}
        assert Placement().pod_fields() == {
            "node_selector": {"kubernetes.io/os": "linux"},
            "tolerations": None,
            "image_pull_secrets": None,
        }
