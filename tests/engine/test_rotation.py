"""A rotation changes every password and the keyfile while scores are saved, and goes on where it was interrupted."""

import signal
from collections.abc import Iterator

import pytest

from tests.harness.game import LONGEST_GAP
from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.game import Writer

USERS = "print(JSON.stringify(db.getSiblingDB('admin').system.users.find().toArray().map(u => u.user).sort()))"


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """A stack with three members."""
    with Program({"mongoMembers": 3}) as made:
        made.up().ok()
        assert made.game.save("before", 1)
        yield made


def wait_for_members(program: Program) -> None:
    """Waits until all members have restarted. The provider of the sandbox stops waiting for them early."""
    program.kubectl("rollout", "status", "statefulset/mongo", "--timeout=110s")


def can_log_in(program: Program, user: dict[str, str], database: str) -> bool:
    """Whether a user may log in, asked in a member's pod. The password goes there by stdin."""
    script = (
        f"let ok = true; try {{ new Mongo('mongodb://{user['username']}:{user['password']}@127.0.0.1/"
        f"?authSource={database}&directConnection=true').getDB('{database}').runCommand({{ connectionStatus: 1 }}) }}"
        " catch (error) { if (error.code !== 18) throw error; ok = false }; print(ok)"
    )
    shell = ["mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin"]
    printed = program.kubectl("exec", "-i", "mongo-0", "-c", "mongo", "--", *shell, stdin=script)
    return printed.strip() == "true"


def new_root_can_log_in(program: Program) -> bool:
    """Whether the Secret has the root user of rotation 2, and the database too."""
    user = program.secret("mongo-root")
    return user["username"] == "root" and can_log_in(program, user, "admin")


def test_every_password_changes_while_scores_are_saved(program: Program) -> None:
    before = {name: program.secret(f"mongo-{name}") for name in ("root", "app", "backup")}
    program.use(passwordRotation=1)
    shown = program.preview("--diff").ok().printed
    with Writer(program.game) as writer:
        shown += program.up("--diff").ok().printed
        wait_for_members(program)
    after = {name: program.secret(f"mongo-{name}") for name in ("root", "app", "backup")}
    for name, database in (("root", "admin"), ("app", "pacman"), ("backup", "admin")):
        assert before[name]["password"] != after[name]["password"]
        assert can_log_in(program, after[name], database), name
        assert not can_log_in(program, before[name], database), name
        assert not any(user["password"] in shown for user in (before[name], after[name])), "a diff shows no password"
    assert before["root"]["keyfile"] != after["root"]["keyfile"]
    assert program.mongosh(USERS, as_root=True) == ["backup-2", "pacman-2", "root-2"]
    assert writer.longest_gap < LONGEST_GAP
    assert len(writer.saved) > 50
    assert {"before", *writer.saved} <= program.scores()
    program.up("--expect-no-changes").ok()


def test_an_interrupted_rotation_goes_on_and_the_next_one_is_refused_until_then(program: Program) -> None:
    """Interrupted once the database has the new users, and the members restart."""
    program.use(passwordRotation=1)
    program.up().ok()
    wait_for_members(program)
    program.use(passwordRotation=2)
    with Writer(program.game) as writer:
        running = program.start("up", "--yes", "--skip-preview")
        eventually("the database has the new users", lambda: new_root_can_log_in(program), 60)
        running.signal(signal.SIGINT)
        running.finish()
        program.run("cancel", "--yes", check=False)
        program.use(passwordRotation=3)
        refused = program.preview()
        assert refused.exit_code != 0
        assert 'pacman:passwordRotation is "3": must stay 2: that rotation has not finished' in refused.errors()
        program.use(passwordRotation=2)
        program.up("--refresh").ok()
        wait_for_members(program)
    assert program.mongosh(USERS, as_root=True) == ["backup", "pacman", "root"]
    assert writer.longest_gap < LONGEST_GAP
    assert writer.saved <= program.scores()
    program.use(passwordRotation=3)
    assert program.preview().exit_code == 0
