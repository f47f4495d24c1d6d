"""The Pulumi engine of the sandbox: its plugins, its backend and stack in .sandbox, and what a killed run left."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox import node, parts
from sandbox.places import CACHE, CHECKOUT, CONTEXT, STATE, Environment, SandboxError
from sandbox.plugins.install import install
from sandbox.progress import Progress

_STACKS: Final = STATE / "stacks"
_PASSPHRASE_FILE: Final = STATE / "passphrase"
# Known to everybody, like the salt in the committed stack file that belongs to it: a passphrase of this checkout's own
# would have the engine change that file. What guards the secrets of this stack, as it guards the cluster that holds
# them in plain, is that only root may read .sandbox.
_PASSPHRASE: Final = "sandbox"  # noqa: S105 - see above


def environment() -> Environment:
    """The environment that `pulumi` and `kubectl` need."""
    return Environment(node.path())


def prepare(progress: Progress) -> None:
    """Makes plugins, backend and stack, where they are missing, and mends what a killed command left.

    Raises:
        SandboxError: The engine refuses.
    """
    folder = parts.PULUMI.folder
    try:
        install(pulumi=folder / "pulumi", home=CACHE / "pulumi-home", python=Path(sys.executable), language_dir=folder)
    except RuntimeError as problem:
        raise SandboxError(str(problem)) from None
    _STACKS.mkdir(mode=0o700, parents=True, exist_ok=True)
    _PASSPHRASE_FILE.write_text(_PASSPHRASE)
    if not _state_file().exists():
        with progress.step("making the stack"):
            _pulumi("stack", "init", CONTEXT)
    _drop_dead_locks(progress)
    _settle_pending(progress)


def _project() -> str:
    return str(yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["name"])


def _state_file() -> Path:
    return _STACKS / ".pulumi/stacks" / _project() / f"{CONTEXT}.json"


def _drop_dead_locks(progress: Progress) -> None:
    """Removes the locks of commands that were killed; one whose process lives is left, for the engine to tell of."""
    for lock in (_STACKS / ".pulumi/locks").glob(f"**/{CONTEXT}/*.json"):
        try:
            owner = int(json.loads(lock.read_text())["pid"])
            alive = "pulumi" in Path(f"/proc/{owner}/comm").read_text()
        except (OSError, ValueError, KeyError):
            alive = False
        if not alive:
            lock.unlink(missing_ok=True)
            progress.say("  removed the lock of a `pulumi` that was killed")


def _settle_pending(progress: Progress) -> None:
    """Takes in what a killed command was creating: an object that exists becomes the stack's, else it is made again."""
    state = json.loads(_state_file().read_text())
    deployment = state.get("checkpoint", state).get("latest") or state.get("deployment") or {}
    creating = [each["resource"] for each in deployment.get("pending_operations") or [] if each["type"] == "creating"]
    if not creating:
        return
    with progress.step(f"taking in {len(creating)} resources that a killed `pulumi up` was creating"):
        known = [(each["urn"], ident) for each in creating if (ident := _existing(each))]
        options = [option for pair in known for value in pair for option in ("--import-pending-creates", value)]
        if known:
            _pulumi("refresh", "--yes", "--skip-preview", "--stack", CONTEXT, *options)
        if len(known) < len(creating):
            _pulumi("refresh", "--yes", "--skip-preview", "--stack", CONTEXT, "--clear-pending-creates")


def _existing(resource: dict[str, Any]) -> str:
    """The id of a Kubernetes object that exists, empty where it does not, or is none."""
    inputs = resource.get("inputs") or {}
    metadata = inputs.get("metadata") or {}
    if not resource["type"].startswith("kubernetes:") or "name" not in metadata:
        return ""
    group, _, version = str(inputs["apiVersion"]).rpartition("/")
    kind = f"{inputs['kind']}.{version}.{group}" if group else str(inputs["kind"])
    namespace = ["--namespace", metadata["namespace"]] if metadata.get("namespace") else []
    command = [str(parts.KUBERNETES.folder / "kubectl"), "get", kind, metadata["name"], *namespace]
    done = subprocess.run(command, env=environment().complete(), capture_output=True, check=False)
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"]))) if done.returncode == 0 else ""


def _pulumi(*arguments: str) -> None:
    command = [str(parts.PULUMI.folder / "pulumi"), *arguments, "--non-interactive"]
    env = environment().complete()
    env.pop("PULUMI_STACK", None)
    done = subprocess.run(
        command, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if "error" in line.lower()] or [
            done.stderr.strip()
        ]
        raise SandboxError(f"pulumi {arguments[0]}: {said[0].strip()[:300]}")
