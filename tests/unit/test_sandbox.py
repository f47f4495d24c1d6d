"""What the sandbox says and decides without a node: the machine's faults, keys of parts, images, the environment.

Tools and links are replaced here, so nothing in this file shows that a node starts or that a part can be built; that
`make up` from nothing shows, and tests/sandbox on the node.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import __main__ as command_line
from sandbox import build as builder
from sandbox import cluster, engine, images, machine, network, node, parts
from sandbox.build import Build, Part
from sandbox.places import CHECKOUT, FILES, SandboxError
from sandbox.progress import Progress, duration


class TestMachine:
    @pytest.fixture(autouse=True)
    def a_good_machine(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for tool, says in (("go", "go1.26.8"), ("node", "v20.20.2"), ("npm", ""), ("apt-get", ""), ("mmdebstrap", "")):
            program = tmp_path / "bin" / tool
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!/bin/sh\necho {says}\n")
            program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(machine, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(machine, "STATE", tmp_path / "state")
        monkeypatch.setattr(machine, "GO_CACHE", tmp_path / "cache/go")
        monkeypatch.setattr(machine, "BUILD_BYTES", 0)
        monkeypatch.setattr(machine, "RUN_BYTES", 0)

    def test_a_machine_that_has_everything_is_accepted(self) -> None:
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
            (lambda _, bin_: (bin_ / "node").write_text("#!/bin/sh\necho v18.19.0\n"), "node is v18.19.0: .* Node 20"),
            (lambda patch, _: patch.setattr(machine, "BUILD_BYTES", 10**18), "GB are needed: make room"),
            (lambda patch, _: patch.setattr(machine, "RUN_BYTES", 10**18), "GB are needed: make room"),
            (lambda patch, _: patch.setattr(platform, "machine", lambda: "aarch64"), "x86_64.*minikube"),
        ],
    )
    def test_a_missing_program_is_reported_in_one_line(
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

    def test_a_build_that_goes_on_needs_less_room(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(machine, "BUILD_BYTES", 10**18)
        (tmp_path / "cache/go").mkdir(parents=True)
        machine.check(lambda: True)

    def test_running_what_is_built_needs_no_tools(self, tmp_path: Path) -> None:
        (tmp_path / "bin/go").unlink()
        machine.check(lambda: False)


class TestBuild:
    @pytest.fixture(autouse=True)
    def cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setattr(builder, "PARTS", tmp_path / "cache/parts")
        monkeypatch.setattr(builder, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(builder, "GO_CACHE", tmp_path / "cache/go")
        monkeypatch.setattr(builder, "_OTHER_CACHES", [tmp_path / "cache" / name for name in ("npm", "pip")])
        return tmp_path / "cache"

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        file = tmp_path / "go.mod"
        file.write_text("one")
        return file

    @staticmethod
    def part(source: Path, *needs: Part, recipe: str = "") -> Part:
        return Part("thing", 1, _build_thing, sources=[source], recipe=[recipe], needs=needs)

    def test_the_key_of_a_part_changes_with_everything_it_is_built_from(self, source: Path) -> None:
        first = self.part(source)
        assert self.part(source).key == first.key
        assert self.part(source, recipe="flag").key != first.key
        assert self.part(source, first).key != first.key
        source.write_text("two")
        assert self.part(source).key != first.key

    def test_a_part_is_built_once(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        part = self.part(source)
        builder.build([part], Progress())
        assert (part.folder / "made").read_text() == "made"
        assert "thing: built in" in capsys.readouterr().err
        (part.folder / "made").write_text("kept")
        builder.build([part], Progress())
        assert (part.folder / "made").read_text() == "kept"
        assert capsys.readouterr().err == ""

    def test_leftovers_of_an_interrupted_build_are_removed_and_built_again(self, source: Path, cache: Path) -> None:
        left = cache / "parts/thing.partial-abc"
        left.mkdir(parents=True)
        (left / "half").touch()
        part = self.part(source)
        assert not part.built
        builder.build([part], Progress())
        assert not left.exists()
        assert part.built

    def test_a_part_waits_for_the_parts_that_it_needs(self, source: Path) -> None:
        # The one that is needed is compiled, the one that needs it is not: two lanes, so only waiting keeps the order.
        slow = Part("slow", 1, _build_slowly, fetch=lambda _: None)
        needing = Part("needing", 1, _build_from_slow, needs=[slow])
        builder.build([slow, needing], Progress())
        assert (needing.folder / "seen").read_text() == "True"

    def test_the_next_part_is_downloaded_while_one_is_compiled(self, source: Path) -> None:
        downloaded = threading.Event()

        def compile_first(build: Build) -> None:
            assert downloaded.wait(30), "the second part's download did not begin while the first was compiled"

        first = Part("first", 1, compile_first, fetch=lambda _: None)
        second = Part("second", 1, _build_thing, fetch=lambda _: downloaded.set())
        builder.build([first, second], Progress())
        assert second.built

    def test_the_caches_of_go_npm_and_pip_are_removed_at_the_end(self, source: Path, cache: Path) -> None:
        caches = [cache / name for name in ("go", "npm", "pip")]
        for each in caches:
            (each / "content").mkdir(parents=True)
        with builder.removing_caches(Progress()):
            pass
        assert not [each for each in caches if each.exists()]

    def test_the_go_cache_stays_when_a_build_fails(self, cache: Path) -> None:
        (cache / "go").mkdir(parents=True)
        with pytest.raises(SandboxError):
            builder.build([Part("thing", 1, _fail)], Progress())
        assert (cache / "go").exists()

    def test_a_failed_command_is_one_line_that_names_the_log(self, cache: Path) -> None:
        failing = Part("thing", 1, _fail)
        with pytest.raises(SandboxError, match=r"sh failed for thing: go: error: 403 .*thing\.log") as caught:
            builder.build([failing], Progress())
        assert "\n" not in str(caught.value)
        assert not failing.built

    def test_a_full_disk_is_one_line_that_says_what_to_do(self, cache: Path) -> None:
        full = Part("thing", 1, lambda build: build.run("dd", "if=/dev/zero", "of=/dev/full", "count=1"))
        with pytest.raises(SandboxError, match=r"No space left on device.*PACMAN_CACHE") as caught:
            builder.build([full], Progress())
        assert "\n" not in str(caught.value)

        def copy(build: Build) -> None:
            with Path("/dev/full").open("w") as file:
                file.write("something")

        with pytest.raises(SandboxError, match=r"cannot build thing: No space left on device.*PACMAN_CACHE"):
            builder.build([Part("thing", 1, copy)], Progress())

    def test_a_disk_that_is_full_while_a_part_is_downloaded_is_one_line(self, cache: Path) -> None:
        def fetch(build: Build) -> None:
            with Path("/dev/full").open("w") as file:
                file.write("something")

        with pytest.raises(SandboxError, match=r"cannot build thing: No space left on device.*PACMAN_CACHE"):
            builder.build([Part("thing", 1, _build_thing, fetch=fetch)], Progress())

    def test_a_failure_ends_what_is_still_being_built(self, tmp_path: Path) -> None:
        pid = tmp_path / "pid"

        def wait(build: Build) -> None:
            build.run("sh", "-c", f"echo $$ >{pid}; exec sleep 600")

        def fail(build: Build) -> None:
            while not (pid.exists() and pid.read_text().strip()):
                time.sleep(0.01)
            build.run("false")

        with pytest.raises(SandboxError, match="false failed for failing"):
            builder.build([Part("waiting", 1, wait, fetch=lambda _: None), Part("failing", 1, fail)], Progress())
        assert not Path("/proc", pid.read_text().strip()).exists()

    def test_a_killed_build_leaves_no_process(self, tmp_path: Path) -> None:
        pid, program = (
            tmp_path / "pid",
            f"""
