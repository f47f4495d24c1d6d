"""The stand-in plugins and their installation: random values, the list of a program's plugins, their end.

The engine that installs is a script here. That the real one finds and starts what is installed, tests/engine shows.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.plugins import install, random
from sandbox.plugins.language_python import required_plugins


def _wanted(**changes: object) -> dict[str, Any]:
    return {
        "length": 40, "lower": True, "upper": True, "numeric": True, "special": True,
        "minLower": 0, "minUpper": 0, "minNumeric": 0, "minSpecial": 0, **changes,
    }  # fmt: skip


def test_a_random_string_has_what_is_wanted_and_nothing_else() -> None:
    assert random.random_string(_wanted(special=False)).isalnum()
    only = random.random_string(_wanted(lower=False, upper=False, numeric=False, overrideSpecial="_"))
    assert only == "_" * 40
    mixed = random.random_string(_wanted(length=5, minNumeric=2, minUpper=3))
    assert (len(mixed), sum(map(str.isdigit, mixed)), sum(map(str.isupper, mixed))) == (5, 2, 3)
    assert random.random_string(_wanted()) != random.random_string(_wanted())


@pytest.mark.parametrize(
    "changes",
    [{"length": 0}, {"length": 3, "minNumeric": 4}, dict.fromkeys(("lower", "upper", "numeric", "special"), False)],
)
def test_an_impossible_random_string_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"length|kind"):
        random.random_string(_wanted(**changes))


def test_a_random_id_is_one_number_in_several_notations() -> None:
    ident, made = random.random_id(8, "p-")
    assert made["b64Url"] == f"p-{ident}"
    assert int(made["hex"].removeprefix("p-"), 16) == int(made["dec"].removeprefix("p-"))


def test_the_plugins_of_a_program_are_those_of_its_packages(tmp_path: Path) -> None:
    for name, about in (
        ("pulumi_one", {"resource": True, "name": "one", "version": "1.2.3", "server": "https://plugins.invalid"}),
        ("pulumi_two", {"resource": True}),
        ("pulumi_tool", {"resource": False}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pulumi-plugin.json").write_text(json.dumps(about))
    (tmp_path / "pulumi_two-4.5.6.dist-info").mkdir()
    found = [(each.name, each.version, each.server) for each in required_plugins([tmp_path])]
    assert found == [("one", "1.2.3", "https://plugins.invalid"), ("two", "4.5.6", "")]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A `pulumi` that unpacks what it is told to install, and counts how often."""
    script = tmp_path / "bin of engine" / "pulumi"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\nfolder="$PULUMI_HOME/plugins/resource-$4-v$5"\nmkdir -p "$folder"\n'
        'tar -xzf "$7" -C "$folder"\necho "$4" >> "$0.log"\n'
    )
    script.chmod(0o755)
    return script


def test_a_plugin_is_installed_once_and_an_official_one_is_never_replaced(tmp_path: Path, engine: Path) -> None:
    home, python = tmp_path / "the home", Path(sys.executable)

    def installations() -> int:
        """Installs again; how often `random` has been installed so far."""
        install.install(pulumi=engine, home=home, python=python, language_dir=engine.parent)
        return Path(f"{engine}.log").read_text().split().count("random")

    assert installations() == 1
    assert installations() == 1
    [launcher] = home.glob("plugins/resource-random-v*/pulumi-resource-random")
    assert launcher.stat().st_mode & 0o111
    assert str(tmp_path) not in launcher.read_text(), "a launcher holds no path of a checkout"

    launcher.write_text(launcher.read_text() + "# from an older checkout\n")
    assert installations() == 2, "a launcher of ours is renewed"
    launcher.write_bytes(b"\x7fELF official")
    host = engine.parent / "pulumi-language-python"
    host.write_bytes(b"\x7fELF official")
    assert installations() == 2
    assert launcher.read_bytes() == host.read_bytes() == b"\x7fELF official"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, None], ids=["SIGINT", "SIGTERM", "engine-killed"])
def test_a_plugin_ends_with_the_engine(ending: signal.Signals | None) -> None:
    launch = Path(install.__file__).with_name("launch.py")
    with subprocess.Popen([sys.executable, "-P", launch, "random"], stdout=subprocess.PIPE) as plugin:
        try:
            assert plugin.stdout is not None
            assert int(plugin.stdout.readline()) > 0, "the first line is the port"
            if ending:
                plugin.send_signal(ending)
            else:
                plugin.stdout.close()  # what is left of an engine that was killed
            assert plugin.wait(5) == 0
        finally:
            plugin.kill()
