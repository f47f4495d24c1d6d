"""What the bench works with: a stack, a namespace and an image tag of its own, which are gone at the end.

The stack of `make up` is not touched. Secrets of the bench's stack stay in this process and in the cluster: they are
handed to kubectl by stdin.
"""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox import engine, node
from sandbox.places import CHECKOUT, CONTEXT, STATE
from tools.game import Game
from tools.measuring import MeasuringError, until
from tools.own_stack import VOLUME_CLASS

FOLDER: Final = STATE / "bench"
"""Everything that the bench writes, but for the report. Nobody but root may read it."""
NAMESPACE: Final = "pacman-bench"
HOST: Final = f"{NAMESPACE}.example"
_OWNER: Final = "pacman/bench"
"""Project and stack, as the program notes them down on its namespace."""
_RESERVED_IN: Final = "default"
_SECONDS: Final = 600.0
"""What one command, or one wait, may take."""
_ANSWER_SECONDS: Final = 2.0
# The engine's mark of a secret in an exported state.
_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Lets a step that cleans up come to its end, also after a second Ctrl-C."""

    def wait(*_: object) -> None:
        say("  removing what the bench made: this takes a moment")

    # Not SIG_IGN, which a node that is started here would inherit, with everything that runs on it.
    before = {number: signal.signal(number, wait) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    *command: str | Path,
    env: Mapping[str, str],
    cwd: Path = CHECKOUT,
    stdin: str = "",
    check: bool = True,
    seconds: float = _SECONDS,
) -> str:
    """What a command prints to stdout.

    It gets a process group of its own: when this program is interrupted, the command is asked to end and waited for.

    Args:
        command: The command.
        env: Its whole environment.
        cwd: The folder that it runs in.
        stdin: What it reads.
        check: Whether it must succeed.
        seconds: How long it may take.

    Raises:
        MeasuringError: It failed, and that is not allowed, or it took too long.
    """
    argv = [str(part) for part in command]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True, process_group=0)
    called = " ".join([Path(argv[0]).name, *argv[1:]])[:80]
    try:
        stdout, stderr = process.communicate(stdin, timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise MeasuringError(f"{called} did not end in {seconds:.0f} s") from None
    except BaseException:
        with uninterrupted():
            _end(process)
        raise
    if check and process.returncode:
        raise MeasuringError(f"{called}: {_reason(stdout, stderr)}")
    return stdout


class Stopwatch:
    """The seconds that things took, by what they are called: one figure for each run."""

    def __init__(self) -> None:
        self._seconds = defaultdict[str, list[float]](list)

    @contextlib.contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Takes the time of what is done within; of what fails, none."""
        began = time.monotonic()
        yield
        self._seconds[what].append(time.monotonic() - began)

    def __getitem__(self, what: str) -> list[float]:
        return self._seconds[what]


def score_is_saved(host: str) -> bool:
    """Posts a score through the Ingress; whether the game says that it is saved."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        return Game(node.FIRST.address, host).save("bench", 100, _ANSWER_SECONDS)
    return False


def _is_unknown(host: str) -> bool:
    """Whether the Ingress answers, and nobody serves that host name."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return Game(node.FIRST.address, host).request("GET", "/config", seconds=_ANSWER_SECONDS)[0] == 404
    return False


def copy_checkout(target: Path, *, with_packages: bool = True) -> None:
    """Copies the files of the checkout as they are now, without what git ignores.

    Args:
        target: The new folder.
        with_packages: Lends it the checkout's Python packages.
    """
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", env=os.environ)
    for name in sorted(set(filter(None, listed.split("\0")))):
        source = CHECKOUT / name
        if source.is_file() or source.is_symlink():
            copied = target / name
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copied, follow_symlinks=False)
    if with_packages:
        (target / ".venv").symlink_to(sys.prefix)


