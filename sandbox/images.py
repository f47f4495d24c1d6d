"""Packs folders as a container image, in the layout that `docker save` writes and `ctr images import` reads.

Nothing here is compressed: the image goes from one folder of this machine to another.
"""

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """What an image says of itself."""

    reference: str
    """Its full name, with the tag."""
    user: str
    """`uid:gid` that its processes run as."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    """The folder that its processes start in."""


def pack(image: Image, layers: Sequence[Path], folder: Path) -> Path:
    """Packs an image and returns its archive, which lies in `folder`.

    `layers` are folders, the lowest first; each becomes a layer, with owners and modes as they are.
    """
    archive = folder / f"{image.reference.rpartition('/')[2].replace(':', '-')}.tar"
    packed = [_pack_layer(layer, folder / f"{number}.tar") for number, layer in enumerate(layers)]
    digests = [hashlib.file_digest(layer.open("rb"), "sha256").hexdigest() for layer in packed]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in {"PATH": _PATH, **image.environment}.items()],
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "WorkingDir": image.folder,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    content = {"Config": "config.json", "RepoTags": [image.reference], "Layers": [layer.name for layer in packed]}
    with tarfile.open(archive, "w") as tar:
        for name, value in (("config.json", config), ("manifest.json", [content])):
            (folder / name).write_text(json.dumps(value))
        for file in (folder / "config.json", folder / "manifest.json", *packed):
            tar.add(file, arcname=file.name)
            file.unlink()
    return archive


def _pack_layer(root: Path, layer: Path) -> Path:
    with tarfile.open(layer, "w") as tar:
        tar.add(root, arcname=".", filter=_without_time)
    return layer


def _without_time(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The same tree gives the same layer; device files are the runtime's to make."""
    entry.mtime = 0
    return None if entry.isdev() else entry
