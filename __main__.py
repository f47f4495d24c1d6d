"""The program: reads the stack's settings, creates one provider, connects the components, exports the outputs."""

# ruff: noqa: E402 - Python would look through all that is imported for garbage, which takes a fifth of that time.
import gc

gc.disable()

from dataclasses import replace
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components import backup, mongo, pacman_deployment
from components.backup import MongoBackup, MongoBackupArgs, MongoSnapshots, MongoSnapshotsArgs
from components.cluster import RunningMongo
from components.default_storage_class import DefaultStorageClass, DefaultStorageClassArgs
from components.fixed_namespace import FixedNamespace, FixedNamespaceArgs
from components.ingress_controller import IngressController, IngressControllerArgs
from components.metadata import add_to_every_object
from components.mongo import MongoStatefulSet, MongoStatefulSetArgs, PreviousUsers
from components.nginx_ingress import NginxIngress, NginxIngressArgs, access_hint
from components.pacman_deployment import PacmanDeployment, PacmanDeploymentArgs
from components.pods import Placement
from components.registry_credentials import RegistryCredentials, RegistryCredentialsArgs
from components.restricted_namespace import RestrictedNamespace
from stack import preflight, settings
from stack.settings import Settings


def main() -> None:
    """Declares one stack."""
    config = settings.load()
    known = preflight.read_cluster(config)
    demote = preflight.check(config, known)
    add_to_every_object(config.labels, config.annotations)
    on_cluster = pulumi.ResourceOptions(providers={"kubernetes": declare_provider(config)})

    fixed = FixedNamespace(
        "namespace",
        FixedNamespaceArgs(
            namespace=config.namespace,
            context=config.context,
            cluster=known.identity if known else "",
            owner=preflight.namespace_owner(config, known),
            created=config.create_namespace,
        ),
    )
    # Everything depends on this: it refuses a changed or foreign namespace before anything changes.
    begun: pulumi.Resource = fixed
    namespace: pulumi.Input[str] = config.namespace
    in_namespace = after(on_cluster, fixed)
    if config.create_namespace:
        begun = restricted = RestrictedNamespace(config.namespace, protect=config.protect, opts=in_namespace)
        namespace, in_namespace = restricted.namespace, on_cluster
    if config.default_storage_class:
        DefaultStorageClass(
            "default-storage-class",
            DefaultStorageClassArgs(
                promote=config.default_storage_class,
                demote=demote,
                context=config.context,
                new=config.new_storage_class,
            ),
            opts=after(on_cluster, begun),
        )
    placement = place(config, namespace, in_namespace)
    database = declare_mongo(config, known.mongo if known else None, namespace, placement, in_namespace)
    declare_backup(config, namespace, placement, database, in_namespace)
    if config.backup_snapshot_class:
        declare_snapshots(config, namespace, placement, database, in_namespace)
    # Pacman exits if the database does not answer, and the names of the hosts are known earlier than that.
    pacman = declare_pacman(config, namespace, placement, database, after(on_cluster, database))
    if config.password_rotation:
        PreviousUsers("mongo-previous-users", database, after(on_cluster, pacman))
    # So that the address, once published, leads to pods that are ready.
    ingress = declare_ingress(config, namespace, pacman, after(on_cluster, begun), after(on_cluster, pacman))
    export_outputs(config, database, pacman, ingress)