def memory_of_node(first_process: int) -> float:
    """Bytes of memory that the processes of a node take, those of its pods included.

    Memory that several processes share is counted once (PSS).
    """
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    within = new = {first_process}
    while new:
        new = {process for process, parent in parents.items() if parent in new}
        within = within | new
    total = 0
    for process in within:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class Project:
    """A Pulumi program in a folder of its own, with one stack whose backend and passphrase lie beside it."""

    def __init__(self, name: str) -> None:
        self.folder = FOLDER / name
        backend = FOLDER / f"{name}.stacks"
        passphrase = FOLDER / f"{name}.passphrase"
        backend.mkdir()
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_hex(16))
        self.env = engine.environment() | {
            "NO_COLOR": "1",
            "PULUMI_BACKEND_URL": f"file://{backend}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
        }

    def create_stack(self) -> None:
        """Makes the stack; the project must be there."""
        self.pulumi("stack", "init", "bench", "--no-select")

    def pulumi(self, *arguments: str) -> str:
        """Runs a command of the CLI; returns what it prints.

        Raises:
            MeasuringError: It failed.
        """
        return run("pulumi", *arguments, "--non-interactive", env=self.env, cwd=self.folder)

    def up(self, *options: str) -> None:
        """`pulumi up`, without the preview."""
        self.pulumi("up", "--yes", "--skip-preview", "--stack", "bench", *options)

    def preview(self, *options: str) -> None:
        """`pulumi preview`."""
        self.pulumi("preview", "--stack", "bench", *options)

    def destroy(self) -> None:
        """`pulumi destroy`, without the preview."""
        self.pulumi("destroy", "--yes", "--skip-preview", "--stack", "bench")


class EmptyProject(Project):
    """A program that declares nothing: what the engine and Python take by themselves."""

    def __init__(self) -> None:
        super().__init__("empty")
        self.folder.mkdir()
        options = {"toolchain": "pip", "virtualenv": sys.prefix}
        project = {"name": "empty", "runtime": {"name": "python", "options": options}}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        (self.folder / "__main__.py").write_text("")
        self.create_stack()


class PacmanProject(Project):
    """The checkout's program, configured as for the sandbox, in the bench's namespace."""

    def __init__(self) -> None:
        super().__init__("project")
        copy_checkout(self.folder)
        committed = yaml.safe_load((self.folder / "Pulumi.sandbox.yaml").read_text())["config"]
        self._config: dict[str, Any] = committed | {
            "pacman:namespace": NAMESPACE,
            "pacman:ingressHost": HOST,
            "pacman:defaultStorageClass": "none",
            "pacman:mongoStorageClass": VOLUME_CLASS,
        }
        self.create_stack()
        self.configure()

    @property
    def image(self) -> str:
        """The image of Pacman that is configured for the sandbox."""
        return str(self._config["pacman:pacmanImage"])

    def configure(self, **changes: object) -> None:
        """Writes the stack's config: the bench's own, with changes."""
        file = self.folder / "Pulumi.bench.yaml"
        known = yaml.safe_load(file.read_text()) if file.exists() else {}
        config = self._config | {f"pacman:{key}": value for key, value in changes.items()}
        file.write_text(yaml.safe_dump((known or {}) | {"config": config}))

    def manifests(self) -> list[dict[str, Any]]:
        """The stack's Kubernetes objects, in the order in which they were created, secrets in plain."""
        exported = json.loads(self.pulumi("stack", "export", "--show-secrets", "--stack", "bench"))
        return manifests_of(exported["deployment"]["resources"])


