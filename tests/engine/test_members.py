"""A replica set grows and shrinks while scores are saved, and refuses a step that would cost its majority."""

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.harness.game import LONGEST_GAP
from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.game import Writer

STATES = "print(JSON.stringify(rs.status().members.map(m => [m.name.split('.')[0], m.stateStr])))"
VOTES = "print(JSON.stringify(rs.conf().members.map(m => [m.host.split('.')[0], m.votes, m.priority])))"


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """A stack with one member and a score."""
    with Program() as made:
        made.up().ok()
        assert made.game.save("of-one", 1)
        yield made


def states(program: Program, member: str = "mongo-0") -> dict[str, str]:
    """The state of each member, as one of them sees it."""
    return dict(program.mongosh(STATES, as_root=True, member=member))


def names_in(program: Program, member: str) -> set[str]:
    """The scores that a member has itself."""
    script = "db.getMongo().setReadPref('secondaryPreferred'); print(JSON.stringify(db.highscore.distinct('name')))"
    return set(program.mongosh(script, member=member))


def members(program: Program) -> list[str]:
    """The pods of members, also those on their way out."""
    selector = "app.kubernetes.io/name=mongo,app.kubernetes.io/component=server"
    return program.kubectl("get", "pods", "-l", selector, "--output", "jsonpath={.items[*].metadata.name}").split()


def wait_for_scores(program: Program, member: str, names: set[str]) -> None:
    """Waits until a member has scores itself."""

    def has_them() -> bool:
        try:
            return names <= names_in(program, member)
        except (AssertionError, ValueError):  # it still copies: it knows no user, or may not be read
            return False

    eventually(f"{member} has all scores", has_them, 60)


