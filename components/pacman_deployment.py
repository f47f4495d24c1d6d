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

from components.metadata import ROTATION, TAKE_OVER
from components.pods import Identity, Placement, Resources, container_security, pod_security, spread

PORT = 8080
SERVICE_PORT = 80
# The image's own user and group.
UID, GID = 100, 101
# Seconds between the pod's removal from the Service and SIGTERM, on which Pacman closes its listener at once. In that
# time, every proxy must stop sending requests to the pod.
DRAIN_SECONDS = 5
# What one pod may use before the autoscaler starts another: some 160 requests a second, half of them scores to save (77
# of them took 97m on the sandbox). A value and not a share of the request, which is small so that ten pods fit on a
# laptop.
CPU_PER_POD = "200m"
RESOURCES = Resources(cpu=("25m",), memory=("96Mi", "256Mi"), disk=("16Mi", "128Mi"))
# The app lists the scores by this order. Without an index the database reads and sorts all of them for each list.
INDEXES = {"highscore": {"score": -1}}
# Milliseconds. The driver waits for the address of a member that is gone for as long as it connects, 10 s by default,
# and each request gives up after 5: with 3 s no score fails when a member is replaced.
CONNECT_TIMEOUT_MS = 3000
# Milliseconds for which the app waits for a primary when it starts, before it ends: less than the startup probe gives.
SERVER_SELECTION_TIMEOUT_MS = 30000


