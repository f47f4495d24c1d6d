"""The cluster, the provider and a namespace of its own for these tests."""

import io
import json
import os
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from sandbox.plugins.serving import sdk_version
from tests.harness.engine import Engine

# The engine's mark of a secret in a state.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
_PRELUDE = """
import json
import pulumi
import pulumi_kubernetes as k8s

NAMESPACE = {namespace!r}
provider_with = lambda name, **settings: pulumi.ResourceOptions(
    provider=k8s.Provider(name, kubeconfig="", context={context!r}, **settings))
on = provider_with("k8s")
named = lambda name, **more: {{"name": name, "namespace": NAMESPACE, **more}}
busybox = lambda *command, image="sandbox/busybox:1.35": {{
    "terminationGracePeriodSeconds": 1,
    "containers": [{{"name": "main", "image": image, "imagePullPolicy": "Never", "command": list(command)}}],
}}
sleep = busybox("sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait")
labels = lambda name: {{"app": name}}
workload = lambda name, spec=sleep, replicas=1: {{
    "replicas": replicas,
    "selector": {{"matchLabels": labels(name)}},
    "template": {{"metadata": {{"labels": labels(name)}}, "spec": spec}},
}}
"""


def is_secret(value: object) -> bool:
    """Whether a value of a state is secret, and so encrypted."""
    return isinstance(value, dict) and value.get(_SIGNATURE) == _SECRET


class Kubectl:
    """What somebody else does to the cluster while Pulumi manages it, and what the cluster says."""

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

    def get_all(self, objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The live objects of those that exist, found by version, kind and name."""
        listing = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        options = ["--filename", "-", "--ignore-not-found", "--output", "json", "--show-managed-fields"]
        text = self("get", *options, stdin=listing)
        found: dict[str, Any] = json.loads(text) if text else {"items": []}
        return list(found.get("items", [found]))  # a single object comes without a list around it

    def live(self, kind: str, name: str) -> dict[str, Any]:
        """The live object, which must be there."""
        found = self.get(kind, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def apply(self, obj: Mapping[str, Any], manager: str, *, force: bool = False) -> None:
        """Applies an object or a List of them, whole or in part, on the server's side as some other manager."""
        options = [
            "--server-side",
            "--validate=false",
            f"--field-manager={manager}",
            *(["--force-conflicts"] if force else []),
        ]
        self("apply", *options, "--filename", "-", stdin=json.dumps(obj))


class Stack(Protocol):
    """Makes an engine with a program of a few lines; the prelude gives them `k8s`, `on`, `named`, `workload`, …"""

    def __call__(self, program: str, *, env: Mapping[str, str] | None = None) -> AbstractContextManager[Engine]: ...


@pytest.fixture(scope="session")
def context() -> str:
    """The context that the environment's kubeconfig means."""
    done = subprocess.run(["kubectl", "config", "current-context"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def kubectl(context: str) -> Iterator[Kubectl]:
    """kubectl in a namespace that goes with everything in it, also when tests fail."""
    made = Kubectl(context, f"conformance-{secrets.token_hex(4)}")
    made("create", "namespace", made.namespace)
    try:
        yield made
    finally:
        made("delete", "namespace", made.namespace, "--wait=true", "--timeout=90s")


@pytest.fixture(scope="session")
def node(kubectl: Kubectl) -> None:
    """Makes sure that pods can run here."""
    nodes = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    ready = [
        each
        for each in nodes
        if any(c["type"] == "Ready" and c["status"] == "True" for c in each["status"]["conditions"])
    ]
    assert ready, "these tests need a node: run them in the environment of `make env`"


@pytest.fixture(scope="session")
def plugin_home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The PULUMI_HOME with the provider under test: CONFORMANCE_PROVIDER, or the one of the environment."""
    binary, home = os.environ.get("CONFORMANCE_PROVIDER"), os.environ["PULUMI_HOME"]
    if not binary:
        return home
    folder = tmp_path_factory.mktemp("home")
    # The engine wants a plugin for every SDK package of the virtual environment, whatever the program imports.
    shutil.copytree(Path(home, "plugins"), folder / "plugins", ignore=shutil.ignore_patterns("resource-kubernetes-*"))
    archive = folder / "provider.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        entry = tarfile.TarInfo("pulumi-resource-kubernetes")
        content = Path(binary).read_bytes()
        entry.size, entry.mode = len(content), 0o755
        packed.addfile(entry, io.BytesIO(content))
    install = ["pulumi", "plugin", "install", "resource", "kubernetes", sdk_version("pulumi_kubernetes")]
    env = os.environ | {"PULUMI_HOME": str(folder), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    subprocess.run([*install, "--file", str(archive)], env=env, check=True, capture_output=True)
    return str(folder)


@pytest.fixture(scope="session")
def stack(plugin_home: str, context: str, kubectl: Kubectl) -> Stack:
    """Makes stacks in the test namespace, with the provider under test."""
    prelude = _PRELUDE.format(context=context, namespace=kubectl.namespace)

    def make(program: str, *, env: Mapping[str, str] | None = None) -> AbstractContextManager[Engine]:
        return Engine(prelude + program, env={"PULUMI_HOME": plugin_home, **(env or {})})

    return make
