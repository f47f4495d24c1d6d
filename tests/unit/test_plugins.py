"""The stand-in plugins and their installation: random values, the list of a program's plugins, their end.

No engine runs here. That the real one finds and starts what is installed, tests/engine shows.
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

from sandbox.plugins import install, random
from sandbox.plugins.language_python import required_plugins
from tools.recorder import ROOT

ENVIRONMENT = os.environ | {"SANDBOX_PYTHON": sys.executable, "SANDBOX_ROOT": str(ROOT)}


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


def test_the_plugins_of_a_program_are_those_of_its_packages(tmp_path: Path) -> None:
    for name, about in (
        ("pulumi_one", {"resource": True, "name": "one", "version": "1.2.3", "server": "https://plugins.invalid"}),
        ("pulumi_two", {"resource": True}),
        ("pulumi_tool", {"resource": False}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pulumi-plugin.json").write_text(json.dumps(about))
    (tmp_path / "pulumi_two-4.5.6.dist-info").mkdir()
    (tmp_path / "pulumi_two-4.5.6.dist-info/METADATA").write_text("Name: pulumi_two\nVersion: 4.5.6\n")
    found = [(each.name, each.version, each.server) for each in required_plugins([tmp_path])]
    assert found == [("one", "1.2.3", "https://plugins.invalid"), ("two", "4.5.6", "")]


@dataclass(frozen=True)
class Home:
    """A PULUMI_HOME, the folder of an engine, and a provider that was built."""

    folder: Path
    engine: Path
    built: Path

    def install(self) -> None:
        """Installs all plugins."""
        install.install(home=self.folder, language_dir=self.engine, kubernetes=self.built)

    def provider(self, name: str) -> Path:
        """Where the engine looks for a provider."""
        (found,) = self.folder.glob(f"plugins/resource-{name}-v*/pulumi-resource-{name}")
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    built = tmp_path / "built" / "pulumi-resource-kubernetes"
    for folder in (built.parent, tmp_path / "bin of engine"):
        folder.mkdir()
    built.write_bytes(b"\x7fELF built")
    made = Home(tmp_path / "the home", tmp_path / "bin of engine", built)
    made.install()
    return made


def test_a_launcher_is_executable_holds_no_path_and_is_renewed_when_it_differs(home: Home) -> None:
    for launcher in (home.provider("random"), home.engine / "pulumi-language-python"):
        assert launcher.stat().st_mode & 0o111
        text = launcher.read_text()
        assert str(home.folder.parent) not in text
        assert str(ROOT) not in text
        launcher.write_text(text + "# from an older checkout\n")
        home.install()
        assert launcher.read_text() == text


def test_a_plugin_that_is_installed_is_not_written_again(home: Home) -> None:
    files = [home.provider("random"), home.provider("kubernetes"), *home.engine.iterdir()]
    before = [(file.lstat().st_ino, file.lstat().st_mtime_ns) for file in files]
    home.install()
    assert [(file.lstat().st_ino, file.lstat().st_mtime_ns) for file in files] == before


def test_the_kubernetes_provider_is_a_link_to_the_one_that_was_built_last(home: Home) -> None:
    assert home.provider("kubernetes").resolve() == home.built
    newer = home.built.with_name("newer")
    newer.write_bytes(b"\x7fELF newer")
    replace(home, built=newer).install()
    assert home.provider("kubernetes").resolve() == newer


@pytest.mark.parametrize("name", ["kubernetes", "random"])
def test_an_official_plugin_that_somebody_installed_is_left_alone(home: Home, name: str) -> None:
    place = home.provider(name)
    place.unlink()
    place.write_bytes(b"\x7fELF official")
    home.install()
    assert not place.is_symlink()
    assert place.read_bytes() == b"\x7fELF official"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, None], ids=["SIGINT", "SIGTERM", "engine-killed"])
def test_a_plugin_ends_with_the_engine(home: Home, ending: signal.Signals | None) -> None:
    with subprocess.Popen([home.provider("random")], env=ENVIRONMENT, stdout=subprocess.PIPE) as plugin:
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


@pytest.mark.parametrize("ending", [signal.SIGINT, None], ids=["SIGINT", "engine-killed"])
def test_a_program_ends_with_the_engine(home: Home, ending: signal.Signals | None, tmp_path: Path) -> None:
    # In place of what the engine's SDK runs a program with.
    (home.engine / "pulumi-language-python-exec").write_text(
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    command = [str(home.engine / "pulumi-language-python"), "127.0.0.1:1"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as host:
        try:
            assert host.stdout is not None
            channel = grpc.insecure_channel(f"127.0.0.1:{int(host.stdout.readline())}")
            info = language_pb2.ProgramInfo(program_directory=str(tmp_path), entry_point=".")
            call = language_pb2_grpc.LanguageRuntimeStub(channel).Run.future(language_pb2.RunRequest(info=info))
            program = _pid_in(tmp_path / "pid")
            assert call.running()
            if ending:
                host.send_signal(ending)
            else:
                channel.close()  # what is left of an engine that was killed
                host.stdout.close()
            assert host.wait(5) == 0
            _wait_for_end(program)
        finally:
            host.kill()


def _pid_in(file: Path) -> Path:
    end = time.monotonic() + 30
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < end, "the program did not start within 30 s"
        time.sleep(0.02)
    return Path("/proc", file.read_text())


def _wait_for_end(process: Path) -> None:
    end = time.monotonic() + 5
    while process.exists() and "Z (zombie)" not in (process / "status").read_text():
        assert time.monotonic() < end, "the program still runs 5 s after its host ended"
        time.sleep(0.02)
