"""Packs folders as a container image, in the layout of the Open Container Initiative (image-spec 1.1).

Nothing here is compressed: the image goes from one folder of this machine to another.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_MEDIA: Final = "application/vnd.oci.image"
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
    """Packs an image.

    Args:
        image: What it says of itself.
        layers: Folders, the lowest first; each becomes a layer, with owners and modes as they are.
        folder: Where the archive goes.

    Returns:
        The archive.
    """
    packed = [_pack_layer(layer, folder / f"{number}.layer") for number, layer in enumerate(layers)]
    digests = [f"sha256:{hashlib.file_digest(layer.open('rb'), 'sha256').hexdigest()}" for layer in packed]
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "User": image.user,
                "Env": [f"{name}={value}" for name, value in {"PATH": _PATH, **image.environment}.items()],
                "Entrypoint": list(image.entrypoint),
                "Cmd": list(image.command),
                "WorkingDir": image.folder,
            },
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    )
    descriptors = [
        {"mediaType": f"{_MEDIA}.layer.v1.tar", "digest": digest, "size": layer.stat().st_size}
        for digest, layer in zip(digests, packed, strict=True)
    ]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _descriptor("config.v1+json", config),
            "layers": descriptors,
        }
    )
    name = {
        "io.containerd.image.name": image.reference,
        "org.opencontainers.image.ref.name": image.reference.rpartition(":")[2],
    }
    index = {"schemaVersion": 2, "manifests": [{**_descriptor("manifest.v1+json", manifest), "annotations": name}]}
    archive = folder / f"{image.reference.rpartition('/')[2].replace(':', '-')}.tar"
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", _json(index))
        for body in (config, manifest):
            _add(tar, _blob(_digest(body)), body)
        for digest, layer in zip(digests, packed, strict=True):
            tar.add(layer, arcname=_blob(digest))
    for layer in packed:
        layer.unlink()
    return archive


def _pack_layer(root: Path, layer: Path) -> Path:
    with tarfile.open(layer, "w") as tar:
        tar.add(root, arcname=".", filter=_without_time)
    return layer


def _without_time(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The same tree gives the same layer; device files are the runtime's to make."""
    entry.mtime = 0
    return None if entry.isdev() else entry


def _descriptor(media: str, body: bytes) -> dict[str, Any]:
    return {"mediaType": f"{_MEDIA}.{media}", "digest": _digest(body), "size": len(body)}


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _add(tar: tarfile.TarFile, name: str, body: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(body)
    tar.addfile(entry, io.BytesIO(body))