def manifests_of(resources: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The manifests of the Kubernetes objects of an exported state, secrets in plain."""
    return [_plain(each["inputs"]) for each in resources if each["type"].startswith("kubernetes:")]


class Cluster:
    """The sandbox's cluster, and the bench's namespace in it."""

    def __init__(self) -> None:
        self._env = engine.environment()

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Runs a command in the bench's namespace; returns what it prints.

        Raises:
            MeasuringError: It failed, and that is not allowed.
        """
        return self._kubectl_anywhere("--namespace", NAMESPACE, *arguments, stdin=stdin, check=check)

    def get(self, *arguments: str) -> dict[str, Any]:
        """One object, or a list of them."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found

    def apply(self, objects: Sequence[Mapping[str, Any]]) -> None:
        """`kubectl apply` of some objects, by stdin: there are secrets among them."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--filename", "-", stdin=listed)

    def refuse_foreign_namespace(self) -> None:
        """Removes what a bench that was killed has left.

        Raises:
            MeasuringError: The namespace is not the bench's.
        """
        found = self.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", "json")
        if found and _OWNER not in json.loads(found)["metadata"].get("annotations", {}).values():
            raise MeasuringError(
                f"the namespace {NAMESPACE} is not the bench's, which needs that name: rename or delete it"
            )
        if found:
            say("Removing what an earlier bench left in the cluster")
        self.clear()

    @contextlib.contextmanager
    def reserved_host(self) -> Iterator[None]:
        """Makes sure that nobody else answers for the bench's host name.

        The Ingress of the stack of `make up` answers for every name that no other Ingress has. While the bench's stack
        is not up, it would save the bench's scores.
        """
        path = {
            "path": "/reserved",
            "pathType": "Exact",
            "backend": {"service": {"name": "none", "port": {"number": 1}}},
        }
        spec = {"ingressClassName": "nginx", "rules": [{"host": HOST, "http": {"paths": [path]}}]}
        metadata = {"name": NAMESPACE, "namespace": _RESERVED_IN}
        ingress = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}
        try:
            self._kubectl_anywhere("apply", "--filename", "-", stdin=json.dumps(ingress))
            until(f"nobody answers for {HOST}", lambda: _is_unknown(HOST))
            yield
        finally:
            with uninterrupted():
                self._kubectl_anywhere(
                    "delete", "ingress", NAMESPACE, "--namespace", _RESERVED_IN, "--ignore-not-found"
                )

    def wait_until_gone(self) -> None:
        """Waits until the namespace is gone."""
        names = ("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", "name")
        until("the namespace is gone", lambda: not self.kubectl(*names))

    def clear(self) -> None:
        """Deletes all that the bench has in the cluster; returns when it is gone, volumes too."""
        self.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
        for kind in ("clusterrolebinding", "clusterrole"):
            names = self.kubectl("get", kind, "--output", "name").splitlines()
            if ours := [each for each in names if each.partition("/")[2].startswith(f"{NAMESPACE}:")]:
                self.kubectl("delete", "--ignore-not-found", *ours)
        until("the volumes are gone", lambda: not self._volumes(), pause=0.2)

    def _kubectl_anywhere(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        command = ("kubectl", "--context", CONTEXT, *arguments)
        return run(*command, env=self._env, stdin=stdin, check=check).strip()

    def _volumes(self) -> list[str]:
        listed = json.loads(self.kubectl("get", "persistentvolumes", "--output", "json"))["items"]
        claims = {each["metadata"]["name"]: each["spec"].get("claimRef") or {} for each in listed}
        return [name for name, claim in claims.items() if claim.get("namespace") == NAMESPACE]

    # --- Pacman ---

    def pods(self) -> list[dict[str, Any]]:
        """The pods of Pacman, also those that are leaving."""
        return list(self.get("pods", "--selector", "app.kubernetes.io/name=pacman")["items"])

    def scale(self, pods: int) -> None:
        """`kubectl scale`."""
        self.kubectl("scale", "deployment/pacman", f"--replicas={pods}")

    def wait_for_pods(self, pods: int) -> None:
        """Waits until that many are ready, and no other is left, not even one that is leaving.

        Raises:
            MeasuringError: That does not come about.
        """
        if pods:
            ready = f"--for=jsonpath={{.status.readyReplicas}}={pods}"
            self.kubectl("wait", "deployment/pacman", ready, f"--timeout={_SECONDS - 10:.0f}s")
        until(f"{pods} pods of Pacman", lambda: len(self.pods()) == pods, pause=0.1)

    def wait_for_rollout(self) -> None:
        """Waits until all pods are of the newest template, and ready."""
        self.kubectl("rollout", "status", "deployment/pacman", f"--timeout={_SECONDS - 10:.0f}s")

    def wait_for_score(self) -> None:
        """Waits until a score can be saved through the Ingress."""
        until(f"a score is saved through the Ingress of {HOST}", lambda: score_is_saved(HOST))


@contextlib.contextmanager
def second_tag(image: str) -> Iterator[str]:
    """Another tag of an image of the node, removed at the end; pods start from it as from another image."""
    other = f"{image}-bench"
    ctr = ("ctr", "--namespace", "k8s.io", "images")
    done = node.FIRST.run(*ctr, "tag", "--force", f"docker.io/{image}", f"docker.io/{other}")
    if done.returncode:
        raise MeasuringError(f"the node cannot tag {image}: {done.stderr.strip()[-200:]}")
    try:
        yield other
    finally:
        with uninterrupted():
            node.FIRST.run(*ctr, "remove", f"docker.io/{other}")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """`value` without the engine's envelopes around secrets, and without the provider's own notes."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _SIGNATURE in value:
        return _plain(json.loads(value["plaintext"]))
    return {key: _plain(item) for key, item in value.items() if not key.startswith("__")}


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends a command with all that it started: first so that it can tidy up, then by force."""
    for number, seconds in ((signal.SIGINT, 60), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
            return


def _reason(stdout: str, stderr: str) -> str:
    """The line that says why a command failed."""
    lines = [line.strip() for line in (stdout + "\n" + stderr).splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith("error")]
    return (telling or lines or ["it said nothing"])[-1][:300]
