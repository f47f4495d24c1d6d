"""MongoDB as a StatefulSet: a replica set with authentication from its first boot, also with one member.

One code path for one member and for five means that growing needs no migration, and that there is an oplog to recover
and back up from. The replica set is initiated by a Job and by nothing else: a boot script that initiates when its
volume is empty is how clusters lose data, because it makes a second set while the first one lives.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes.apps.v1 import (
    StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicyArgs,
    StatefulSetSpecArgs,
)
from pulumi_kubernetes.batch.v1 import Job, JobSpecArgs
from pulumi_kubernetes.core.v1 import (
    ConfigMap,
    ConfigMapVolumeSourceArgs,
    ContainerArgs,
    ContainerPortArgs,
    EmptyDirVolumeSourceArgs,
    EnvVarArgs,
    PersistentVolumeClaimArgs,
    PersistentVolumeClaimSpecArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    Secret,
    SecretVolumeSourceArgs,
    Service,
    ServicePortArgs,
    ServiceSpecArgs,
    TCPSocketActionArgs,
    VolumeArgs,
    VolumeMountArgs,
    VolumeResourceRequirementsArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs
from pulumi_random import RandomPassword

from components.field_owners import TAKE_OVER
from components.pods import Identity, apart, container_security, pod_security, spread

PORT = 27017
REPLICA_SET = "rs0"
ROOT_USER = "root"
# The official image's user and group `mongodb`.
UID = 999
INIT_SCRIPT = Path(__file__).with_name("mongo_init.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoStatefulSetArgs:
    """What a MongoStatefulSet is made of."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    image: str
    """An image with the contract of the official `mongo` image, 6.0 or newer."""
    members: int
    """Members of the replica set: 1, 3 or 5."""
    volume_size: str
    """Size of each member's volume, a quantity of 1Gi or more; only a new volume takes it."""
    storage_class: str
    """Class of the volumes. Named, so that it does not matter which class happens to be the default."""
    database: str
    """The database of the application; its user lives there and can read and write there only."""
    one_per_node: bool = False
    """Never two members on one node: a member without a node of its own stays pending."""


