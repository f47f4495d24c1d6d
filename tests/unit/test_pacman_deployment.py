"""What PacmanDeployment declares.

Mocks show the pod, its environment, its probes and its rights. That Pacman takes this environment, that a score gets
saved, that a rollout refuses no request and that a missed connection heals, they cannot prove.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from components.pacman_deployment import PacmanDeployment, PacmanDeploymentArgs
from tools.recorder import Recorded, record, record_program, stack_config

ARGS = PacmanDeploymentArgs(
    namespace="arcade",
    image="saintdle/pacman:0.7.9",
    replicas=2,
    mongo_hosts=["mongo-0.mongo", "mongo-1.mongo"],
    mongo_port=27017,
    mongo_replica_set="rs0",
    mongo_database="scores",
    mongo_secret="mongo-app",  # noqa: S106 - its name
    pod_labels={"mongo-client": "true"},
)


@cache
def declare(replicas: int = 2, location: bool = True, max_replicas: int = 0) -> Recorded:
    args = replace(ARGS, replicas=replicas, location=location, max_replicas=max_replicas)
    return record(lambda: PacmanDeployment("pacman", args))


def deployment(**options: Any) -> dict[str, Any]:  # noqa: ANN401 - those of declare
    spec: dict[str, Any] = declare(**options).one("Deployment").manifest["spec"]
    return spec


def pod(**options: Any) -> dict[str, Any]:  # noqa: ANN401
    spec: dict[str, Any] = deployment(**options)["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    assert isinstance(only, dict)
    return only


def environment() -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container()["env"]}


class TestScale:
    def test_without_an_autoscaler_the_deployment_keeps_the_replicas_of_the_config(self) -> None:
        run = declare()
        assert run.of("HorizontalPodAutoscaler") == []
        assert "ignoreChanges" not in run.one("Deployment").options

    def test_an_autoscaler_starts_at_the_replicas_and_pulumi_then_ignores_their_number(self) -> None:
        run = declare(max_replicas=6)
        scaler = run.one("HorizontalPodAutoscaler").manifest["spec"]
        assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)
        assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pacman"}
        cpu = {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "200m"}}
        assert scaler["metrics"] == [{"type": "Resource", "resource": cpu}]
        assert run.one("Deployment").options["ignoreChanges"] == ["spec.replicas"]
        assert run.one("Deployment").manifest["spec"]["replicas"] == 2, "or it would begin with 1"

    def test_an_autoscaler_below_the_replicas_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"pacman: max_replicas is 1: must be 0, or replicas \(2\) or more"):
            declare(max_replicas=1)

    def test_a_drain_takes_one_pod_at_a_time_and_is_never_blocked(self) -> None:
        budget = declare().one("PodDisruptionBudget").manifest["spec"]
        assert budget == {
            "maxUnavailable": 1,
            "selector": deployment()["selector"],
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }

    def test_pods_spread_over_zones_and_nodes_where_they_can(self) -> None:
        spread = pod()["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}
        assert all(each["labelSelector"] == deployment()["selector"] for each in spread)


class TestPods:
    @pytest.mark.parametrize("replicas", [1, 10])
    def test_the_deployment_has_as_many_replicas_as_the_config_says(self, replicas: int) -> None:
        assert deployment(replicas=replicas)["replicas"] == replicas

    @pytest.mark.parametrize("replicas", [0, -1])
    def test_fewer_than_one_replica_is_refused(self, replicas: int) -> None:
        with pytest.raises(ValueError, match=f"pacman: replicas is {replicas}: must be 1 or more"):
            declare(replicas)

    def test_pods_have_the_labels_that_open_the_database(self) -> None:
        assert deployment()["template"]["metadata"]["labels"]["mongo-client"] == "true"
        assert "mongo-client" not in deployment()["selector"]["matchLabels"]


class TestEnvironment:
    def test_the_app_knows_every_member_and_the_replica_set_so_that_it_finds_a_new_primary(self) -> None:
        assert environment()["MONGO_SERVICE_HOST"] == "mongo-0.mongo,mongo-1.mongo"
        assert environment()["MY_MONGO_PORT"] == "27017"
        assert environment()["MONGO_REPLICA_SET"] == "rs0"
        assert environment()["MONGO_DATABASE"] == "scores"

    def test_user_and_password_are_references_to_the_secret(self) -> None:
        assert environment()["MONGO_AUTH_USER"] == {"secretKeyRef": {"name": "mongo-app", "key": "username"}}
        assert environment()["MONGO_AUTH_PWD"] == {"secretKeyRef": {"name": "mongo-app", "key": "password"}}

    def test_the_app_knows_its_node_to_say_where_a_score_was_made(self) -> None:
        assert environment()["MY_NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}

    def test_the_app_gives_up_a_member_that_is_gone_before_a_request_gives_up(self) -> None:
        """Each request gives up after 5 s, and would wait for a gone address for 10 s by default."""
        assert int(environment()["MONGO_CONNECT_TIMEOUT_MS"]) < 5000

    def test_the_app_waits_for_the_database_at_its_start_but_less_than_the_startup_probe(self) -> None:
        """By default it ends after 5 s, and Kubernetes starts it again in ever longer intervals."""
        probe = container()["startupProbe"]
        waits = int(environment()["MONGO_SERVER_SELECTION_TIMEOUT_MS"]) / 1000
        assert 5 < waits < probe["periodSeconds"] * probe["failureThreshold"]

    def test_the_app_logs_no_request_and_no_probe_unless_the_config_says_so(self) -> None:
        assert environment()["LOG_LEVEL"] == "warn"
        run = record_program(stack_config("dev") | {"pacman:pacmanLogLevel": "info"})
        (game,) = run.one("Deployment").manifest["spec"]["template"]["spec"]["containers"]
        assert {"name": "LOG_LEVEL", "value": "info"} in game["env"]


class TestProbes:
    def test_readiness_asks_whether_the_database_answers(self) -> None:
        assert container()["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}

    def test_liveness_does_not_ask_the_database_so_that_its_outage_restarts_nothing(self) -> None:
        assert container()["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}

    def test_a_start_that_hangs_is_ended_by_a_restart(self) -> None:
        probe = container()["startupProbe"]
        assert probe["httpGet"] == {"path": "/readyz", "port": "http"}
        assert probe["periodSeconds"] * probe["failureThreshold"] <= 120


class TestRollout:
    def test_a_new_pod_is_ready_before_an_old_one_goes(self) -> None:
        strategy = deployment()["strategy"]
        assert strategy["type"] == "RollingUpdate"
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0

    def test_a_pod_that_leaves_has_ten_seconds_for_open_connections_after_the_drain(self) -> None:
        drain = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod()["terminationGracePeriodSeconds"] > drain + 10

    def test_up_does_not_wait_for_the_service_after_the_pods(self) -> None:
        annotations = declare().one("Service").manifest["metadata"]["annotations"]
        assert annotations["pulumi.com/skipAwait"] == "true"
        waited_for = declare().one("Deployment").manifest["metadata"]["annotations"]
        assert "pulumi.com/skipAwait" not in waited_for


class TestWayIn:
    def test_everybody_may_reach_the_port_of_the_app_and_no_other(self) -> None:
        assert declare().one("NetworkPolicy").manifest["spec"]["ingress"] == [
            {"ports": [{"port": 8080, "protocol": "TCP"}]}
        ]

    def test_the_name_of_the_service_is_an_output(self) -> None:
        assert declare().one("PacmanDeployment").outputs == {"service": "pacman"}


class TestRights:
    def test_the_right_to_get_nodes_belongs_to_the_account_of_the_app(self) -> None:
        binding = declare().one("ClusterRoleBinding").manifest
        role = declare().one("ClusterRole").manifest["metadata"]["name"]
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "pacman", "namespace": "arcade"}]
        assert pod()["serviceAccountName"] == "pacman"
        assert pod()["automountServiceAccountToken"] is True

    def test_two_stacks_on_one_cluster_do_not_share_the_cluster_role(self) -> None:
        assert declare().one("ClusterRole").manifest["metadata"]["name"] == "arcade:pacman-node-reader"

    def test_without_location_the_app_has_neither_cluster_role_nor_token(self) -> None:
        run = declare(location=False)
        assert run.of("ClusterRole") == run.of("ClusterRoleBinding") == []
        assert pod(location=False)["automountServiceAccountToken"] is False

    def test_without_location_everything_but_the_cluster_role_is_the_same(self) -> None:
        withdrawn = {"ClusterRole", "ClusterRoleBinding"}
        one, other = ({r.kind for r in declare(location=location).resources} for location in (True, False))
        assert one - other == withdrawn
