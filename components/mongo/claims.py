"""The claim of each member's volume."""

from pulumi_kubernetes.core.v1 import (
    PersistentVolumeClaimArgs,
    PersistentVolumeClaimSpecArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.mongo.naming import Names


def claim_template(names: Names, storage_class: str, size: str) -> PersistentVolumeClaimArgs:
    """The claim `data`. It names its class, so it does not matter which class happens to be the default."""
    return PersistentVolumeClaimArgs(
        metadata=ObjectMetaArgs(name="data", labels=names.server.selector),
        spec=PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage_class,
            resources=VolumeResourceRequirementsArgs(requests={"storage": size}),
        ),
    )
