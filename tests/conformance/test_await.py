"""When a resource counts as ready, what is said while it is not, and how a wait ends. These need a node."""

import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.conformance.conftest import Kubectl, Stack, is_secret
from tests.harness.engine import Engine, alive

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture(scope="module")
def ready(stack: Stack) -> Iterator[Engine]:
    """What becomes ready, or is ready as it is, all in one `up`."""
    program = """
skip = {"pulumi.com/skipAwait": "true"}
absent = busybox("true", image="sandbox/absent:1")
deployment = k8s.apps.v1.Deployment("deployment", metadata=named("ready"), spec=workload("ready", replicas=2), opts=on)
k8s.apps.v1.StatefulSet("set", metadata=named("ready"), opts=on,
    spec={**workload("ready-set", replicas=2), "serviceName": "ready"})
k8s.core.v1.Pod("pod", metadata=named("ready"), spec=sleep, opts=on)
k8s.batch.v1.Job("job", metadata=named("ready"), opts=on,
    spec={"template": {"spec": {**busybox("true"), "restartPolicy": "Never"}}})
k8s.core.v1.Service("service", metadata=named("ready"), opts=on,
    spec={"selector": labels("ready"), "ports": [{"port": 80}]})
k8s.core.v1.Service("headless", metadata=named("headless"), opts=on,
    spec={"clusterIP": "None", "selector": labels("skipped"), "ports": [{"port": 80}]})
k8s.core.v1.Secret("token", type="kubernetes.io/service-account-token", opts=on,
    metadata=named("token", annotations={"kubernetes.io/service-account.name": "default"}))
late = k8s.storage.v1.StorageClass("late", opts=on, metadata={"name": NAMESPACE + "-late"},
    provisioner="conformance.invalid/none", volume_binding_mode="WaitForFirstConsumer")
k8s.core.v1.PersistentVolumeClaim("claim", metadata=named("claim"), opts=on, spec={
    "storageClassName": late.metadata.name, "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}}})

k8s.apps.v1.Deployment("skipped-deployment", metadata=named("skipped", annotations=skip), opts=on,
    spec=workload("skipped", absent))
k8s.core.v1.Service("skipped-service", metadata=named("skipped", annotations=skip), opts=on,
    spec={"selector": labels("skipped"), "ports": [{"port": 80}]})
k8s.networking.v1.Ingress("skipped-ingress", metadata=named("skipped", annotations=skip), opts=on, spec={
    "ingressClassName": "conformance-absent",
    "defaultBackend": {"service": {"name": "nobody", "port": {"number": 80}}}})

running = "jsonpath={.status.phase}=Running"
waits = {"value": running, "exists": "jsonpath={.status.podIP}", "condition": "condition=Ready",
         "all": json.dumps(["condition=Initialized", running])}
for name, wanted in waits.items():
    k8s.core.v1.Pod(name, metadata=named(name, annotations={"pulumi.com/waitFor": wanted}), spec=sleep, opts=on)
pulumi.export("available", deployment.status.available_replicas)
"""
    with stack(program) as engine:
        engine.up().ok()
        yield engine


@pytest.mark.parametrize(
    ("name", "field", "wanted"),
    [
        ("deployment", "availableReplicas", 2),
        ("set", "readyReplicas", 2),
        ("pod", "phase", "Running"),
        ("job", "succeeded", 1),
        ("claim", "phase", "Pending"),  # it has a volume once a pod uses it
        # These have waits of their own, which the annotation pulumi.com/waitFor gives.
        ("value", "phase", "Running"),
        ("all", "phase", "Running"),
    ],
)
def test_the_state_is_that_of_a_ready_object(ready: Engine, name: str, field: str, wanted: object) -> None:
    assert ready.resources()[name]["outputs"]["status"][field] == wanted


def test_a_wait_of_ones_own_can_be_for_a_field_or_a_condition(ready: Engine) -> None:
    state = ready.resources()
    assert state["exists"]["outputs"]["status"]["podIP"]
    conditions = state["condition"]["outputs"]["status"]["conditions"]
    assert {"Ready": "True"}.items() <= {each["type"]: each["status"] for each in conditions}.items()


def test_the_token_of_a_service_account_is_waited_for_and_secret(ready: Engine) -> None:
    assert is_secret(ready.resources()["token"]["outputs"]["data"])
    assert ready.up("--refresh", "--expect-no-changes").exit_code == 0


