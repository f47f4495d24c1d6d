"""What a fault is made on: a stack of its own under load, and what its members have afterwards."""

import contextlib
import http.client
import itertools
import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import yaml

from sandbox import node
from sandbox.faults import Pod
from sandbox.places import CHECKOUT, CONTEXT
from tools.chaos.figures import Repetition, fewest_complete, longest_gap
from tools.engine import Engine
from tools.measuring import MeasuringError
from tools.recorder import ROOT, stack_config

Found = TypeVar("Found")
_VOLUME_CLASS: Final = "csi-hostpath-sc"
_MOST_MEMBERS: Final = 5
_WAIT_SECONDS: Final = 300.0
_CONNECTIONS: Final = 4
_RATE: Final = 20.0
"""Scores a second, all connections together."""
_TIMEOUT: Final = 2.0
"""Seconds that a player waits for an answer. Each connection is idle for as long, at most, once writes go through."""
_ENOUGH: Final = 20
"""Scores that are saved before a fault, and again after it."""

WATCH: Final = """
const { MongoClient } = require("mongodb");
// By default the driver tries the address of a pod that has gone for 30 s.
const waits = { connectTimeoutMS: 1000, heartbeatFrequencyMS: 1000 };
const options = { directConnection: true, serverSelectionTimeoutMS: 2000, socketTimeoutMS: 2000, ...waits };
for (const member of process.argv.slice(1)) (async () => {
  const client = new MongoClient(`mongodb://${member}.mongo:27017/`, options);
  for (let last; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const reply = await client.db("admin").command({ hello: 1 }).catch(() => ({}));
    const complete = Boolean(reply.setName && (reply.isWritablePrimary || reply.secondary));
    if (complete !== last) console.log(JSON.stringify({ at: Date.now() / 1000, member, complete }));
    last = complete;
  }
})();
"""
"""Prints which members have all data, as the driver of the game hears it: again whenever one changes.

A request that hangs counts as no answer after 2 s.
"""
# The password is read in the pod, so that nobody's argv has it.
_CONNECT: Final = """
const secret = (name) => encodeURIComponent(require("fs").readFileSync(`/secrets/${name}`, "utf8").trim());
const login = `${secret("username")}:${secret("password")}`;
const options = "directConnection=true&readPreference=secondaryPreferred&serverSelectionTimeoutMS=3000";
const connect = (host) => new Mongo(`mongodb://${login}@${host}/?authSource=admin&${options}`);
"""
# Asks each member by its own name.
_ASK: Final = """
print(JSON.stringify(members.map((member) => {
  try {
    const db = connect(`${member}.mongo`).getDB("pacman");
    const hello = db.hello();
    const state = hello.isWritablePrimary ? "primary" : hello.secondary ? "secondary" : "neither";
    const has = new Set(db.highscore.distinct("name"));
    const missing = names.filter((name) => !has.has(name));
    return { member, state, missing, documents: JSON.stringify(db.runCommand({ dbHash: 1 }).collections) };
  } catch (error) {
    return { member, state: error.codeName || error.name, missing: names, documents: member };
  }
})));
"""


def say(text: str) -> None:
    """A line of progress."""
    print(f"{time.strftime('%X')} {text}", file=sys.stderr, flush=True)


