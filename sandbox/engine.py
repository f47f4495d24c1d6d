"""The Pulumi engine of the sandbox: its plugins, its backend and stack in .sandbox, and what a killed run left."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox import build, cluster, network, parts
from sandbox.build import Content
from sandbox.places import CACHE, CHECKOUT, CONTEXT, STATE, SandboxError
from sandbox.plugins.install import install, is_stand_in, provider_file
from sandbox.progress import Progress

_PROVIDER: Final = "pulumi-resource-kubernetes"
_STACKS: Final = STATE / "stacks"
# Known to everybody, like the salt in the committed stack file that belongs to it: a passphrase of this checkout's own
# would have the engine change that file. What guards the secrets of this stack, as it guards the cluster that holds
# them in plain, is that only root may read .sandbox.
_PASSPHRASE: Final = "sandbox"  # noqa: S105 - see above


def provider() -> Path | None:
    """The Kubernetes provider to use instead of the one that was built: `make test PROVIDER=`."""
    asked = os.environ.get("SANDBOX_PROVIDER")
    return Path(asked) if asked else None


def home() -> Path:
    """The engine's home; one of this checkout's own where it has a provider of its own."""
    return (STATE if provider() else CACHE) / "pulumi-home"


def variables() -> dict[str, str]:
    """What to set for a shell in which `pulumi` and `kubectl` work on the sandbox, and on nothing of the person's."""
    programs = (str(part.folder) for part in (parts.PULUMI, parts.NODE_PROGRAMS))
    return network.without_proxy() | {
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", "")]),
        "KUBECONFIG": str(STATE / "kubeconfig"),
        "KUBECACHEDIR": str(STATE / "kubectl-cache"),
        "PULUMI_HOME": str(home()),
        # Without metadata files. A `pulumi` that is killed while it writes one leaves a state that cannot be read.
        "PULUMI_BACKEND_URL": f"file://{_STACKS}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(STATE / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "SANDBOX_PYTHON": sys.executable,
        "SANDBOX_ROOT": str(CHECKOUT),
    }


def foreign() -> list[str]:
    """What to unset: the person's own settings for stacks of their own."""
    names = [f"PULUMI_{name}" for name in ("ACCESS_TOKEN", "CONFIG", "CONFIG_PASSPHRASE", "ORGANIZATION", "STACK")]
    return sorted(name for name in os.environ if name in names or name.startswith("PULUMI_K8S_"))


def environment() -> dict[str, str]:
    """This process's environment with all of that done."""
    return {name: value for name, value in os.environ.items() if name not in foreign()} | variables()


def prepare(progress: Progress) -> None:
    """Makes plugins, backend and stack if they are missing, and repairs what a killed command left."""
    kubernetes = provider() or parts.PROVIDER.folder / _PROVIDER
    if not os.access(kubernetes, os.X_OK):
        raise SandboxError(f"PROVIDER is {kubernetes}: must be a program, such as /path/to/{_PROVIDER}")
    install(home=home(), language_dir=parts.PULUMI.folder, kubernetes=kubernetes.resolve())
    # The CLI would keep a verbose log of each command: a megabyte, and a third of its CPU time. There is no setting for
    # that, but it goes without where it cannot make the folder.
    build.remove(home() / "logs")
    (home() / "logs").touch()
    _STACKS.mkdir(mode=0o700, parents=True, exist_ok=True)
    (STATE / "passphrase").write_text(_PASSPHRASE)
    project = str(yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["name"])
    stack = LocalStack(CHECKOUT, _STACKS, project, CONTEXT, environment())
    if not stack.state_file.exists():
        with progress.step("making the stack"):
            stack.pulumi("stack", "init", CONTEXT)
    elif "*" not in stack.pulumi("stack", "ls"):  # which one is selected is kept in the cache, not in .sandbox
        stack.pulumi("stack", "select", CONTEXT)
    stack.recover(progress)


