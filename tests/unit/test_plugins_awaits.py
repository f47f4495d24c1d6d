"""When an object is ready, and why it is not."""

import pytest

from sandbox.plugins.kubernetes import rules
from sandbox.plugins.kubernetes.awaits import progress_line
from sandbox.plugins.kubernetes.values import Object


def _workload(replicas: int, status: Object, generation: int = 1, **spec: object) -> Object:
    seen = {"observedGeneration": generation, **status}
    return {"metadata": {"generation": generation}, "spec": {"replicas": replicas, **spec}, "status": seen}


@pytest.mark.parametrize(
    ("live", "ready"),
    [
        (_workload(2, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}), True),
        (_workload(2, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}), False),
        (_workload(2, {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}), False),
        (_workload(2, {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}), False),
        (_workload(2, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 0}), False),
        (_workload(0, {}), True),
    ],
    ids=["ready", "not-available", "old-pods-left", "not-updated", "not-observed", "scaled-to-none"],
)
def test_deployment(live: Object, ready: bool) -> None:
    assert rules.deployment(live).ready is ready


_SAME = {"currentRevision": "r1", "updateRevision": "r1"}
_NEWER = {"currentRevision": "r1", "updateRevision": "r2"}


@pytest.mark.parametrize(
    ("live", "ready"),
    [
        (_workload(2, {"replicas": 2, "readyReplicas": 2, "currentReplicas": 2, **_SAME}), True),
        (_workload(2, {"replicas": 2, "readyReplicas": 1, "currentReplicas": 2, **_SAME}), False),
        (_workload(2, {"replicas": 2, "readyReplicas": 2, "currentReplicas": 1, **_NEWER}), False),
        (_workload(2, {"replicas": 2, "readyReplicas": 2, **_NEWER}, updateStrategy={"type": "OnDelete"}), True),
        (_workload(0, _SAME), True),
    ],
    ids=["ready", "not-ready", "updating", "on-delete", "scaled-to-none"],
)
def test_stateful_set(live: Object, ready: bool) -> None:
    assert rules.stateful_set(live).ready is ready


def test_stateful_set_with_a_partition_is_ready_when_the_update_has_reached_it() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    status = {"replicas": 2, "readyReplicas": 2, "currentReplicas": 1, **_NEWER}
    assert not rules.stateful_set(_workload(2, status, updateStrategy=strategy)).ready
    assert rules.stateful_set(_workload(2, {**status, "updatedReplicas": 1}, updateStrategy=strategy)).ready


def test_job() -> None:
    complete = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    failed = {
        "status": {
            "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "no"}]
        }
    }
    assert rules.job(complete).ready
    assert rules.job(failed).failed
    assert "BackoffLimitExceeded: no" in rules.job(failed).message
    assert rules.job({"status": {"active": 1}}) == rules.Progress(
        False, "waiting for the Job (1 Pods active, 0 failed)"
    )


def test_pod() -> None:
    assert rules.pod({"status": {"phase": "Succeeded"}}).ready
    assert rules.pod({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}).ready
    assert not rules.pod({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}}).ready
    assert rules.pod({"status": {"phase": "Failed", "reason": "Evicted"}}).failed


@pytest.mark.parametrize(
    ("phase", "mode", "ready"),
    [("Bound", "Immediate", True), ("Pending", "WaitForFirstConsumer", True), ("Pending", "Immediate", False)],
)
def test_claim(phase: str, mode: str, ready: bool) -> None:
    assert rules.claim({"spec": {}, "status": {"phase": phase}}, mode).ready is ready


@pytest.mark.parametrize(
    ("spec", "waits"),
    [
        ({"selector": {"a": "b"}, "clusterIP": "10.96.0.7"}, True),
        ({"selector": {"a": "b"}, "clusterIP": "None"}, False),
        ({"clusterIP": "10.96.0.7"}, False),
        ({"selector": {"a": "b"}, "type": "ExternalName"}, False),
    ],
)
def test_which_services_wait_for_pods(spec: Object, waits: bool) -> None:
    assert rules.awaits_pods({"spec": spec}) is waits


def test_service_waits_for_the_pods_it_has() -> None:
    service = {"spec": {"type": "ClusterIP"}}
    assert not rules.service_pods(service, None).ready
    assert rules.service_pods(service, {"subsets": []}).ready
    assert not rules.service_pods(service, {"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}]}]}).ready


def test_ingress_waits_for_services_and_an_address() -> None:
    served = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    assert rules.ingress(served, []).ready
    assert not rules.ingress(served, ["web"]).ready
    assert not rules.ingress({"status": {"loadBalancer": {}}}, []).ready


_LIVE: Object = {
    "metadata": {"labels": {"app.kubernetes.io/name": "x"}},
    "spec": {"on": True, "ports": [{"name": "http", "port": 80}, {"name": "tls", "port": 443}]},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "Bad", "status": "False"}],
    },
}