class MongoStatefulSet(pulumi.ComponentResource):
    """A MongoDB replica set named `name`, with a headless Service, its users, and a policy of who may reach it.

    The component is complete when the set has a primary and the application's user exists. A pod that wants to reach
    it carries `client_labels` and reads user and password from the Secret `app_secret`.
    """

    app_secret: pulumi.Output[str]
    """Name of the Secret with the application's `username` and `password`."""
    hosts: list[str]
    """DNS name of each member, without the port, known before the members are."""
    database: str
    """The application's database."""
    storage_class: pulumi.Output[str]
    """Class of the volumes as they are: those of a set that exists do not change."""
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
        child = pulumi.ResourceOptions(parent=self)
        server = Identity("mongo", name)
        init = Identity("mongo", name, role="init")
        self.database = args.database
        self.client_labels = {f"{name}-client": "true"}

        def meta(
            suffix: str = "", labels: Identity = server, annotations: Mapping[str, str] = TAKE_OVER
        ) -> ObjectMetaArgs:
            return ObjectMetaArgs(
                name=name + suffix, namespace=args.namespace, labels=labels.labels, annotations=annotations
            )

        # Alphanumeric, because these end in URLs and in a keyfile, whose alphabet is base64.
        root = RandomPassword(f"{name}-root", length=32, special=False, opts=child)
        app = RandomPassword(f"{name}-app", length=32, special=False, opts=child)
        keyfile = RandomPassword(f"{name}-keyfile", length=512, special=False, opts=child)

        root_secret = Secret(
            f"{name}-root",
            metadata=meta("-root"),
            string_data={"username": ROOT_USER, "password": root.result, "keyfile": keyfile.result},
            opts=child,
        )
        app_secret = Secret(
            f"{name}-app",
            metadata=meta("-app"),
            string_data={"username": args.database, "password": app.result},
            opts=child,
        )
        self.app_secret = app_secret.metadata.name

        service = Service(
            name,
            metadata=meta(),
            spec=ServiceSpecArgs(
                cluster_ip="None",
                # Members must find each other before they are ready, or the first election never comes.
                publish_not_ready_addresses=True,
                selector=server.selector,
                ports=[ServicePortArgs(name="mongo", port=PORT, target_port="mongo")],
            ),
            opts=child,
        )
        # Without the cluster's domain, which need not be cluster.local: the resolver's search list completes it.
        self.hosts = [f"{name}-{ordinal}.{name}" for ordinal in range(args.members)]
        members = pulumi.Output.from_input(args.namespace).apply(
            lambda namespace: ",".join(f"{host}.{namespace}.svc:{PORT}" for host in self.hosts)
        )

        policy_port = [NetworkPolicyPortArgs(port=PORT, protocol="TCP")]
        NetworkPolicy(
            name,
            metadata=meta(),
            spec=NetworkPolicySpecArgs(
                pod_selector=LabelSelectorArgs(match_labels=server.selector),
                policy_types=["Ingress"],
                ingress=[
                    NetworkPolicyIngressRuleArgs(
                        from_=[
                            NetworkPolicyPeerArgs(pod_selector=LabelSelectorArgs(match_labels=labels))
                            for labels in (server.selector, init.selector, self.client_labels)
                        ],
                        ports=policy_port,
                    )
                ],
            ),
            opts=child,
        )

        PodDisruptionBudget(
            name,
            metadata=meta(),
            # Not minAvailable: with one member that would block every node drain for ever.
            spec=PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=LabelSelectorArgs(match_labels=server.selector)
            ),
            opts=child,
        )

        answers = TCPSocketActionArgs(port="mongo")
        stateful_set = StatefulSet(
            name,
            metadata=meta(),
            spec=StatefulSetSpecArgs(
                replicas=args.members,
                service_name=service.metadata.name,
                selector=LabelSelectorArgs(match_labels=server.selector),
                # After a power cut the members need each other to elect: they may all start at once.
                pod_management_policy="Parallel",
                # A claim outlives its pod, its ordinal and the StatefulSet; only the namespace takes it along.
                persistent_volume_claim_retention_policy=StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                    when_deleted="Retain", when_scaled="Retain"
                ),
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=server.labels),
                    spec=PodSpecArgs(
                        automount_service_account_token=False,
                        enable_service_links=False,
                        security_context=pod_security(UID, UID),
                        affinity=apart(server) if args.one_per_node else None,
                        topology_spread_constraints=spread(server),
                        # A primary steps down and drains its clients for up to 15 s before it closes its files.
                        termination_grace_period_seconds=60,
                        init_containers=[
                            ContainerArgs(
                                name="keyfile",
                                image=args.image,
                                # A Secret volume with an fsGroup is readable by the group, which mongod refuses.
                                command=["install", "-m", "0400", "/secrets/keyfile", "/keyfile/keyfile"],
                                security_context=container_security(),
                                resources=_small(),
                                volume_mounts=[
                                    VolumeMountArgs(name="root", mount_path="/secrets", read_only=True),
                                    VolumeMountArgs(name="keyfile", mount_path="/keyfile"),
                                ],
                            )
                        ],
                        containers=[
                            ContainerArgs(
                                name="mongo",
                                image=args.image,
                                args=_mongod_args(),
                                env=[
                                    EnvVarArgs(name="MONGO_INITDB_ROOT_USERNAME_FILE", value="/secrets/username"),
                                    EnvVarArgs(name="MONGO_INITDB_ROOT_PASSWORD_FILE", value="/secrets/password"),
                                    # The default home is the data directory; a shell must leave no history there.
                                    EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 - an emptyDir of the pod
                                    # MongoDB 8 refuses Linux 6.19 to 7.0.13 unless its allocator's per-CPU caches are
                                    # off, which this does (SERVER-121912). Older servers do not read it.
                                    EnvVarArgs(name="GLIBC_TUNABLES", value="glibc.pthread.rseq=1"),
                                ],
                                ports=[ContainerPortArgs(name="mongo", container_port=PORT)],
                                # TCP, not a shell: cheap under load, without a password, and not fooled by the
                                # first boot's temporary server, which listens on loopback only.
                                startup_probe=ProbeArgs(tcp_socket=answers, period_seconds=1, failure_threshold=300),
                                readiness_probe=ProbeArgs(tcp_socket=answers, period_seconds=2, timeout_seconds=2),
                                liveness_probe=ProbeArgs(
                                    tcp_socket=answers, period_seconds=20, timeout_seconds=5, failure_threshold=6
                                ),
                                security_context=container_security(),
                                resources=ResourceRequirementsArgs(
                                    requests={"cpu": "100m", "memory": "512Mi"}, limits={"memory": "1Gi"}
                                ),
                                volume_mounts=[
                                    VolumeMountArgs(name="data", mount_path="/data/db"),
                                    VolumeMountArgs(name="configdb", mount_path="/data/configdb"),
                                    VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
                                    VolumeMountArgs(name="root", mount_path="/secrets", read_only=True),
                                    VolumeMountArgs(name="keyfile", mount_path="/keyfile", read_only=True),
                                ],
                            )
                        ],
                        volumes=[
                            _secret_volume("root", root_secret.metadata.name),
                            VolumeArgs(name="keyfile", empty_dir=EmptyDirVolumeSourceArgs(medium="Memory")),
                            VolumeArgs(name="configdb", empty_dir=EmptyDirVolumeSourceArgs()),
                            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
                        ],
                    ),
                ),
                volume_claim_templates=[
                    PersistentVolumeClaimArgs(
                        metadata=ObjectMetaArgs(name="data", labels=server.selector),
                        spec=PersistentVolumeClaimSpecArgs(
                            access_modes=["ReadWriteOnce"],
                            storage_class_name=args.storage_class,
                            resources=VolumeResourceRequirementsArgs(requests={"storage": args.volume_size}),
                        ),
                    )
                ],
            ),
            # A claim template cannot change in place, and replacing the StatefulSet takes the database away: a new size
            # is for new stacks, and an existing volume is grown by hand (README, "A larger volume").
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["spec.volumeClaimTemplates"]),
        )

        script = INIT_SCRIPT.read_text()
        config = ConfigMap(f"{name}-init", metadata=meta("-init", init), data={"init.js": script}, opts=child)
        # A finished Job does not run again, so its name says what it brought about: another script, image or number of
        # members is another Job.
        run = hashlib.sha256(f"{script}|{args.image}|{args.members}".encode()).hexdigest()[:8]
        Job(
            f"{name}-init",
            metadata=meta(f"-init-{run}", init),
            spec=JobSpecArgs(
                # The script waits and tries again by itself; a new pod is for what it cannot outlast.
                backoff_limit=3,
                active_deadline_seconds=540,
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels=init.labels),
                    spec=PodSpecArgs(
                        automount_service_account_token=False,
                        enable_service_links=False,
                        restart_policy="Never",
                        security_context=pod_security(UID, UID),
                        containers=[
                            ContainerArgs(
                                name="init",
                                image=args.image,
                                command=["mongosh", "--quiet", "--norc", "--nodb", "/script/init.js"],
                                env=[
                                    EnvVarArgs(name="MEMBERS", value=",".join(f"{host}:{PORT}" for host in self.hosts)),
                                    EnvVarArgs(name="NAMESPACE", value=args.namespace),
                                    EnvVarArgs(name="REPLICA_SET", value=REPLICA_SET),
                                    EnvVarArgs(name="DATABASE", value=args.database),
                                    EnvVarArgs(name="HOME", value="/tmp"),  # noqa: S108 - an emptyDir of the pod
                                ],
                                # What the person reads in `pulumi up` when the Job fails.
                                termination_message_policy="FallbackToLogsOnError",
                                security_context=container_security(),
                                resources=ResourceRequirementsArgs(
                                    # A shell on Node.js: about 130 MiB once it is connected.
                                    requests={"cpu": "50m", "memory": "128Mi"},
                                    limits={"memory": "512Mi"},
                                ),
                                volume_mounts=[
                                    VolumeMountArgs(name="script", mount_path="/script", read_only=True),
                                    VolumeMountArgs(name="root", mount_path="/secrets/root", read_only=True),
                                    VolumeMountArgs(name="app", mount_path="/secrets/app", read_only=True),
                                    VolumeMountArgs(name="tmp", mount_path="/tmp"),  # noqa: S108
                                ],
                            )
                        ],
                        volumes=[
                            VolumeArgs(name="script", config_map=ConfigMapVolumeSourceArgs(name=config.metadata.name)),
                            _secret_volume("root", root_secret.metadata.name),
                            _secret_volume("app", app_secret.metadata.name),
                            VolumeArgs(name="tmp", empty_dir=EmptyDirVolumeSourceArgs()),
                        ],
                    ),
                ),
            ),
            # A Job that failed stays in the cluster under its name: were the next one made first, going back to what
            # was before would meet it there.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

        self.uri = pulumi.Output.format(
            "mongodb://{0}:{1}@{2}/{0}?replicaSet={3}", args.database, app.result, members, REPLICA_SET
        )
        self.storage_class = stateful_set.spec.apply(_class_of_claims)
        self.register_outputs({"uri": self.uri, "appSecret": self.app_secret})