def test_members_are_added_while_scores_are_saved(program: Program) -> None:
    program.use(mongoMembers=3)
    with Writer(program.game) as writer:
        grown = program.up().ok()
    ops = grown.ops("mongo-init")
    assert ops.index("delete-replaced") < ops.index("create-replacement"), "a Job cannot change"
    assert program.ready_pods("mongo") == 3
    assert sorted(states(program).values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    eventually("all members vote", lambda: {votes for _, votes, _ in program.mongosh(VOTES, as_root=True)} == {1})
    assert writer.longest_gap < LONGEST_GAP
    for member in ("mongo-0", "mongo-1", "mongo-2"):
        wait_for_scores(program, member, writer.saved)


def test_members_leave_the_set_before_their_pods_also_if_one_of_them_is_the_primary(program: Program) -> None:
    program.use(mongoMembers=3)
    program.up().ok()
    program.mongosh("print(rs.stepDown(10, 5).ok)", as_root=True, member=primary(program))
    eventually("another member is the primary", lambda: primary(program) != "mongo-0", 60)
    program.use(mongoMembers=1)
    with Writer(program.game) as writer:
        program.up().ok()
    assert states(program) == {"mongo-0": "PRIMARY"}
    eventually("their pods are gone", lambda: members(program) == ["mongo-0"], 60)
    assert writer.longest_gap < LONGEST_GAP
    assert writer.saved <= program.scores()
    assert "of-one" in program.scores()
    program.up("--expect-no-changes").ok()


def test_members_come_back_over_the_volumes_that_they_left(program: Program) -> None:
    claims = json.loads(program.kubectl("get", "pvc", "--output", "json"))["items"]
    assert {"data-mongo-1", "data-mongo-2"} <= {claim["metadata"]["name"] for claim in claims}
    assert program.game.save("while-alone", 2)
    program.use(mongoMembers=3)
    with Writer(program.game) as writer:
        program.up().ok()
    assert writer.longest_gap < LONGEST_GAP
    for member in ("mongo-1", "mongo-2"):
        wait_for_scores(program, member, {"while-alone", *writer.saved})


def test_fewer_members_are_refused_if_those_that_stay_have_no_majority(program: Program) -> None:
    """mongo-0 is the only one that would stay, and it is not well: a member in maintenance is no secondary."""
    program.use(mongoMembers=3)
    program.up().ok()
    if primary(program) == "mongo-0":
        program.mongosh("print(rs.stepDown(10, 5).ok)", as_root=True, member="mongo-0")
    program.use(mongoMembers=1)
    maintain(program, on=True)
    try:
        eventually("mongo-0 is not ready", lambda: program.ready_pods("mongo") == 2, 60)
        for command in (program.preview, program.up):
            refused = command()
            assert refused.exit_code != 0
            assert 'pacman:mongoMembers is "1": must be 3 until mongo-0 is ready, since the members' in refused.errors()
    finally:
        maintain(program, on=False)
    eventually("mongo-0 is ready again", lambda: program.ready_pods("mongo") == 3, 60)
    assert len(states(program)) == 3, "nobody has left"


def test_an_empty_first_member_starts_no_second_set_also_if_it_is_asked_for_alone(program: Program) -> None:
    """As after an interrupted `up` to one member, when mongo-0 then lost its volume: the others have the data."""
    program.use(mongoMembers=3)
    program.up().ok()
    if primary(program) == "mongo-0":
        program.mongosh("print(rs.stepDown(60, 10).ok)", as_root=True, member="mongo-0")
    eventually("another member is the primary", lambda: primary(program) not in ("", "mongo-0"), 60)
    name = f"before-{secrets.token_hex(4)}"
    assert program.game.save(name, 3)
    # It is no member any more, so the others do not tell it of the set.
    leave = "print(rs.remove(rs.conf().members.find(each => each.host.startsWith('mongo-0.')).host).ok)"
    program.mongosh(leave, as_root=True, member=primary(program))
    lose_volume(program, "mongo-0")

    (init,) = program.init_jobs()
    failed, said = run_again(program, init, "alone", members="mongo-0.mongo:27017")
    assert failed
    assert "mongoMembers cannot be 1: of the members that would stay, mongo-0." in said
    assert knows_no_set(program)

    host = f"mongo-0.mongo.{program.namespace}.svc.cluster.local:27017"
    initiate = f"rs.initiate({{_id: 'rs0', members: [{{_id: 0, host: '{host}'}}]}}).ok"
    program.mongosh(f"print({initiate})", as_root=True)
    failed, said = run_again(program, init, "two-sets")
    assert failed
    assert "there are two replica sets: one of mongo-0, and one of mongo-1 and mongo-2." in said

    lose_volume(program, "mongo-0")
    failed, said = run_again(program, init, "again")
    assert not failed, said
    wait_for_scores(program, "mongo-0", {name})
    assert sorted(states(program).values()) == ["PRIMARY", "SECONDARY", "SECONDARY"]


def lose_volume(program: Program, member: str) -> None:
    """Deletes claim and pod of a member, and waits until the next one knows no set."""
    program.kubectl("delete", "pvc", f"data-{member}", "--wait=false")
    program.kubectl("delete", "pod", member)
    eventually("the member is empty", lambda: knows_no_set(program), 120)


def knows_no_set(program: Program) -> bool:
    """Whether mongo-0 answers, and says that it was not initiated."""
    ask = "try { rs.conf(); print('\"a set\"') } catch (error) { print(JSON.stringify(error.codeName)) }"
    try:
        return bool(program.mongosh(ask, as_root=True) == "NotYetInitialized")
    except (AssertionError, ValueError):  # the pod is not there yet, or its first server has just ended
        return False


def run_again(program: Program, init: str, name: str, members: str = "") -> tuple[bool, str]:
    """Runs the init Job again under another name: whether it failed, and its log."""
    job = program.kubectl.live("job", init.rpartition("/")[2])
    template = job["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    template["metadata"]["labels"] = {key: value for key, value in labels if key.startswith("app.kubernetes.io/")}
    (container,) = template["spec"]["containers"]
    if members:
        container["env"] = [each for each in container["env"] if each["name"] != "MEMBERS"]
        container["env"].append({"name": "MEMBERS", "value": members})
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    body["spec"] = {"backoffLimit": 0, "template": template}
    program.kubectl("create", "--filename=-", stdin=json.dumps(body))
    eventually("the Job has ended", lambda: conditions(program, name) & {"Failed", "Complete"}, 120)
    return "Failed" in conditions(program, name), program.kubectl("logs", f"job/{name}")


def conditions(program: Program, job: str) -> set[str]:
    """The conditions of a Job that are true."""
    found = program.kubectl.live("job", job)["status"].get("conditions") or []
    return {each["type"] for each in found if each["status"] == "True"}


def maintain(program: Program, *, on: bool) -> None:
    """Puts mongo-0, a secondary, into maintenance, or ends that."""
    command = f"db.adminCommand({{ replSetMaintenance: {json.dumps(on)} }})"
    program.mongosh(f"print({command}.ok)", as_root=True, member="mongo-0")


def primary(program: Program) -> str:
    """The member that is the primary, as any of them sees it; "" at a moment without one."""
    for member in ("mongo-0", "mongo-1", "mongo-2"):
        for name, state in states(program, member).items():
            if state == "PRIMARY":
                return name
    return ""
