"""Puts the plugins where the engine looks for them, unless official ones are there already.

The stand-ins are installed as launchers, not as copies: they take the interpreter and the checkout from SANDBOX_PYTHON
and SANDBOX_ROOT, so that a folder that several checkouts share holds no path of one of them, and a changed plugin needs
no new installation. The Kubernetes provider is a link to the part that was built.
"""

import json
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from sandbox.places import SandboxError

_HEAD: Final = """#!/bin/sh
# A launcher of the sandbox (sandbox/plugins): rewritten when it differs; an official plugin in its place is left alone.
"""
_NEEDS: Final = """: "${SANDBOX_PYTHON:?is not set: run eval \\"\\$(make -s env)\\" first}"
: "${SANDBOX_ROOT:?is not set: run eval \\"\\$(make -s env)\\" first}"
"""
_START: Final = 'exec "$SANDBOX_PYTHON" -P "$SANDBOX_ROOT/sandbox/plugins/launch.py"'
_LANGUAGE: Final = f'{_HEAD}{_NEEDS}{_START} language_python "$(dirname -- "$0")" "$@"\n'
_RANDOM: Final = f'{_HEAD}{_NEEDS}{_START} random "$@"\n'
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


def install(*, home: Path, language_dir: Path, kubernetes: Path) -> None:
    """Installs the language host beside the engine and the providers into its home; quick where all is there.

    Args:
        home: The engine's PULUMI_HOME.
        language_dir: The folder that the engine's binary really lies in: what lies there counts as bundled with it.
        kubernetes: The Kubernetes provider.

    Raises:
        SandboxError: A provider's SDK package is not installed.
    """
    _write(language_dir / "pulumi-language-python", _LANGUAGE)
    _write(language_dir / "pulumi-resource-pulumi-python", _DYNAMIC)
    _write(provider_file(home, "random"), _RANDOM)
    place = provider_file(home, "kubernetes")
    if place.is_symlink() and place.readlink() == kubernetes:
        return
    if place.is_symlink() or not place.exists() or is_stand_in(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent.parent) as folder:
            Path(folder, place.name).symlink_to(kubernetes)
            Path(folder, place.name).replace(place)


def provider_file(home: Path, name: str) -> Path:
    """Where the engine looks for a provider: under the version that the SDK package asks for.

    Raises:
        SandboxError: The package is not installed.
    """
    about = Path(sysconfig.get_path("purelib"), f"pulumi_{name}", "pulumi-plugin.json")
    if not about.exists():
        raise SandboxError(f"{sys.executable} has no package pulumi-{name}: install requirements.txt")
    version = json.loads(about.read_text())["version"]
    return home / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"


def is_stand_in(place: Path) -> bool:
    """Whether what lies there is a launcher of ours, and not a plugin that somebody installed."""
    with place.open("rb") as file:
        return file.read(len(_HEAD)) == _HEAD.encode()


def _write(path: Path, text: str) -> None:
    """Writes an executable in one step: another checkout that starts it now finds the old one or the new one."""
    if path.exists() and (not is_stand_in(path) or path.read_text() == text):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o755)
    Path(file.name).replace(path)
