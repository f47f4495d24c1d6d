"""What a fault is made on: a stack of its own under load, and what its members have afterwards."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox import node
from sandbox.faults import Pod
from sandbox.places import CHECKOUT, CONTEXT
from tools.chaos.figures import Repetition, fewest_complete
from tools.game import Game, Writer
from tools.measuring import MeasuringError, until
from tools.own_stack import OwnStack

_MOST_MEMBERS: Final = 5
_WAIT_SECONDS: Final = 300.0

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


def sandbox(*arguments: str) -> None:
    """A command of the sandbox.

    Raises:
        MeasuringError: It failed.
    """
    command = [sys.executable, "-m", "sandbox", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise MeasuringError(f"sandbox {' '.join(arguments)}: {done.stderr.strip()[-300:]}")


class Stack(OwnStack):
    """The checkout's program in a stack of its own.

    Args:
        members: Members of the database.
        spread: Whether each has a node of its own.
    """

    def __init__(self, members: int, *, spread: bool = False) -> None:
        config = {"mongoMembers": members, "mongoSpread": "require" if spread else "prefer", "pacmanReplicas": 2}
        super().__init__(CONTEXT, "chaos", config)

    def change(self, **changes: object) -> None:
        """Changes config values of the stack for good."""
        self.config |= changes
        self.use()

    @property
    def size(self) -> int:
        """How many members there should be."""
        return int(str(self.config["mongoMembers"]))

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

    @property
    def game(self) -> Game:
        """The game behind this stack's Ingress."""
        return Game(node.FIRST.address, self.host)

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
        until("all pods are ready", self._is_ready, seconds=_WAIT_SECONDS, pause=0.2)
        until("there is one primary, and all others are secondaries", self._is_healthy, seconds=_WAIT_SECONDS, pause=1)

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
        wanted = self.size + int(str(self.config["pacmanReplicas"]))
        return len(serving) == ready == wanted and not leaving

    def _is_healthy(self) -> bool:
        states = sorted(each["state"] for each in self._ask())
        return states == ["primary", *["secondary"] * (self.size - 1)]

    def _start_watching(self) -> None:
        members = [f"mongo-{number}" for number in range(_MOST_MEMBERS)]
        context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {
            "name": "watch",
            "image": self.config["pacmanImage"],
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


def repeat(stack: Stack, fault: Callable[[Stack], None], prefix: str) -> Repetition:
    """Makes a fault under load, and looks what every member has once all is well again.

    Raises:
        MeasuringError: It does not become well again.
    """
    stack.refresh_pods()
    begin = time.time()
    with Writer(stack.game, prefix) as writer:
        writer.wait_for_writes()
        fault(stack)
        stack.settle()
        writer.wait_for_writes()
    complete = stack.complete(begin, time.time())
    lost = stack.missing(writer.saved)
    return Repetition(len(writer.saved), lost, writer.longest_gap, complete)
