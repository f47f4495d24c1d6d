"""The pages for people, compared with what they describe: config keys, outputs, messages, files, commands, links.

Reading cannot prove that a command does what the text says: tests/engine/test_docs.py runs the commands.
"""

import re
from pathlib import Path

import pytest

from stack.targets import TARGETS
from tests.harness.docs import PAGES, README, blocks, name, section
from tools.docs import PAGE as CONFIGURATION
from tools.docs import with_tables
from tools.recorder import ROOT, SecretValue, record_program, stack_config

DOCS = ROOT / "docs"
ARCHITECTURE = DOCS / "architecture.md"
TROUBLESHOOTING = DOCS / "troubleshooting.md"
each_page = pytest.mark.parametrize("page", PAGES, ids=name)

# Every host that a page may name. A package comes from wherever the person's own tools are set to find it, and a
# reserved name (RFC 2606) is nobody's.
HOSTS = {"github.com", "kubernetes.io", "pacman.example", "127.0.0.1", "192.168.49.2", "vault.azure.net"}
# The prefix of labels, and an API group.
HOSTS |= {"app.kubernetes.io", "snapshot.storage.k8s.io"}


def rows(text: str) -> list[list[str]]:
    """The rows of the first table, without its head."""
    table = re.search(r"(^ *\|.*\|\n)+", text, flags=re.MULTILINE)
    assert table, "no table"
    _, rule, *lines = [[cell.strip() for cell in line.strip(" |").split("|")] for line in table[0].splitlines()]
    assert set("".join(rule)) == {"-"}
    return lines


def code(page: Path) -> str:
    """Everything that is code, in a line or in a block."""
    text = page.read_text()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks(text), *spans])


def test_the_readme_is_two_screens() -> None:
    assert len(README.read_text().splitlines()) <= 120


def test_the_readme_links_every_page_of_docs() -> None:
    pages = {name(page) for page in DOCS.glob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)#]+)", README.read_text())) == set()


def test_the_config_tables_are_those_of_pulumi_yaml() -> None:
    page = CONFIGURATION.read_text()
    assert page == with_tables(page), "run `make docs`"


def test_the_outputs_table_has_the_outputs_of_the_program() -> None:
    exports = record_program(stack_config("dev")).exports
    table = {output.strip("`"): meaning for output, meaning in rows(section(CONFIGURATION, "Outputs"))}
    assert table.keys() == exports.keys()
    secret = {output for output, value in exports.items() if isinstance(value, SecretValue)}
    assert {output for output, meaning in table.items() if "secret" in meaning.lower()} == secret


def test_the_table_of_targets_has_every_target_with_defaults() -> None:
    table = rows(section(README, "Targets"))
    assert [target.strip("`") for target, *_ in table] == [target for target in TARGETS if target != "generic"]


@pytest.mark.parametrize("stack", ["dev", "eks", "aks", "gke"])
def test_the_table_of_targets_says_what_its_stacks_declare(stack: str) -> None:
    run = record_program(stack_config(stack))
    (row,) = [each for each in rows(section(README, "Targets")) if each[0] == f"`{run.exports['target']}`"]
    _, volumes, members, controller, _, objects, pods, claims = row
    replicas = [run.one(kind).manifest["spec"]["replicas"] for kind in ("StatefulSet", "Deployment")]
    own = [r for r in run.kubernetes() if not r.kind.endswith(("Patch", "Release"))]
    assert volumes.split("`")[1] == run.exports["storage_class"]
    assert controller.split("`")[1] == run.one("Ingress").manifest["spec"]["ingressClassName"]
    assert controller.startswith("installed") == bool(run.of("Release"))
    assert int(members.split(",")[0]) == int(claims) == replicas[0]
    assert ("of its own" in members) == ("affinity" in run.one("StatefulSet").manifest["spec"]["template"]["spec"])
    declared = (len(own), sum(replicas))
    assert (int(objects), int(pods)) == declared, f"the table in README has to say of {stack}: {declared} objects, pods"


@pytest.mark.parametrize("room", ["components", "stack", "policy", "review", "tools"])
def test_the_tour_has_every_file_of_a_room_and_no_other(room: str) -> None:
    tour = set(re.findall(rf"^\| `({room}/[^`]+)`", section(ARCHITECTURE, "A tour, file by file"), re.MULTILINE))
    files = {
        name(file) for kind in ("*.py", "*.js", "*.sh") for file in (ROOT / room).rglob(kind) if file.stem != "__init__"
    }
    whole_folders = tuple(entry for entry in tour if entry.endswith("/"))
    named = {file for file in files if not file.startswith(whole_folders or "/")} | set(whole_folders)
    assert named == tour


def test_the_tour_has_every_folder_of_tests() -> None:
    tour = set(re.findall(r"^\| `(tests/[^`]+)`", section(ARCHITECTURE, "A tour, file by file"), re.MULTILINE))
    assert tour == {f"{name(file.parent)}/" for file in ROOT.glob("tests/*/__init__.py")}


def test_the_diagram_of_the_packages_has_the_arrows_of_the_list() -> None:
    text = section(ARCHITECTURE, "Packages")
    (diagram,) = blocks(text, "mermaid")
    # A node whose name is no word has it as a label.
    labels = dict(re.findall(r'(\w+)\["([^"]+)"\]', diagram))
    arrows = re.findall(r"(\w+)[^-\n]*--> (\w+)", diagram)
    drawn = {(labels.get(start, start), end) for start, end in arrows}
    listed = {
        (start, end)
        for start, ends in re.findall(r"^- `([^`]+)` → (.*)$", text, re.MULTILINE)
        for end in re.findall(r"`(\w+)`", ends)
    }
    assert drawn == listed


def test_messages_in_the_troubleshooting_tables_are_in_the_source() -> None:
    files = [file for package in ("components", "stack", "sandbox") for file in (ROOT / package).rglob("*.py")]
    files += (ROOT / "sandbox/plugins/launchers").iterdir()
    # A message may be written over several lines, each with quotes of its own.
    source = re.sub(r"[\"']\s*\n\s*f?[\"']", "", "".join(file.read_text() for file in files))
    source = source.replace("{name}", "pacman").replace("{ADDRESS_SECONDS}", "90")
    ours = rows(section(TROUBLESHOOTING, "Messages of the program"))
    ours += [row for row in rows(section(TROUBLESHOOTING, "The sandbox")) if row[0].startswith("`")]
    pieces = [
        piece.strip() for row in ours for message in re.findall(r"`([^`]+)`", row[0]) for piece in message.split("…")
    ]
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece not in source] == []


@each_page
def test_every_make_command_is_a_target(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake (?:-s )?([a-z]+)", code(page)))
    assert named - targets == set()


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


@each_page
def test_no_page_names_a_registry(page: Path) -> None:
    text = page.read_text()
    hosts = set(re.findall(r"https?://([^\s/:`<>)]+)", text))
    hosts |= set(re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org)\b", text))
    assert hosts - HOSTS == set()


def test_the_picture_is_small() -> None:
    picture = DOCS / "game.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000
