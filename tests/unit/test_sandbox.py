"""What the sandbox says and decides without a node: the machine's faults, keys of parts, images, the environment.

Tools and links are replaced here, so nothing in this file shows that a node starts or that a part can be built; that
`make up` from nothing shows, and tests/sandbox on the node.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox import __main__ as command_line
from sandbox import images, machine, node, parts
from sandbox.parts import Build, Part
from sandbox.places import CHECKOUT, Environment, SandboxError
from sandbox.progress import Progress, duration


class TestMachine:
    @pytest.fixture(autouse=True)
    def a_good_machine(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for tool, says in (("go", "go1.26.8"), ("node", ""), ("npm", ""), ("apt-get", ""), ("mmdebstrap", "")):
            program = tmp_path / "bin" / tool
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\necho {says}\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(machine, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(machine, "STATE", tmp_path / "state")
        monkeypatch.setattr(machine, "BUILD_BYTES", 0)
        monkeypatch.setattr(machine, "RUN_BYTES", 0)

    def test_a_good_one_is_good(self) -> None:
        machine.check(lambda: True)

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda patch, _: patch.setattr(os, "geteuid", lambda: 1000), "root"),
            (lambda _, bin_: (bin_ / "go").unlink(), "`go` is not on PATH: the sandbox is built with Go 1.26"),
            (lambda _, bin_: (bin_ / "node").unlink(), "`node` is not on PATH: the sandbox is built with Node 20"),
            (lambda _, bin_: (bin_ / "npm").unlink(), "`npm` is not on PATH"),
            (lambda _, bin_: (bin_ / "apt-get").unlink(), "`apt-get` is not on PATH"),
            (lambda _, bin_: (bin_ / "go").write_text("#!/bin/sh\necho go1.21.3\n"), "go is go1.21.3: .* Go 1.26"),
            (lambda patch, _: patch.setattr(machine, "BUILD_BYTES", 10**18), "GB are needed: make room"),
            (lambda patch, _: patch.setattr(machine, "RUN_BYTES", 10**18), "GB are needed: make room"),
            (lambda patch, _: patch.setattr(platform, "machine", lambda: "aarch64"), "x86_64.*minikube"),
        ],
    )
    def test_what_is_missing_is_one_line(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        spoil: Callable[[pytest.MonkeyPatch, Path], object],
        said: str,
    ) -> None:
        spoil(monkeypatch, tmp_path / "bin")
        with pytest.raises(SandboxError, match=said) as caught:
            machine.check(lambda: True)
        assert "\n" not in str(caught.value)

    def test_running_what_is_built_needs_no_tools(self, tmp_path: Path) -> None:
        (tmp_path / "bin/go").unlink()
        machine.check(lambda: False)


class TestParts:
    @pytest.fixture(autouse=True)
    def cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setattr(parts, "PARTS", tmp_path / "cache/parts")
        monkeypatch.setattr(parts, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(parts, "_GO_CACHE", tmp_path / "cache/go")
        return tmp_path / "cache"

    @staticmethod
    def part(source: Path, *needs: Part, recipe: str = "") -> Part:
        return Part("thing", 1, _build_thing, sources=[source], recipe=[recipe], needs=needs)

    def test_a_part_is_known_by_what_it_is_built_from(self, tmp_path: Path) -> None:
        source = tmp_path / "go.mod"
        source.write_text("one")
        first = self.part(source)
        assert self.part(source).key == first.key
        assert self.part(source, recipe="flag").key != first.key
        assert self.part(source, first).key != first.key
        source.write_text("two")
        assert self.part(source).key != first.key

    def test_a_part_is_built_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = tmp_path / "go.mod"
        source.write_text("one")
        part = self.part(source)
        parts.build([part], Progress())
        assert (part.folder / "made").read_text() == "made"
        assert "[1/1] thing: done" in capsys.readouterr().err
        (part.folder / "made").write_text("kept")
        parts.build([part], Progress())
        assert (part.folder / "made").read_text() == "kept"
        assert capsys.readouterr().err == ""

    def test_what_an_interrupted_build_left_is_no_part(self, tmp_path: Path, cache: Path) -> None:
        source = tmp_path / "go.mod"
        source.write_text("one")
        left = cache / "parts/thing.partial-abc"
        left.mkdir(parents=True)
        (left / "half").touch()
        part = self.part(source)
        assert not part.built
        parts.build([part], Progress())
        assert not left.exists()
        assert part.built

    def test_the_go_caches_do_not_stay(self, tmp_path: Path, cache: Path) -> None:
        source = tmp_path / "go.mod"
        source.write_text("one")
        (cache / "go/modules").mkdir(parents=True)
        parts.build([self.part(source)], Progress())
        assert not (cache / "go").exists()

    def test_a_failed_command_is_one_line_that_names_the_log(self, tmp_path: Path, cache: Path) -> None:
        failing = Part("thing", 1, _fail)
        with pytest.raises(SandboxError, match=r"sh failed for thing: go: error: 403 .*thing\.log") as caught:
            parts.build([failing], Progress())
        assert "\n" not in str(caught.value)
        assert not failing.built

    def test_old_parts_can_be_removed(self, tmp_path: Path, cache: Path) -> None:
        source = tmp_path / "go.mod"
        source.write_text("one")
        old = self.part(source)
        parts.build([old], Progress())
        source.write_text("two")
        new = self.part(source)
        parts.build([new], Progress())
        assert parts.remove_stale([new]) == 1
        assert new.built
        assert not old.folder.exists()

    def test_every_part_of_the_sandbox_has_a_key_of_its_own(self) -> None:
        assert len({part.key for part in parts.ALL}) == len(parts.ALL)
        for part in parts.ALL:
            for needed in part.needs:
                assert parts.ALL.index(needed) < parts.ALL.index(part), f"{part.name} is built before {needed.name}"


def _build_thing(build: Build) -> None:
    (build.out / "made").write_text("made")


def _fail(build: Build) -> None:
    build.run("sh", "-c", "echo go: downloading; echo go: error: 403 for a module; echo bye; exit 1")


def test_an_image_is_what_the_specification_says(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for layer, name in ((lower, "a"), (upper, "b")):
        layer.mkdir()
        (layer / name).write_text(name)
    image = images.Image("example.invalid/sandbox/thing:1.0", "999:999", ["/a"], ["-x"], {"KEY": "value"}, "/work")
    archive = images.pack(image, [lower, upper], tmp_path)
    with tarfile.open(archive) as tar:
        read = {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
    index = json.loads(read["index.json"])
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == image.reference
    manifest = json.loads(_blob(read, index["manifests"][0]))
    config = json.loads(_blob(read, manifest["config"]))
    assert config["config"]["User"] == "999:999"
    assert config["config"]["WorkingDir"] == "/work"
    assert "KEY=value" in config["config"]["Env"]
    assert [layer["digest"] for layer in manifest["layers"]] == config["rootfs"]["diff_ids"]
    assert all(_blob(read, layer) for layer in manifest["layers"])


def _blob(read: Mapping[str, bytes], descriptor: Mapping[str, Any]) -> bytes:
    body = read[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert len(body) == descriptor["size"]
    return body


class TestEnvironment:
    def test_it_evaluates_to_itself_whatever_the_path_holds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", os.environ["PATH"] + ":/with a space/and'quote")
        monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "the person's own")
        done = subprocess.run([sys.executable, "-m", "sandbox", "env"], cwd=CHECKOUT, capture_output=True, check=True)
        script = done.stdout.decode() + '\nenv -0; test -z "${PULUMI_ACCESS_TOKEN+x}${PULUMI_STACK+x}"'
        shell = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
        found = dict(each.split("=", 1) for each in shell.stdout.decode().split("\0") if "=" in each)
        assert found["PATH"].endswith(":/with a space/and'quote")
        assert found["KUBECONFIG"] == str(CHECKOUT / ".sandbox/kubeconfig")
        # A stack that is set there would win over one that the person makes or selects.
        assert "PULUMI_STACK" not in found

    def test_nothing_of_the_persons_own_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_K8S_CLIENT_QPS"):
            monkeypatch.setenv(name, "theirs")
        for name in ("KUBECONFIG", "PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_STACK"):
            monkeypatch.setenv(name, "theirs")
        assert "theirs" not in Environment(()).complete().values()

    def test_no_value_is_a_secret_but_for_the_name_of_its_file(self) -> None:
        assert not [name for name in Environment(()).variables() if "PASSPHRASE" in name and "FILE" not in name]


class TestCommandLine:
    def test_a_second_command_is_refused_while_one_is_at_work(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(command_line, "_LOCK", tmp_path / "lock")
        other = f"""
