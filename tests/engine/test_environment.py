"""The whole environment, from its first `up`: what a player has, what the cluster is asked to keep, what heals."""

import base64
import json
import re
import secrets
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.engine.conftest import FirstUp
from tests.harness.kubectl import is_another
from tests.harness.program import NODE, Program
from tests.harness.waiting import eventually
from tools.game import Game

# What a list of the ten best shows for sure, as long as no test posts better ones.
_BEST = 20_000


def test_up_returns_when_a_score_can_be_saved(first_up: FirstUp) -> None:
    """Not a moment later: the fixture posts the score as soon as the command has ended, and asks for the list once."""
    assert first_up.saved
    assert first_up.listed


def test_nothing_changes_without_a_change_also_after_a_refresh(program: Program) -> None:
    program.use()
    program.up().ok()
    again = program.up("--expect-no-changes").ok()
    assert set(again.changes) == {"same"}
    program.refresh().ok()
    program.preview("--expect-no-changes").ok()


def test_the_outputs_say_where_the_game_is(program: Program) -> None:
    outputs = program.outputs()
    assert outputs["target"] == "minikube"
    assert outputs["namespace"] == program.namespace
    assert outputs["storage_class"] == "csi-hostpath-sc"
    assert (outputs["ingress_ip"], outputs["ingress_hostname"]) == (NODE, "")
    assert outputs["url"] == f"http://{program.host}/"
    status, page = program.game.request("GET", "/")
    assert (status, b"<canvas" in page) == (200, True)


def test_only_the_own_host_name_leads_to_this_stack(program: Program) -> None:
    name = f"ours-{secrets.token_hex(4)}"
    assert program.game.save(name, _BEST)
    assert program.game.listed(name)
    assert not Game(NODE, f"other-{program.host}").listed(name)


def test_the_connection_string_is_shown_only_to_who_asks_for_secrets(program: Program) -> None:
    shown = program.run("stack", "output", "--json", "--stack", "test")
    assert json.loads(shown)["mongo_uri"] == "[secret]"
    uri = str(program.outputs()["mongo_uri"])
    user = program.secret("mongo-app")
    hosts = f"mongo-0.mongo.{program.namespace}.svc:27017"
    assert uri == f"mongodb://{user['username']}:{user['password']}@{hosts}/pacman?replicaSet=rs0"
    assert uri not in shown


@contextmanager
def running(command: str) -> Iterator[None]:
    """A command in the background, ended at the end."""
    process = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def test_the_way_around_the_ingress_works_as_the_hint_gives_it(program: Program) -> None:
    """Only the local port is another one, because somebody may be playing on that of the hint."""
    found = re.search(r"kubectl .* port-forward service/pacman 9090:80", str(program.outputs()["access_hint"]))
    assert found
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=3) as answer:
                return b"<canvas" in answer.read()
        except OSError:
            return False

    with running(found[0].replace("9090:80", f"{port}:80")):
        eventually("the forwarded port answers", answers)


def plain_secrets(program: Program) -> set[str]:
    """Every password and key that the stack made."""
    root, app, backup = (program.secret(f"mongo-{role}") for role in ("root", "app", "backup"))
    found = {root["password"], root["keyfile"], app["password"], backup["password"]}
    assert {len(each) for each in found} == {32, 512}
    assert len(found) == 4
    return found


def encoded(value: str) -> str:
    """A value as a Secret has it."""
    return base64.b64encode(value.encode()).decode()


def hold(text: str, values: set[str]) -> list[str]:
    """Which of some values a text has, by their first characters; a failure must not print them in full."""
    return [value[:3] + "…" for value in values if value in text]


def test_no_secret_lies_in_the_state_in_plain(program: Program, first_up: FirstUp) -> None:
    values = plain_secrets(program)
    assert hold(json.dumps(program.state()), values) == []
    assert hold(first_up.result.printed, values) == []
    files = [file for file in program.backend.rglob("*") if file.is_file()]
    assert len(files) > 2, "the state, its backup and its history"
    for file in files:
        assert hold(file.read_text(), values) == [], file


def test_no_secret_is_shown_by_a_preview_or_a_refresh_or_lies_in_the_state_after_it(program: Program) -> None:
    values = plain_secrets(program)
    with program.using(pacmanReplicas=2, pacmanLocation=False):
        shown = program.preview("--refresh", "--diff").ok()
        assert shown.changes["update"] > 0
    refreshed = program.refresh("--diff").ok()
    assert hold(shown.printed + refreshed.printed, values | {encoded(each) for each in values}) == []
    assert hold(json.dumps(program.state()), values | {encoded(each) for each in values}) == []