def _class_of_claims(spec: Any) -> str:  # noqa: ANN401 - an SDK output, all of whose fields may be None
    return str(spec.volume_claim_templates[0].spec.storage_class_name)


def _mongod_args() -> list[str]:
    return [
        f"--replSet={REPLICA_SET}",
        "--keyFile=/keyfile/keyfile",
        # mongod may see the node's memory instead of the container's: half of the limit, less 1 GiB, is below the least
        # that WiredTiger takes, so it is the least.
        "--wiredTigerCacheSizeGB=0.25",
        # MiB; the default is 990 at least, which a small volume cannot hold.
        "--oplogSize=256",
        # Pacman runs no JavaScript in the server (CVE-2026-11933), and zlib has been read out before (CVE-2025-14847).
        "--noscripting",
        "--networkMessageCompressors=snappy,zstd",
    ]


def _small() -> ResourceRequirementsArgs:
    return ResourceRequirementsArgs(requests={"cpu": "10m", "memory": "64Mi"}, limits={"memory": "256Mi"})


def _secret_volume(name: str, secret: pulumi.Input[str]) -> VolumeArgs:
    # Octal 0440: the file is root's, the process reads it through its fsGroup.
    return VolumeArgs(name=name, secret=SecretVolumeSourceArgs(secret_name=secret, default_mode=0o440))
