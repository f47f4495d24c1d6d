"""Names, secrets, ownership, drift: what holds for every kind, shown on small ones."""

import base64
import json
from typing import Any

from tests.conformance.conftest import Kubectl, Stack, is_secret


def test_a_name_of_its_own_making(stack: Stack, kubectl: Kubectl) -> None:
    program = """
config = k8s.core.v1.ConfigMap("auto", opts=on, data={"key": "one"},
    metadata={"namespace": NAMESPACE, "labels": {"round": "one"}})
pulumi.export("name", config.metadata.name)
"""
    with stack(program) as engine:
        engine.up().ok()
        first = engine.outputs()["name"]
        live = kubectl.live("configmap", first)
        assert first.startswith("auto-")
        assert len(first) > len("auto-")
        assert live["metadata"]["annotations"]["pulumi.com/autonamed"] == "true"

        engine.edit('"round": "one"', '"round": "two"')
        assert engine.up().ok().op("auto") == "update"
        assert engine.outputs()["name"] == first, "an update keeps the name"

        engine.edit('"key": "one"', '"key": "two"')
        replaced = engine.up().ok()
        assert engine.outputs()["name"] != first, "a replacement has a name of its own"
        # The new one stands before the old one goes: whoever uses it is not left without.
        ops = replaced.ops("auto")
        assert ops.index("create-replacement") < ops.index("delete-replaced")
        assert kubectl.get("configmap", first) is None


def test_secrets_stay_secret(stack: Stack, kubectl: Kubectl) -> None:
    program = """
plain = k8s.core.v1.Secret("plain", metadata=named("plain"), string_data={"key": "c0nfidential-string"}, opts=on)
data = k8s.core.v1.Secret("data", metadata=named("data"), data={"key": "YzBuZmlkZW50aWFs"}, opts=on)
config = k8s.core.v1.ConfigMap("config", metadata=named("config"), opts=on,
    data={"open": "to read", "hidden": pulumi.Output.secret("c0nfidential-config")})
pulumi.export("plain", plain.data)
pulumi.export("config", config.data)
"""
    with stack(program) as engine:
        preview, up = engine.preview().ok(), engine.up().ok()
        assert "c0nfidential" not in preview.printed + up.printed
        state = engine.resources()
        assert "c0nfidential" not in json.dumps(state)
        assert base64.b64encode(b"c0nfidential-string").decode() not in json.dumps(state)
        assert "YzBuZmlkZW50aWFs" not in json.dumps(state)
        for name in ("plain", "data"):
            outputs = state[name]["outputs"]
            assert is_secret(outputs["data"])
            assert is_secret(outputs["__inputs"]["data"])
        # Only what is secret is hidden: the rest of the object stays readable.
        config = state["config"]["outputs"]["data"]
        assert config["open"] == "to read"
        assert is_secret(config["hidden"])
        assert state["config"]["outputs"]["metadata"]["name"] == "config"
        # What the server makes of stringData is an output.
        assert engine.outputs()["plain"] == {"key": base64.b64encode(b"c0nfidential-string").decode()}
        refreshed = engine.refresh().ok()
        assert "c0nfidential" not in refreshed.printed
        assert is_secret(engine.resources()["plain"]["outputs"]["data"])
        assert engine.preview("--expect-no-changes").exit_code == 0