def test_no_secret_lies_in_the_cluster_but_in_secrets(program: Program) -> None:
    kinds = program.kubectl("api-resources", "--verbs=list", "--namespaced", "--output=name").split()
    kinds = [kind for kind in kinds if kind != "secrets"]
    everything = program.kubectl("get", ",".join(kinds), "--output", "json")
    assert "StatefulSet" in everything
    assert "Event" in everything
    assert hold(everything, plain_secrets(program)) == []


def test_no_secret_is_told_to_whoever_lists_processes(program: Program) -> None:
    """The node's processes are this machine's: what `ps` shows while the Jobs run, and `make status`."""
    (init, *_) = program.init_jobs()
    template = json.loads(program.kubectl("get", init, "--output=json"))["spec"]["template"]
    # What Kubernetes added belongs to the first Job.
    del template["metadata"]["labels"]
    again = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "init-again"},
        "spec": {"template": template},
    }
    jobs = ("job/init-again", "job/back-up", "job/restore")
    with command_lines() as seen:
        program.kubectl("create", "--filename=-", stdin=json.dumps(again))
        program.kubectl("create", "job", "back-up", "--from=cronjob/mongo-backup")
        program.kubectl("wait", "--for=condition=Complete", *jobs[:2], "--timeout=110s")
        program.kubectl("create", "job", "restore", "--from=cronjob/mongo-restore")
        program.kubectl("wait", "--for=condition=Complete", *jobs[2:], "--timeout=110s")
        status = [sys.executable, "-m", "tools.status"]
        subprocess.run(
            status, cwd=program.folder, env=program.env | {"PULUMI_STACK": "test"}, check=False, capture_output=True
        )
    program.kubectl("delete", *jobs)
    for run in (b"--keyFile=", b"/script/init.js", b"/scripts/backup.js", b"/scripts/restore.js", b"tools.status"):
        assert any(run in each for each in seen), run
    assert sum(b"mongosh" in each for each in seen) > 3, "that of `make status` too"
    assert hold(b"\n".join(seen).decode(errors="replace"), plain_secrets(program)) == []


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """What the processes of this machine were started with, twenty times a second."""
    seen: set[bytes] = set()
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.05):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                    seen.add(process.read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


def test_neither_the_database_nor_its_jobs_log_a_secret(program: Program) -> None:
    for target in ("statefulset/mongo", *program.init_jobs()):
        logs = program.kubectl("logs", target, "--all-containers", "--tail=-1")
        assert logs, target
        assert hold(logs, plain_secrets(program)) == [], target


def test_the_game_logs_no_secret_at_its_most_talkative_level_and_nothing_by_default(program: Program) -> None:
    def logged() -> str:
        assert program.game.save("logged", 1)
        return program.kubectl("logs", "deployment/pacman", "--tail=-1")

    assert logged() == ""
    with program.using(pacmanLogLevel="debug"):
        program.up().ok()
        # An old pod may serve, and be asked for its log, until it has ended.
        eventually("the new pod logs a request", lambda: "/highscores" in logged(), 60)
        logs = logged()
    program.up().ok()
    assert hold(logs, plain_secrets(program)) == []


def test_a_deployment_that_was_deleted_comes_back(program: Program) -> None:
    program.use()
    program.kubectl("delete", "deployment", "pacman")
    back = program.up("--refresh").ok()
    assert back.changes["create"] == 1
    assert program.ready_pods("pacman") == 1
    assert program.game.save(f"back-{secrets.token_hex(4)}", 1)


def test_more_pods_are_one_update(program: Program) -> None:
    program.use()
    program.up().ok()
    program.use(pacmanReplicas=3)
    scaled = program.up().ok()
    assert {op: count for op, count in scaled.changes.items() if op != "same"} == {"update": 1}
    assert program.ready_pods("pacman") == 3


def test_a_score_outlives_the_pod_of_the_database(program: Program) -> None:
    """The lesson's high point, as one player sees it; test_rolling_update.py has the same with many."""
    name = f"kept-{secrets.token_hex(4)}"
    assert program.game.save(name, _BEST)
    uid = program.kubectl.live("pod", "mongo-0")["metadata"]["uid"]
    began = time.monotonic()
    program.kubectl("delete", "pod", "mongo-0", "--wait=false")
    eventually("another pod", lambda: is_another(program.kubectl.get("pod", "mongo-0"), uid))
    eventually("the score is listed again", lambda: program.game.listed(name), 30 - (time.monotonic() - began))
    assert name in program.scores()
    assert program.game.save(f"{name}-after", 1)


def test_another_run_of_the_init_job_keeps_all_as_it_is(program: Program) -> None:
    ask = """const config = db.getSiblingDB('admin').runCommand({replSetGetConfig: 1}).config;
    const users = db.getSiblingDB('admin').system.users.find({}, {_id: 1}).sort({_id: 1}).toArray();
    print(JSON.stringify({id: config.settings.replicaSetId, members: config.members.map(m => m.host), users}))"""
    program.use()
    name = f"kept-{secrets.token_hex(4)}"
    assert program.game.save(name, 1)
    before = program.mongosh(ask, as_root=True)
    assert [user["_id"] for user in before["users"]] == ["admin.backup", "admin.root", "pacman.pacman"]
    (job,) = program.init_jobs()
    program.kubectl("delete", job)
    again = program.up("--refresh").ok()
    assert "create" in again.ops("mongo-init")
    assert "is ready with 1 member(s)" in program.kubectl("logs", job)
    assert program.mongosh(ask, as_root=True) == before
    assert name in program.scores()
    assert program.game.save(f"{name}-after", 1)


def test_the_namespace_refuses_what_is_not_confined(program: Program) -> None:
    pod: Mapping[str, object] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root"},
        "spec": {"containers": [{"name": "main", "image": "sandbox/busybox:1.35"}]},
    }
    command = ["kubectl", "--context", program.kubectl.context, "--namespace", program.namespace]
    create = [*command, "create", "--dry-run=server", "--filename", "-"]
    done = subprocess.run(create, input=json.dumps(pod), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted:v1.30"' in done.stderr


@pytest.mark.parametrize(
    ("pod", "user", "writable"),
    [("statefulset/mongo", "999", "/data/db"), ("deployment/pacman", "100", "")],
)
def test_a_process_is_nobody_and_cannot_change_its_image(program: Program, pod: str, user: str, writable: str) -> None:
    script = (
        f"id -u; for each in / /etc /usr /app {writable}; do touch $each/probe && rm $each/probe && echo $each; done"
    )
    said = program.kubectl("exec", pod, "--", "sh", "-c", f"({script}) 2>/dev/null; true").split()
    assert said == [user, *([writable] if writable else [])]


def test_the_games_user_reaches_the_games_database_only(program: Program) -> None:
    result = program.mongosh("""
    const attempt = (work) => { try { return work() ?? "nothing"; } catch (error) { return error.codeName; } };
    const connection = db.getMongo();
    print(JSON.stringify({
      own: attempt(() => db.highscore.countDocuments() >= 0),
      names: attempt(() => db.adminCommand({listDatabases: 1}).databases.map((each) => each.name)),
      users: attempt(() => connection.getDB("admin").getCollection("system.users").findOne()),
      oplog: attempt(() => connection.getDB("local").getCollection("oplog.rs").findOne()),
      config: attempt(() => connection.getDB("config").getCollection("system.sessions").findOne()),
      other: attempt(() => connection.getDB("other").things.insertOne({})),
      more: attempt(() => db.runCommand({createUser: "friend", pwd: "x", roles: ["root"]})),
      end: attempt(() => connection.getDB("admin").runCommand({shutdown: 1})),
    }));""")
    assert result == {"own": True, "names": ["pacman"]} | dict.fromkeys(
        ("users", "oplog", "config", "other", "more", "end"), "Unauthorized"
    )


def test_nobody_reads_without_a_password(program: Program) -> None:
    shell = ["mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin"]
    script = """const db = new Mongo("mongodb://127.0.0.1/?directConnection=true").getDB("pacman");
    try { print(db.highscore.findOne()) } catch (error) { print(error.codeName) }"""
    said = program.kubectl("exec", "-i", "mongo-0", "-c", "mongo", "--", *shell, stdin=script)
    assert said.strip() == "Unauthorized"


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_stack_does_not_move_to_another_namespace(program: Program, command: str) -> None:
    """To move would be to delete the namespace that it is in, with every score."""
    with program.using(namespace=f"{program.namespace}-moved"):
        refused = program.start(command, *(["--yes", "--skip-preview"] if command == "up" else [])).finish()
    assert refused.exit_code != 0
    told = f'pacman:namespace is "{program.namespace}-moved": must stay {program.namespace}: a stack cannot move'
    assert told in refused.errors()
    assert not [step for step in refused.steps if step.op in ("create", "delete", "replace")]
    assert program.kubectl.get("namespace", f"{program.namespace}-moved") is None


def test_a_certificate_that_is_not_there_is_told(program: Program) -> None:
    with program.using(ingressTlsSecret="nowhere"):
        told = program.preview().ok().warnings()
    assert f'pacman:ingressTlsSecret is "nowhere": no such Secret in namespace {program.namespace}' in told