import sys, pathlib
from sandbox import __main__ as command_line
command_line._LOCK = pathlib.Path({str(tmp_path / "lock")!r})
with command_line._alone():
    print("holds it", flush=True)
    sys.stdin.read()
"""
        holder = subprocess.Popen(
            [sys.executable, "-c", other], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "holds it\n"
            with pytest.raises(SandboxError, match=f"at work .process {holder.pid} of .*: wait"), command_line._alone():
                pass
        finally:
            holder.communicate("")
        with command_line._alone():
            pass

    @pytest.mark.parametrize("arguments", ["logs nothing", "shell"])
    def test_a_mistake_is_one_line(self, arguments: str, tmp_path: Path) -> None:
        # In a copy that has no node, whatever runs here.
        code = "import pathlib; from sandbox import __main__ as m, node; node._PID = pathlib.Path('/nothing'); m.main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *shlex.split(arguments)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1


class TestNetwork:
    @pytest.mark.parametrize(
        ("links", "said"),
        [
            (
                {"br-1": {"addr_info": [{"local": "192.168.49.1"}]}},
                "br-1 has the address 192.168.49.1.*minikube on this machine",
            ),
            ({node.LINK: {"ifalias": "{other}"}}, "the node of {other} runs already"),
        ],
    )
    def test_a_taken_address_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, links: dict[str, Any], said: str
    ) -> None:
        (tmp_path / ".sandbox/node").mkdir(parents=True)
        (tmp_path / ".sandbox/node/pid").touch()
        known = json.loads(json.dumps(links).replace("{other}", str(tmp_path)))
        monkeypatch.setattr(node, "_links", lambda: known)
        monkeypatch.setattr(node, "_ip", lambda *_: pytest.fail("nothing may be changed"))
        with pytest.raises(SandboxError, match=said.replace("{other}", str(tmp_path))):
            node._check_network()

    def test_what_a_dead_node_left_is_taken_away(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(node, "_links", lambda: {node.LINK: {"ifalias": str(tmp_path / "gone")}})
        ran: list[tuple[str, ...]] = []
        monkeypatch.setattr(node, "_ip", lambda *arguments: ran.append(arguments))
        node._check_network()
        assert ran == [("link", "delete", node.LINK)]


def test_seconds_read_well() -> None:
    assert (duration(3.44), duration(125)) == ("3.4 s", "2 min 05 s")
