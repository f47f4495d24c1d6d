"""What keeps the data: a check against the state before anything changes, and the volumes themselves."""

import pulumi
from pulumi.dynamic import Resource

from components.cluster import RunningMongo
from components.dynamic_providers import DatabaseProvider, VolumesProvider
from components.images import Image
from components.metadata import this_stack
from components.mongo.naming import Names


def line_of(image: str) -> str:
    """Major and minor version of a MongoDB image, such as 8.0: servers of one line read the same data.

    Raises:
        ValueError: The image is not pinned, or its tag does not say them.
    """
    version = Image.parse(image).version
    if len(version) < 2:
        raise ValueError(f"image is {image}: must have a tag that says the version, such as mongo:8.0.32@sha256:…")
    return f"{version[0]}.{version[1]}"


class DatabaseGuard(Resource, module="pacman", name="Database"):
    """Refuses an `up`, and a preview, after which the database could not read its data or would lose its majority."""

    def __init__(
        self,
        database: str,
        *,
        image: str,
        members: int,
        storage_class: str,
        volume_size: str,
        compatibility: str,
        rotation: int,
        runs: RunningMongo | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "database": database,
            "members": members,
            "image": image,
            "line": line_of(image),
            "compatibility": compatibility,
            "storageClass": storage_class,
            "volumeSize": volume_size,
            "rotation": rotation,
            "stack": this_stack(),
            "runs": _as_inputs(runs),
        }
        super().__init__(DatabaseProvider(), f"{database}-guard", inputs, opts)


def _as_inputs(runs: RunningMongo | None) -> dict[str, object]:
    """What runs, under the names of the guard's own inputs; empty if that is not known."""
    if runs is None:
        return {}
    try:
        line = line_of(runs.image)
    except ValueError:  # somebody has set it by hand, or an older program without a tag
        line = ""
    return {
        "members": runs.members,
        "image": runs.image,
        "line": line,
        "storageClass": runs.storage_class,
        "volumeSize": runs.volume_size,
        "rotated": runs.rotated,
        "ready": sorted(runs.ready),
        "restarts": runs.restarts,
        "unbound": runs.unbound,
    }


class Volumes(Resource, module="pacman", name="Volumes"):
    """The members' volumes, as large as the config says, which outlive their claims if `retain` is true."""

    def __init__(
        self,
        names: Names,
        *,
        context: str,
        members: int,
        size: str,
        retain: bool,
        runs: RunningMongo | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        inputs = {
            "context": context,
            "namespace": names.namespace,
            "claims": names.claims(members),
            "size": size,
            "retain": retain,
            "uids": sorted(runs.claims) if runs else [],
            "project": pulumi.get_project(),
        }
        super().__init__(VolumesProvider(), f"{names.name}-volumes", inputs, opts)
