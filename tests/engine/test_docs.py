"""The commands of README.md and docs/, typed as they stand there, on a clone of the checkout with a stack of its own.

They are one story: each test starts where the one before it ended. Each test says what it puts in for a reader's own
names, such as a context, a class or a host. tests/e2e shows that the lesson's commands also work on the stack of
`make up`. NOT_HERE has the commands that cannot run here, with the reason.
"""

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest
import trustme

from tests.harness import docs
from tests.harness.kubectl import Kubectl
from tests.harness.program import CONTEXT, NODE, clone_checkout
from tests.harness.waiting import eventually
from tools.engine import Engine
from tools.game import Game
from tools.own_stack import VOLUME_CLASS, delete_what_is_left
from tools.recorder import ROOT, stack_config

README, SANDBOX = docs.README, ROOT / "sandbox/README.md"
LESSON, CONFIGURATION, CLOUDS, TEAM, OPERATIONS, BACKUP, TROUBLESHOOTING = (
    ROOT / f"docs/{page}.md"
    for page in ("lesson", "configuration", "clouds", "team", "operations", "backup", "troubleshooting")
)
# Page, section, and number of the block in it.
Block = tuple[Path, str, int]

NOT_HERE: dict[Block, str] = {
    (README, "Start the sandbox", 0): "it is what runs this test; a clean clone shows it",
    (README, "minikube", 0): "there is no minikube, and no official image",
    (LESSON, "If the URL does not open", 0): "minikube has the tunnel; the other line is in the lesson, too",
    (CLOUDS, "Create the stack", 0): "from `stack init` on: there is no cloud; what comes before is run",
    (BACKUP, "Snapshots of the volumes", 0): "there is no CSI driver; test_snapshots.py runs such Jobs",
    (
        BACKUP,
        "Snapshots of the volumes",
        1,
    ): "the same; tests/long/test_snapshot_restore.py types it, with copies of a volume",
    (BACKUP, "How long, how large, how much is lost", 0): "it measures for half an hour",
    (SANDBOX, "Parts", 0): "it writes a lock file of the sandbox anew",
    (SANDBOX, "Plugins", 0): "it runs all tests, and this one with them",
    (SANDBOX, "What is left on the machine", 0): "it removes the sandbox on which this test runs",
}


def blocks(page: Path, title: str) -> list[list[str]]:
    """The shell blocks of a section, each a list of its commands, without comments."""
    found = docs.blocks(docs.section(page, title), "sh")
    return [[re.sub(r"  +# .*", "", line).strip() for line in block.splitlines()] for block in found]


_RUN: set[Block] = set()