def test_objects_of_others_are_imported_read_and_taken_over_and_left_behind_as_told(
    stack: Stack, kubectl: Kubectl
) -> None:
    program = """
keep = pulumi.ResourceOptions(import_=f"{NAMESPACE}/found", retain_on_delete=True)
k8s.core.v1.ConfigMap("found", metadata=named("found"), data={"key": "value"},
    opts=pulumi.ResourceOptions.merge(on, keep))
read = k8s.core.v1.ConfigMap.get("read", f"{NAMESPACE}/read", opts=on)
pulumi.export("key", read.data.apply(lambda data: data["key"]))
k8s.core.v1.ConfigMap("upserted", metadata=named("upserted"), data={"ours": "1"},
    opts=provider_with("upserting", upsert_existing_objects=True))
k8s.core.v1.ConfigMap("placed", metadata={"name": "placed"}, data={"key": "value"},
    opts=provider_with("placing", namespace=NAMESPACE))
orphan = {"pulumi.com/deletionPropagationPolicy": "orphan"}
k8s.apps.v1.Deployment("parent", metadata=named("parent", annotations=orphan), opts=on,
    spec=workload("parent", replicas=0))
"""
    kubectl("create", "configmap", "found", "--from-literal=key=value")
    kubectl("create", "configmap", "read", "--from-literal=key=value")
    kubectl.apply(_config_map("upserted", {"theirs": "1"}, kubectl), "somebody")
    with stack(program) as engine:
        assert engine.up().ok().op("found") == "import"
        state = engine.resources()
        assert state["found"]["id"] == f"{kubectl.namespace}/found"
        assert state["found"]["outputs"]["metadata"]["uid"] == kubectl.live("configmap", "found")["metadata"]["uid"]
        assert engine.outputs()["key"] == "value"
        assert kubectl.live("configmap", "upserted")["data"] == {"theirs": "1", "ours": "1"}
        assert state["placed"]["id"] == f"{kubectl.namespace}/placed", "the default namespace is the provider's"
        assert engine.preview("--expect-no-changes").exit_code == 0
        engine.destroy().ok()
    assert kubectl.get("configmap", "found") is not None, "retain_on_delete holds"
    assert kubectl.get("configmap", "read") is not None, "what is only read is not ours to delete"
    assert kubectl.get("configmap", "upserted") is None, "what was taken over is"
    assert kubectl.get("configmap", "placed") is None
    assert kubectl.get("deployment", "parent") is None
    left = json.loads(kubectl("get", "replicasets", "--selector", "app=parent", "--output", "json"))["items"]
    assert len(left) == 1, "what the Deployment made is left, as its annotation says"


def test_a_field_of_another_manager_is_a_conflict(stack: Stack, kubectl: Kubectl) -> None:
    program = """
k8s.apps.v1.Deployment("shared", metadata=named("shared", annotations={}), opts=on, spec={
    "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": busybox("true")}})
"""
    with stack(program) as engine:
        engine.up().ok()
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shared"}}
        kubectl.apply({**deployment, "spec": {"minReadySeconds": 1}}, "somebody-else")

        engine.edit('"replicas": 0,', '"replicas": 0, "minReadySeconds": 2,')
        failed = engine.up()
        assert failed.exit_code != 0
        assert "somebody-else" in failed.errors()
        assert "minReadySeconds" in failed.errors()
        assert kubectl.live("deployment", "shared")["spec"]["minReadySeconds"] == 1

        engine.edit("annotations={}", 'annotations={"pulumi.com/patchForce": "true"}')
        engine.up().ok()
        assert kubectl.live("deployment", "shared")["spec"]["minReadySeconds"] == 2


def test_a_refresh_shows_drift_and_what_is_gone(stack: Stack, kubectl: Kubectl) -> None:
    program = """
k8s.core.v1.Service("drifted", metadata=named("drifted"), opts=on,
    spec={"clusterIP": "None", "ports": [{"name": "a", "port": 80}]})
k8s.core.v1.ConfigMap("gone", metadata=named("gone"), data={"key": "value"}, opts=on)
k8s.core.v1.ConfigMap("kept", metadata=named("kept"), data={"key": "value"}, opts=on)
"""
    with stack(program) as engine:
        engine.up().ok()
        change = [{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]
        kubectl("patch", "service", "drifted", "--type=json", "--patch", json.dumps(change))
        kubectl("delete", "configmap", "gone")
        assert engine.preview("--expect-no-changes").exit_code == 0, "without a refresh, nobody looks"
        engine.refresh().ok()
        state = engine.resources()
        assert "gone" not in state
        assert state["drifted"]["outputs"]["spec"]["ports"][0]["port"] == 81
        healed = engine.up().ok()
        assert (healed.op("gone"), healed.op("drifted"), healed.op("kept")) == ("create", "update", "same")
        assert kubectl.live("service", "drifted")["spec"]["ports"][0]["port"] == 80
        assert kubectl.get("configmap", "gone") is not None


def test_ignored_changes_stay_with_who_made_them(stack: Stack, kubectl: Kubectl) -> None:
    program = """
k8s.apps.v1.Deployment("scaled", metadata=named("scaled", labels={"round": "one"}), spec={
    "replicas": 0, "paused": False, "selector": {"matchLabels": {"a": "c"}},
    "template": {"metadata": {"labels": {"a": "c"}}, "spec": busybox("true")}},
    opts=pulumi.ResourceOptions.merge(on, pulumi.ResourceOptions(ignore_changes=["spec.minReadySeconds"])))
"""
    with stack(program) as engine:
        engine.up().ok()
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "scaled"}}
        kubectl.apply({**deployment, "spec": {"minReadySeconds": 7}}, "somebody-else")
        engine.edit('"round": "one"', '"round": "two"')
        assert engine.up("--refresh").ok().op("scaled") == "update"
        live = kubectl.live("deployment", "scaled")
        assert live["spec"]["minReadySeconds"] == 7
        assert live["metadata"]["labels"]["round"] == "two"


