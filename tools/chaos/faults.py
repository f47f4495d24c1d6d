"""The faults: what is done to a stack, each until it is undone."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGKILL
from typing import Final

from sandbox import node
from sandbox.faults import filled, isolated, limited, stopped
from tools.chaos.rig import Stack, sandbox
from tools.measuring import MeasuringError, until

_STOP_SECONDS: Final = 20.0
_CUT_SECONDS: Final = 40.0
"""Longer than an election takes, with the heartbeats that time out before it and after it, 10 s each."""
_LOST_SECONDS: Final = 90.0
"""Kubernetes counts a node as lost when it has been silent for 40 s."""
_CHECKPOINT_SECONDS: Final = 150.0
"""mongod writes all that it has, and so finds its disk full, at least once a minute."""
_ROLLOUT: Final = ("rollout", "status", "statefulset/mongo", "--timeout=280s")


@dataclass(frozen=True)
class Fault:
    """One fault."""

    title: str
    make: Callable[[Stack], None]
    """Makes it, and returns when it is undone."""
    members: int = 3
    nodes: int = 1
    crashes: bool = False
    """Whether it takes the power from a node, and so from everything that runs on it."""
    most: float | None = None
    """Seconds without writes that are allowed, in the median."""
    majority: bool = False
    """Whether a majority of the members must have all data at every moment."""


def delete_primary(stack: Stack) -> None:
    """Deletes the primary's pod, which has time to hand over."""
    stack.kubectl("delete", "pod", stack.primary())


def kill_primary(stack: Stack) -> None:
    """Kills the primary's process."""
    _kill(stack, stack.primary())


def kill_secondary(stack: Stack) -> None:
    """Kills the process of a secondary."""
    _kill(stack, stack.secondary())


def lose_volume(stack: Stack) -> None:
    """Deletes the claim and the pod of a secondary, which comes back empty."""
    member = stack.secondary()
    stack.kubectl("delete", "pvc", f"data-{member}", "--wait=false")
    stack.kubectl("delete", "pod", member)


def lose_last_volume_and_restart(stack: Stack) -> None:
    """The same with the last member, and at once a rolling restart, for which Kubernetes makes it wait."""
    _lose_and_restart(stack, stack.members[-1])


def lose_first_volume_and_restart(stack: Stack) -> None:
    """The same with the first member. Before Kubernetes 1.37, only the last one itself waits for it (leave.sh)."""
    _lose_and_restart(stack, stack.members[0])


def delete_all(stack: Stack) -> None:
    """Deletes the pods of all members at once."""
    stack.kubectl("delete", "pod", *stack.members)


def stop_primary(stack: Stack) -> None:
    """Stops the primary's process for a while."""
    with stopped(stack.pod(stack.primary()), "mongod"):
        time.sleep(_STOP_SECONDS)


def isolate_primary(stack: Stack) -> None:
    """Cuts the primary's network for a while."""
    with isolated(stack.pod(stack.primary()), "mongod"):
        time.sleep(_CUT_SECONDS)


def fill_volume(stack: Stack) -> None:
    """Fills the primary's volume until mongod gives up. That member has a small disk of its own meanwhile."""
    member = stack.secondary()
    with limited(stack.pod(member), "mongod", f"data-{member}") as folder:
        # Its new pod has no restart behind it, which would delay the next one.
        stack.kubectl("delete", "pod", member)
        stack.settle()
        _make_primary(stack, member)
        with filled(stack.pod(member).node, folder):
            until(f"{member} gives up", lambda: stack.restarts(member), seconds=_CHECKPOINT_SECONDS)
        stack.settle()
        if stack.primary() == member:
            _make_primary(stack, stack.secondary())
    stack.settle()


def rolling_restart(stack: Stack) -> None:
    """`kubectl rollout restart`."""
    stack.kubectl("rollout", "restart", "statefulset/mongo")
    stack.kubectl(*_ROLLOUT)


def rotate(stack: Stack) -> None:
    """New passwords, by `pulumi up`."""
    stack.change(passwordRotation=int(str(stack.config.get("passwordRotation", 0))) + 1)
    stack.up().ok()


