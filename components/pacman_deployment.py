"""Pacman: the page, and the API that keeps its scores in MongoDB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.apps.v1 import (
    Deployment,
    DeploymentSpecArgs,
    DeploymentStrategyArgs,
    RollingUpdateDeploymentArgs,
)
from pulumi_kubernetes.autoscaling.v2 import (
    CrossVersionObjectReferenceArgs,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerSpecArgs,
    MetricSpecArgs,
    MetricTargetArgs,
    ResourceMetricSourceArgs,
)
from pulumi_kubernetes.core.v1 import (
    ContainerArgs,
    ContainerPortArgs,
    EnvVarArgs,
    EnvVarSourceArgs,
    HTTPGetActionArgs,
    LifecycleArgs,
    LifecycleHandlerArgs,
    ObjectFieldSelectorArgs,
    PodSpecArgs,
    PodTemplateSpecArgs,
    ProbeArgs,
    ResourceRequirementsArgs,
    SecretKeySelectorArgs,
    Service,
    ServiceAccount,
    ServicePortArgs,
    ServiceSpecArgs,
    SleepActionArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs
from pulumi_kubernetes.rbac.v1 import (
    ClusterRole,
    ClusterRoleBinding,
    PolicyRuleArgs,
    RoleRefArgs,
    SubjectArgs,
)

from components.field_owners import TAKE_OVER
from components.pods import Identity, container_security, pod_security, spread

PORT = 8080
SERVICE_PORT = 80
# The image's own user and group.
UID, GID = 100, 101
# Seconds between "no new connections, please" and SIGTERM, on which Pacman closes its listener at once: the time in
# which every proxy must have heard that the pod is leaving.
DRAIN_SECONDS = 5
# What one pod may use before the autoscaler starts another: some 160 requests a second, half of them scores to save (77
# of them took 97m on the sandbox). A value and not a share of the request, which is small so that ten pods fit on a
# laptop.
CPU_PER_POD = "200m"


@dataclass(frozen=True, slots=True, kw_only=True)
class PacmanDeploymentArgs:
    """What a PacmanDeployment is made of."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    image: str
    """An image with the contract of `saintdle/pacman`."""
    replicas: int
    """Pods, 1 or more; with an autoscaler, how many there are at first and at least."""
    mongo_hosts: Sequence[str]
    """DNS names of the database's members."""
    mongo_port: int
    """Their port."""
    mongo_replica_set: str
    """Name of the replica set; the driver heals from an outage only where it knows it."""
    mongo_database: str
    """The database of the scores, in which the user lives, too."""
    mongo_secret: pulumi.Input[str]
    """Secret with the database user's `username` and `password`."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """More labels for the pods, such as those that let them reach the database."""
    location: bool = True
    """Let the pods read their node, so that a score says where it was made. Costs a ClusterRole with `get nodes`."""
    max_replicas: int = 0
    """The most pods that an autoscaler may start; 0 for no autoscaler."""


class PacmanDeployment(pulumi.ComponentResource):
    """The Deployment and the Service `name`; ready when the game can save a score.

    Pacman connects to the database once, when it starts, and never again if that fails: whoever declares it makes it
    depend on the database. A pod that missed its connection is restarted by its startup probe.
    """

    service: pulumi.Output[str]
    """Name of the Service."""
    service_port: int
    """Its port."""

    def __init__(self, name: str, args: PacmanDeploymentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.replicas < 1:
            raise ValueError(f"{name}: replicas is {args.replicas}: must be 1 or more")
        if 0 != args.max_replicas < args.replicas:
            raise ValueError(
                f"{name}: max_replicas is {args.max_replicas}: must be 0, or replicas ({args.replicas}) or more"
            )
        super().__init__("pacman:index:PacmanDeployment", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        server = Identity("pacman", name)
        meta = ObjectMetaArgs(name=name, namespace=args.namespace, labels=server.labels, annotations=TAKE_OVER)

        account = ServiceAccount(name, metadata=meta, automount_service_account_token=False, opts=child)
        if args.location:
            self._let_read_nodes(name, args.namespace, account.metadata.name, server, child)

        deployment = Deployment(
            name,
            metadata=meta,
            spec=DeploymentSpecArgs(
                replicas=args.replicas,
                selector=LabelSelectorArgs(match_labels=server.selector),
                # Never fewer pods than asked for: the new one is ready before an old one goes.
                strategy=DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=RollingUpdateDeploymentArgs(max_surge="25%", max_unavailable=0),
                ),
                template=PodTemplateSpecArgs(
                    metadata=ObjectMetaArgs(labels={**server.labels, **args.pod_labels}),
                    spec=PodSpecArgs(
                        service_account_name=account.metadata.name,
                        automount_service_account_token=args.location,
                        # A Service named mongo would inject MONGO_PORT=tcp://... and be taken for a setting.
                        enable_service_links=False,
                        security_context=pod_security(UID, GID),
                        topology_spread_constraints=spread(server),
                        # The drain, and the 10 s that Pacman gives open connections.
                        termination_grace_period_seconds=DRAIN_SECONDS + 15,
                        containers=[
                            ContainerArgs(
                                name="pacman",
                                image=args.image,
                                env=self._environment(args),
                                ports=[ContainerPortArgs(name="http", container_port=PORT)],
                                # /readyz pings the database. The driver gives a first connection 30 s and then never
                                # tries again, so a pod that is not ready after 60 s has missed it: start it anew.
                                startup_probe=ProbeArgs(
                                    http_get=HTTPGetActionArgs(path="/readyz", port="http"),
                                    period_seconds=1,
                                    timeout_seconds=3,
                                    failure_threshold=60,
                                ),
                                readiness_probe=ProbeArgs(
                                    http_get=HTTPGetActionArgs(path="/readyz", port="http"),
                                    period_seconds=2,
                                    timeout_seconds=3,
                                    failure_threshold=2,
                                ),
                                # /healthz does not ask the database: an outage there is no reason to restart here.
                                liveness_probe=ProbeArgs(
                                    http_get=HTTPGetActionArgs(path="/healthz", port="http"),
                                    period_seconds=10,
                                    timeout_seconds=5,
                                    failure_threshold=3,
                                ),
                                lifecycle=LifecycleArgs(
                                    pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=DRAIN_SECONDS))
                                ),
                                security_context=container_security(),
                                resources=ResourceRequirementsArgs(
                                    requests={"cpu": "25m", "memory": "96Mi"}, limits={"memory": "256Mi"}
                                ),
                            )
                        ],
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Left out instead, an apply would give the field up, and the API server set it to its default: 1.
                ignore_changes=["spec.replicas"] if args.max_replicas else None,
            ),
        )
        if args.max_replicas:
            HorizontalPodAutoscaler(
                name,
                metadata=meta,
                spec=HorizontalPodAutoscalerSpecArgs(
                    scale_target_ref=CrossVersionObjectReferenceArgs(
                        api_version="apps/v1", kind="Deployment", name=deployment.metadata.name
                    ),
                    min_replicas=args.replicas,
                    max_replicas=args.max_replicas,
                    metrics=[
                        MetricSpecArgs(
                            type="Resource",
                            resource=ResourceMetricSourceArgs(
                                name="cpu", target=MetricTargetArgs(type="AverageValue", average_value=CPU_PER_POD)
                            ),
                        )
                    ],
                ),
                opts=child,
            )
        PodDisruptionBudget(
            name,
            metadata=meta,
            # Not minAvailable: with one pod that would block every node drain for ever.
            spec=PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=LabelSelectorArgs(match_labels=server.selector)
            ),
            opts=child,
        )

        service = Service(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                namespace=args.namespace,
                labels=server.labels,
                # The Deployment's own wait tells when the pods serve; the Service's would say it 10 s later.
                annotations={**TAKE_OVER, "pulumi.com/skipAwait": "true"},
            ),
            spec=ServiceSpecArgs(
                type="ClusterIP",
                selector=server.selector,
                ports=[ServicePortArgs(name="http", port=SERVICE_PORT, target_port="http")],
            ),
            opts=child,
        )
        self.service = service.metadata.name
        self.service_port = SERVICE_PORT

        NetworkPolicy(
            name,
            metadata=meta,
            spec=NetworkPolicySpecArgs(
                pod_selector=LabelSelectorArgs(match_labels=server.selector),
                policy_types=["Ingress"],
                # From anywhere: the page is public, and an ingress controller's pods have no labels to rely on.
                ingress=[NetworkPolicyIngressRuleArgs(ports=[NetworkPolicyPortArgs(port=PORT, protocol="TCP")])],
            ),
            opts=child,
        )
        self.register_outputs({"service": self.service})

    @staticmethod
    def _environment(args: PacmanDeploymentArgs) -> list[EnvVarArgs]:
        def from_secret(name: str, key: str) -> EnvVarArgs:
            reference = SecretKeySelectorArgs(name=args.mongo_secret, key=key)
            return EnvVarArgs(name=name, value_from=EnvVarSourceArgs(secret_key_ref=reference))

        plain = {
            # Unset, it means memory: scores are then lost with the pod, and every probe is green.
            "DB_TYPE": "mongo",
            "MONGO_SERVICE_HOST": ",".join(args.mongo_hosts),
            "MY_MONGO_PORT": str(args.mongo_port),
            "MONGO_REPLICA_SET": args.mongo_replica_set,
            "MONGO_DATABASE": args.mongo_database,
            "PORT": str(PORT),
        }
        return [
            *(EnvVarArgs(name=name, value=value) for name, value in plain.items()),
            from_secret("MONGO_AUTH_USER", "username"),
            from_secret("MONGO_AUTH_PWD", "password"),
            EnvVarArgs(
                name="MY_NODE_NAME",
                value_from=EnvVarSourceArgs(field_ref=ObjectFieldSelectorArgs(field_path="spec.nodeName")),
            ),
        ]

    @staticmethod
    def _let_read_nodes(
        name: str,
        namespace: pulumi.Input[str],
        account: pulumi.Input[str],
        identity: Identity,
        opts: pulumi.ResourceOptions,
    ) -> None:
        # Cluster-wide names: the namespace keeps two stacks on one cluster apart.
        role_meta = ObjectMetaArgs(
            name=pulumi.Output.concat(namespace, f":{name}-node-reader"),
            labels=identity.labels,
            annotations=TAKE_OVER,
        )
        role = ClusterRole(
            f"{name}-node-reader",
            metadata=role_meta,
            rules=[PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=["get"])],
            opts=opts,
        )
        ClusterRoleBinding(
            f"{name}-node-reader",
            metadata=role_meta,
            role_ref=RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=role.metadata.name),
            subjects=[SubjectArgs(kind="ServiceAccount", name=account, namespace=namespace)],
            opts=opts,
        )
