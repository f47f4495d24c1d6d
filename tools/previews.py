"""Previews every committed stack by the real engine against one cluster: `python -m tools.previews`.

The cluster of the current kubeconfig stands in for each stack's own: a context of every name leads to it, and it gets
what a stack expects to find, for as long as that takes. Each stack is previewed as new, in a namespace of
its own name, and held to the policy pack. What a real cloud would answer, this cannot say, nor whether the controller's
chart takes its values: the provider reads the chart in a preview, and gets an empty one here.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi
import yaml

from components.ingress_controller import CHART_VERSION
from stack import settings
from tools.engine import Engine, Result
from tools.recorder import ROOT, defaults, stack_config, stacks

_CRD = Path(__file__).with_name("clusterissuers.yaml")


class PreviewError(Exception):
    """Why there are no previews."""


class StackPreview(Engine):
    """A copy of the checkout with one committed stack; namespace and host are of the preview's own."""

    def __init__(self, stack: str, kubeconfig: Path) -> None:
        super().__init__(ROOT, stack=stack, env={"KUBECONFIG": str(kubeconfig)})
        self._name = stack

    def _write_project(self) -> None:
        super()._write_project()
        file = self.folder / f"Pulumi.{self._name}.yaml"
        # A stack that runs may have the namespace of the lesson, and an Ingress for every host name. The passphrase is
        # the test's own.
        namespace = _namespace(self._name)
        config = {"pacman:ingressHost": f"{namespace}.example", **yaml.safe_load(file.read_text())["config"]}
        config["pacman:namespace"] = namespace
        if "pacman:ingressChart" in config:
            config["pacman:ingressChart"] = str(_empty_chart(self.folder))
        file.write_text(yaml.safe_dump({"config": config}))

    def held_to_policy(self) -> Result:
        """A preview with differences, and the policy pack."""
        return self.preview("--diff", "--policy-pack", "policy")


@contextmanager
def cluster_for_every_stack() -> Iterator[Path]:
    """The current cluster made to look like each stack's; gives a kubeconfig in which it has every context's name."""
    with tempfile.TemporaryDirectory() as folder:
        config = json.loads(_kubectl("config", "view", "--raw", "--minify", "--flatten", "--output", "json"))
        (here,) = config["contexts"]
        config["contexts"] = [
            {"name": stack_config(stack)["pacman:context"], "context": here["context"]} for stack in stacks()
        ]
        kubeconfig = Path(folder, "kubeconfig")
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(json.dumps(config))
        wanted: list[dict[str, Any]] = []
        # That of a cert-manager which is there stays as it is: with it, all ClusterIssuers would go.
        crd = "clusterissuers.cert-manager.io"
        is_missing = not _kubectl("get", "crd", crd, "--ignore-not-found", "--output", "name")
        try:
            if is_missing:
                _kubectl("create", "--filename", str(_CRD))
            _kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{crd}")
            wanted = _missing()
            if wanted:
                _kubectl("create", "--filename", "-", stdin=_listed(wanted))
            yield kubeconfig
        finally:
            if wanted:
                _kubectl("delete", "--ignore-not-found", "--timeout=60s", "--filename", "-", stdin=_listed(wanted))
            if is_missing:
                _kubectl("delete", "--ignore-not-found", "--timeout=60s", "--filename", str(_CRD))


def _namespace(stack: str) -> str:
    return f"preview-{stack}"


def _empty_chart(folder: Path) -> Path:
    """A chart of the controller's name and version, in which nothing is."""
    chart = folder / "nginx-ingress"
    chart.mkdir()
    about = {"apiVersion": "v2", "name": "nginx-ingress", "version": CHART_VERSION}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    return chart


def _missing() -> list[dict[str, Any]]:
    """What the stacks name and the cluster does not have: classes of volumes and of Ingresses, issuers, namespaces."""
    wanted: list[dict[str, Any]] = []

    def want(version: str, kind: str, name: str, **fields: Any) -> None:  # noqa: ANN401 - any JSON
        made = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}
        if name and made not in wanted and not _kubectl("get", kind, name, "--ignore-not-found", "--output", "name"):
            wanted.append(made)

    for stack in stacks():
        try:
            config = settings.load(defaults() | stack_config(stack))
        except pulumi.RunError as problem:
            raise PreviewError(f"Pulumi.{stack}.yaml: {problem}") from None
        own = {config.default_storage_class} if config.new_storage_class else set()
        for name in sorted({config.mongo_storage_class, config.default_storage_class} - own):
            want("storage.k8s.io/v1", "StorageClass", name, provisioner="preview.invalid/none")
        if config.ingress_controller == "existing":
            spec = {"controller": "preview.invalid/none"}
            want("networking.k8s.io/v1", "IngressClass", config.ingress_class, spec=spec)
        want("cert-manager.io/v1", "ClusterIssuer", config.ingress_tls_issuer)
        if not config.create_namespace:
            want("v1", "Namespace", _namespace(stack))
    return wanted


def _listed(objects: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def _kubectl(*arguments: str, stdin: str = "") -> str:
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PreviewError(f"kubectl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    """Prints the preview of every stack, and at the end what each came to; 1 if one of them fails."""
    ends = {}
    with cluster_for_every_stack() as kubeconfig:
        for stack in stacks():
            print(f"\n=== {stack}\n", flush=True)
            with StackPreview(stack, kubeconfig) as preview:
                result = preview.held_to_policy()
            print(result.printed, flush=True)
            counts = ", ".join(f"{count} to {op}" for op, count in result.changes.items())
            ends[stack] = "failed" if result.exit_code else f"ok, {counts}"
    print("=== Every stack, as new, on this cluster\n")
    for stack, end in ends.items():
        print(f"{stack:10} {end}")
    return int("failed" in ends.values())


if __name__ == "__main__":
    os.chdir(ROOT)
    try:
        sys.exit(main())
    except PreviewError as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