def grow_and_shrink(stack: Stack) -> None:
    """From three members to five and back."""
    for members in (5, 3):
        stack.change(mongoMembers=members)
        stack.up().ok()


def crash_node(stack: Stack) -> None:
    """Takes the power from the only node, and starts it again."""
    sandbox("restart")


def lose_node_of_primary(stack: Stack) -> None:
    """Takes the power from the primary's node, until Kubernetes counts it as lost."""
    if stack.node_of(stack.primary()) == node.FIRST.name:  # it has the control plane and the Ingress
        _make_primary(stack, stack.secondary())
    lost = stack.node_of(stack.primary())
    sandbox("node", "stop", lost)
    try:
        silent = ("get", "node", lost, "--no-headers")
        until(f"{lost} counts as lost", lambda: "NotReady" in stack.kubectl(*silent), seconds=_LOST_SECONDS)
    finally:
        sandbox("node", "start", lost)


def drain_nodes(stack: Stack) -> None:
    """Drains each node in turn of the game and its database; CoreDNS, of which there is one, stays."""
    pods = "--pod-selector=app.kubernetes.io/part-of=pacman"
    for each in node.ALL:
        try:
            stack.kubectl("drain", each.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=200s", pods)
        finally:
            stack.kubectl("uncordon", each.name)
        stack.settle()


FAULTS: Final = {
    "delete-primary": Fault("delete the primary", delete_primary, most=5),
    "kill-primary": Fault("SIGKILL the primary's mongod", kill_primary, most=15),
    "kill-secondary": Fault("SIGKILL a secondary's mongod", kill_secondary),
    "lose-volume": Fault("delete a secondary's claim and pod", lose_volume, majority=True),
    "lose-last-restart": Fault(
        "delete the last member's claim and pod, and `kubectl rollout restart` at once",
        lose_last_volume_and_restart,
        majority=True,
    ),
    "lose-first-restart": Fault("the same with the first member", lose_first_volume_and_restart, majority=True),
    "delete-all": Fault("delete all members", delete_all),
    "stop-primary": Fault(f"SIGSTOP the primary for {_STOP_SECONDS:.0f} s", stop_primary),
    "isolate-primary": Fault(f"cut the primary's network for {_CUT_SECONDS:.0f} s", isolate_primary),
    "fill-volume": Fault("fill the primary's volume", fill_volume),
    "restart": Fault("`kubectl rollout restart`", rolling_restart, majority=True),
    "rotate": Fault("new passwords", rotate, majority=True),
    "resize": Fault("three members to five, and back", grow_and_shrink, majority=True),
    "delete-only": Fault("one member: delete it", delete_primary, members=1),
    "kill-only": Fault("one member: SIGKILL its mongod", kill_primary, members=1),
    "crash-node": Fault("crash the node, and start it again", crash_node, crashes=True),
    "crash-node-only": Fault("one member: crash the node, and start it again", crash_node, members=1, crashes=True),
    "lose-node": Fault("lose the primary's node, of three", lose_node_of_primary, nodes=3, crashes=True),
    "drain": Fault("drain each of three nodes in turn", drain_nodes, nodes=3, majority=True),
}
"""Every fault, by its name in ONLY; each group of them shares a stack."""


def _lose_and_restart(stack: Stack, member: str) -> None:
    if stack.primary() == member:
        _make_primary(stack, stack.secondary())
    stack.kubectl("delete", "pvc", f"data-{member}", "--wait=false")
    stack.kubectl("delete", "pod", member)
    rolling_restart(stack)


def _make_primary(stack: Stack, member: str) -> None:
    def is_primary() -> bool:
        with suppress(MeasuringError):  # the others do not vote for it while they are busy
            stack.step_up(member)
        return stack.primary() == member

    until(f"{member} is the primary", is_primary, pause=1)


def _kill(stack: Stack, member: str) -> None:
    before = stack.restarts(member)
    stack.pod(member).signal("mongod", SIGKILL)
    until(f"{member} has started again", lambda: stack.restarts(member) > before, pause=0.2)
