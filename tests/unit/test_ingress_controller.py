"""What IngressController declares: a Helm release and its values.

The chart is not here, so this cannot prove that it takes the values, that the controller starts under `restricted`, or
that a cloud makes a load balancer of the Service. Nothing in this project has run it.
"""

from typing import Any

import pytest

from components.ingress_controller import CHART_VERSION, IngressController, IngressControllerArgs
from stack.targets import TARGETS
from tools.recorder import Recorded, record, record_program, stack_config

ARGS = IngressControllerArgs(
    chart="oci://charts.example/nginx-ingress",
    ingress_class="arcade-nginx",
    scope="private",
    load_balancer={"lb.example/scheme": "internal"},
    traffic_policy="Cluster",
)


@pytest.fixture(scope="module")
def run() -> Recorded:
    return record(lambda: IngressController("arcade-ingress", ARGS))


@pytest.fixture(scope="module")
def controller(run: Recorded) -> dict[str, Any]:
    values: dict[str, Any] = run.one("Release").manifest["values"]["controller"]
    return values


def test_it_is_a_release_of_the_pinned_chart_in_a_namespace_of_its_own(run: Recorded) -> None:
    release = run.one("Release").manifest
    assert release["chart"] == "oci://charts.example/nginx-ingress"
    assert release["version"] == CHART_VERSION
    assert release["name"] == release["namespace"] == run.one("Namespace").manifest["metadata"]["name"]
    assert release["name"] == "arcade-ingress"


def test_its_pods_are_confined_too(run: Recorded, controller: dict[str, Any]) -> None:
    assert run.one("Namespace").manifest["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert controller["readOnlyRootFilesystem"] is True
    assert controller["resources"]["limits"]["memory"]


def test_it_makes_the_class_and_leaves_the_clusters_default_alone(run: Recorded, controller: dict[str, Any]) -> None:
    assert controller["ingressClass"] == {"name": "arcade-nginx", "create": True, "setAsDefaultIngress": False}
    assert run.one("IngressController").outputs == {"ingressClass": "arcade-nginx"}


def test_its_load_balancer_is_what_the_target_says(controller: dict[str, Any]) -> None:
    assert controller["service"] == {
        "type": "LoadBalancer",
        "annotations": {"pacman/scope": "private", "lb.example/scheme": "internal"},
        "externalTrafficPolicy": "Cluster",
    }


def test_one_of_two_is_there_while_a_node_is_drained(controller: dict[str, Any]) -> None:
    assert controller["replicaCount"] == 2
    assert controller["podDisruptionBudget"] == {"enabled": True, "maxUnavailable": 1}
    (spread,) = controller["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "arcade-ingress"


@pytest.mark.parametrize("stack", ["eks", "aks", "gke"])
def test_the_cloud_stacks_install_it_and_their_ingress_waits_for_its_class(stack: str) -> None:
    run = record_program(stack_config(stack))
    service = run.one("Release").manifest["values"]["controller"]["service"]
    assert service["annotations"] == {"pacman/scope": "public", **TARGETS[stack].load_balancers["public"]}
    assert run.one("Ingress").manifest["spec"]["ingressClassName"] == "pacman-nginx"


@pytest.mark.parametrize("stack", ["dev", "sandbox"])
def test_minikube_uses_the_controller_of_its_addon(stack: str) -> None:
    assert record_program(stack_config(stack)).of("IngressController") == []
