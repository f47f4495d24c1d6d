"""What a member's pod looks like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pulumi
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    ExecActionArgs,
    KeyToPathArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    SecretVolumeSourceArgs,
    TCPSocketActionArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.metadata import ROTATION
from components.mongo.naming import PORT, REPLICA_SET, UID, Names
from components.pods import Placement, Resources, apart, container_security, pod_security, spread
from components.quantities import GIB, MIB, bytes_of

READY_SCRIPT: Final = Path(__file__).with_name("ready.sh")
LEAVE_SCRIPT: Final = Path(__file__).with_name("leave.sh")
_LEAVE_SECONDS: Final = 60
"""How long a member waits for others before it stops."""
_STOP_SECONDS: Final = 60
"""A primary steps down and drains its clients for up to 15 s before it closes its files."""
# The keyfile is copied by a container that does nothing else.
_KEYFILE_RESOURCES = Resources(cpu=("10m",), memory=("64Mi", "256Mi"), disk=("1Mi", "16Mi"))


def member_pod(
    names: Names,
    image: str,
    root_secret: pulumi.Input[str],
    *,
    volume_size: str,
    resources: Resources,
    placement: Placement,
    one_per_node: bool,
    rotation: int,
) -> PodTemplateSpecArgs:
    """The pod of one member; its volume `data` comes from the StatefulSet's claim template."""
    return PodTemplateSpecArgs(
        # A member reads the keyfile when it starts, so a new one restarts it.
        metadata=ObjectMetaArgs(
            labels=names.server.labels, annotations={ROTATION: str(rotation)} if rotation else None
        ),
        spec=PodSpecArgs(
            automount_service_account_token=False,
            enable_service_links=False,
            security_context=pod_security(UID, UID),
            affinity=apart(names.server) if one_per_node else None,
            topology_spread_constraints=spread(names.server),
            termination_grace_period_seconds=_LEAVE_SECONDS + _STOP_SECONDS,
            init_containers=[_keyfile_container(image, resources)],
            containers=[_mongod_container(image, mongod_arguments(resources, volume_size), resources)],
            volumes=[
                secret_volume("root", root_secret),
                VolumeArgs(name="keyfile", empty_dir=EmptyDirVolumeSourceArgs(medium="Memory")),
                VolumeArgs(name="configdb", empty_dir=EmptyDirVolumeSourceArgs()),
                VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            ],
            **placement.pod_fields(),
        ),
    )


def mongod_arguments(resources: Resources, volume_size: str) -> list[str]:
    """The arguments of mongod.

    Cache: half of the memory limit without its first GiB, and 0.25 GB at least, as MongoDB's manual has it
    ("storage.wiredTiger.engineConfig.cacheSizeGB"); said here, because mongod may see the node's memory instead of the
    container's. Oplog: 5 % of the volume, as by default, but 256 MiB at least where the default is 990, which a small
    volume cannot hold. It only matters when a member's volume is new.
    """
    cache = max(0.25, (bytes_of(resources.memory[-1]) / GIB - 1) / 2)
    oplog = max(256, bytes_of(volume_size) // MIB // 20)
    return [
        f"--replSet={REPLICA_SET}",
        "--keyFile=/keyfile/keyfile",
        f"--wiredTigerCacheSizeGB={cache:.4g}",
        f"--oplogSize={oplog}",
        # Pacman runs no JavaScript in the server (CVE-2026-11933), and zlib has been read out before (CVE-2025-14847).
        "--noscripting",
        "--networkMessageCompressors=snappy,zstd",
    ]


def secret_volume(name: str, secret: pulumi.Input[str], keys: Sequence[str] = ()) -> VolumeArgs:
    """A Secret as a volume, or only some of its keys.

    Octal 0440: the file is root's, the process reads it through its fsGroup.
    """
    items = [KeyToPathArgs(key=key, path=key) for key in keys] or None
    return VolumeArgs(name=name, secret=SecretVolumeSourceArgs(secret_name=secret, default_mode=0o440, items=items))


def _keyfile_container(image: str, resources: Resources) -> ContainerArgs:
    return ContainerArgs(
        name="keyfile",
        image=image,
        # A Secret volume with an fsGroup is readable by the group, which mongod refuses.
        command=["install", "-m", "0400", "/secrets/keyfile", "/keyfile/keyfile"],
        security_context=container_security(),
        resources=_KEYFILE_RESOURCES.with_cpu_limit_of(resources).args(),
        volume_mounts=[
            VolumeMountArgs(name="root", mount_path="/secrets", read_only=True),
            VolumeMountArgs(name="keyfile", mount_path="/keyfile"),
        ],
    )


def _mongod_container(image: str, arguments: list[str], resources: Resources) -> ContainerArgs:
    # From outside the pod, where the temporary server of the first boot does not listen.
    answers = TCPSocketActionArgs(port="mongo")
    # A member without a full copy is not ready, so a rolling update and an eviction wait for it.
    ready = READY_SCRIPT.read_text()
    has_data = ExecActionArgs(command=["bash", "-c", ready, "ready", "127.0.0.1", str(PORT)])
    others_have_data = ExecActionArgs(
        command=["bash", "-c", LEAVE_SCRIPT.read_text(), "leave", str(PORT), ready, str(_LEAVE_SECONDS)]
    )
    return ContainerArgs(
        name="mongo",
        image=image,
        args=arguments,
        env=[
            EnvVarArgs(name="MONGO_INITDB_ROOT_USERNAME_FILE", value="/secrets/username"),
            EnvVarArgs(name="MONGO_INITDB_ROOT_PASSWORD_FILE", value="/secrets/password"),
            # The default home is the data directory; a shell must leave no history there.
            EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 - an emptyDir of the pod
            # MongoDB 8 refuses Linux 6.19 to 7.0.13 unless its allocator's per-CPU caches are off, which this does
            # (SERVER-121912). Older servers do not read it.
            EnvVarArgs(name="GLIBC_TUNABLES", value="glibc.pthread.rseq=1"),
        ],
        ports=[ContainerPortArgs(name="mongo", container_port=PORT)],
        # An hour: mongod listens only when it has replayed its journal and oplog, which takes long on a large volume.
        startup_probe=ProbeArgs(tcp_socket=answers, period_seconds=1, failure_threshold=3600),
        readiness_probe=ProbeArgs(exec_=has_data, period_seconds=2, timeout_seconds=2),
        lifecycle=LifecycleArgs(pre_stop=LifecycleHandlerArgs(exec_=others_have_data)),
        liveness_probe=ProbeArgs(
            tcp_socket=answers,
            period_seconds=20,
            timeout_seconds=5,
            failure_threshold=6,
            termination_grace_period_seconds=_STOP_SECONDS,
        ),
        security_context=container_security(),
        resources=resources.args(),
        volume_mounts=[
            VolumeMountArgs(name="data", mount_path="/data/db"),
            VolumeMountArgs(name="configdb", mount_path="/data/configdb"),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
            VolumeMountArgs(name="root", mount_path="/secrets", read_only=True),
            VolumeMountArgs(name="keyfile", mount_path="/keyfile", read_only=True),
        ],
    )
