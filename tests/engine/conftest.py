"""The checkout's program in a stack, a namespace and under a host name of its own, and what a person sees of it.

It stands beside whatever else runs on the cluster: it leaves the cluster's default StorageClass alone unless a test
says otherwise, and what it made is gone at the end, also when tests fail.
"""

import http.client
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import yaml

from cluster import DEFAULT_CLASS
from tests.conformance.conftest import Kubectl
from tests.harness.engine import Engine, Result
from tests.harness.mongo import mongosh, secret

CHECKOUT = Path(__file__).parents[2]
# The address that the node's controller publishes, as minikube's docker driver has it.
NODE = "192.168.49.2"
VOLUME_CLASS = "csi-hostpath-sc"


def eventually(what: str, condition: Callable[[], object], seconds: float = 30) -> float:
    """Polls until a condition holds.

    Returns:
        The seconds that it took.

    Raises:
        AssertionError: It did not hold in that time.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


class Game:
    """The game behind the Ingress, as a browser meets it: one connection for each request."""

    def __init__(self, address: str, host: str) -> None:
        self._address = address
        self._host = host

    def request(self, method: str, path: str, body: object = None, seconds: float = 15) -> tuple[int, bytes]:
        """Status and body of one answer.

        Raises:
            OSError, http.client.HTTPException: There was none.
        """
        connection = http.client.HTTPConnection(self._address, timeout=seconds)
        try:
            headers = {"Host": self._host} | ({"Content-Type": "application/json"} if body is not None else {})
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def save(self, name: str, score: int) -> bool:
        """Posts a score; whether the game says that it is saved, which is less than that it answers."""
        body = {"name": name, "cloud": "", "zone": "", "host": "", "score": score, "level": 10}
        status, text = self.request("POST", "/highscores", body)
        return status == 200 and json.loads(text).get("rs") == "success"

    def listed(self, name: str) -> bool:
        """Whether the list of the ten best has that name; false also where there is no list at the moment."""
        try:
            status, text = self.request("GET", "/highscores/list", seconds=3)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and name in [each["name"] for each in json.loads(text)]


class Program(Engine):
    """The checkout's project with a stack of its own; configured as `Pulumi.sandbox.yaml`, beside what runs there."""

    def __init__(self, config: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None) -> None:
        super().__init__(CHECKOUT, env=env)
        self.namespace = f"engine-test-{secrets.token_hex(4)}"
        self.host = f"{self.namespace}.example"
        committed = yaml.safe_load((CHECKOUT / "Pulumi.sandbox.yaml").read_text())["config"]
        self.config = {key.removeprefix("pacman:"): value for key, value in committed.items()} | {
            "namespace": self.namespace,
            "ingressHost": self.host,
            "defaultStorageClass": "none",
            "mongoStorageClass": VOLUME_CLASS,
            **(config or {}),
        }
        self.kubectl = Kubectl(self.config["context"], self.namespace)

    def __enter__(self) -> Self:
        super().__enter__()
        self.use()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.use()  # what a test set may be what the program refuses
            super().__exit__(kind, error, traceback)
        finally:
            delete_what_is_left(self.kubectl)

    def use(self, **changes: object) -> None:
        """The stack's whole config: as it was made, with changes, as a person writes it into the stack's file."""
        file = self.folder / "Pulumi.test.yaml"
        known = yaml.safe_load(file.read_text()) or {}
        keys = {key if ":" in key else f"pacman:{key}": value for key, value in (self.config | changes).items()}
        file.write_text(yaml.safe_dump(known | {"config": keys}))

    @contextmanager
    def using(self, **changes: object) -> Iterator[None]:
        """The config with changes, for as long as that."""
        self.use(**changes)
        try:
            yield
        finally:
            self.use()

    @property
    def game(self) -> Game:
        """The game behind this stack's Ingress."""
        return Game(NODE, self.host)

    def pods(self, app: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """The pods of `mongo` or `pacman`; those on their way out only where that is asked for."""
        text = self.kubectl("get", "pods", "-l", f"app.kubernetes.io/name={app}", "--output", "json")
        return [pod for pod in json.loads(text)["items"] if leaving or "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, app: str) -> int:
        """How many of them are ready."""
        conditions = [pod["status"].get("conditions") or [] for pod in self.pods(app)]
        return sum({"type": "Ready", "status": "True"}.items() <= each.items() for some in conditions for each in some)

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        return secret(self.kubectl, name)

    def mongosh(self, script: str, *, as_root: bool = False) -> Any:  # noqa: ANN401
        """Runs a script in the database's pod with `db`, the game's database; gives back what it prints, as JSON."""
        return mongosh(self.kubectl, script, as_root=as_root)

    def scores(self) -> set[str]:
        """The names of all scores in the database."""
        return set(self.mongosh("print(JSON.stringify(db.highscore.distinct('name')))"))


def clone_checkout(folder: Path) -> None:
    """Clones what is committed, and lends the clone the Python packages of the checkout."""
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(folder)], check=True)
    (folder / ".venv").symlink_to(sys.prefix)


