"""The restore of docs/backup.md from a snapshot: three members go back to one copy of one member's volume.

The sandbox has no CSI driver with snapshots. So the test copies the files of a locked member, and a pod puts them into
the new claims, where a driver would do both with blocks. All other steps are those of the page, as they stand there.

It cannot prove that a claim with a `dataSource` gets a volume with the data: the API server only checks the claim.
"""

import json
import subprocess

import pytest
import yaml

from tests.harness import docs
from tests.harness.members import MEMBERS
from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.own_stack import VOLUME_CLASS
from tools.recorder import ROOT

SECTION = docs.section(ROOT / "docs/backup.md", "Snapshots of the volumes")
CLAIMS = [f"data-{member}" for member in MEMBERS]
TAKEN_FROM = "mongo-1"


def lock(program: Program, *, is_locked: bool) -> None:
    """Keeps a member from writing to its files, or lets it write again."""
    command = "{fsync: 1, lock: true}" if is_locked else "{fsyncUnlock: 1}"
    script = f"print(JSON.stringify(db.getSiblingDB('admin').runCommand({command}).ok))"
    assert program.mongosh(script, as_root=True, member=TAKEN_FROM) == 1


def claim(name: str) -> dict[str, object]:
    """The claim of the page, with the class of these volumes."""
    (text,) = docs.blocks(SECTION, "yaml")
    found: dict[str, object] = yaml.safe_load(text)
    found["metadata"] = {"name": name}
    found["spec"] = yaml.safe_load(text)["spec"] | {"storageClassName": VOLUME_CLASS}
    return found


def without_source(found: dict[str, object]) -> dict[str, object]:
    """A claim that gets an empty volume."""
    spec = found["spec"]
    assert isinstance(spec, dict)
    return found | {"spec": {key: value for key, value in spec.items() if key != "dataSource"}}


def copy_files(program: Program, member: dict[str, dict[str, object]], source: str, targets: list[str]) -> None:
    """Copies all files of one claim into others, in a pod with the rights and the image of a member."""
    spec = member["spec"]
    containers = spec["containers"]
    assert isinstance(containers, list)
    (mongod,) = (each for each in containers if each["name"] == "mongo")
    claims = [source, *targets]
    container = {
        "name": "copy",
        "image": mongod["image"],
        "command": ["bash", "-euc", f"for each in {' '.join(targets)}; do cp -r /{source}/. /$each; done"],
        "securityContext": mongod["securityContext"],
        "resources": mongod["resources"],
        "volumeMounts": [{"name": each, "mountPath": f"/{each}"} for each in claims],
    }
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "copy"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": spec["securityContext"],
            "containers": [container],
            "volumes": [{"name": each, "persistentVolumeClaim": {"claimName": each}} for each in claims],
        },
    }
    program.kubectl("create", "--filename=-", stdin=json.dumps(body))
    program.kubectl("wait", "pod/copy", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")
    program.kubectl("delete", "pod", "copy")


def type_line(program: Program, line: str) -> None:
    """Types a line of the page."""
    line = line.replace("-n pacman", f"-n {program.namespace}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=program.folder,
        env=program.env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"


def scores_of_members(program: Program) -> list[set[str]]:
    """The names of the scores that each member has."""
    script = "print(JSON.stringify(db.highscore.distinct('name')))"
    return [set(program.mongosh(script, member=member)) for member in MEMBERS]


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """The commands of the page, for three members, as the page says."""
    _, block = docs.blocks(SECTION, "sh")
    found = [line.strip() for line in block.splitlines()]
    assert found[2].endswith(" data-mongo-0")
    assert found[4].endswith(" --replicas=1")
    found[2] = found[2].replace("data-mongo-0", " ".join(CLAIMS))
    found[4] = found[4].replace("--replicas=1", "--replicas=3")
    return found


def test_three_members_go_back_to_the_copy_of_one_and_are_a_set_again(lines: list[str]) -> None:
    with Program({"mongoMembers": 3}) as program:
        program.up().ok()
        assert program.game.save("kept", 1)
        eventually("all have the score", lambda: scores_of_members(program) == [{"kept"}] * 3)
        member = program.kubectl.live("pod", TAKEN_FROM)
        program.kubectl("create", "--filename=-", stdin=json.dumps(without_source(claim("snapshot"))))
        lock(program, is_locked=True)
        copy_files(program, member, f"data-{TAKEN_FROM}", ["snapshot"])
        lock(program, is_locked=False)
        assert program.game.save("later", 2)

        (program.folder / "snapshot.json").write_text(json.dumps(claim("checked")))
        type_line(program, "kubectl create -n pacman --dry-run=server -f snapshot.json")
        new = {"apiVersion": "v1", "kind": "List", "items": [without_source(claim(name)) for name in CLAIMS]}
        (program.folder / "claims.yaml").write_text(yaml.safe_dump(new))
        *before, scale, rollout, up = lines
        for line in before:
            type_line(program, line)
        copy_files(program, member, "snapshot", CLAIMS)
        type_line(program, scale)
        type_line(program, rollout)
        assert up == "pulumi up --refresh"
        program.up("--refresh").ok()

        eventually("the game lists the score", lambda: program.game.listed("kept"))
        eventually("all have what was copied, and no more", lambda: scores_of_members(program) == [{"kept"}] * 3)
        assert program.game.save("after", 3)
        eventually("all follow", lambda: scores_of_members(program) == [{"kept", "after"}] * 3)
        program.up("--refresh", "--expect-no-changes").ok()
