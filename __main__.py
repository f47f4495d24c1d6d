"""The program: reads the stack's settings, makes one provider, wires the components, exports the outputs."""

from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

import preflight
import settings
from components import (
    DefaultStorageClass,
    DefaultStorageClassArgs,
    FixedNamespace,
    IngressController,
    IngressControllerArgs,
    MongoStatefulSet,
    MongoStatefulSetArgs,
    NginxIngress,
    NginxIngressArgs,
    PacmanDeployment,
    PacmanDeploymentArgs,
    RestrictedNamespace,
)
from components.mongo_stateful_set import PORT as MONGO_PORT
from components.mongo_stateful_set import REPLICA_SET
from components.nginx_ingress import access_hint


def main() -> None:
    """Declares one stack."""
    config = settings.load()
    demote = preflight.check(config, preflight.look(config))

    # An empty kubeconfig means: the person's own, read by the provider. Left out, the SDK would copy $KUBECONFIG, a
    # path of this machine, into the state.
    # Mutable: to replace a Secret or a ConfigMap that somebody changed would replace, by default, whatever mounts it,
    # the database too.
    provider = k8s.Provider(
        "kubernetes",
        kubeconfig="",
        context=config.context,
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
    )
    on_cluster = pulumi.ResourceOptions(providers={"kubernetes": provider})

    fixed = FixedNamespace("namespace", config.namespace, config.context)
    restricted = RestrictedNamespace(
        config.namespace,
        # So that a stack that would move is stopped before it makes anything.
        opts=pulumi.ResourceOptions.merge(on_cluster, pulumi.ResourceOptions(depends_on=[fixed])),
    )
    namespace = restricted.namespace
    if config.default_storage_class:
        DefaultStorageClass(
            "default-storage-class",
            DefaultStorageClassArgs(
                promote=config.default_storage_class,
                demote=demote,
                context=config.context,
                new=config.new_storage_class,
            ),
            # A namespace that somebody else has ends the `up`: before the cluster's default is touched, then.
            opts=pulumi.ResourceOptions.merge(on_cluster, pulumi.ResourceOptions(depends_on=[restricted])),
        )

    mongo = MongoStatefulSet(
        "mongo",
        MongoStatefulSetArgs(
            namespace=namespace,
            image=config.mongo_image,
            members=config.mongo_members,
            volume_size=config.mongo_volume_size,
            storage_class=config.mongo_storage_class,
            database="pacman",
            one_per_node=config.mongo_spread == "require",
        ),
        opts=on_cluster,
    )
    pacman = PacmanDeployment(
        "pacman",
        PacmanDeploymentArgs(
            namespace=namespace,
            image=config.pacman_image,
            replicas=config.pacman_replicas,
            max_replicas=config.pacman_max_replicas,
            mongo_hosts=mongo.hosts,
            mongo_port=MONGO_PORT,
            mongo_replica_set=REPLICA_SET,
            mongo_database=mongo.database,
            mongo_secret=mongo.app_secret,
            pod_labels=mongo.client_labels,
            location=config.pacman_location,
        ),
        # The database's names are known before it answers, and Pacman connects only once, when it starts.
        opts=pulumi.ResourceOptions.merge(on_cluster, pulumi.ResourceOptions(depends_on=[mongo])),
    )
    ingress_class: pulumi.Input[str] = config.ingress_class
    if config.ingress_controller == "install":
        ingress_class = IngressController(
            config.controller_name,
            IngressControllerArgs(
                chart=config.ingress_chart,
                ingress_class=config.ingress_class,
                scope=config.ingress_scope,
                load_balancer=config.target.load_balancers[config.ingress_scope],
                traffic_policy=config.target.traffic_policy,
            ),
            opts=on_cluster,
        ).ingress_class
    ingress = NginxIngress(
        "pacman",
        NginxIngressArgs(
            namespace=namespace,
            service=pacman.service,
            service_port=pacman.service_port,
            ingress_class=ingress_class,
            host=config.ingress_host,
            tls_secret=config.ingress_tls_secret,
            tls_issuer=config.ingress_tls_issuer,
        ),
        # So that the address, once it is there, leads to pods that serve.
        opts=pulumi.ResourceOptions.merge(on_cluster, pulumi.ResourceOptions(depends_on=[pacman])),
    )

    pulumi.export("target", config.target.name)
    pulumi.export("namespace", config.namespace)
    pulumi.export("storage_class", mongo.storage_class)
    pulumi.export("ingress_ip", ingress.ip)
    pulumi.export("ingress_hostname", ingress.hostname)
    pulumi.export("url", ingress.url)
    pulumi.export(
        "access_hint",
        pulumi.Output.all(ingress.ip, ingress.hostname, pacman.service).apply(
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
        ),
    )
    pulumi.export("mongo_uri", mongo.uri)
    pulumi.export("readme", Path(__file__).with_name("Pulumi.README.md").read_text())


try:
    main()
except pulumi.RunError as problem:
    # The engine would add "an unhandled error occurred". This code tells it that the person knows already.
    pulumi.log.error(str(problem))
    raise SystemExit(32) from None
