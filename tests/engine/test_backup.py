"""Backup and restore of a real database: everything comes back, at one moment, and a failure changes nothing.

`make backup` and `make restore` are tools/backup.py, which runs here in the project of the stack. What the commands of
docs/backup.md with plain kubectl do, tests/engine/test_docs.py shows.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.engine.conftest import FirstUp
from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.measuring import until

EXACT = "{promoteValues: false, promoteLongs: false, bsonRegExp: true}"
# One document with every type that a driver of today writes, and numbers whose type JavaScript would lose.
TYPES = """{
  _id: ObjectId("64b7f0000000000000000001"), whole: Double(1), zero: Double(-0.0), nan: Double(NaN), int: Int32(1),
  long: Long("9007199254740993"), decimal: Decimal128("1.10"), date: new Date(-1), binary: BinData(5, "AAEC"),
  uuid: UUID("11111111-2222-4333-8444-555555555555"), regex: BSONRegExp("a", "ix"), timestamp: Timestamp({t: 1, i: 2}),
  min: MinKey(), max: MaxKey(), code: Code("x"), text: "é\\n\\u2028", nested: {list: [null, true, []]},
}"""
# With a checksum that fits.
PACK = "gzip > B; mv B A.ejson.gz; sha256sum A.ejson.gz > A.ejson.gz.sha256"
# A person's own work in the pod of a Job: a shell instead of the script.
IDLE = {"spec": {"template": {"spec": {"containers": [{"name": "restore", "command": ["sleep", "3600"]}]}}}}


def tool(program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make backup`, `make backups`, or `make restore` with the name of an archive."""
    return subprocess.run(
        [sys.executable, "-m", "tools.backup", *arguments],
        cwd=program.folder,
        env=program.env,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )


def back_up(program: Program, *options: str) -> str:
    """Takes a backup; the name of the archive."""
    done = tool(program, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    found = re.search(r"^(pacman-\S+): .* verified", done.stdout, re.MULTILINE)
    assert found, done.stdout
    return found[1]


def restore(program: Program, archive: str) -> str:
    """Restores an archive; what the command printed."""
    done = tool(program, "restore", archive)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def restoring_pod(program: Program, logged: str) -> str:
    """The pod of a restore that runs, once its log holds that text; "" before."""
    restoring = "--selector=app.kubernetes.io/component=restore,job-name!=shell"
    running = (restoring, "--field-selector=status.phase=Running")
    pods = program.kubectl("get", "pods", *running, "--output=jsonpath={.items[*].metadata.name}").split()
    return next((pod for pod in pods if logged in program.kubectl("logs", pod, check=False)), "")


def content(program: Program) -> dict[str, list[str]]:
    """Every document and index of the game's database, in canonical EJSON, by collection."""
    script = f"""
    const found = {{}};
    for (const {{ name }} of db.getCollectionInfos({{type: "collection"}})) {{
      if (name.startsWith("system.")) continue;
      const all = (command) => db.runCommand({{ ...command, cursor: {{}} }}, {EXACT}).cursor.firstBatch;
      const documents = db.runCommand({{find: name, sort: {{_id: 1}}, batchSize: 100000}}, {EXACT}).cursor.firstBatch;
      const each = [...documents, ...all({{listIndexes: name}})];
      found[name] = each.map((value) => EJSON.stringify(value, {{relaxed: false}}));
    }}
    print(JSON.stringify(found));"""
    return dict(program.mongosh(script, as_root=True))


def drop(program: Program, *collections: str) -> None:
    """Drops collections for good: the next backup may lack them."""
    program.mongosh(f"for (const name of {json.dumps(collections)}) db[name].drop(); print(1)", as_root=True)
    back_up(program, "--emptied=yes")


def databases(program: Program) -> set[str]:
    """The names of the databases."""
    return set(program.mongosh("print(JSON.stringify(db.getMongo().getDBNames()))", as_root=True))


@pytest.fixture(scope="module")
def shell(first_up: FirstUp) -> Iterator["Shell"]:
    """A shell on the volume with the backups."""
    program = first_up.program
    program.use()
    program.up().ok()
    with Shell(program) as found:
        yield found


class Shell:
    """A pod that mounts the backups, as docs/backup.md has it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._kubectl = program.kubectl

    def __enter__(self) -> "Shell":
        create = ("create", "job", "shell", "--from=cronjob/mongo-restore", "--dry-run=client", "--output=json")
        patch = ("patch", "--local", "--filename=-", "--type=strategic", f"--patch={json.dumps(IDLE)}", "--output=json")
        job = self._kubectl(*patch, stdin=self._kubectl(*create))
        self._kubectl("create", "--filename=-", stdin=job)
        self._kubectl("wait", "job/shell", "--for=jsonpath={.status.ready}=1", "--timeout=60s")
        return self

    def __exit__(self, *_: object) -> None:
        self._kubectl("delete", "job", "shell", "--wait=false")

    def __call__(self, script: str) -> str:
        return self._kubectl("exec", "job/shell", "--", "bash", "-euc", script)

    def files(self) -> set[str]:
        """The names of the files beside the scripts."""
        return set(self("ls /backup").split())


@pytest.fixture
def program(shell: Shell, program: Program) -> Program:
    """The stack, with its backups."""
    return program


@pytest.fixture(scope="module")
def archive(shell: Shell) -> str:
    """A backup that is damaged in several ways, each time in a copy."""
    assert shell.program.game.save("kept-1", 1)
    return back_up(shell.program)


def test_after_the_database_was_dropped_a_restore_brings_back_every_score_and_index(program: Program) -> None:
    for number in range(20):
        assert program.game.save(f"kept-{number}", 1000 + number)
    program.mongosh(f"db.types.insertOne({TYPES}); print(1)", as_root=True)
    before = content(program)
    back_up(program)
    program.mongosh("print(JSON.stringify(db.dropDatabase().ok))", as_root=True)
    assert program.scores() == set()

    restore(program, "latest")
    assert content(program) == before
    assert any('"score":{"$numberInt":"-1"}' in each for each in before["highscore"]), "the game's index"
    eventually("the game lists the scores", lambda: program.game.listed("kept-19"))
    assert program.game.save("after-the-restore", 1)


def test_latest_is_the_last_backup_also_after_a_restore_whose_replaced_data_can_be_restored_by_name(
    program: Program,
) -> None:
    archive = back_up(program)
    before = content(program)
    assert program.game.save("too-late", 5)
    late = content(program)
    printed = restore(program, "latest")
    assert content(program) == before
    assert archive in restore(program, "latest"), "run twice, it restores the same"
    assert content(program) == before
    (undo,) = re.findall(r"make restore FROM=(\S+)", printed)
    listed = tool(program, "list").stdout
    assert re.search(rf"\] {archive}, \d+ documents$", listed, re.MULTILINE), listed
    assert f"] {undo}, not verified\n" in listed
    restore(program, undo)
    assert content(program) == late


def test_a_collection_that_the_archive_does_not_have_stays(program: Program) -> None:
    archive = back_up(program)
    program.mongosh("print(db.later.insertOne({_id: 1}).acknowledged)", as_root=True)
    assert "they are as they were: later" in restore(program, archive)
    assert "later" in content(program)
    program.mongosh("print(db.later.drop())", as_root=True)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("truncate --size=-1 A.ejson.gz", "its SHA-256 is another one"),
        ("truncate --size=-20 A.ejson.gz; sha256sum A.ejson.gz > A.ejson.gz.sha256", "unexpected end of file"),
        ("printf x | dd of=A.ejson.gz bs=1 seek=200 conv=notrunc status=none", "its SHA-256 is another one"),
        (f"zcat A.ejson.gz | sed s/kept-1/kept-x/ | {PACK}", "documents of highscore are others"),
        (f"zcat A.ejson.gz | sed /kept-1/d | {PACK}", "highscore has "),
    ],
    ids=["truncated", "truncated with a new checksum", "altered", "altered with a new checksum", "a document less"],
)
def test_a_damaged_archive_is_refused_and_the_database_stays_as_it_is(
    program: Program, shell: Shell, archive: str, damage: str, reason: str
) -> None:
    bad = "pacman-20200101T000000Z-abcdef"
    assert program.game.save("newer", 7)
    before, archives = content(program), shell.files()
    for ending in (".ejson.gz", ".ejson.gz.sha256"):
        shell(f"cp /backup/{archive}{ending} /backup/{bad}{ending}")
    shell(f"sed -i s/{archive}/{bad}/ /backup/{bad}.ejson.gz.sha256; cd /backup; {damage.replace('A.', f'{bad}.')}")
    done = tool(program, "restore", bad)
    shell(f"rm /backup/{bad}*")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: archive {bad} is damaged: {reason}")
    assert content(program) == before
    assert shell.files() == archives, "nothing was backed up, since nothing was to be replaced"
    assert "pacman_restore" not in databases(program)


def test_an_archive_that_does_not_exist_is_refused_with_those_that_do(program: Program, archive: str) -> None:
    done = tool(program, "restore", "pacman-monday")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: there is no archive pacman-monday; the volume has ")
    assert archive in line


def test_two_backups_at_once_are_both_complete_and_verified(program: Program, shell: Shell) -> None:
    with ThreadPoolExecutor() as pool:
        archives = set(pool.map(lambda _: back_up(program), range(2)))
    assert len(archives) == 2
    for archive in archives:
        shell(f"cd /backup; sha256sum --check --quiet {archive}.ejson.gz.sha256; test -s {archive}.verified")
    assert "pacman_backup_check" not in databases(program)


def test_a_backup_under_writes_is_of_one_moment(program: Program) -> None:
    """Each number is written to one collection and then to the other: at no moment are they apart by more than one."""
    writer = """
    let n = 0;
    for (; !db.stop.findOne(); n++) {
      db.first.insertOne({_id: n, padding: "x".repeat(2000)}, {writeConcern: {w: "majority"}});
      db.second.insertOne({_id: n, padding: "x".repeat(2000)}, {writeConcern: {w: "majority"}});
    }
    print(n);"""
    count = (
        "print(JSON.stringify([db.first, db.second].map((c) => c.find().sort({_id: 1}).toArray().map((d) => d._id))))"
    )
    with ThreadPoolExecutor() as pool:
        written = pool.submit(program.mongosh, writer, as_root=True)
        eventually("something is written", lambda: program.mongosh("print(db.second.countDocuments())", as_root=True))
        archive = back_up(program)
        program.mongosh("print(db.stop.insertOne({}).acknowledged)", as_root=True)
        total = int(written.result())
    restore(program, archive)
    first, second = program.mongosh(count, as_root=True)
    drop(program, "first", "second", "stop")
    assert first == list(range(len(first)))
    assert second == list(range(len(second)))
    assert len(first) - len(second) in (0, 1)
    assert 0 < len(first) < total, "writes came before and after that moment"


def test_a_restore_that_is_killed_runs_again_and_converges(program: Program) -> None:
    thousand = "[...Array(1000).keys()].map((i) => ({_id: n + i}))"
    program.mongosh(f"for (let n = 0; n < 90000; n += 1000) db.many.insertMany({thousand}); print(1)", as_root=True)
    archive, before = back_up(program), content(program)
    printed: list[str] = []
    thread = threading.Thread(target=lambda: printed.append(restore(program, archive)))
    thread.start()
    pod = until("the live database was backed up", lambda: restoring_pod(program, "backed up what"))
    program.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    thread.join()
    of_job = f"--selector=job-name={pod.rpartition('-')[0]}"
    (second,) = program.kubectl("get", "pods", of_job, "--output=jsonpath={.items[*].metadata.name}").split()
    assert second != pod
    assert printed, "the Job started another pod, which ended the work"
    assert content(program) == before
    assert "pacman_restore" not in databases(program)
    drop(program, "many")


def test_a_full_volume_is_reported_and_the_older_backup_stays(program: Program) -> None:
    """On a volume of 1 MiB in a pod of its own: the first container takes a backup, the second one fills the rest."""
    job = json.loads(
        program.kubectl("create", "job", "full", "--from=cronjob/mongo-backup", "--dry-run=client", "--output=json")
    )
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for volume in pod["volumes"]:
        if volume["name"] == "backups":
            del volume["persistentVolumeClaim"]
            volume["emptyDir"] = {"medium": "Memory", "sizeLimit": "1Mi"}
    script = " ".join(container["command"])
    # Each line says what it is: the log mixes the two streams of the script in any order.
    listed = "for file in $(ls -A); do echo left: $file; done"
    after = f"{script} || code=$?; cd /backup; {listed}; sha256sum --check --quiet *.sha256; exit $code"
    pod["initContainers"] = [
        container | {"name": "older"},
        container | {"name": "filler", "command": ["bash", "-c", "cat /dev/zero > /backup/filler; true"]},
    ]
    container["command"] = ["bash", "-c", after]
    program.kubectl("create", "--filename=-", stdin=json.dumps(job))
    program.kubectl("wait", "--for=condition=Failed", "job/full", "--timeout=90s")
    log = program.kubectl("logs", "job/full", "--container=backup")
    program.kubectl("delete", "job", "full", "--wait=false")
    assert "error: the backup volume, claim mongo-backup, is full (0 MB free)" in log
    left = [line.removeprefix("left: ") for line in log.splitlines() if line.startswith("left: ")]
    (archive,) = (file for file in left if file.endswith(".ejson.gz"))
    assert set(left) == {"filler", archive, f"{archive}.sha256", archive.replace(".ejson.gz", ".verified")}


def test_the_newest_backups_are_kept_and_so_are_as_many_of_replaced_data(shell: Shell) -> None:
    files = [f"pacman-2026010{day}T031700Z-00000{day}" for day in range(1, 9)]
    replaced = [f"pacman-2026010{day}T120000Z-00000{day}-before-restore" for day in range(1, 5)]
    # As a restore makes them that was killed and ran again, four times.
    again = [f"pacman-20260108T12000{run}Z-00000{run}-before-restore" for run in range(4)]
    # The seventh was not verified, so it does not push out a good one.
    verified = [name for name in files if name != files[6]]
    made = "; ".join(
        [f"touch {name}.ejson.gz {name}.ejson.gz.sha256" for name in files + replaced + again]
        + [f"echo '{{}}' > {name}.verified" for name in verified]
        + ["touch keep.txt pacman-20260101T031700Z-000001.txt"]
    )
    prune = "const a = require('/scripts/archive.js'); print(JSON.stringify(a.prune('/tmp/kept', 'pacman', 3)))"
    deleted = json.loads(
        shell(f'mkdir /tmp/kept; cd /tmp/kept; {made}; mongosh --quiet --norc --nodb --eval "{prune}"')
    )
    assert set(deleted) == {*files[:4], *replaced}
    there = set(shell("ls /tmp/kept").split())
    assert {each.removesuffix(".ejson.gz") for each in there if each.endswith(".gz")} == {*files[4:], *again}
    assert {"keep.txt", "pacman-20260101T031700Z-000001.txt"} <= there


def test_an_archive_is_found_whatever_the_name_of_its_database(shell: Shell) -> None:
    name = "my-shop-20260101T031700Z-000001"
    script = "const a = require('/scripts/archive.js'); print(a.find('/tmp/shop', 'my-shop', 'latest'))"
    made = f"mkdir /tmp/shop; cd /tmp/shop; touch {name}.ejson.gz {name}.ejson.gz.sha256; echo '{{}}' > {name}.verified"
    # `my` is another database, whose archives are none of these.
    other = "const a = require('/scripts/archive.js'); print(a.list('/tmp/shop', 'my').length)"
    found = shell(f'{made}; for each in "{script}" "{other}"; do mongosh --quiet --norc --nodb --eval "$each"; done')
    assert found.split() == [name, "0"]


def test_what_a_killed_backup_left_is_removed_once_no_backup_can_be_writing_it(program: Program, shell: Shell) -> None:
    old, new = (f"pacman-2020010{day}T000000Z-abcdef.ejson.gz" for day in (1, 2))
    shell(f"cd /backup; touch {new}.writing; touch --date='2 hours ago' {old}.writing {old}.sha256")
    back_up(program)
    assert {each for each in shell.files() if each.startswith(("pacman-20200101", "pacman-20200102"))} == {
        f"{new}.writing"
    }
    shell(f"rm /backup/{new}.writing")


def test_a_database_that_lost_its_scores_is_not_backed_up_even_if_somebody_plays(
    program: Program, shell: Shell
) -> None:
    for number in range(3):
        assert program.game.save(f"before-the-loss-{number}", 1)
    archive = back_up(program)
    archives = shell.files()
    program.mongosh("print(JSON.stringify(db.dropDatabase().ok))", as_root=True)
    assert program.game.save("first-after-the-loss", 1)
    done = tool(program)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(rf"error: pacman\.highscore holds 1 documents, and archive {archive} holds \d+ of it: ", line)
    assert shell.files() == archives
    restore(program, archive)
    program.mongosh("print(db.dropped.insertOne({}).acknowledged)", as_root=True)
    back_up(program)
    program.mongosh("print(db.dropped.drop())", as_root=True)
    assert tool(program).returncode == 1
    back_up(program, "--emptied=yes")
    back_up(program)


def test_a_restore_that_was_killed_between_two_collections_is_not_backed_up_and_goes_on_with_its_archive(
    program: Program, shell: Shell
) -> None:
    """Its Job is deleted, so that no other pod goes on with it."""
    program.mongosh("for (let n = 100; n < 160; n++) db[`many${n}`].insertOne({_id: n}); print(1)", as_root=True)
    archive, before = back_up(program), content(program)
    back_up(program)
    assert program.game.save("replaced", 2)
    thread = threading.Thread(target=lambda: tool(program, "restore", archive))
    thread.start()
    pod = until("a collection is replaced", lambda: restoring_pod(program, "replaced "))
    program.kubectl("delete", "job", pod.rpartition("-")[0], "--wait=false")
    program.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    thread.join()

    mark = json.loads(shell("cat /backup/pacman.restoring.json"))
    assert mark["archive"] == archive
    refused = tool(program)
    assert refused.returncode == 1
    assert f"the restore of {archive} was interrupted while it replaced collections" in refused.stderr
    files = shell.files()
    printed = restore(program, "latest")
    assert f"{archive}: restored" in printed
    assert f"make restore FROM={mark['before']}" in printed, "the way back is the one of its beginning"
    assert content(program) == before
    assert files - shell.files() == {"pacman.restoring.json"}
    new = shell.files() - files - {"pacman.restored.json"}
    assert new, "what the database held meanwhile"
    assert all("-before-restore" in each for each in new)
    drop(program, *(f"many{n}" for n in range(100, 160)))


def test_a_backup_during_which_a_restore_ends_reads_again_from_the_start(program: Program, shell: Shell) -> None:
    """The file that a restore leaves is written here, as soon as the backup has begun its own."""
    fill = "db.many.insertMany([...Array(50000).keys()].map((i) => ({_id: i, name: `player-${i}`})))"
    program.mongosh(f"{fill}; print(1)", as_root=True)
    wait = "until compgen -G '/backup/*.writing' >/dev/null || [ $SECONDS -gt 60 ]; do :; done"
    with ThreadPoolExecutor() as pool:
        restoring = pool.submit(shell, f"{wait}; echo '{{}}' >/backup/pacman.restored.json")
        done = tool(program)
        restoring.result()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reading again from the start: a restore replaced collections meanwhile" in done.stdout
    drop(program, "many")


def test_a_database_of_some_megabytes_is_backed_up_and_restored(program: Program) -> None:
    """`BACKUP_MEGABYTES=1000 … -s` gives the numbers of docs/backup.md. The documents are like those of the game."""
    megabytes = int(os.environ.get("BACKUP_MEGABYTES", "1"))
    score = """{name: `player-${i % 5000}`, cloud: "unknown", zone: "eu-west-1", host: "minikube", score: i % 90000,
      level: i % 10, lives: "3", et: "12345", txncount: "1", date: new Date(1.7e12 + i),
      referer: "http://192.168.49.2/", user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
      hostname: "192.168.49.2", ip_addr: "10.244.0.7"}"""
    insert = f"""
    const end = Date.now() + 60000, size = () => db.stats().dataSize / 1e6;
    for (let n = 0; Date.now() < end && size() < {megabytes}; n++) {{
      db.highscore.insertMany([...Array(2000).keys()].map((k) => n * 2000 + k).map((i) => ({score})));
    }}
    print(size());"""
    eventually("the data is there", lambda: program.mongosh(insert, as_root=True) >= megabytes, 1800)
    before = program.mongosh("print(db.highscore.countDocuments())")
    archive = back_up(program)
    program.mongosh("print(JSON.stringify(db.dropDatabase().ok))", as_root=True)
    print(restore(program, archive))
    assert program.mongosh("print(db.highscore.countDocuments())") == before
