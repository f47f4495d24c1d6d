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

_LAUNCHERS: Final = Path(__file__).with_name("launchers")
_HEAD: Final = "#!/bin/sh\n# A launcher of the sandbox (sandbox/plugins)"


def install(*, home: Path, language_dir: Path, kubernetes: Path) -> None:
    """Installs the language host beside the engine and the providers into its home; quick where all is there.

    SandboxError if a provider's SDK package is not installed.

    Args:
        home: The engine's PULUMI_HOME.
        language_dir: The folder that the engine's binary really lies in: what lies there counts as bundled with it.
        kubernetes: The Kubernetes provider.
    """
    beside = (language_dir / name for name in ("pulumi-language-python", "pulumi-resource-pulumi-python"))
    for launcher in (*beside, provider_file(home, "random")):
        _write(launcher, (_LAUNCHERS / launcher.name).read_text())
    place = provider_file(home, "kubernetes")
    if place.is_symlink() and place.readlink() == kubernetes:
        return
    if place.is_symlink() or not place.exists() or is_stand_in(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent.parent) as folder:
            Path(folder, place.name).symlink_to(kubernetes)
            Path(folder, place.name).replace(place)


def provider_file(home: Path, name: str) -> Path:
    """Where the engine looks for a provider: under the version of its SDK package; SandboxError without it."""
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
