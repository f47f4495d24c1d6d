"""Puts the plugins where the engine looks for them, unless official ones are there already.

What is installed are launchers, not copies: they take the interpreter and the checkout from SANDBOX_PYTHON and
SANDBOX_ROOT, so that a folder that several checkouts share holds no path of one of them, and a changed plugin needs no
new installation.
"""

import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PROVIDERS: Final = ("kubernetes", "random")

_HEAD: Final = """#!/bin/sh
# A launcher of the sandbox (sandbox/plugins): rewritten when it differs; an official plugin in its place is left alone.
"""
_NEEDS: Final = """: "${SANDBOX_PYTHON:?is not set: run eval \\"\\$(make -s env)\\" first}"
: "${SANDBOX_ROOT:?is not set: run eval \\"\\$(make -s env)\\" first}"
"""
_START: Final = 'exec "$SANDBOX_PYTHON" -P "$SANDBOX_ROOT/sandbox/plugins/launch.py"'
_LANGUAGE: Final = f'{_HEAD}{_NEEDS}{_START} language_python "$(dirname -- "$0")" "$@"\n'
# Dynamic providers: the engine names the project's virtual environment, relative to the folder that it starts this in.
# The SDK's own server of them outlives an engine that was killed; that nobody reads what it writes then tells it so.
_DYNAMIC: Final = f"""{_HEAD}case "${{PULUMI_RUNTIME_VIRTUALENV:-}}" in
"") python="${{SANDBOX_PYTHON:-python3}}" ;;
/*) python="$PULUMI_RUNTIME_VIRTUALENV/bin/python" ;;
*) python="$PWD/$PULUMI_RUNTIME_VIRTUALENV/bin/python" ;;
esac
exec "$python" -u -c '
import os, runpy, select, threading

def watch():
    ended = select.poll()
    ended.register(1, 0)
    ended.poll()
    os._exit(0)

threading.Thread(target=watch, daemon=True).start()
runpy.run_module("pulumi.dynamic", run_name="__main__", alter_sys=True)
' "$@"
"""


def install(*, pulumi: Path, home: Path, python: Path, language_dir: Path) -> None:
    """Installs the language host beside the engine and the providers into its home; quick where all is there.

    Args:
        pulumi: The engine.
        home: Its PULUMI_HOME.
        python: The interpreter whose SDK packages say which versions are wanted.
        language_dir: The folder that the engine's binary really lies in: what lies there counts as bundled with it.
    """
    for name, text in (("pulumi-language-python", _LANGUAGE), ("pulumi-resource-pulumi-python", _DYNAMIC)):
        _write(language_dir / name, text)
    for name in PROVIDERS:
        _install_provider(pulumi, home, name, _wanted_version(python, name))


def _install_provider(pulumi: Path, home: Path, name: str, version: str) -> None:
    file_name, text = f"pulumi-resource-{name}", f'{_HEAD}{_NEEDS}{_START} {name} "$@"\n'
    present = home / "plugins" / f"resource-{name}-v{version}" / file_name
    if present.exists():
        content = present.read_bytes()
        if content == text.encode() or not content.startswith(_HEAD.encode()):
            return
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, f"{name}.tgz")
        archive.write_bytes(_packed(file_name, text))
        command = [str(pulumi), "plugin", "install", "resource", name, version, "--file", str(archive), "--reinstall"]
        env = os.environ | {"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode or not present.exists():
        raise RuntimeError(f"cannot install the {name} plugin {version}: {(done.stderr or done.stdout).strip()}")


def _wanted_version(python: Path, name: str) -> str:
    """The plugin version that the SDK package wants; read from its file, because starting an interpreter takes time."""
    for about in sorted(python.parent.parent.glob(f"lib/python3*/site-packages/pulumi_{name}/pulumi-plugin.json")):
        return str(json.loads(about.read_text())["version"])
    raise RuntimeError(f"{python} has no package pulumi-{name}: install requirements.txt")


def _packed(name: str, text: str) -> bytes:
    """An archive with one executable."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(text.encode()), 0o755
        archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _write(path: Path, text: str) -> None:
    """Writes an executable in one step: another checkout that starts it now finds the old one or the new one."""
    if path.exists():
        content = path.read_bytes()
        if content == text.encode() or not content.startswith(_HEAD.encode()):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(path)
