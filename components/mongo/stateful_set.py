"""The component: a replica set, its users, and the policy of who may reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.apps.v1 import (
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicyArgs,
    StatefulSetSpecArgs,
)
from pulumi_kubernetes.batch.v1 import Job
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from components import quantities
from components.cluster import RunningMongo
from components.metadata import MEMBERS
from components.mongo.claims import claim_template
from components.mongo.credentials import Login, declare_credentials, declare_login
from components.mongo.guard import DatabaseGuard, Volumes
from components.mongo.init_job import MongoJobs, Wanted
from components.mongo.naming import PORT, REPLICA_SET, Names
from components.mongo.network import declare_network
from components.mongo.pod import member_pod
from components.pods import Placement, Resources

RESOURCES = Resources(cpu=("100m",), memory=("512Mi", "1Gi"), disk=("64Mi", "1Gi"))


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoStatefulSetArgs:
    """Arguments of MongoStatefulSet."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    image: str
    """An image with the contract of the official `mongo` image, 5.0 or newer, whose tag says the version."""
    members: int
    """Members of the replica set: 1, 3 or 5."""
    volume_size: str
    """Size of each member's volume, a quantity of 1Gi or more. It can grow, if the class allows it."""
    storage_class: str
    """Class of the volumes; it cannot change."""
    context: str
    """The kubeconfig context of the cluster."""
    database: str
    """The database of the application; its user lives there and can read and write there only."""
    indexes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Collection to the key of an index that the application's queries need: fields, each with 1 or -1."""
    one_per_node: bool = False
    """Never two members on one node: a member without a node of its own stays pending."""
    resources: Resources = RESOURCES
    """What each member requests and may use; the cache follows from the memory limit."""
    placement: Placement = field(default_factory=Placement)
    """Where the pods may run, and how their images are pulled."""
    compatibility: str = ""
    """The featureCompatibilityVersion, such as `8.0`; "" keeps what the data have."""
    rotation: int = 0
    """How often the passwords and the keyfile have been changed. One more changes them."""
    protect: bool = False
    """Refuse to delete the StatefulSet and the passwords, and keep the volumes even if their claims are deleted."""
    runs: RunningMongo | None = None
    """What runs now; None if nothing does, or it cannot be read."""