@pytest.mark.parametrize("kind", ["deployment", "service", "ingress"])
def test_skip_await_does_not_wait(ready: Engine, kind: str) -> None:
    assert not ready.resources()[f"skipped-{kind}"].get("initErrors")


def test_outputs_of_the_status_are_known(ready: Engine) -> None:
    assert ready.outputs()["available"] == 2


def test_a_new_template_is_waited_for(ready: Engine, kubectl: Kubectl) -> None:
    ready.edit('workload("ready", replicas=2)', 'workload("ready", replicas=3)')
    assert ready.up().ok().op("deployment") == "update"
    assert kubectl.live("deployment", "ready")["status"]["availableReplicas"] == 3


def test_a_finished_job_is_replaced(ready: Engine, kubectl: Kubectl) -> None:
    before = kubectl.live("job", "ready")["metadata"]["uid"]
    ready.edit('busybox("true")', 'busybox("sh", "-c", "true")')
    assert ready.up().ok().op("job") == "replace"
    after = kubectl.live("job", "ready")
    assert after["metadata"]["uid"] != before
    assert after["status"]["succeeded"] == 1


def test_what_never_becomes_ready_is_created_and_said_to_be_unready(stack: Stack, kubectl: Kubectl) -> None:
    program = """
wait = {"pulumi.com/timeoutSeconds": "6"}
within = lambda seconds: pulumi.ResourceOptions.merge(on, pulumi.ResourceOptions(
    custom_timeouts=pulumi.CustomTimeouts(create=seconds, update="60s")))
absent = busybox("true", image="sandbox/absent:1")
k8s.apps.v1.Deployment("image", metadata=named("image", annotations=wait), spec=workload("image", absent), opts=on)
# Without a probe, a container that ends at once is ready for a moment.
crash = busybox("sh", "-c", "echo no luck > /dev/termination-log; exit 3")
crash["containers"][0]["readinessProbe"] = {"exec": {"command": ["false"]}}
k8s.apps.v1.StatefulSet("crash", metadata=named("crash"), opts=within("10s"),
    spec={**workload("crash", crash), "serviceName": "crash", "podManagementPolicy": "Parallel"})
k8s.core.v1.Pod("nowhere", metadata=named("nowhere", annotations=wait), opts=on,
    spec={**sleep, "nodeSelector": {"conformance": "nowhere"}})
k8s.batch.v1.Job("job", metadata=named("job"), opts=on, spec={"backoffLimit": 0, "template": {"spec": {
    **busybox("sh", "-c", "exit 7"), "restartPolicy": "Never"}}})
if "not mended":
    k8s.core.v1.Service("service", metadata=named("unready"), opts=within("6s"),
        spec={"selector": labels("crash"), "ports": [{"port": 80}]})
    k8s.networking.v1.Ingress("ingress", metadata=named("unready", annotations=wait), opts=on, spec={
        "ingressClassName": "conformance-absent",
        "defaultBackend": {"service": {"name": "nobody", "port": {"number": 80}}}})
    none = k8s.storage.v1.StorageClass("none", opts=on, metadata={"name": NAMESPACE + "-none"},
        provisioner="conformance.invalid/none")
    k8s.core.v1.PersistentVolumeClaim("claim", metadata=named("unready"), opts=within("6s"), spec={
        "storageClassName": none.metadata.name, "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}})
"""
    unready = {"image": "image", "crash": "crash", "nowhere": "nowhere", "job": "job"}
    unready |= dict.fromkeys(("service", "ingress", "claim"), "unready")
    with stack(program) as engine:
        began = time.monotonic()
        failed = engine.up("--continue-on-error")
        assert failed.exit_code != 0
        assert time.monotonic() - began < 60, "the annotation's and the option's timeouts hold; a failed Job is final"
        assert failed.failed == unready.keys()
        assert "sandbox/absent:1" in failed.errors("image")
        assert "crash-0" in failed.errors("crash")
        assert "Unschedulable" in failed.errors("nowhere") or "didn't match" in failed.errors("nowhere")
        assert "BackoffLimitExceeded" in failed.errors("job") or "backoff limit" in failed.errors("job")
        assert "0/1" in " ".join(failed.progress("image")), "it is told meanwhile what is waited for"
        state = engine.resources()
        for name, object_name in unready.items():
            assert state[name]["id"] == f"{kubectl.namespace}/{object_name}", "it was created"
            assert state[name]["initErrors"], "and the state says that it is not ready"

        engine.edit('busybox("true", image="sandbox/absent:1")', 'busybox("sleep", "3600")')
        engine.edit("; exit 3", "; sleep 3600")
        engine.edit('["false"]', '["true"]')
        engine.edit('{"conformance": "nowhere"}', "{}")
        engine.edit("exit 7", "exit 0")
        engine.edit('if "not mended"', 'if not "mended"')
        result = engine.up().ok()
        assert result.op("image") == result.op("crash") == "update"
        assert result.op("nowhere") == result.op("job") == "replace"
        assert result.op("service") == result.op("ingress") == result.op("claim") == "delete"
        assert not any(each.get("initErrors") for each in engine.resources().values())


