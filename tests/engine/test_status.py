"""`make status` on real stacks: one that is well, and what somebody may find on another day.

It runs as `make` runs it. `make` itself knows only one exit code for all failures.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
import yaml

from tests.harness.kubectl import apply_certificate
from tests.harness.program import Program
from tests.harness.waiting import eventually


def status(program: Program, kubeconfig: str = "") -> tuple[int, str]:
    """Exit code and output of the command, on the stack of a program."""
    command = [sys.executable, "-m", "tools.status"]
    env = program.env | {"PULUMI_STACK": "test"} | ({"KUBECONFIG": kubeconfig} if kubeconfig else {})
    done = subprocess.run(
        command, cwd=program.folder, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def lines(printed: str) -> dict[str, tuple[str, str]]:
    """What each line is about, to its mark and text."""
    found = re.findall(r"^([✓!?]) (\S+(?: \S+)*) {2,}(.*)$", printed, flags=re.MULTILINE)
    return {what: (mark, text) for mark, what, text in found}


@pytest.fixture
def well(program: Program) -> Program:
    """The stack that is up, as it was made."""
    program.use()
    program.up().ok()
    return program


def test_a_stack_that_is_up_is_well(well: Program) -> None:
    code, printed = status(well)
    found = lines(printed)
    assert [what for what, (mark, _) in found.items() if mark != "✓"] == [], printed
    assert code == 0
    assert found["primary"][1] == "mongo-0"
    image = well.config["mongoImage"]
    assert found["mongo-0"][1] == f"PRIMARY, 0 s behind, MongoDB {str(image).partition(':')[2]}"
    assert re.fullmatch(r"\d+ % full, .* of .*iB", found["volume mongo-0"][1])
    assert found["address"][1] == well.outputs()["ingress_ip"]
    assert well.secret("mongo-root")["password"] not in printed


def test_a_backup_shows_that_it_was_verified_and_one_that_fails_after_it_shows_why(well: Program) -> None:
    well.kubectl("create", "job", "good", "--from=cronjob/mongo-backup")
    well.kubectl("wait", "job/good", "--for=condition=Complete", "--timeout=100s")
    code, printed = status(well)
    assert code == 0, printed
    assert re.fullmatch(r"\d min old, verified, .*iB", lines(printed)["backup"][1])

    made = well.kubectl("create", "job", "bad", "--from=cronjob/mongo-backup", "--dry-run=client", "--output=json")
    job = json.loads(made)
    job["spec"]["template"]["spec"]["containers"][0]["command"] = ["sh", "-c", "echo 'error: on purpose'; exit 1"]
    well.kubectl("create", "--filename", "-", stdin=json.dumps(job))
    well.kubectl("wait", "job/bad", "--for=condition=Failed", "--timeout=100s")
    code, printed = status(well)
    assert code == 1
    assert lines(printed)["backup"] == ("!", "bad of 0 min ago failed: on purpose")
    well.kubectl("delete", "job", "good", "bad")


def test_a_certificate_that_expires_soon_needs_a_person(well: Program) -> None:
    soon = trustme.CA().issue_cert(well.host, not_after=datetime.now(UTC) + timedelta(days=5))
    apply_certificate(well.kubectl, "expires-soon", soon)
    with well.using(ingressTlsSecret="expires-soon"):
        well.up().ok()
        code, printed = status(well)
    assert code == 1
    assert lines(printed)["certificate"] == ("!", "expires in 4 days")


@pytest.fixture
def viewer(well: Program, tmp_path: Path) -> Iterator[str]:
    """The kubeconfig of somebody with the ClusterRole `view`, which allows neither Secrets nor exec."""
    well.kubectl("create", "serviceaccount", "viewer")
    account = f"--serviceaccount={well.namespace}:viewer"
    well.kubectl("create", "rolebinding", "viewer", "--clusterrole=view", account)
    yield with_token(tmp_path, well.kubectl("create", "token", "viewer").strip())
    well.kubectl("delete", "serviceaccount,rolebinding", "viewer")


def with_token(folder: Path, token: str) -> str:
    """The kubeconfig of the environment, for whoever has a token."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    file = folder / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config))
    return str(file)


def test_who_may_only_view_sees_what_that_shows_and_that_the_rest_is_denied(well: Program, viewer: str) -> None:
    _, printed = status(well, viewer)
    found = lines(printed)
    assert found["game"][0] == "✓"
    assert found["mongo-0"] == ("?", "its pod runs")
    assert {found[what][0] for what in ("primary", "compatibility", "volume mongo-0")} == {"?"}
    assert "forbidden" in found["primary"][1]


def test_a_cluster_that_is_away_cannot_be_told_in_one_line(well: Program, away: str) -> None:
    code, printed = status(well, away)
    assert code == 2
    (line,) = printed.splitlines()
    assert line.startswith("? ")
    assert "127.0.0.1:9 was refused" in line


def test_a_login_that_is_no_longer_good_cannot_be_told_in_one_line(well: Program, tmp_path: Path) -> None:
    code, printed = status(well, with_token(tmp_path, "expired"))
    assert code == 2
    assert printed == "? error: You must be logged in to the server (Unauthorized)\n"


def test_of_three_members_the_one_that_is_away_or_not_serving_is_named_and_so_is_a_lost_majority() -> None:
    with Program({"mongoMembers": 3}) as program:
        program.up().ok()
        found = lines(status(program)[1])
        primary = found["primary"][1]
        states = {name: found[name][1].partition(",")[0] for name in ("mongo-0", "mongo-1", "mongo-2")}
        assert states == dict.fromkeys(states, "SECONDARY") | {primary: "PRIMARY"}

        secondary = next(name for name in states if name != primary)
        program.mongosh(maintenance(True), as_root=True, member=secondary)
        eventually("it is named", lambda: "RECOVERING" in lines(status(program)[1])[secondary][1], seconds=90)
        assert lines(status(program)[1])[secondary][0] == "!"
        program.mongosh(maintenance(False), as_root=True, member=secondary)
        eventually("it serves again", lambda: lines(status(program)[1])[secondary][0] == "✓", seconds=90)

        program.kubectl("scale", "statefulset", "mongo", "--replicas=2")
        gone = ("!", "has no pod: the StatefulSet has 2 replicas")
        eventually("it is named", lambda: lines(status(program)[1])["mongo-2"] == gone, seconds=90)
        code, printed = status(program)
        assert code == 1
        assert "pulumi up --refresh" in printed

        program.kubectl("scale", "statefulset", "mongo", "--replicas=1")
        # A member that is away makes the next one wait for a minute before it stops (leave.sh).
        eventually("nobody is primary", lambda: lines(status(program)[1])["primary"][1][:4] == "none", seconds=180)
        found = lines(status(program)[1])
        assert found["mongo-0"][1].startswith("SECONDARY")


def maintenance(on: bool) -> str:
    """A script that takes a secondary out of service, as an administrator does, or back."""
    return f"print(JSON.stringify(db.adminCommand({{ replSetMaintenance: {json.dumps(on)} }})))"