@pytest.mark.parametrize(
    ("expression", "ready"),
    [
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath={.status.phase}=Pending", False),
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.absent}", False),
        ("jsonpath=.status.phase=Running", True),
        ("jsonpath={$.status.phase}==Running", True),
        ('jsonpath={.status.phase}="Running"', True),
        ("jsonpath={.spec.on}=true", True),
        ("jsonpath={.spec.ports[1].port}=443", True),
        ("jsonpath={.spec.ports[-1].name}=tls", True),
        ("jsonpath={.spec.ports[*].port}=80", True),
        ('jsonpath={.spec.ports[?(@.name=="tls")].port}=443', True),
        ('jsonpath={.status.conditions[?(@.type=="Bad")].status}=False', True),
        (r"jsonpath={.metadata.labels.app\.kubernetes\.io/name}=x", True),
        ("jsonpath={.metadata.labels['app.kubernetes.io/name']}=x", True),
        ("condition=Ready", True),
        ("condition=ready", True),
        ("condition=Bad", False),
        ("condition=Bad=False", True),
        ("condition=Absent", False),
        ('["condition=Ready", "jsonpath={.status.phase}=Running"]', True),
        ('["condition=Ready", "condition=Absent"]', False),
    ],
)
def test_waits_of_ones_own(expression: str, ready: bool) -> None:
    assert rules.custom_rule(expression)(_LIVE).ready is ready


@pytest.mark.parametrize(
    "expression", ["", "Ready", "jsonpath=", "jsonpath={.a[}", "[1]", "[]", '["condition=A"', "condition="]
)
def test_a_wait_that_does_not_parse_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"pulumi\.com/waitFor"):
        rules.custom_rule(expression)


def test_what_is_missing_is_said() -> None:
    assert rules.custom_rule('["condition=Ready", "condition=Absent"]')(_LIVE).message == "waiting for condition=Absent"


def test_a_line_of_progress_is_short_and_keeps_its_beginning_and_end() -> None:
    line = progress_line(
        "[1/2] waiting for Pods to be ready (0/1); Pod p: " + "a log line\n" * 50 + "permission denied"
    )
    assert len(line) <= 160
    assert "\n" not in line
    assert line.startswith("[1/2] waiting for Pods to be ready (0/1); Pod p: a log line")
    assert line.endswith("permission denied")
    assert progress_line("ready") == "ready"


def test_the_error_has_the_whole_of_what_a_container_left() -> None:
    left = "x" * 4096
    state = {"terminated": {"exitCode": 1, "reason": "Error", "message": left}}
    [problem] = rules.pod_problems(_pod(containerStatuses=[{"name": "c", "state": state}]))
    assert problem.endswith(left)


def _pod(**status: object) -> Object:
    return {"metadata": {"name": "p"}, "status": {"phase": "Pending", **status}}


@pytest.mark.parametrize(
    ("pod", "problems"),
    [
        (
            _pod(
                conditions=[
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                ]
            ),
            ["Pod p: Unschedulable: 0/1 nodes"],
        ),
        (
            _pod(
                containerStatuses=[
                    {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "x:1"}}}
                ]
            ),
            ["Pod p, container c: ImagePullBackOff: x:1"],
        ),
        (_pod(containerStatuses=[{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]), []),
        (
            _pod(
                containerStatuses=[
                    {
                        "name": "c",
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no\n luck"}},
                    }
                ]
            ),
            ["Pod p, container c: CrashLoopBackOff; before that it ended with exit code 3: Error: no luck"],
        ),
        (
            _pod(initContainerStatuses=[{"name": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]),
            ["Pod p, container i: ended with exit code 1: Error"],
        ),
        (
            _pod(phase="Running", containerStatuses=[{"name": "c", "ready": False, "state": {"running": {}}}]),
            ["Pod p, container c: runs, but is not ready"],
        ),
        (_pod(phase="Running", containerStatuses=[{"name": "c", "ready": True, "state": {"running": {}}}]), []),
        (_pod(phase="Succeeded"), []),
    ],
    ids=["unschedulable", "image", "starting", "crash", "init", "not-ready", "ready", "done"],
)
def test_pod_problems(pod: Object, problems: list[str]) -> None:
    assert rules.pod_problems(pod) == problems
