"""The component: the volume of the backups, the scripts, and the two CronJobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    EmptyDirVolumeSourceArgs,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpecArgs,
    PersistentVolumeClaimVolumeSourceArgs,
    PodSpecArgs,
    VolumeArgs,
    VolumeMountArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.backup.cron_job import DEADLINE, declare_cron_job, script_container
from components.metadata import TAKE_OVER
from components.mongo.naming import UID
from components.mongo.pod import secret_volume
from components.pods import Identity, Placement, Resources, pod_security

SCRIPTS = {name: Path(__file__).with_name(name) for name in ("archive.js", "database.js", "backup.js", "restore.js")}
# A shell on Node.js, which holds a few MB of documents at a time. Measured with 1 GB: docs/backup.md.
RESOURCES = Resources(cpu=("50m",), memory=("256Mi", "768Mi"), disk=("1Mi", "64Mi"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoBackupArgs:
    """Arguments of MongoBackup."""

    namespace: pulumi.Input[str]
    """The namespace of the database."""
    image: str
    """An image with mongosh, such as that of the members."""
    hosts: Sequence[str]
    """DNS name of each member, without the port."""
    port: int
    """Port of the members."""
    replica_set: str
    """Name of the replica set. A backup reads one snapshot, which needs a replica set, and MongoDB 5.0 or newer."""
    database: str
    """The database to back up."""
    scratch_database: str
    """The database into which each backup is restored to verify it; nothing else may use it."""
    backup_secret: pulumi.Input[str]
    """Secret with `username` and `password` of a user of database `admin`: `read` on the database, and `readWrite` on
    the scratch database."""
    root_secret: pulumi.Input[str]
    """Secret with `username` and `password` of a user with the role `root`. Only restores use it."""
    client_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the pods that may reach the database."""
    schedule: str
    """When to take a backup: a cron schedule in UTC; "" for only when somebody asks for one."""
    keep: int
    """How many backups to keep, at least 1. As many of those that restores take of what they replace stay as well, and
    all that are newer than the oldest backup."""
    volume_size: str
    """Size of the volume, a quantity; only a new volume takes it."""
    storage_class: str
    """Class of the volume; only a new volume takes it."""
    claim: str = ""
    """A PersistentVolumeClaim of the namespace for the backups; "" to create one."""
    protect: bool = False
    """Refuse to delete the claim, and the backups with it."""
    resources: Resources = RESOURCES
    """What a backup or a restore requests and may use."""
    placement: Placement = field(default_factory=Placement)
    """Where the pods may run, and how their images are pulled."""


class MongoBackup(pulumi.ComponentResource):
    """Backups of the MongoDB named `name`: the CronJobs `name-backup` and `name-restore`, and a volume.

    `name-restore` is suspended: it is the template of the Jobs that restore. docs/backup.md has the commands.
    """

    claim: pulumi.Output[str]
    """The PersistentVolumeClaim with the backups."""

    def __init__(self, name: str, args: MongoBackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.keep < 1:
            raise ValueError(f"{name}: keep is {args.keep}: must be 1 or more")
        super().__init__("pacman:index:MongoBackup", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self.claim = pulumi.Output.from_input(args.claim) if args.claim else self._declare_claim()
        scripts = ConfigMap(
            f"{name}-backup",
            metadata=self._metadata("backup"),
            data={file: path.read_text() for file, path in SCRIPTS.items()},
            opts=self._child,
        ).metadata.name
        env = {"SCRATCH_DATABASE": args.scratch_database, "KEEP": str(args.keep), "EMPTIED": ""}
        self._declare("backup", args.schedule, scripts, args.backup_secret, env)
        self._declare("restore", "", scripts, args.root_secret, {"FROM": "latest"})
        self.register_outputs({"claim": self.claim})

    def _declare_claim(self) -> pulumi.Output[str]:
        return PersistentVolumeClaim(
            f"{self._name}-backup",
            # Many classes bind a claim when its first pod comes, which is the first backup.
            metadata=self._metadata("backup", {"pulumi.com/skipAwait": "true"}),
            spec=PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=self._args.storage_class,
                resources=VolumeResourceRequirementsArgs(requests={"storage": self._args.volume_size}),
            ),
            # A change could replace the claim, and so delete all backups.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["spec"], protect=self._args.protect or None),
        ).metadata.name

    def _identity(self, role: str) -> Identity:
        return Identity("mongo", self._name, role=role)

    def _metadata(self, role: str, annotations: Mapping[str, str] | None = None) -> ObjectMetaArgs:
        return ObjectMetaArgs(
            name=f"{self._name}-{role}",
            namespace=self._args.namespace,
            labels=self._identity(role).labels,
            annotations={**TAKE_OVER, **(annotations or {})},
        )

    def _declare(
        self,
        role: str,
        schedule: str,
        scripts: pulumi.Input[str],
        secret: pulumi.Input[str],
        env: Mapping[str, str],
    ) -> None:
        """Declares the CronJob that runs the script of a role; without a schedule it is suspended."""
        declare_cron_job(
            self._metadata(role),
            self._identity(role),
            schedule,
            self._pod(role, scripts, secret, env),
            self._child,
            pod_labels=self._args.client_labels,
        )

    def _pod(
        self, role: str, scripts: pulumi.Input[str], secret: pulumi.Input[str], env: Mapping[str, str]
    ) -> PodSpecArgs:
        return PodSpecArgs(
            automount_service_account_token=False,
            enable_service_links=False,
            restart_policy="Never",
            security_context=pod_security(UID, UID),
            containers=[self._container(role, env)],
            volumes=[
                VolumeArgs(name="scripts", config_map=ConfigMapVolumeSourceArgs(name=scripts)),
                secret_volume("login", secret, keys=("username", "password")),
                VolumeArgs(
                    name="backups",
                    persistent_volume_claim=PersistentVolumeClaimVolumeSourceArgs(claim_name=self.claim),
                ),
                VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
            ],
            **self._args.placement.pod_fields(),
        )

    def _container(self, role: str, env: Mapping[str, str]) -> ContainerArgs:
        args = self._args
        variables: dict[str, pulumi.Input[str]] = {
            "HOSTS": ",".join(f"{host}:{args.port}" for host in args.hosts),
            "REPLICA_SET": args.replica_set,
            "DATABASE": args.database,
            "CLAIM": self.claim,
            "DEADLINE": str(DEADLINE),
            "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod
            **env,
        }
        mounts = [
            VolumeMountArgs(name="login", mount_path="/secrets", read_only=True),
            VolumeMountArgs(name="backups", mount_path="/backup"),
        ]
        return script_container(role, args.image, variables, args.resources, mounts)