class MongoStatefulSet(pulumi.ComponentResource):
    """A MongoDB replica set named `name`, with a headless Service, its users, and a policy of who may reach it.

    The component is complete when the set has a primary and the application's user exists. A pod that wants to reach
    it carries `client_labels` and reads user and password from the Secret `app_secret`.

    After a rotation, `PreviousUsers` deletes the users that nobody needs any more.
    """

    app_secret: pulumi.Output[str]
    """Name of the Secret with the application's `username` and `password`."""
    backup_secret: pulumi.Output[str]
    """Name of the Secret with `username` and `password` of the user that reads for backups. It lives in `admin`."""
    root_secret: pulumi.Output[str]
    """Name of the Secret with `username` and `password` of the root user, who lives in `admin`."""
    jobs: MongoJobs
    """Declares more Jobs that work on the replica set."""
    hosts: list[str]
    """DNS name of each member, without the port, known before the members run."""
    claims: list[str]
    """The PersistentVolumeClaim of each member."""
    database: str
    """The application's database."""
    scratch_database: str
    """The database in which the backup user may verify a backup."""
    storage_class: pulumi.Output[str]
    """The class that the volumes have: it does not change once they exist."""
    client_labels: dict[str, str]
    """Labels of the pods that may reach the database."""
    uri: pulumi.Output[str]
    """Connection string of the application's user, a secret; it resolves inside the cluster."""

    def __init__(self, name: str, args: MongoStatefulSetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.members not in (1, 3, 5):
            raise ValueError(
                f"{name}: members is {args.members}: must be 1, 3 or 5, so that a majority is well defined"
            )
        super().__init__("pacman:index:MongoStatefulSet", name, None, opts)
        names = Names(name, args.namespace)
        self.database, self.scratch_database = args.database, f"{args.database}_backup_check"
        self.client_labels, self.hosts = names.client_labels, names.hosts(args.members)
        self.claims = names.claims(args.members)
        # Everything depends on this: it refuses a change that the data would not survive, before anything changes.
        child = pulumi.ResourceOptions(parent=self, depends_on=[self._guard(name, args)])

        credentials = declare_credentials(
            names, app_user=args.database, rotation=args.rotation, protect=args.protect, opts=child
        )
        service, policy = declare_network(names, child)
        self.jobs = MongoJobs(
            names,
            self._wanted(args),
            credentials,
            resources=args.resources,
            placement=args.placement,
            opts=child,
        )
        ready = self.jobs.declare("init")
        # Until they have stopped, members must reach each other.
        reachable = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[policy]))
        stateful_set = self._declare_stateful_set(names, args, service, credentials.root_secret, ready, reachable)
        Volumes(
            names,
            context=args.context,
            members=args.members,
            size=args.volume_size,
            retain=args.protect,
            runs=args.runs,
            # New claims have the first size. If that is another one, they must grow before data are copied into them.
            opts=child if _has_grown(args) else pulumi.ResourceOptions(parent=self, depends_on=[stateful_set]),
        )
        # Clients get a password that the database knows already.
        known = pulumi.ResourceOptions(parent=self, depends_on=[ready])
        self.app_secret = declare_login(names, "app", credentials.app, known)
        self.backup_secret = declare_login(names, "backup", credentials.backup, known)
        self.root_secret = credentials.root_secret
        self.storage_class = stateful_set.spec.apply(_class_of_claims)
        self.uri = self._uri(args, credentials.app)
        self.register_outputs({"uri": self.uri, "appSecret": self.app_secret})

    def _guard(self, name: str, args: MongoStatefulSetArgs) -> DatabaseGuard:
        return DatabaseGuard(
            name,
            image=args.image,
            members=args.members,
            storage_class=args.storage_class,
            volume_size=args.volume_size,
            compatibility=args.compatibility,
            rotation=args.rotation,
            runs=args.runs,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _wanted(self, args: MongoStatefulSetArgs) -> Wanted:
        return Wanted(
            image=args.image,
            members=args.members,
            database=args.database,
            scratch_database=self.scratch_database,
            indexes=args.indexes,
            compatibility=args.compatibility,
            rotation=args.rotation,
            volume=args.runs.new_claim if args.runs else "",
        )

    def _uri(self, args: MongoStatefulSetArgs, login: Login) -> pulumi.Output[str]:
        members = pulumi.Output.from_input(args.namespace).apply(
            lambda namespace: ",".join(f"{host}.{namespace}.svc:{PORT}" for host in self.hosts)
        )
        return pulumi.Output.format(
            "mongodb://{0}:{1}@{2}/{3}?replicaSet={4}",
            login.username,
            login.password,
            members,
            args.database,
            REPLICA_SET,
        )

    def _declare_stateful_set(
        self,
        names: Names,
        args: MongoStatefulSetArgs,
        service: pulumi.Input[str],
        root_secret: pulumi.Input[str],
        ready: Job,
        opts: pulumi.ResourceOptions,
    ) -> StatefulSet:
        return StatefulSet(
            names.name,
            # `kubectl scale` changes the replicas, but not this number, which the init Job has brought into the set.
            metadata=names.metadata(annotations={MEMBERS: str(args.members)}),
            spec=StatefulSetSpecArgs(
                replicas=args.members,
                service_name=service,
                selector=LabelSelectorArgs(match_labels=names.server.selector),
                # After a power cut the members need each other to elect: they may all start at once.
                pod_management_policy="Parallel",
                # A claim survives its pod and the StatefulSet. Only deleting the namespace deletes it.
                persistent_volume_claim_retention_policy=StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                    when_deleted="Retain", when_scaled="Retain"
                ),
                template=member_pod(
                    names,
                    args.image,
                    root_secret,
                    volume_size=args.volume_size,
                    resources=args.resources,
                    placement=args.placement,
                    one_per_node=args.one_per_node,
                    rotation=args.rotation,
                ),
                volume_claim_templates=[claim_template(names, args.storage_class, args.volume_size)],
            ),
            opts=pulumi.ResourceOptions.merge(opts, _how_to_change(args, ready)),
        )


def _how_to_change(args: MongoStatefulSetArgs, ready: Job) -> pulumi.ResourceOptions:
    runs = args.runs
    shrinks = bool(runs and runs.members > args.members)
    # A member that cannot start copies nothing. Somebody has to see why, and not after a day.
    copies = bool(runs and len(runs.ready) < args.members > 1 and not runs.stuck)
    return pulumi.ResourceOptions(
        # A claim template cannot change in place, and replacing the StatefulSet takes the database away. `Volumes`
        # grows the claims.
        ignore_changes=["spec.volumeClaimTemplates"],
        protect=args.protect or None,
        # The Job takes members out of the set before their pods go. If it cannot, they stay.
        depends_on=[ready] if shrinks else [],
        # A member is ready when it has copied all data, which may take hours.
        custom_timeouts=pulumi.CustomTimeouts(update="24h") if copies else None,
    )


def _has_grown(args: MongoStatefulSetArgs) -> bool:
    """Whether the volumes have another size than the one with which the StatefulSet creates claims."""
    first = args.runs.first_volume_size if args.runs else ""
    return bool(first) and quantities.parse(first) != quantities.parse(args.volume_size)


def _class_of_claims(spec: Any) -> str:  # noqa: ANN401 - an SDK output, all of whose fields may be None
    return str(spec.volume_claim_templates[0].spec.storage_class_name)
