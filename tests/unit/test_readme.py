"""The two READMEs, held against what they describe: config keys, outputs, files, commands, links.

That a command does what the text says, reading cannot prove; the lesson's own are run by tests/e2e.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.targets import TARGETS
from tests.harness.readme import README, blocks, section
from tools.recorder import ROOT, SecretValue, record_program, stack_config

READMES = [README, ROOT / "sandbox/README.md"]
both = pytest.mark.parametrize("readme", READMES, ids=lambda file: file.parent.name)

# Every host that a README may name. A package comes from wherever the person's own tools are set to find it, and a
# reserved name (RFC 2606) is nobody's.
HOSTS = {"github.com", "kubernetes.io", "pacman.example", "127.0.0.1", "192.168.49.2", "vault.azure.net"}


def rows(text: str) -> list[list[str]]:
    """The rows of the first table, without its head."""
    table = re.search(r"(^\|.*\|\n)+", text, flags=re.MULTILINE)
    assert table, "no table"
    _, rule, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()]
    assert set("".join(rule)) == {"-"}
    return lines


def code(file: Path) -> str:
    """Everything that is code, in a line or in a block."""
    text = file.read_text()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks(text), *spans])


def shown(default: Any) -> str:  # noqa: ANN401 - any YAML
    """A default as the table has it: an empty one as a word, a digest cut short, the rest as JSON has it."""
    if default == "":
        return "empty"
    text = default if isinstance(default, str) else json.dumps(default)
    short = re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]+", r"\1…", text)
    return f"`{short}`"


def test_the_config_table_is_that_of_pulumi_yaml() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert rows(section(README, "Configuration")) == [
        [f"`{key}`", spec["type"], shown(spec["default"]), spec["description"]]
        for key, spec in declared.items()
        if not key.startswith("pulumi:")
    ]


def test_the_outputs_table_has_the_outputs_of_the_program() -> None:
    exports = record_program(stack_config("dev")).exports
    table = {name.strip("`"): meaning for name, meaning in rows(section(README, "Outputs"))}
    assert list(table) == list(dict.fromkeys(table))
    assert table.keys() == exports.keys()
    secret = {name for name, value in exports.items() if isinstance(value, SecretValue)}
    assert {name for name, meaning in table.items() if "secret" in meaning.lower()} == secret


def test_the_table_of_environments_has_every_target_that_the_program_knows_something_of() -> None:
    table = rows(section(README, "On a cloud"))
    assert [target.strip("`") for target, *_ in table] == [name for name in TARGETS if name != "generic"]


@pytest.mark.parametrize("stack", ["dev", "eks", "aks", "gke"])
def test_the_table_of_environments_says_what_its_stacks_declare(stack: str) -> None:
    run = record_program(stack_config(stack))
    (row,) = [each for each in rows(section(README, "On a cloud")) if each[0] == f"`{run.exports['target']}`"]
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


def test_everything_in_the_layout_is_there() -> None:
    block = re.search(r"```text\n(.*?)```", section(README, "How it is laid out"), flags=re.DOTALL)
    assert block
    named = [line.split()[0] for line in block[1].splitlines()]
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in named if (ROOT / name).is_dir() != name.endswith("/")] == []


@both
def test_every_make_command_is_a_target(readme: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake (?:-s )?([a-z]+)", code(readme)))
    assert named
    assert named - targets == set()


@both
def test_every_link_leads_somewhere(readme: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", readme.read_text())
    for target in targets:
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (readme.parent / path) if path else readme
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


@both
def test_no_line_names_a_registry(readme: Path) -> None:
    text = readme.read_text()
    hosts = set(re.findall(r"https?://([^\s/:`<>)]+)", text))
    hosts |= set(re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org)\b", text))
    assert hosts - HOSTS == set()


def test_the_picture_is_small() -> None:
    picture = ROOT / "docs/game.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 300_000