def after(opts: pulumi.ResourceOptions, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
    """Returns options with depends_on, for an order that no output gives."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(resources)))


def declare_provider(config: Settings) -> k8s.Provider:
    """The one provider of all Kubernetes objects."""
    return k8s.Provider(
        "kubernetes",
        # With "", the provider reads the person's own kubeconfig. Without this line, the SDK would copy $KUBECONFIG, a
        # path of this machine, into the state.
        kubeconfig="",
        context=config.context,
        # By default, the provider replaces a Secret or a ConfigMap whose data changed, and then also what mounts it:
        # the database.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )


def place(config: Settings, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions) -> Placement:
    """Where pods may run, and the credentials to pull their images, which are created before the first pod."""
    pull_secrets: list[pulumi.Input[str]] = list(config.image_pull_secrets)
    if config.image_pull_config:
        args = RegistryCredentialsArgs(namespace=namespace, docker_config=config.image_pull_config)
        pull_secrets.append(RegistryCredentials("registry-credentials", args, opts).secret)
    return Placement(node_selector=config.node_selector, tolerations=config.tolerations, pull_secrets=pull_secrets)


def declare_mongo(
    config: Settings,
    runs: RunningMongo | None,
    namespace: pulumi.Input[str],
    placement: Placement,
    opts: pulumi.ResourceOptions,
) -> MongoStatefulSet:
    """The database."""
    return MongoStatefulSet(
        "mongo",
        MongoStatefulSetArgs(
            namespace=namespace,
            image=config.mongo_image,
            members=config.mongo_members,
            volume_size=config.mongo_volume_size,
            storage_class=config.mongo_storage_class,
            context=config.context,
            database="pacman",
            indexes=pacman_deployment.INDEXES,
            one_per_node=config.mongo_spread == "require",
            resources=replace(mongo.RESOURCES, cpu=config.mongo_cpu, memory=config.mongo_memory),
            placement=placement,
            compatibility=config.mongo_feature_compatibility,
            rotation=config.password_rotation,
            protect=config.protect,
            runs=runs,
        ),
        opts,
    )


def declare_backup(
    config: Settings,
    namespace: pulumi.Input[str],
    placement: Placement,
    database: MongoStatefulSet,
    opts: pulumi.ResourceOptions,
) -> MongoBackup:
    """The backups of the database."""
    return MongoBackup(
        "mongo",
        MongoBackupArgs(
            namespace=namespace,
            image=config.mongo_image,
            hosts=database.hosts,
            port=mongo.PORT,
            replica_set=mongo.REPLICA_SET,
            database=database.database,
            scratch_database=database.scratch_database,
            backup_secret=database.backup_secret,
            root_secret=database.root_secret,
            client_labels=database.client_labels,
            schedule=config.backup_schedule,
            keep=config.backup_keep,
            volume_size=config.backup_volume_size,
            storage_class=config.mongo_storage_class,
            claim=config.backup_claim,
            protect=config.protect,
            resources=backup.RESOURCES.with_cpu_limit_of(replace(mongo.RESOURCES, cpu=config.mongo_cpu)),
            placement=placement,
        ),
        opts,
    )


def declare_snapshots(
    config: Settings,
    namespace: pulumi.Input[str],
    placement: Placement,
    database: MongoStatefulSet,
    opts: pulumi.ResourceOptions,
) -> MongoSnapshots:
    """The snapshots of the members' volumes."""
    return MongoSnapshots(
        "mongo",
        MongoSnapshotsArgs(
            namespace=namespace,
            image=config.mongo_image,
            claims=database.claims,
            snapshot_class=config.backup_snapshot_class,
            schedule=config.backup_schedule,
            keep=config.backup_keep,
            resources=backup.SNAPSHOT_RESOURCES.with_cpu_limit_of(replace(mongo.RESOURCES, cpu=config.mongo_cpu)),
            placement=placement,
        ),
        opts,
    )


def declare_pacman(
    config: Settings,
    namespace: pulumi.Input[str],
    placement: Placement,
    database: MongoStatefulSet,
    opts: pulumi.ResourceOptions,
) -> PacmanDeployment:
    """The game."""
    return PacmanDeployment(
        "pacman",
        PacmanDeploymentArgs(
            namespace=namespace,
            image=config.pacman_image,
            replicas=config.pacman_replicas,
            max_replicas=config.pacman_max_replicas,
            mongo_hosts=database.hosts,
            mongo_port=mongo.PORT,
            mongo_replica_set=mongo.REPLICA_SET,
            mongo_database=database.database,
            mongo_secret=database.app_secret,
            mongo_secret_version=config.password_rotation,
            pod_labels=database.client_labels,
            location=config.pacman_location,
            log_level=config.pacman_log_level,
            resources=replace(pacman_deployment.RESOURCES, cpu=config.pacman_cpu, memory=config.pacman_memory),
            placement=placement,
        ),
        opts,
    )


def declare_ingress(
    config: Settings,
    namespace: pulumi.Input[str],
    pacman: PacmanDeployment,
    of_controller: pulumi.ResourceOptions,
    opts: pulumi.ResourceOptions,
) -> NginxIngress:
    """The Ingress, and its controller where the cluster has none."""
    ingress_class: pulumi.Input[str] = config.ingress_class
    if config.ingress_controller == "install":
        args = IngressControllerArgs(
            chart=config.ingress_chart,
            ingress_class=config.ingress_class,
            scope=config.ingress_scope,
            load_balancer=config.target.load_balancers[config.ingress_scope],
            traffic_policy=config.target.traffic_policy,
        )
        ingress_class = IngressController(config.controller_name, args, of_controller).ingress_class
    return NginxIngress(
        "pacman",
        NginxIngressArgs(
            namespace=namespace,
            service=pacman.service,
            service_port=pacman.service_port,
            ingress_class=ingress_class,
            host=config.ingress_host,
            tls_secret=config.ingress_tls_secret,
            tls_issuer=config.ingress_tls_issuer,
            rate_limit=config.ingress_rate_limit,
            context=config.context,
        ),
        opts,
    )


def export_outputs(
    config: Settings, database: MongoStatefulSet, pacman: PacmanDeployment, ingress: NginxIngress
) -> None:
    """The outputs of the stack."""
    pulumi.export("target", config.target.name)
    pulumi.export("namespace", config.namespace)
    pulumi.export("storage_class", database.storage_class)
    pulumi.export("ingress_ip", ingress.ip)
    pulumi.export("ingress_hostname", ingress.hostname)
    pulumi.export("url", ingress.url)
    hint = pulumi.Output.all(ingress.ip, ingress.hostname, pacman.service).apply(
        lambda known: access_hint(
            context=config.context,
            namespace=config.namespace,
            service=known[2],
            host=config.ingress_host,
            ip=known[0],
            hostname=known[1],
            tls=bool(config.ingress_tls_secret),
            node_address_is_local=config.target.node_address_is_local,
        )
    )
    pulumi.export("access_hint", hint)
    pulumi.export("mongo_uri", database.uri)
    pulumi.export("readme", Path(__file__).with_name("Pulumi.README.md").read_text())


try:
    main()
except pulumi.RunError as problem:
    # The engine would add "an unhandled error occurred". This code tells it that the person knows already.
    pulumi.log.error(str(problem))
    raise SystemExit(32) from None