def test_a_deletion_that_does_not_end_is_an_error_and_can_go_on_later(stack: Stack, kubectl: Kubectl) -> None:
    program = """
held = named("held", finalizers=["conformance.invalid/hold"])
k8s.core.v1.ConfigMap("held", metadata=held, data={"key": "value"}, opts=pulumi.ResourceOptions.merge(
    on, pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(delete="3s"))))
"""
    with stack(program) as engine:
        engine.up().ok()
        assert engine.destroy().exit_code != 0
        assert "held" in engine.resources()
        kubectl("patch", "configmap", "held", "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
        engine.destroy().ok()
        assert engine.resources() == {}


def test_a_preview_asks_the_api_server(stack: Stack, kubectl: Kubectl) -> None:
    program = """
k8s.core.v1.Service("checked", metadata=named("checked"), opts=on,
    spec={"clusterIP": "None", "ports": [{"name": "a-name", "port": 80}]})
"""
    with stack(program) as engine:
        engine.edit("a-name", "not_a_name")
        failed = engine.preview()
        assert failed.exit_code != 0
        assert "spec.ports[0].name" in failed.errors()
        assert kubectl.get("service", "checked") is None

        engine.edit("not_a_name", "a-name")
        engine.up().ok()
        engine.edit("a-name", "not_a_name")
        failed = engine.preview()
        assert failed.exit_code != 0
        assert "spec.ports[0].name" in failed.errors()


def test_a_preview_tolerates_a_namespace_that_comes_with_the_same_up(stack: Stack) -> None:
    program = """
ns = k8s.core.v1.Namespace("ns", metadata={"name": NAMESPACE + "-later"}, opts=on)
inside = {"name": "inside", "namespace": ns.metadata.name}
k8s.core.v1.ConfigMap("inside", metadata=inside, data={"k": "v"}, opts=on)
"""
    with stack(program) as engine:
        assert engine.preview().ok().op("inside") == "create"


def test_a_preview_goes_on_where_a_value_is_not_known_yet(stack: Stack, kubectl: Kubectl) -> None:
    program = """
source = k8s.apps.v1.Deployment("source", metadata=named("source"), spec=workload("source", replicas=0), opts=on)
seen = source.status.apply(lambda status: f"generation {status.observed_generation}")
k8s.core.v1.ConfigMap("unknown", metadata=named("unknown"), data={"seen": seen}, opts=on)
k8s.core.v1.Secret("hidden", metadata=named("hidden"), string_data={"seen": seen, "known": "c0nfidential"}, opts=on)
"""
    with stack(program) as engine:
        preview = engine.preview().ok()
        assert preview.op("unknown") == preview.op("hidden") == "create"
        assert "c0nfidential" not in preview.printed
        engine.up().ok()
        assert kubectl.live("configmap", "unknown")["data"] == {"seen": "generation 1"}
        assert engine.preview("--expect-no-changes").exit_code == 0
        # The source is replaced, so nobody knows what the others will say.
        engine.edit('workload("source"', 'workload("other"')
        preview = engine.preview().ok()
        assert preview.op("source") == preview.op("unknown") == preview.op("hidden") == "replace"
        engine.up().ok()
        assert kubectl.live("secret", "hidden")["data"]["seen"] == base64.b64encode(b"generation 1").decode()


def _config_map(name: str, data: dict[str, str], kubectl: Kubectl) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": kubectl.namespace},
        "data": data,
    }