def until(what: str, condition: Callable[[], Found], seconds: float = _WAIT_SECONDS, pause: float = 0.2) -> Found:
    """Waits until a condition holds; returns what it gives then.

    Raises:
        MeasuringError: It does not, in that time.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise MeasuringError(f"not in {seconds:.0f} s: {what}")
        time.sleep(pause)
    return found


def sandbox(*arguments: str) -> None:
    """A command of the sandbox.

    Raises:
        MeasuringError: It failed.
    """
    command = [sys.executable, "-m", "sandbox", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise MeasuringError(f"sandbox {' '.join(arguments)}: {done.stderr.strip()[-300:]}")


class Stack(Engine):
    """The checkout's program in a stack, a namespace and under a host name of its own.

    Args:
        members: Members of the database.
        spread: Whether each has a node of its own.
    """

    def __init__(self, members: int, *, spread: bool = False) -> None:
        super().__init__(ROOT)
        self.namespace = f"chaos-{secrets.token_hex(4)}"
        self.host = f"{self.namespace}.example"
        self._settings: dict[str, object] = {
            **{key.removeprefix("pacman:"): value for key, value in stack_config(CONTEXT).items()},
            "namespace": self.namespace,
            "ingressHost": self.host,
            "defaultStorageClass": "none",
            "mongoStorageClass": _VOLUME_CLASS,
            "mongoMembers": members,
            "mongoSpread": "require" if spread else "prefer",
            "pacmanReplicas": 2,
        }

    def __enter__(self) -> Self:
        super().__enter__()
        self.use()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            reader = f"{self.namespace}:pacman-node-reader"
            for each in (f"namespace/{self.namespace}", f"clusterrole/{reader}", f"clusterrolebinding/{reader}"):
                self.kubectl("delete", each, "--ignore-not-found", check=False)

    def use(self, **changes: object) -> None:
        """Changes config values of the stack."""
        self._settings |= changes
        file = self.folder / "Pulumi.test.yaml"
        known = yaml.safe_load(file.read_text()) or {}
        keys = {key if ":" in key else f"pacman:{key}": value for key, value in self._settings.items()}
        file.write_text(yaml.safe_dump(known | {"config": keys}))

    def setting(self, key: str) -> object:
        """A config value that the stack has; None where it has the default."""
        return self._settings.get(key)

    @property
    def size(self) -> int:
        """How many members there should be."""
        return int(str(self._settings["mongoMembers"]))

    @property
    def members(self) -> list[str]:
        """The names of their pods."""
        return [f"mongo-{number}" for number in range(self.size)]

    def deploy(self) -> None:
        """Deploys the stack, and a pod that watches the members."""
        self.up().ok()
        self._start_watching()
        self.settle()

    # --- What runs ---

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Runs kubectl in the stack's namespace; returns what it prints.

        Raises:
            MeasuringError: It failed, and that is not allowed.
        """
        command = ["kubectl", "--context", CONTEXT, "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=_WAIT_SECONDS)
        if check and done.returncode:
            raise MeasuringError(f"kubectl {' '.join(arguments)[:80]}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them; empty where there is none, or the API server does not answer."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json", check=False) or "{}")
        return found

    def pod(self, name: str) -> Pod:
        """A pod on its node."""
        return Pod.find(f"{self.namespace}/{name}")

    def node_of(self, name: str) -> str:
        """The node that a pod runs on."""
        return str(self.get("pod", name)["spec"]["nodeName"])

    def restarts(self, name: str) -> int:
        """How often the containers of a pod were started again."""
        statuses = self.get("pod", name).get("status", {}).get("containerStatuses") or []
        return sum(each["restartCount"] for each in statuses)

    def in_state(self, state: str) -> list[str]:
        """The members that are `primary`, or `secondary`, as they say."""
        return [each["member"] for each in self._ask() if each["state"] == state]

    def primary(self) -> str:
        """The primary's pod, once there is one."""
        return until("there is a primary", lambda: self.in_state("primary"), pause=0.5)[0]

    def secondary(self) -> str:
        """The pod of a secondary, once there is one."""
        return until("there is a secondary", lambda: self.in_state("secondary"), pause=0.5)[0]

    def step_up(self, member: str) -> None:
        """Makes a member the primary."""
        self._mongosh(member, 'connect("127.0.0.1").getDB("admin").runCommand({ replSetStepUp: 1 }); print("[]")')

    # --- After a fault ---

    def settle(self) -> None:
        """Waits until every pod is ready, and the set has a primary and nothing but secondaries besides.

        Raises:
            MeasuringError: That does not come about.
        """
        until("all pods are ready", self._is_ready)
        until("there is one primary, and all others are secondaries", self._is_healthy, pause=1)

    def refresh_pods(self) -> None:
        """Replaces the members whose container was started again: the kubelet would delay the next start of it."""
        for member in self.members:
            if self.restarts(member):
                self.kubectl("delete", "pod", member)
                self.settle()

    def missing(self, names: set[str]) -> int:
        """How many scores some member lacks, once all members have the same documents.

        Raises:
            MeasuringError: They do not come to have the same.
        """
        answers: list[dict[str, Any]] = []

        def same() -> bool:
            nonlocal answers
            answers = self._ask(sorted(names))
            return len({each["documents"] for each in answers}) == 1

        until("every member has the same documents", same, seconds=90, pause=1)
        return len({name for each in answers for name in each["missing"]})

    def complete(self, begin: float, end: float) -> int | None:
        """The fewest members that had all data at some moment between two; None where nobody has watched them."""
        lines = self.kubectl("logs", "watch", check=False).splitlines()
        return fewest_complete([json.loads(line) for line in lines if line.startswith("{")], begin, end)

    # --- Pieces ---

    def _ask(self, names: Sequence[str] = ()) -> list[dict[str, Any]]:
        """What each member says, asked through the first one whose pod can do it; nothing where none can."""
        script = f"const members = {json.dumps(self.members)}, names = {json.dumps(names)};{_ASK}"
        for member in self.members:
            with contextlib.suppress(MeasuringError, ValueError, subprocess.TimeoutExpired):
                return self._mongosh(member, script)
        return []

    def _mongosh(self, member: str, script: str) -> list[dict[str, Any]]:
        shell = ["mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin"]
        text = self.kubectl("exec", "-i", member, "-c", "mongo", "--", *shell, stdin=_CONNECT + script)
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def _is_ready(self) -> bool:
        pods = self.get("pods", "--selector", "app.kubernetes.io/name in (mongo,pacman)").get("items", [])
        serving = [each for each in pods if each["metadata"]["labels"]["app.kubernetes.io/component"] == "server"]
        conditions = [each["status"].get("conditions") or [] for each in serving]
        ready = sum({"type": "Ready", "status": "True"}.items() <= one.items() for some in conditions for one in some)
        leaving = any("deletionTimestamp" in each["metadata"] for each in serving)
        wanted = self.size + int(str(self._settings["pacmanReplicas"]))
        return len(serving) == ready == wanted and not leaving

    def _is_healthy(self) -> bool:
        states = sorted(each["state"] for each in self._ask())
        return states == ["primary", *["secondary"] * (self.size - 1)]

    def _start_watching(self) -> None:
        members = [f"mongo-{number}" for number in range(_MOST_MEMBERS)]
        context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {
            "name": "watch",
            "image": self._settings["pacmanImage"],
            "command": ["node", "--input-type=commonjs", "--eval", WATCH, *members],
            "securityContext": context,
        }
        security = {"runAsNonRoot": True, "runAsUser": 100, "seccompProfile": {"type": "RuntimeDefault"}}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "watch", "labels": {"mongo-client": "true"}},
            "spec": {"containers": [container], "securityContext": security, "terminationGracePeriodSeconds": 0},
        }
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(pod))
        said = ("logs", "watch")
        until("the members are watched", lambda: self.kubectl(*said, check=False).count("member") >= _MOST_MEMBERS)