def contents() -> list[Content]:
    """The engine's plugins, for `status`: which are official ones, and which this project's own stand-ins."""
    found = [Content("language host python", "of this checkout", "stand-in, sandbox/plugins/language_python.py")]
    for name in ("kubernetes", "random"):
        place = provider_file(home(), name)
        version = f"installed as {place.parent.name.rpartition('-v')[2]}"
        if place.is_symlink() and place.resolve().is_relative_to(parts.PROVIDER.folder):
            found += [Content(each.name, f"{each.version}, {version}", each.origin) for each in parts.PROVIDER.contents]
        elif not place.exists():
            found.append(Content(f"provider {name}", "not installed yet", "`make up` installs it"))
        elif is_stand_in(place):
            found.append(Content("provider random", version, "stand-in, sandbox/plugins/random.py"))
        else:
            found.append(Content(f"provider {name}", version, f"official, {place.resolve()}"))
    return found


@dataclass(frozen=True)
class LocalStack:
    """A stack whose backend is a folder, and what a command leaves of it that was killed."""

    folder: Path
    """The project."""
    backend: Path
    project: str
    name: str
    env: Mapping[str, str]
    """The environment for `pulumi`."""

    @property
    def state_file(self) -> Path:
        """Where the backend keeps the stack's state."""
        return self.backend / ".pulumi/stacks" / self.project / f"{self.name}.json"

    def recover(self, progress: Progress) -> None:
        """Makes that the next command goes on where a killed one was; where one runs, nothing is done."""
        if self._drop_dead_locks(progress):
            self._settle_pending(progress)

    def pulumi(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints; SandboxError, with the first line that says why, if it fails."""
        done = subprocess.run(
            [str(parts.PULUMI.folder / "pulumi"), *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr + done.stdout).splitlines()
            said = next((line for line in lines if "error" in line.lower()), done.stderr).strip()
            raise SandboxError(f"pulumi {arguments[0]}: {said[:300]}")
        return done.stdout

    def _drop_dead_locks(self, progress: Progress) -> bool:
        """Removes the locks of commands that were killed; false if one is left, whose process lives."""
        free = True
        for lock in (self.backend / ".pulumi/locks").glob(f"**/{self.project}/{self.name}/*.json"):
            try:
                owner = int(json.loads(lock.read_text())["pid"])
                alive = "pulumi" in Path(f"/proc/{owner}/comm").read_text()
            except (OSError, ValueError, KeyError):
                alive = False
            free = free and not alive
            if not alive:
                lock.unlink(missing_ok=True)
                progress.say("  removed the lock of a `pulumi` that was killed")
        return free

    def _settle_pending(self, progress: Progress) -> None:
        """Takes in what a killed command was creating: an object that exists becomes the stack's, else it is new.

        The state is edited for that. `pulumi refresh --import-pending-creates` is meant to do it, and forgets them.
        """
        exported = json.loads(self.pulumi("stack", "export", "--stack", self.name))
        deployment = exported["deployment"]
        if not (pending := deployment.pop("pending_operations", [])):
            return
        with progress.step(f"settling {len(pending)} operations that a killed `pulumi` had begun"):
            for resource in [each["resource"] for each in pending if each["type"] == "creating"]:
                if ident := _existing(resource):
                    # Not known to be ready: the next `up` waits for it, as for any that failed to become so.
                    unready = {"id": ident, "outputs": resource["inputs"], "initErrors": ["its creation was cut off"]}
                    deployment["resources"].append(resource | unready)
            self.pulumi("stack", "import", "--stack", self.name, stdin=json.dumps(exported))


def _existing(resource: dict[str, Any]) -> str:
    """The id of a Kubernetes object that exists, empty where it does not, or is none."""
    inputs = resource.get("inputs") or {}
    metadata = inputs.get("metadata") or {}
    if not resource["type"].startswith("kubernetes:") or "name" not in metadata:
        return ""
    wanted = json.dumps({key: inputs[key] for key in ("apiVersion", "kind", "metadata")})
    found = cluster.kubectl("get", "--filename", "-", "--output", "name", stdin=wanted)
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"]))) if found else ""
