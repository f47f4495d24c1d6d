"""A controller for the Ingress, on clusters that have none: NGINX Ingress Controller of F5, as its makers publish it.

Not ingress-nginx, which many clusters still run: it is retired since March 2026 and gets no security fixes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.metadata import TAKE_OVER
from components.pods import NODE, RESTRICTED, Identity

# Of 16 July 2026; the chart brings the controller 5.5.4.
CHART_VERSION = "2.6.4"
# Annotation of the Service: `public` or `private`. policy/rules.py compares it with the cloud's annotations, so that no
# load balancer is public by accident.
SCOPE = "pacman/scope"
# `spec.controller` of its IngressClass.
CONTROLLER = "nginx.org/ingress-controller"

# Load balancers of AKS and GKE are public unless annotated (learn.microsoft.com, AKS, internal-lb; cloud.google.com,
# GKE, internal LB). An NLB of the AWS Load Balancer Controller (docs/guide/service/nlb.md) is internal unless its
# scheme says otherwise, and hides the client unless told to keep it.
LOAD_BALANCERS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "eks": {
        scope: {
            f"service.beta.kubernetes.io/aws-load-balancer-{key}": value
            for key, value in (
                ("type", "external"),
                ("nlb-target-type", "ip"),
                ("scheme", scheme),
                ("target-group-attributes", "preserve_client_ip.enabled=true"),
            )
        }
        for scope, scheme in (("public", "internet-facing"), ("private", "internal"))
    },
    "aks": {"public": {}, "private": {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}},
    "gke": {"public": {}, "private": {"networking.gke.io/load-balancer-type": "Internal"}},
    "other": {"public": {}},
}
"""Cloud -> `public` or `private` -> annotations of the Service for a load balancer of that scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressControllerArgs:
    """Arguments of IngressController."""

    chart: str
    """Where the chart is: a path, or an oci:// address without a version."""
    ingress_class: str
    """The IngressClass to create; no other controller may have one of that name."""
    scope: str
    """`public` or `private`: who may reach it."""
    load_balancer: Mapping[str, str]
    """Annotations by which the cloud creates a load balancer of that scope."""
    traffic_policy: str
    """`Local` or `Cluster`: the `externalTrafficPolicy` with which the client's address is kept."""


class IngressController(pulumi.ComponentResource):
    """An NGINX ingress controller behind a load balancer of the cloud: the Helm release `name` in a namespace `name`.

    A release's name has 53 characters at most.
    """

    ingress_class: pulumi.Output[str]
    """The IngressClass, known once the controller runs."""

    def __init__(self, name: str, args: IngressControllerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:IngressController", name, None, opts)
        namespace = Namespace(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                # It has no default-deny policy, because the chart decides which ports its pods have.
                labels={**Identity("nginx", name, role="controller").labels, **RESTRICTED},
                annotations=TAKE_OVER,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Slow to import, and most stacks use an existing controller.
        from pulumi_kubernetes.helm.v3 import Release

        release = Release(
            name,
            name=name,
            namespace=namespace.metadata.name,
            chart=args.chart,
            version=CHART_VERSION,
            # The controller does not use them (`enableCustomResources`), and Helm would never update or delete them.
            skip_crds=True,
            # Seconds; a cloud may take minutes for a load balancer.
            timeout=600,
            values=_values(name, args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ingress_class = release.status.apply(lambda _: args.ingress_class)
        self.register_outputs({"ingressClass": self.ingress_class})


def _values(release: str, args: IngressControllerArgs) -> dict[str, object]:
    labels = {"app.kubernetes.io/name": "nginx-ingress", "app.kubernetes.io/instance": release}
    return {
        "controller": {
            "replicaCount": 2,
            "ingressClass": {"name": args.ingress_class, "create": True, "setAsDefaultIngress": False},
            # The Ingress of this program needs no host.
            "allowEmptyIngressHost": True,
            "enableCustomResources": False,
            "enableSnippets": False,
            "telemetryReporting": {"enable": False},
            "reportIngressStatus": {"enable": True},
            "service": {
                "type": "LoadBalancer",
                "annotations": {SCOPE: args.scope, **args.load_balancer},
                "externalTrafficPolicy": args.traffic_policy,
            },
            "readOnlyRootFilesystem": True,
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
            "topologySpreadConstraints": [
                {
                    "topologyKey": NODE,
                    "maxSkew": 1,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": labels},
                }
            ],
        }
    }
