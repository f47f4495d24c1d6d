"""kubectl in one namespace: what the cluster has, and what somebody else does to it while Pulumi manages it."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trustme

from components.cluster import DEFAULT_CLASS


class Kubectl:
    """Runs kubectl commands with a context and a namespace."""

    def __init__(self, context: str, namespace: str) -> None:
        self.context = context
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        command = ["kubectl", "--context", self.context, "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The live object, None where there is none."""
        text = self("get", kind, name, "--ignore-not-found", "--output", "json", "--show-managed-fields")
        found: dict[str, Any] | None = json.loads(text) if text else None
        return found

    def live(self, kind: str, name: str) -> dict[str, Any]:
        """The live object, which must be there."""
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def edit(self, kind: str, name: str, old: str, new: str) -> None:
        """`kubectl edit` by a person who replaces a text: `old` is a pattern of sed."""
        command = ["kubectl", "--context", self.context, "--namespace", self.namespace, "edit", kind, name]
        editor = {"KUBE_EDITOR": f"sed -i 's/{old}/{new}/'"}
        subprocess.run(command, env=os.environ | editor, capture_output=True, check=True, timeout=120)

    def apply(self, obj: Mapping[str, Any], manager: str) -> None:
        """Applies an object, whole or in part, on the server's side as another field manager."""
        options = ("--server-side", "--validate=false", f"--field-manager={manager}", "--filename", "-")
        self("apply", *options, stdin=json.dumps(obj))


def is_another(pod: Mapping[str, Any] | None, uid: str) -> bool:
    """Whether a pod has taken the place of the one with that uid, and serves."""
    conditions = (pod or {}).get("status", {}).get("conditions") or []
    ready = any({"type": "Ready", "status": "True"}.items() <= each.items() for each in conditions)
    return ready and pod is not None and pod["metadata"]["uid"] != uid


def left_in_cluster(kubectl: Kubectl, name: str) -> list[str]:
    """Every object of any kind in any place that mentions a name: `kind/name`. Events are history, and stay a while."""
    listable = kubectl("api-resources", "--verbs=list", "--output=name").split()
    kinds = [kind for kind in listable if kind.split(".")[0] not in ("events", "componentstatuses")]
    found = json.loads(kubectl("get", ",".join(kinds), "--all-namespaces", "--output", "json"))["items"]
    return [f"{each['kind']}/{each['metadata']['name']}" for each in found if name in json.dumps(each)]


def apply_certificate(kubectl: Kubectl, name: str, issued: trustme.LeafCert) -> None:
    """A certificate with its chain and key as a Secret of type kubernetes.io/tls."""
    pair = {
        "tls.crt": b"".join(each.bytes() for each in issued.cert_chain_pems),
        "tls.key": issued.private_key_pem.bytes(),
    }
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in pair.items()},
    }
    kubectl("apply", "--filename", "-", stdin=json.dumps(secret))


@contextmanager
def storage_class(kubectl: Kubectl, name: str, mark: str = "", manager: str = "") -> Iterator[str]:
    """A StorageClass that nothing uses; deleted at the end.

    Args:
        kubectl: Where to make it.
        name: Its name.
        mark: Its default mark; "" for none.
        manager: Who applies it on the server's side; "" for a plain `kubectl create`.
    """
    body: dict[str, Any] = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {DEFAULT_CLASS: mark} if mark else {}},
        "provisioner": "engine-test.invalid/none",
    }
    if manager:
        kubectl.apply(body, manager)
    else:
        kubectl("create", "--filename", "-", stdin=json.dumps(body))
    try:
        yield name
    finally:
        kubectl("delete", "storageclass", name, "--ignore-not-found")
