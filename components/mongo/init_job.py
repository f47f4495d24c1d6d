"""The Job that initiates the replica set, adds members, and creates the application's user."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pulumi
from pulumi_kubernetes.batch.v1 import Job, JobSpecArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    VolumeArgs,
    VolumeMountArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.mongo.credentials import Credentials
from components.mongo.naming import PORT, REPLICA_SET, UID, Names
from components.mongo.pod import secret_volume
from components.pods import Placement, Resources, container_security, pod_security

INIT_SCRIPT = Path(__file__).with_name("init.js")
# A shell on Node.js: about 130 MiB once it is connected.
_RESOURCES = Resources(cpu=("50m",), memory=("128Mi", "512Mi"), disk=("1Mi", "64Mi"))


def declare_init_job(
    names: Names,
    image: str,
    members: int,
    database: str,
    indexes: Mapping[str, Mapping[str, int]],
    credentials: Credentials,
    *,
    resources: Resources,
    placement: Placement,
    opts: pulumi.ResourceOptions,
) -> None:
    """Declares the Job and the ConfigMap with its script.

    A finished Job does not run again. So its name has a hash of script, image, indexes and number of members: if one of
    them changes, a new Job runs.
    """
    script, wanted = INIT_SCRIPT.read_text(), json.dumps(indexes)
    config = ConfigMap(
        f"{names.name}-init", metadata=names.metadata("-init", names.init), data={"init.js": script}, opts=opts
    )
    run = hashlib.sha256(f"{script}|{image}|{members}|{wanted}".encode()).hexdigest()[:8]
    container = _container(names, image, members, database, wanted, resources)
    Job(
        f"{names.name}-init",
        # The next `up` replaces a failed Job, which would otherwise stay failed for ever.
        metadata=names.metadata(f"-init-{run}", names.init, {"pulumi.com/replaceUnready": "true"}),
        spec=JobSpecArgs(
            # The script retries by itself. A new pod is only for what ends the script, such as an eviction.
            backoff_limit=3,
            active_deadline_seconds=540,
            template=PodTemplateSpecArgs(
                metadata=ObjectMetaArgs(labels=names.init.labels),
                spec=_pod(config.metadata.name, credentials, container, placement),
            ),
        ),
        # A failed Job keeps its name in the cluster. If the new Job were created first, going back to the old config
        # would then fail, because that name exists.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )


def _pod(
    script: pulumi.Input[str], credentials: Credentials, container: ContainerArgs, placement: Placement
) -> PodSpecArgs:
    return PodSpecArgs(
        automount_service_account_token=False,
        enable_service_links=False,
        restart_policy="Never",
        security_context=pod_security(UID, UID),
        containers=[container],
        volumes=[
            VolumeArgs(name="script", config_map=ConfigMapVolumeSourceArgs(name=script)),
            secret_volume("root", credentials.root_secret),
            secret_volume("app", credentials.app_secret),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
        ],
        **placement.pod_fields(),
    )


def _container(
    names: Names, image: str, members: int, database: str, indexes: str, resources: Resources
) -> ContainerArgs:
    return ContainerArgs(
        name="init",
        image=image,
        command=["mongosh", "--quiet", "--norc", "--nodb", "/script/init.js"],
        env=[
            EnvVarArgs(name="MEMBERS", value=",".join(f"{host}:{PORT}" for host in names.hosts(members))),
            EnvVarArgs(name="NAMESPACE", value=names.namespace),
            EnvVarArgs(name="REPLICA_SET", value=REPLICA_SET),
            EnvVarArgs(name="DATABASE", value=database),
            EnvVarArgs(name="INDEXES", value=indexes),
            EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 - an emptyDir of the pod
        ],
        # `pulumi up` prints it if the Job fails.
        termination_message_policy="FallbackToLogsOnError",
        security_context=container_security(),
        resources=_RESOURCES.with_cpu_limit_of(resources).args(),
        volume_mounts=[
            VolumeMountArgs(name="script", mount_path="/script", read_only=True),
            VolumeMountArgs(name="root", mount_path="/secrets/root", read_only=True),
            VolumeMountArgs(name="app", mount_path="/secrets/app", read_only=True),
            VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
        ],
    )
