"""The component: a CronJob that takes a VolumeSnapshot of each member's volume, and the few rights that this needs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    EmptyDirVolumeSourceArgs,
    PodSpecArgs,
    ServiceAccount,
    VolumeArgs,
)
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgs, Role, RoleBinding, RoleRefArgs, SubjectArgs

from components.backup.cron_job import DEADLINE, declare_cron_job, script_container
from components.metadata import TAKE_OVER
from components.mongo.naming import UID
from components.pods import Identity, Placement, Resources, pod_security

SNAPSHOT_SCRIPT = Path(__file__).with_name("snapshot.js")
# mongosh, which only sends a few small requests.
SNAPSHOT_RESOURCES = Resources(cpu=("100m",), memory=("128Mi", "256Mi"), disk=("1Mi", "64Mi"))
# Seconds that a driver may take: it may copy the whole volume to another store first. The script of the first pod ends
# before its Job does, so that its last line can say which snapshot was not ready.
_READY_SECONDS = DEADLINE - 600
# Seconds. The snapshot controller reports errors from which it recovers by itself (external-snapshotter, issue 748).
_ERROR_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoSnapshotsArgs:
    """Arguments of MongoSnapshots."""

    namespace: pulumi.Input[str]
    """The namespace of the database."""
    image: str
    """An image with mongosh, such as that of the members. The script needs its Node.js, and no database."""
    claims: Sequence[str]
    """The PersistentVolumeClaim of each member. It must hold the data and the journal: then a snapshot of a member that
    runs is consistent (MongoDB's manual, "Back up with filesystem snapshots")."""
    snapshot_class: str
    """A VolumeSnapshotClass of the driver of these volumes."""
    schedule: str
    """When to take snapshots: a cron schedule in UTC; "" for only when somebody asks for them."""
    keep: int
    """How many snapshots of each claim to keep, at least 1."""
    resources: Resources = SNAPSHOT_RESOURCES
    """What the pod requests and may use."""
    placement: Placement = field(default_factory=Placement)
    """Where the pod may run, and how its image is pulled."""


class MongoSnapshots(pulumi.ComponentResource):
    """Snapshots of the volumes of the MongoDB named `name`: the CronJob `name-snapshot`, and its account.

    The VolumeSnapshots belong to nobody: they outlive this component, and end with the namespace.
    """

    def __init__(self, name: str, args: MongoSnapshotsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.keep < 1:
            raise ValueError(f"{name}: keep is {args.keep}: must be 1 or more")
        super().__init__("pacman:index:MongoSnapshots", name, None, opts)
        identity = Identity("mongo", name, role="snapshot")
        meta = ObjectMetaArgs(
            name=f"{name}-snapshot", namespace=args.namespace, labels=identity.labels, annotations=TAKE_OVER
        )
        child = pulumi.ResourceOptions(parent=self)
        account = _declare_account(f"{name}-snapshot", meta, child)
        script = ConfigMap(
            f"{name}-snapshot", metadata=meta, data={SNAPSHOT_SCRIPT.name: SNAPSHOT_SCRIPT.read_text()}, opts=child
        ).metadata.name
        declare_cron_job(meta, identity, args.schedule, _pod(identity, account, script, args), child)
        self.register_outputs({})


def _declare_account(name: str, meta: ObjectMetaArgs, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Declares the account of the pod, which may create, list and delete VolumeSnapshots of the namespace."""
    account = ServiceAccount(name, metadata=meta, automount_service_account_token=False, opts=opts).metadata.name
    role = Role(
        name,
        metadata=meta,
        rules=[
            PolicyRuleArgs(
                api_groups=["snapshot.storage.k8s.io"],
                resources=["volumesnapshots"],
                verbs=["create", "list", "delete"],
            )
        ],
        opts=opts,
    )
    RoleBinding(
        name,
        metadata=meta,
        role_ref=RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=role.metadata.name),
        subjects=[SubjectArgs(kind="ServiceAccount", name=account, namespace=meta.namespace)],
        opts=opts,
    )
    return account


def _pod(
    identity: Identity, account: pulumi.Input[str], script: pulumi.Input[str], args: MongoSnapshotsArgs
) -> PodSpecArgs:
    env: Mapping[str, str] = {
        "CLAIMS": ",".join(args.claims),
        "SNAPSHOT_CLASS": args.snapshot_class,
        "LABELS": json.dumps(identity.labels),
        "KEEP": str(args.keep),
        "READY_SECONDS": str(_READY_SECONDS),
        "ERROR_SECONDS": str(_ERROR_SECONDS),
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod
    }
    return PodSpecArgs(
        service_account_name=account,
        # The only pod of the database with a token.
        automount_service_account_token=True,
        enable_service_links=False,
        restart_policy="Never",
        security_context=pod_security(UID, UID),
        containers=[script_container(identity.role, args.image, env, args.resources, [])],
        volumes=[
            VolumeArgs(name="scripts", config_map=ConfigMapVolumeSourceArgs(name=script)),
            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
        ],
        **args.placement.pod_fields(),
    )
