"""Every committed stack against a real API server and the real engine, with the policy pack.

The sandbox's API server takes the part of each stack's cluster. What a cloud's own controllers would make of the
objects, this cannot prove.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness.kubectl import Kubectl
from tools.previews import StackPreview, cluster_for_every_stack
from tools.recorder import record_program, stack_config, stacks
from tools.render import render

NAMESPACE = "dry-run"


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    """One cluster that has what each stack expects, under each stack's context."""
    with cluster_for_every_stack() as path:
        yield path


@pytest.fixture(scope="module")
def restricted() -> Iterator[Kubectl]:
    """A namespace that enforces Pod Security `restricted`, and warns of what would break it."""
    kubectl = Kubectl("sandbox", NAMESPACE)
    kubectl("create", "namespace", NAMESPACE)
    try:
        rules = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
        kubectl("label", "namespace", NAMESPACE, *rules)
        yield kubectl
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--timeout=60s")


def manifests(stack: str) -> list[dict[str, Any]]:
    """What a stack declares, in the namespace of this test; without what is Helm's, and patches of others' objects."""
    run = record_program(stack_config(stack) | {"pacman:namespace": NAMESPACE})
    documents = [each for each in yaml.safe_load_all(render(run)) if each["kind"] != "Release"]
    return [each for each in documents if each["kind"] != "StorageClass" or "provisioner" in each]


@pytest.mark.parametrize("stack", stacks())
def test_the_api_server_takes_every_object(restricted: Kubectl, stack: str) -> None:
    """Also a pod of each workload's template, which is what Pod Security judges."""
    objects = manifests(stack)
    for each in [o for o in objects if o["kind"] in ("Deployment", "StatefulSet", "Job")]:
        template = each["spec"]["template"]
        # A claim's volume is the StatefulSet's to add, and an account is not there in a dry run.
        spec = template["spec"] | {"serviceAccountName": "default"}
        claims = [claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])]
        spec["volumes"] = spec.get("volumes", []) + [{"name": name, "emptyDir": {}} for name in claims]
        metadata = template["metadata"] | {"name": f"{each['metadata']['name']}-pod"}
        objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    options = ["--server-side", "--force-conflicts", "--dry-run=server", "--filename", "-"]
    command = ["kubectl", "--context", "sandbox", "--namespace", NAMESPACE, "apply", *options]
    done = subprocess.run(command, input=listing, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a warning: restricted would refuse it"
    assert len(done.stdout.splitlines()) == len(objects)


def test_a_pod_that_is_not_confined_is_told_in_that_namespace(restricted: Kubectl) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}}
    pod["spec"] = {"containers": [{"name": "root", "image": "sandbox/busybox:1.35"}]}
    with pytest.raises(AssertionError, match='violates PodSecurity "restricted'):
        restricted("apply", "--dry-run=server", "--filename", "-", stdin=json.dumps(pod))


@pytest.mark.parametrize("stack", stacks())
def test_a_preview_of_it_ends_well_and_violates_no_policy(kubeconfig: Path, stack: str) -> None:
    with StackPreview(stack, kubeconfig) as preview:
        result = preview.held_to_policy().ok()
    assert "violation" not in result.printed
    assert re.search(r"pacman\|local\|policy", result.printed), "the pack did not run"
    assert result.changes["create"] > 25


def test_a_preview_leaves_no_key_in_a_temporary_file(kubeconfig: Path, tmp_path: Path) -> None:
    with StackPreview("dev", kubeconfig) as preview:
        preview.env["TMPDIR"] = str(tmp_path)
        preview.held_to_policy().ok()
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


# File, what is there, what stands there then; the resource, the field and the remedy, as the engine prints them.
FAULTS = [
    (
        "pods",
        '"memory": self.memory[-1], ',
        "",
        "StatefulSet mongo",
        "limits.memory",
        "must be set",
    ),
    ("mongo/stateful_set", 'when_scaled="Retain"', 'when_scaled="Delete"', "StatefulSet mongo", "whenScaled", "Retain"),
    (
        "mongo/claims",
        "storage_class_name=storage_class,",
        "",
        "StatefulSet mongo",
        "spec.volumeClaimTemplates[data].spec.storageClassName",
        "must name a class",
    ),
    (
        "mongo/network",
        "pod_selector=members",
        "pod_selector=LabelSelectorArgs(match_labels=names.init.selector)",
        "StatefulSet mongo",
        "spec.template.metadata.labels",
        "need a NetworkPolicy",
    ),
    (
        "mongo/pod",
        "image=image,",
        'image="mongo:latest",',
        "StatefulSet mongo",
        ".image",
        "`latest` moves",
    ),
    (
        "mongo/init_job",
        'data={"init.js": self._script}',
        'data={"init.js": self._script, "password": "x"}',
        "ConfigMap mongo-init",
        "data[password]",
        "must be in a Secret",
    ),
    ("pacman_deployment", 'type="ClusterIP"', 'type="LoadBalancer"', "Service pacman", "spec.type", "the Ingress"),
    (
        "pacman_deployment",
        '"DB_TYPE": "mongo",',
        '"DB_TYPE": "mongo", "MONGO_AUTH_PASSWORD": "x",',
        "Deployment pacman",
        "env[MONGO_AUTH_PASSWORD].value",
        "must come from a Secret",
    ),
    (
        "pacman_deployment",
        "labels={**identity.labels, **args.pod_labels}",
        "labels=args.pod_labels",
        "Deployment pacman",
        "spec.template.metadata.labels[app.kubernetes.io/name]",
        "which the selector wants",
    ),
    (
        "pacman_deployment",
        "liveness_probe=",
        "liveness_probe=None and ",
        "Deployment pacman",
        "containers[pacman].livenessProbe",
        "must be set",
    ),
    ("pods", "run_as_user=uid", "run_as_user=0", "Deployment pacman", "securityContext.runAsUser", "must not be 0"),
    ("pods", 'drop=["ALL"]', "drop=[]", "Deployment pacman", "capabilities.drop", "must hold ALL"),
    (
        "pods",
        "read_only_root_filesystem=True",
        "read_only_root_filesystem=False",
        "Deployment pacman",
        "securityContext.readOnlyRootFilesystem",
        "must be true",
    ),
    (
        "pods",
        '"pod-security.kubernetes.io/enforce": "restricted"',
        '"pod-security.kubernetes.io/enforce": "baseline"',
        "Namespace preview-dev",
        "metadata.labels[pod-security.kubernetes.io/enforce]",
        "must be restricted",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "resource", "field", "remedy"), FAULTS, ids=[f[4] for f in FAULTS])
def test_a_fault_in_a_component_ends_the_preview_with_resource_field_and_remedy(
    kubeconfig: Path, file: str, old: str, new: str, resource: str, field: str, remedy: str
) -> None:
    with StackPreview("dev", kubeconfig) as preview:
        component = preview.folder / f"components/{file}.py"
        text = component.read_text()
        assert old in text
        component.write_text(text.replace(old, new))
        result = preview.held_to_policy()
    assert result.exit_code != 0
    told = [line for line in result.printed.splitlines() if line.strip().startswith(f"{resource}: ")]
    assert [line for line in told if field in line and remedy in line], result.printed[-3000:]