def delete_what_is_left(kubectl: Kubectl) -> None:
    """Deletes what a stack has in the cluster, where its own destroy did not."""
    reader = f"{kubectl.namespace}:pacman-node-reader"
    for kind, name in (("namespace", kubectl.namespace), ("clusterrole", reader), ("clusterrolebinding", reader)):
        kubectl("delete", kind, name, "--ignore-not-found", "--timeout=60s")


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


@contextmanager
def storage_class(kubectl: Kubectl, name: str, mark: str = "") -> Iterator[str]:
    """A StorageClass that nothing uses, made by kubectl with a default mark, or none; deleted at the end."""
    annotations = {DEFAULT_CLASS: mark} if mark else {}
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": "engine-test.invalid/none",
    }
    kubectl("create", "--filename", "-", stdin=json.dumps(body))
    try:
        yield name
    finally:
        kubectl("delete", "storageclass", name, "--ignore-not-found")


class Load:
    """People who open the page and save scores, all the time, until they are told to stop.

    Args:
        game: What they play.
        prefix: What their names begin with.
        threads: How many there are.
        rate: Requests a second, all together, at most; the Ingress lets 100 of one client pass.
        seconds: When they stop by themselves.
    """

    def __init__(self, game: Game, prefix: str, *, threads: int = 8, rate: float = 80, seconds: float = 45) -> None:
        self._game = game
        self._prefix = prefix
        self._pause = threads / rate
        self._end = time.monotonic() + seconds
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.answered = 0
        self.saved: set[str] = set()
        """Names whose score was acknowledged."""
        self.failed: list[str] = []
        """What went wrong, once for each request."""
        self.ran_to_the_end = False
        """Whether it was still going when it was told to stop."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ran_to_the_end = all(thread.is_alive() for thread in self._threads)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.wait(self._pause) and time.monotonic() < self._end:
            count += 1
            name = f"{self._prefix}-{number}-{count}"
            try:
                if count % 2:
                    status, text = self._game.request("GET", "/")
                    assert status == 200, f"GET /: {status} {text[:80]!r}"
                else:
                    assert self._game.save(name, count % 1000), "POST /highscores: not saved"
                    self.saved.add(name)
                self.answered += 1
            except (OSError, http.client.HTTPException, ValueError, AssertionError) as problem:
                self.failed.append(f"{time.strftime('%X')} {problem!r}")


@dataclass(frozen=True)
class FirstUp:
    """What the first `up` of a stack did, and what a player found right after it."""

    program: Program
    result: Result
    saved: bool
    listed: bool


@pytest.fixture(scope="session")
def first_up() -> Iterator[FirstUp]:
    """A stack that is up. All tests share it, because it takes half a minute: each says which config it wants."""
    with Program() as program:
        result = program.up().ok()
        saved, listed = program.game.save("first", 10_000), program.game.listed("first")
        yield FirstUp(program, result, saved, listed)


@pytest.fixture
def program(first_up: FirstUp) -> Program:
    """The stack that is up."""
    return first_up.program