@dataclass(frozen=True, slots=True, kw_only=True)
class PacmanDeploymentArgs:
    """Arguments of PacmanDeployment."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    image: str
    """An image with the contract of `saintdle/pacman`."""
    replicas: int
    """Number of pods, 1 or more; with an autoscaler, its minimum."""
    mongo_hosts: Sequence[str]
    """DNS names of the database's members."""
    mongo_port: int
    """Their port."""
    mongo_replica_set: str
    """Name of the replica set; without it the driver does not recover from an outage."""
    mongo_database: str
    """The database of the scores, in which the user lives, too."""
    mongo_secret: pulumi.Input[str]
    """Secret with the database user's `username` and `password`."""
    mongo_secret_version: int = 0
    """Another number restarts the pods, which read the Secret when they start."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """More labels for the pods, such as those that let them reach the database."""
    location: bool = True
    """Let the pods read their node, so that a score names its zone. This needs a ClusterRole with `get nodes`."""
    max_replicas: int = 0
    """The most pods that an autoscaler may start; 0 for no autoscaler."""
    log_level: str = "warn"
    """What the app logs: `error`, `warn`, `info` (each request, 27 MB a day and pod when idle) or `debug`."""
    resources: Resources = RESOURCES
    """What each pod requests and may use."""
    placement: Placement = field(default_factory=Placement)
    """Where the pods may run, and how their image is pulled."""


class PacmanDeployment(pulumi.ComponentResource):
    """The Deployment and the Service `name`; ready when the game can save a score.

    Declare it with depends_on for the database. The app exits if its first connection fails, and Kubernetes restarts it
    after ever longer pauses.
    """

    service: pulumi.Output[str]
    """Name of the Service."""
    service_port: int
    """Its port."""

    def __init__(self, name: str, args: PacmanDeploymentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.replicas < 1:
            raise ValueError(f"{name}: replicas is {args.replicas}: must be 1 or more")
        if args.max_replicas and args.max_replicas < args.replicas:
            raise ValueError(
                f"{name}: max_replicas is {args.max_replicas}: must be 0, or replicas ({args.replicas}) or more"
            )
        super().__init__("pacman:index:PacmanDeployment", name, None, opts)
        identity = Identity("pacman", name)
        meta = ObjectMetaArgs(name=name, namespace=args.namespace, labels=identity.labels, annotations=TAKE_OVER)
        child = pulumi.ResourceOptions(parent=self)

        account = ServiceAccount(name, metadata=meta, automount_service_account_token=False, opts=child)
        if args.location:
            _declare_node_reader(name, args.namespace, account.metadata.name, identity, child)
        deployment = self._declare_deployment(name, meta, account.metadata.name, identity, args)
        if args.max_replicas:
            _declare_autoscaler(name, meta, deployment.metadata.name, args, child)
        _declare_disruption_budget(name, meta, identity, child)
        _declare_policy(name, meta, identity, child)
        self.service = _declare_service(name, args.namespace, identity, child).metadata.name
        self.service_port = SERVICE_PORT
        self.register_outputs({"service": self.service})

    def _declare_deployment(
        self,
        name: str,
        meta: ObjectMetaArgs,
        account: pulumi.Input[str],
        identity: Identity,
        args: PacmanDeploymentArgs,
    ) -> Deployment:
        return Deployment(
            name,
            metadata=meta,
            spec=DeploymentSpecArgs(
                replicas=args.replicas,
                selector=LabelSelectorArgs(match_labels=identity.selector),
                # Never fewer pods than asked for: the new one is ready before an old one goes.
                strategy=DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=RollingUpdateDeploymentArgs(max_surge="25%", max_unavailable=0),
                ),
                template=_pod(account, identity, args),
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                # If replicas were left out, an apply would give the field up, and the API server would set it to 1.
                ignore_changes=["spec.replicas"] if args.max_replicas else None,
            ),
        )


def _pod(account: pulumi.Input[str], identity: Identity, args: PacmanDeploymentArgs) -> PodTemplateSpecArgs:
    return PodTemplateSpecArgs(
        metadata=ObjectMetaArgs(
            labels={**identity.labels, **args.pod_labels},
            annotations={ROTATION: str(args.mongo_secret_version)} if args.mongo_secret_version else None,
        ),
        spec=PodSpecArgs(
            service_account_name=account,
            automount_service_account_token=args.location,
            # A Service named mongo would inject MONGO_PORT=tcp://... and be taken for a setting.
            enable_service_links=False,
            security_context=pod_security(UID, GID),
            topology_spread_constraints=spread(identity),
            # The drain, and the 10 s that Pacman gives open connections.
            termination_grace_period_seconds=DRAIN_SECONDS + 15,
            containers=[_container(args)],
            **args.placement.pod_fields(),
        ),
    )


def _container(args: PacmanDeploymentArgs) -> ContainerArgs:
    # /readyz pings the database, /healthz does not: an outage of the database is no reason to restart the app.
    ready = HTTPGetActionArgs(path="/readyz", port="http")
    alive = HTTPGetActionArgs(path="/healthz", port="http")
    return ContainerArgs(
        name="pacman",
        image=args.image,
        env=_environment(args),
        ports=[ContainerPortArgs(name="http", container_port=PORT)],
        # Longer than the app itself waits for its first connection. Older versions never try again after that, and are
        # restarted by this probe.
        startup_probe=ProbeArgs(http_get=ready, period_seconds=1, timeout_seconds=3, failure_threshold=60),
        readiness_probe=ProbeArgs(http_get=ready, period_seconds=2, timeout_seconds=3, failure_threshold=2),
        liveness_probe=ProbeArgs(http_get=alive, period_seconds=10, timeout_seconds=5, failure_threshold=3),
        lifecycle=LifecycleArgs(pre_stop=LifecycleHandlerArgs(sleep=SleepActionArgs(seconds=DRAIN_SECONDS))),
        security_context=container_security(),
        resources=args.resources.args(),
    )


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
        "MONGO_CONNECT_TIMEOUT_MS": str(CONNECT_TIMEOUT_MS),
        "MONGO_SERVER_SELECTION_TIMEOUT_MS": str(SERVER_SELECTION_TIMEOUT_MS),
        "LOG_LEVEL": args.log_level,
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


def _declare_node_reader(
    name: str,
    namespace: pulumi.Input[str],
    account: pulumi.Input[str],
    identity: Identity,
    opts: pulumi.ResourceOptions,
) -> None:
    # Cluster-wide names: the namespace keeps two stacks on one cluster apart.
    meta = ObjectMetaArgs(
        name=pulumi.Output.concat(namespace, f":{name}-node-reader"),
        labels=identity.labels,
        annotations=TAKE_OVER,
    )
    role = ClusterRole(
        f"{name}-node-reader",
        metadata=meta,
        rules=[PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=["get"])],
        opts=opts,
    )
    ClusterRoleBinding(
        f"{name}-node-reader",
        metadata=meta,
        role_ref=RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="ClusterRole", name=role.metadata.name),
        subjects=[SubjectArgs(kind="ServiceAccount", name=account, namespace=namespace)],
        opts=opts,
    )


def _declare_autoscaler(
    name: str,
    meta: ObjectMetaArgs,
    deployment: pulumi.Input[str],
    args: PacmanDeploymentArgs,
    opts: pulumi.ResourceOptions,
) -> None:
    target = MetricTargetArgs(type="AverageValue", average_value=CPU_PER_POD)
    HorizontalPodAutoscaler(
        name,
        metadata=meta,
        spec=HorizontalPodAutoscalerSpecArgs(
            scale_target_ref=CrossVersionObjectReferenceArgs(api_version="apps/v1", kind="Deployment", name=deployment),
            min_replicas=args.replicas,
            max_replicas=args.max_replicas,
            metrics=[MetricSpecArgs(type="Resource", resource=ResourceMetricSourceArgs(name="cpu", target=target))],
        ),
        opts=opts,
    )


def _declare_disruption_budget(
    name: str, meta: ObjectMetaArgs, identity: Identity, opts: pulumi.ResourceOptions
) -> None:
    PodDisruptionBudget(
        name,
        metadata=meta,
        # Not minAvailable: with one pod that would block every node drain for ever.
        spec=PodDisruptionBudgetSpecArgs(
            max_unavailable=1,
            selector=LabelSelectorArgs(match_labels=identity.selector),
            # While the database is away no pod is ready, and a drain must not wait for them.
            unhealthy_pod_eviction_policy="AlwaysAllow",
        ),
        opts=opts,
    )


def _declare_policy(name: str, meta: ObjectMetaArgs, identity: Identity, opts: pulumi.ResourceOptions) -> None:
    NetworkPolicy(
        name,
        metadata=meta,
        spec=NetworkPolicySpecArgs(
            pod_selector=LabelSelectorArgs(match_labels=identity.selector),
            policy_types=["Ingress"],
            # From anywhere: the page is public, and an ingress controller's pods have no labels to rely on.
            ingress=[NetworkPolicyIngressRuleArgs(ports=[NetworkPolicyPortArgs(port=PORT, protocol="TCP")])],
        ),
        opts=opts,
    )


def _declare_service(
    name: str, namespace: pulumi.Input[str], identity: Identity, opts: pulumi.ResourceOptions
) -> Service:
    return Service(
        name,
        metadata=ObjectMetaArgs(
            name=name,
            namespace=namespace,
            labels=identity.labels,
            # Pulumi already waits for the Deployment, and the Service would be ready for it 10 s later.
            annotations={**TAKE_OVER, "pulumi.com/skipAwait": "true"},
        ),
        spec=ServiceSpecArgs(
            type="ClusterIP",
            selector=identity.selector,
            ports=[ServicePortArgs(name="http", port=SERVICE_PORT, target_port="http")],
        ),
        opts=opts,
    )
