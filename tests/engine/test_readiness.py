"""A member of MongoDB that copies its data is not ready, so a rolling restart and an eviction wait for it.

Before Kubernetes 1.37, a rolling restart waits only for a member that it has restarted: it begins with the highest
number, whatever the state of the lower ones. There the member that is to be restarted waits itself (leave.sh).
"""

import json
from collections.abc import Iterator

import pytest

from tests.harness.game import LONGEST_GAP
from tests.harness.members import MEMBERS, watch
from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.game import Writer

# Megabytes that do not compress: a new member copies them for some seconds.
DATA = 200


@pytest.fixture(scope="module")
def three_members() -> Iterator[Program]:
    """A stack with three members and some data."""
    with Program({"mongoMembers": 3}) as program:
        program.up().ok()
        program.mongosh(
            "const bytes = require('crypto').randomBytes(1 << 20);"
            f"for (let n = 0; n < {DATA}; n++) db.filler.insertOne({{ n, bytes }});"
            "print(1);"
        )
        yield program


def lose_volume(program: Program, member: str) -> None:
    """Deletes a member and its claim: it comes back empty, and copies all data."""
    program.kubectl("delete", "pvc", f"data-{member}", "--wait=false")
    program.kubectl("delete", "pod", member, "--wait=false")


@pytest.mark.parametrize("lost", ["mongo-2", "mongo-0"], ids=["the last", "the first"])
def test_a_rolling_restart_waits_for_the_member_that_copies_its_data(three_members: Program, lost: str) -> None:
    program = three_members
    with watch(program) as seen, Writer(program.game) as writer:
        lose_volume(program, lost)
        eventually(f"{lost} is away", lambda: lost not in seen[-1])
        program.kubectl("rollout", "restart", "statefulset/mongo")
        # Three members each finish their connections for up to 15 s, and one of them copies first.
        rolled = ("rollout", "status", "statefulset/mongo", "--watch=false")
        eventually("all have restarted", lambda: "roll out complete" in program.kubectl(*rolled), 240)
        eventually("all members have all data", lambda: seen[-1] == set(MEMBERS), 10)
    assert all(len(complete) >= 2 for complete in seen), seen
    assert set.intersection(*seen) == set(), "each member was restarted"
    assert writer.longest_gap < LONGEST_GAP
    assert len(writer.saved) > 50
    assert writer.saved <= program.scores()


def test_a_member_is_not_evicted_while_another_one_copies_its_data(three_members: Program) -> None:
    """An eviction is what `kubectl drain` asks for."""
    program, refused = three_members, 0
    path = f"/api/v1/namespaces/{program.namespace}/pods/mongo-2/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "mongo-2"}}

    def evicted() -> bool:
        nonlocal refused
        answer = program.kubectl("create", "--raw", path, "--filename", "-", stdin=json.dumps(eviction), check=False)
        refused += not answer
        return bool(answer)

    with watch(program) as seen, Writer(program.game) as writer:
        lose_volume(program, "mongo-0")
        eventually("mongo-0 is away", lambda: "mongo-0" not in seen[-1])
        eventually("mongo-2 is evicted", evicted, 90)
        eventually("mongo-2 is away", lambda: "mongo-2" not in seen[-1])
        eventually("all members have all data", lambda: seen[-1] == set(MEMBERS), 90)
    assert refused > 2
    assert all(len(complete) >= 2 for complete in seen), seen
    assert writer.longest_gap < LONGEST_GAP
    assert writer.saved <= program.scores()