import sys
from pathlib import Path
from sandbox import build
from sandbox.progress import Progress
build.CACHE = Path({str(tmp_path)!r})
build.PARTS = build.CACHE / "parts"
waiting = build.Part("waiting", 1, lambda its: its.run("sh", "-c", "echo $$ >{tmp_path}/pid; exec sleep 600"))
build.build([waiting], Progress())
""",
        )
        script = tmp_path / "program.py"  # a file, since a part's key is made of its source
        script.write_text(program)
        env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
        building = subprocess.Popen([sys.executable, str(script)], cwd=CHECKOUT, env=env, stderr=subprocess.DEVNULL)
        _wait_until(lambda: pid.exists() and bool(pid.read_text().strip()))
        building.kill()
        building.wait()
        _wait_until(lambda: not Path("/proc", pid.read_text().strip()).exists())

    def test_the_remaining_time_follows_the_work_that_is_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        half, whole = (Build(Part(name, 300, _build_thing), Path()) for name in ("half", "whole"))
        share, first = builder._estimate([half, whole], 0)
        assert share == 0
        # A machine that is four times as slow as expected: half of the first part in ten minutes.
        half.share = 0.5
        share, left = builder._estimate([half, whole], 600)
        assert share == 0.25
        assert first < 600 < 900 < left <= 1800
        # What an earlier build had done counts as done, and says nothing about the speed.
        whole.share = whole.inherited = 0.9
        assert builder._estimate([half, whole], 600)[1] < 0.5 * left

    def test_old_parts_can_be_removed(self, source: Path) -> None:
        old = self.part(source)
        builder.build([old], Progress())
        source.write_text("two")
        new = self.part(source)
        builder.build([new], Progress())
        assert builder.remove_stale([new]) == 1
        assert new.built
        assert not old.folder.exists()


class TestParts:
    def test_every_part_has_a_key_of_its_own(self) -> None:
        assert len({part.key for part in parts.ALL}) == len(parts.ALL)

    def test_every_part_comes_after_those_that_it_needs(self) -> None:
        for part in parts.ALL:
            for needed in part.needs:
                assert parts.ALL.index(needed) < parts.ALL.index(part), f"{part.name} is built before {needed.name}"

    def test_everything_that_is_listed_has_a_version(self) -> None:
        listed = [content for part in parts.ALL for content in part.contents]
        assert {"kubelet", "provider kubernetes", "pulumi", "mongod"} <= {each.name for each in listed}
        own = ("ingress-controller",)
        assert not [
            each for each in listed if each.name not in own and not re.match(r"\d+\.\d+|bookworm", each.version)
        ]

    def test_the_corefile_and_the_program_name_the_same_plugins(self) -> None:
        # A plugin that is not compiled in ends CoreDNS, and with it every name in the cluster.
        main = (FILES / "toolchain/node/coredns/main.go").read_text()
        imported = set(re.findall(r"coredns/plugin/(\w+)", main))
        directives = re.search(r"Directives = \[\]string\{(.*)\}", main)
        corefile = (FILES / "rootfs/manifests/30-dns.yaml").read_text().partition(".:53 {")[2].partition("---")[0]
        used = set(re.findall(r"^ {8}(\w+)", corefile, re.MULTILINE))
        assert directives
        assert imported == used == set(re.findall(r"\w+", directives[1]))


def _build_thing(build: Build) -> None:
    (build.out / "made").write_text("made")


def _build_slowly(build: Build) -> None:
    build.run("sleep", "0.3")


def _build_from_slow(build: Build) -> None:
    (build.out / "seen").write_text(str(build.part.needs[0].built))


def _fail(build: Build) -> None:
    build.run("sh", "-c", "echo go: downloading; echo go: error: 403 for a module; echo bye; exit 1")


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "not within 30 s"
        time.sleep(0.02)


def test_an_image_is_an_archive_that_containerd_imports(tmp_path: Path) -> None:
    """That it does import it, only a start of the node shows."""
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for layer, name in ((lower, "a"), (upper, "b")):
        layer.mkdir()
        (layer / name).write_text(name)
    image = images.Image("example.invalid/sandbox/thing:1.0", "999:999", ["/a"], ["-x"], {"KEY": "value"}, "/work")
    archive = images.pack(image, [lower, upper], tmp_path)
    with tarfile.open(archive) as tar:
        read = {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
    (manifest,) = json.loads(read["manifest.json"])
    assert manifest["RepoTags"] == [image.reference]
    config = json.loads(read[manifest["Config"]])
    assert config["config"]["User"] == "999:999"
    assert config["config"]["WorkingDir"] == "/work"
    assert "KEY=value" in config["config"]["Env"]
    digests = [f"sha256:{hashlib.sha256(read[layer]).hexdigest()}" for layer in manifest["Layers"]]
    assert digests == config["rootfs"]["diff_ids"]
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == [archive.name], "the layers are in the archive only"


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
        assert "theirs" not in engine.environment().values()

    def test_no_program_asks_a_proxy_for_the_node(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "intranet.example,192.168.49.2")
        for name in ("NO_PROXY", "no_proxy"):
            assert engine.variables()[name] == "intranet.example,192.168.49.2"
        monkeypatch.delenv("NO_PROXY")
        assert engine.variables()["no_proxy"] == "192.168.49.2"

    def test_no_value_is_a_secret_but_for_the_name_of_its_file(self) -> None:
        assert not [name for name in engine.variables() if "PASSPHRASE" in name and "FILE" not in name]


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
        code = (
            "import pathlib; from sandbox import __main__ as m, node; node.STATE = pathlib.Path('/nothing'); m.main()"
        )
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
            ({network.BRIDGE: {"ifalias": "{other}"}}, "the node of {other} runs already"),
        ],
    )
    def test_a_taken_address_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, links: dict[str, Any], said: str
    ) -> None:
        (tmp_path / ".sandbox/node").mkdir(parents=True)
        (tmp_path / ".sandbox/node/pid").write_text(f"{os.getpid()} {network.began(os.getpid())}")
        known = json.loads(json.dumps(links).replace("{other}", str(tmp_path)))
        monkeypatch.setattr(network, "_links", lambda: known)
        monkeypatch.setattr(network, "_ip", lambda *_: pytest.fail("nothing may be changed"))
        with pytest.raises(SandboxError, match=said.replace("{other}", str(tmp_path))):
            network.check()

    def test_the_bridge_of_a_checkout_whose_nodes_have_ended_is_removed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".sandbox/node").mkdir(parents=True)
        (tmp_path / ".sandbox/node/pid").write_text(f"{os.getpid()} 1")  # the number is another process's by now
        monkeypatch.setattr(network, "_links", lambda: {network.BRIDGE: {"ifalias": str(tmp_path)}})
        ran: list[tuple[str, ...]] = []
        monkeypatch.setattr(network, "_ip", lambda *arguments: ran.append(arguments))
        network.check()
        assert ran == [("link", "delete", network.BRIDGE)]

    def test_a_node_of_another_checkout_keeps_its_link_when_this_one_is_stopped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(node, "STATE", tmp_path / ".sandbox")
        (tmp_path / ".sandbox/node").mkdir(parents=True)
        theirs = {network.BRIDGE: {"ifalias": "/another"}, node.FIRST.link: {"master": network.BRIDGE}}
        monkeypatch.setattr(network, "_links", lambda: theirs)
        monkeypatch.setattr(network, "_ip", lambda *_: pytest.fail("nothing may be changed"))
        monkeypatch.setattr(node, "_remove_cgroup", lambda _: pytest.fail("nothing may be removed"))
        monkeypatch.setattr(cluster, "_restore_kernel", lambda: pytest.fail("the other checkout's node needs them"))
        assert not cluster.stop()


class TestKernel:
    def test_settings_that_a_kubelet_changes_are_restored(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """On the machine's own values, which are written back as they are."""
        monkeypatch.setattr(cluster, "STATE", tmp_path)
        monkeypatch.setattr(cluster, "_KERNEL", tmp_path / "kernel.json")
        cluster._remember_kernel()
        noted = json.loads((tmp_path / "kernel.json").read_text())
        assert set(noted["values"]) == set(cluster._TUNABLES)
        # A node that was killed has changed them, and what was noted before it stays.
        changed = noted | {"values": {"kernel/panic": noted["values"]["kernel/panic"]}}
        (tmp_path / "kernel.json").write_text(json.dumps(changed))
        cluster._remember_kernel()
        assert json.loads((tmp_path / "kernel.json").read_text()) == changed
        written: dict[str, str] = {}
        monkeypatch.setattr(Path, "write_text", lambda path, text: written.update({str(path): text}))
        cluster._restore_kernel()
        assert written == {"/proc/sys/kernel/panic": noted["values"]["kernel/panic"]}
        assert not (tmp_path / "kernel.json").exists()