def runs(page: Path, section: str, *numbers: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Says which blocks a test runs."""
    _RUN.update((page, section, number) for number in numbers)
    return lambda test: test


class Reader(Engine):
    """Somebody who has cloned the checkout and types what the pages say. Their stack is `team`."""

    def __init__(self) -> None:
        # For the question that a person answers with "yes".
        super().__init__(ROOT, stack="team", env={"PULUMI_SKIP_CONFIRMATIONS": "true"})
        self.namespace = f"docs-{secrets.token_hex(4)}"
        self.host = f"{self.namespace}.example"
        self.kubectl = Kubectl("sandbox", self.namespace)
        self.game = Game(NODE, self.host)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            delete_what_is_left(CONTEXT, self.namespace)

    def _write_project(self) -> None:
        clone_checkout(self.folder)

    def _has_something(self) -> bool:
        state = self.run("stack", "export", "--stack", "team", check=False)
        return bool(state and json.loads(state)["deployment"].get("resources"))

    def type(self, line: str, replaced: Mapping[str, str] | None = None, *, may_fail: bool = False) -> str:
        """Types a line in the clone."""
        return _type(_with(replaced, line), self.folder, self.env, may_fail=may_fail)

    def type_all(self, lines: Sequence[str], replaced: Mapping[str, str] | None = None) -> str:
        """Runs several lines; gives back what the last one prints."""
        return [self.type(line, replaced) for line in lines][-1]

    @contextmanager
    def typing(self, line: str, replaced: Mapping[str, str]) -> Iterator[None]:
        """Runs a line that goes on until Ctrl-C."""
        command = shlex.split(_with(replaced, line))
        with subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.send_signal(signal.SIGINT)

    def curl_of_the_hint(self) -> str:
        """The command that access_hint has."""
        (curl,) = re.findall(r"curl .*", self.type("pulumi stack output access_hint"))
        return str(curl)

    def replicas(self) -> int:
        """How many pods the Deployment wants."""
        return int(self.kubectl.live("deployment", "pacman")["spec"]["replicas"])


def _type(line: str, folder: Path, env: Mapping[str, str], *, may_fail: bool = False) -> str:
    """Runs a line in a shell; gives back what it prints."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert may_fail or done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"
    return done.stdout


def _with(replaced: Mapping[str, str] | None, line: str) -> str:
    """A line with some words replaced, where they come up."""
    for old, new in (replaced or {}).items():
        line = line.replace(old, new)
    # The Python packages are those of the checkout, and not installed again.
    return re.sub(r"^make ", "make -o .venv/ready -o .venv/dev-ready ", line)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """The reader of all tests here, with no stack yet."""
    with Reader() as someone:
        someone.run("stack", "rm", "team", "--yes")
        yield someone


def test_every_block_of_the_docs_is_run_or_has_a_reason_why_not() -> None:
    there = {
        (page, title, number)
        for page in docs.PAGES
        for title in docs.sections(page)
        for number in range(len(blocks(page, title)))
    }
    assert there == _RUN | NOT_HERE.keys()
    assert not _RUN & NOT_HERE.keys()


def test_a_copied_example_declares_what_the_example_does(reader: Reader) -> None:
    ((copy, golden, *_),) = blocks(CLOUDS, "Create the stack")
    reader.type(copy)
    reader.type(golden)
    made, example = ((reader.folder / f"tests/golden/{stack}.yaml").read_text() for stack in ("prod", "eks"))
    assert made.replace("pacman/stack: pacman/prod", "pacman/stack: pacman/eks") == example
    reader.type("rm Pulumi.prod.yaml && git clean -fdq tests/golden")


@runs(TEAM, "The same by hand", 0)
def test_a_review_by_hand_previews_and_comments(tmp_path: Path) -> None:
    """In the checkout itself, whose node runs, and its stack: none of it changes anything."""
    ((render, preview, one, comment),) = blocks(TEAM, "The same by hand")
    assert _type(render, ROOT, os.environ) == (ROOT / "tests/golden/eks.yaml").read_text()
    _type(preview, ROOT, os.environ)
    here = {"/tmp/preview.json": str(tmp_path / "preview.json"), "--base main": "--base HEAD"}  # noqa: S108 - the page's
    assert "| ok |" in _type(_with(here, one), ROOT, os.environ)
    assert "| `sandbox` |" in _type(_with(here, comment), ROOT, os.environ)


@runs(CLOUDS, "Any other cluster", 0)
def test_a_generic_stack_serves_the_game(reader: Reader) -> None:
    ((init, *config, up),) = blocks(CLOUDS, "Any other cluster")
    reader.type(init)
    reader.type_all(config, {"my-context": "sandbox", "my-class": VOLUME_CLASS, "pacman.example": reader.host})
    # The namespace of the lesson has the stack of `make up`, and the official images are not to be had.
    images = {key: stack_config("sandbox")[f"pacman:{key}"] for key in ("mongoImage", "pacmanImage")}
    for key, value in (images | {"namespace": reader.namespace}).items():
        reader.type(f"pulumi config set {key} {value}")
    reader.type(up)
    curl = reader.curl_of_the_hint()
    eventually("the game is served", lambda: "Pac" in reader.type(curl))


@runs(BACKUP, "With plain kubectl", 0, 1, 2)
@runs(BACKUP, "Copy archives off the cluster", 0)
def test_a_backup_is_taken_restored_and_copied_as_the_page_says(reader: Reader) -> None:
    here = {"-n pacman": f"-n {reader.namespace}"}
    backup, restore, (another,) = blocks(BACKUP, "With plain kubectl")
    (copy,) = blocks(BACKUP, "Copy archives off the cluster")
    assert reader.game.save("backed-up", 1)
    archive = json.loads(reader.type_all(backup, here).splitlines()[-1])["archive"]
    assert reader.game.save("too-late", 20_000)
    assert json.loads(reader.type_all(restore, here).splitlines()[-1])["archive"] == archive
    eventually("the score after the backup is gone", lambda: not reader.game.listed("too-late"))
    reader.type(another, here | {"ARCHIVE": archive})
    reader.kubectl("wait", "job/restore-one", "--for=condition=Complete", "--timeout=110s")
    reader.type_all(copy, here)
    unpack = "mkdir copy && tar x -C copy -f backups.tar && cd copy"
    checked = reader.type(f"{unpack} && sha256sum --check {archive}.ejson.gz.sha256 && zcat {archive}.ejson.gz")
    assert "backed-up" in checked
    assert "too-late" not in checked
    reader.type("rm -r copy backups.tar")
    for line, printed in (
        ("make backup", ", verified, "),
        ("make backups", f" {archive}, "),
        ("make restore FROM=latest", ": restored "),
    ):
        assert f"`{line}`" in BACKUP.read_text()
        assert printed in reader.type(f"{line} STACK=team")


@runs(TROUBLESHOOTING, "The state is lost", 0, 1)
def test_a_stack_without_its_state_is_created_again_with_its_scores(reader: Reader) -> None:
    here = {"-n pacman": f"-n {reader.namespace}", "namespace pacman": f"namespace {reader.namespace}"}
    here |= {"pacman:pacman-node-reader": f"{reader.namespace}:pacman-node-reader"}
    last, again = blocks(TROUBLESHOOTING, "The state is lost")
    (copy,) = blocks(BACKUP, "Copy archives off the cluster")
    reader.run("stack", "rm", "team", "--yes", "--force", "--preserve-config")
    reader.type("pulumi stack init team")
    refused = reader.preview()
    assert "a stack pacman/team that has another state" in refused.errors()
    reader.type_all(last, here)
    reader.type_all(copy, here)
    reader.type_all(again, here)
    (back,) = re.findall(r"`(kubectl exec -i .*tar x.*)`", docs.section(BACKUP, "Copy archives off the cluster"))
    reader.type_all([*copy[:2], back, copy[-1]], here)
    reader.type("make restore FROM=latest STACK=team")
    eventually("the score is back", lambda: reader.game.listed("backed-up"))


@runs(CONFIGURATION, "Set a key", 0, 1)
def test_config_keys_are_set_and_removed_as_the_page_says(reader: Reader) -> None:
    config, (remove,) = blocks(CONFIGURATION, "Set a key")
    (reader.folder / "config.json").write_text('{"auths": {"registry.example": {"auth": "bWU6c2VjcmV0"}}}')
    reader.type_all(config)
    reader.type("pulumi preview")
    file = reader.folder / "Pulumi.team.yaml"
    written = file.read_text()
    assert "disk: ssd" in written
    assert "bWU6c2VjcmV0" not in written
    reader.type(remove)
    assert "pacmanReplicas" not in file.read_text()
    for key in ("demoteStorageClasses", "nodeSelector", "imagePullConfig"):
        reader.type(f"pulumi config rm {key}")


@runs(LESSON, "Step by step", *range(8))
def test_every_step_of_the_lesson_holds(reader: Reader) -> None:
    classes, things, (forward,), (save, listing), delete, scale, keep, ingress = blocks(LESSON, "Step by step")
    here = {"-n pacman": f"-n {reader.namespace}"}
    by_name = {f"http://{NODE}/": f"-H 'Host: {reader.host}' http://{NODE}/"}
    assert f"{VOLUME_CLASS} (default)" in reader.type_all(classes)
    assert "data-mongo-0" in reader.type_all(things, here)
    with reader.typing(forward, here):
        assert '"rs":"success"' in reader.type(save, by_name)
        without_ingress = Game("127.0.0.1:9090", reader.host)
        eventually("the port-forward serves", lambda: without_ingress.listed("me"))
    assert '"name":"me"' in reader.type(listing, by_name)
    reader.type_all(delete, here)
    eventually("the score is back", lambda: reader.game.listed("me"), 60)
    reader.type_all(scale, here)
    assert reader.replicas() == 10
    reader.type("pulumi up --refresh")
    assert reader.replicas() == 1
    reader.type_all(keep)
    assert reader.replicas() == 10
    assert reader.type_all(ingress, here).strip() == f"http://{reader.host}/"


@runs(CLOUDS, "HTTPS", 0)
def test_a_certificate_of_ones_own_is_served(reader: Reader) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert(reader.host)
    issued.private_key_pem.write_to_path(reader.folder / "tls.key")
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(reader.folder / "tls.crt", append=number > 0)
    authority.cert_pem.write_to_path(reader.folder / "ca.crt")
    (lines,) = blocks(CLOUDS, "HTTPS")
    reader.type_all(lines, {"-n pacman": f"-n {reader.namespace}", "pacman.example": reader.host})
    curl = reader.curl_of_the_hint()
    assert f"https://{reader.host}/" in curl
    # Nobody else knows this authority.
    curl = f"CURL_CA_BUNDLE=ca.crt {curl}"
    eventually("the certificate is served", lambda: "Pac" in reader.type(curl, may_fail=True))
    assert reader.game.request("GET", "/")[0] == 308


@runs(OPERATIONS, "Passwords", 0, 1)
def test_a_running_stack_is_previewed_refreshed_and_asked_for_its_passwords(reader: Reader) -> None:
    for command in ("pulumi preview", "pulumi preview --refresh", "pulumi up --refresh", "pulumi refresh"):
        assert f"`{command}`" in OPERATIONS.read_text()
        reader.type(command)
    here = {"-n pacman": f"-n {reader.namespace}"}
    (uri, password), (shell,) = blocks(OPERATIONS, "Passwords")
    assert reader.type(uri).startswith("mongodb://")
    assert len(reader.type(password, here)) >= 16
    # What one types into the shell, without a terminal.
    asked = f"echo 'db.adminCommand({{usersInfo: {{forAllDBs: true}}}}).users.map((each) => each.user)' | {shell}"
    assert "'root'" in reader.type(asked, here | {"-it": "-i"})


def test_destroy_leaves_the_config_and_no_namespace(reader: Reader) -> None:
    for command in ("pulumi destroy", "pulumi stack rm --preserve-config"):
        assert f"`{command}`" in OPERATIONS.read_text()
        reader.type(command)
    assert reader.kubectl("get", "namespace", reader.namespace, "--ignore-not-found") == ""
    assert (reader.folder / "Pulumi.team.yaml").exists()