class Writer:
    """Players who save numbered scores through the Ingress all the time.

    Args:
        stack: Where they play.
        prefix: What their names begin with; the number follows.
    """

    def __init__(self, stack: Stack, prefix: str) -> None:
        self._host = stack.host
        self._prefix = prefix
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(_CONNECTIONS)]
        self.acknowledged: dict[str, float] = {}
        """Names of scores that the game called saved, and when it did."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_writes(self) -> None:
        """Waits until scores are saved.

        Raises:
            MeasuringError: They are not.
        """
        wanted = len(self.acknowledged) + _ENOUGH
        until("scores are saved", lambda: len(self.acknowledged) >= wanted, pause=0.05)

    def _run(self) -> None:
        while not self._stop.wait(_CONNECTIONS / _RATE):
            number = next(self._numbers)
            name = f"{self._prefix}-{number}"
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                if self._save(name, number):
                    self.acknowledged[name] = time.monotonic()

    def _save(self, name: str, number: int) -> bool:
        body = {"name": name, "cloud": "", "zone": "", "host": "", "score": number, "level": 10}
        connection = http.client.HTTPConnection(node.FIRST.address, timeout=_TIMEOUT)
        try:
            headers = {"Host": self._host, "Content-Type": "application/json"}
            connection.request("POST", "/highscores", json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status == 200 and json.loads(answer.read()).get("rs") == "success"
        finally:
            connection.close()


def repeat(stack: Stack, fault: Callable[[Stack], None], prefix: str) -> Repetition:
    """Makes a fault under load, and looks what every member has once all is well again.

    Raises:
        MeasuringError: It does not become well again.
    """
    stack.refresh_pods()
    begin = time.time()
    with Writer(stack, prefix) as writer:
        writer.wait_for_writes()
        fault(stack)
        stack.settle()
        writer.wait_for_writes()
        moments, end = list(writer.acknowledged.values()), time.monotonic()
    complete = stack.complete(begin, time.time())
    lost = stack.missing(set(writer.acknowledged))
    return Repetition(len(writer.acknowledged), lost, longest_gap(moments, end), complete)