class TestNodes:
    def test_an_image_is_loaded_once_and_again_after_another_one_has_had_its_name(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        loaded: list[str] = []

        def run(_: node.Node, *command: str) -> subprocess.CompletedProcess[str]:
            if "import" in command:
                loaded.append(command[-1].removeprefix("/opt/parts/"))
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(node.Node, "run", run)
        monkeypatch.setattr(node, "STATE", tmp_path / "state")
        monkeypatch.setattr(builder, "PARTS", tmp_path)
        node.FIRST.data.mkdir(parents=True)
        one, same_name, other = (Part(name, 1, _build_thing) for name in ("one", "same-name", "other"))
        for part, file in ((one, "mongo-1.tar"), (same_name, "mongo-1.tar"), (other, "mongo-2.tar")):
            part.folder.mkdir()
            (part.folder / file).touch()
        for wanted in ([one], [one], [one, other], [one], [one, other], [same_name], [one]):
            node.FIRST.load_images(wanted)
        names = [Path(archive).parent.name.rpartition("-")[0] for archive in loaded]
        assert names == ["one", "other", "same-name", "one"]

    def test_nodes_are_called_as_minikube_calls_them_and_share_nothing(self) -> None:
        assert [each.name for each in node.ALL] == ["minikube", "minikube-m02", "minikube-m03"]
        for own in ("name", "address", "zone", "link", "cgroup", "folder"):
            assert len({getattr(each, own) for each in node.ALL}) == len(node.ALL), own

    def test_a_node_with_a_volume_in_use_is_not_removed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        volume = {
            "spec": {
                "claimRef": {"namespace": "pacman", "name": "data-mongo-1"},
                "nodeAffinity": {
                    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"values": ["minikube-m02"]}]}]}
                },
            },
            "status": {"phase": "Bound"},
        }
        answers = {"nodes": "minikube minikube-m02 minikube-m03", "persistentvolumes": json.dumps({"items": [volume]})}
        asked: list[str] = []

        def kubectl(verb: str, *arguments: str, check: bool = False) -> str:
            asked.append(verb)
            return answers[arguments[0]]

        monkeypatch.setattr(cluster, "kubectl", kubectl)
        with pytest.raises(SandboxError, match=r"minikube-m02 has the volumes of pacman/data-mongo-1.*make up"):
            cluster._remove_nodes(node.ALL[1:], Progress())
        assert set(asked) == {"get"}, "nothing was changed"

    def test_a_node_that_cannot_be_emptied_takes_pods_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []

        def kubectl(verb: str, *arguments: str, check: bool = False) -> str:
            asked.append(verb)
            if verb == "drain":
                raise SandboxError("kubectl drain: a disruption budget is in the way")
            return {"nodes": "minikube minikube-m02", "persistentvolumes": '{"items": []}'}.get(arguments[0], "")

        monkeypatch.setattr(cluster, "kubectl", kubectl)
        monkeypatch.setattr(node.Node, "pid", lambda _: 1)
        monkeypatch.setattr(node.Node, "stop", lambda _: pytest.fail("it has pods"))
        with pytest.raises(SandboxError, match="disruption budget"):
            cluster._remove_nodes(node.ALL[1:], Progress())
        assert asked[-2:] == ["drain", "uncordon"]


def test_seconds_read_well() -> None:
    assert (duration(3.44), duration(125)) == ("3.4 s", "2 min 05 s")