def test_an_unready_object_is_waited_for_again(stack: Stack, kubectl: Kubectl) -> None:
    program = """
k8s.core.v1.ConfigMap("flag", metadata=named("flag", annotations={
    "pulumi.com/waitFor": "jsonpath={.data.ready}=yes", "pulumi.com/timeoutSeconds": "3"}), opts=on)
"""
    with stack(program) as engine:
        failed = engine.up()
        assert failed.exit_code != 0
        assert engine.resources()["flag"]["initErrors"]
        flag = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flag"}}
        kubectl.apply({**flag, "data": {"ready": "yes"}}, "somebody")
        assert engine.up().ok().op("flag") == "update", "nothing changed, but it was not ready"
        assert engine.up().ok().op("flag") == "same"


def test_an_ingress_waits_for_an_address(stack: Stack, kubectl: Kubectl) -> None:
    program = """
k8s.core.v1.Service("web", metadata=named("web", annotations={"pulumi.com/skipAwait": "true"}), opts=on,
    spec={"selector": labels("web"), "ports": [{"port": 80}]})
backend = {"service": {"name": "web", "port": {"number": 80}}}
served = k8s.networking.v1.Ingress("ingress", metadata=named("web"), opts=on, spec={
    "ingressClassName": "conformance-absent",
    "rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]})
pulumi.export("address", served.status.load_balancer.ingress[0].ip)
"""
    with stack(program) as engine:
        running = engine.start("up", "--yes", "--skip-preview")
        running.wait_for(lambda said: said.ephemeral and said.name == "ingress")
        status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        patch = json.dumps({"status": status})
        kubectl("patch", "ingress", "web", "--subresource=status", "--type=merge", "--patch", patch)
        running.finish().ok()
        assert engine.outputs()["address"] == "192.0.2.1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_wait_ends_at_once(stack: Stack, kubectl: Kubectl, number: signal.Signals) -> None:
    program = """
k8s.apps.v1.Deployment("waiting", metadata=named("waiting"), opts=on,
    spec=workload("waiting", busybox("true", image="sandbox/absent:1")))
"""
    with stack(program) as engine:
        running = engine.start("up", "--yes", "--skip-preview")
        # Its progress is told while it waits.
        running.wait_for(lambda said: said.ephemeral and said.name == "waiting")
        processes = running.processes()
        assert len(processes) > 2, "the engine, the language host, the provider"
        running.signal(number)
        began = time.monotonic()
        result = running.finish(30)
        assert result.exit_code != 0
        # The engine gives a plugin that does not end 10 s.
        assert time.monotonic() - began < 9
        state = engine.resources()
        assert state["waiting"]["id"] == f"{kubectl.namespace}/waiting", "what was made is not forgotten"
        assert state["waiting"]["initErrors"]
        while left := alive(processes):
            assert time.monotonic() - began < 9, f"processes {left} outlive the engine"
            time.sleep(0.05)
    assert kubectl.get("deployment", "waiting") is None


def test_a_refresh_says_what_is_not_ready_any_more(stack: Stack, kubectl: Kubectl) -> None:
    program = 'k8s.apps.v1.Deployment("sick", metadata=named("sick"), spec=workload("sick"), opts=on)'
    with stack(program) as engine:
        engine.up().ok()
        broken = {"containers": [{"name": "main", "image": "sandbox/absent:1"}]}
        spec = {"strategy": {"type": "Recreate", "rollingUpdate": None}, "template": {"spec": broken}}
        kubectl("patch", "deployment", "sick", "--patch", json.dumps({"spec": spec}))
        kubectl("wait", "deployment", "sick", "--for=condition=Available=False", "--timeout=60s")
        engine.refresh()
        assert engine.resources()["sick"]["initErrors"]
        assert engine.up().ok().op("sick") == "update"
        assert not engine.resources()["sick"].get("initErrors")
