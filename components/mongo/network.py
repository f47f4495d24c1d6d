"""How members are found, who may reach them, and how many may be away: Service, NetworkPolicy, disruption budget."""

import pulumi
from pulumi_kubernetes.core.v1 import Service, ServicePortArgs, ServiceSpecArgs
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs
from pulumi_kubernetes.networking.v1 import (
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPeerArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
)
from pulumi_kubernetes.policy.v1 import PodDisruptionBudget, PodDisruptionBudgetSpecArgs

from components.mongo.naming import PORT, Names


def declare_network(names: Names, opts: pulumi.ResourceOptions) -> tuple[pulumi.Output[str], NetworkPolicy]:
    """Declares the three, and returns the name of the Service, which gives members their DNS names, and the policy."""
    service = Service(
        names.name,
        # Pulumi waits for the StatefulSet, which needs the Service before it has pods.
        metadata=names.metadata(annotations={"pulumi.com/skipAwait": "true"}),
        spec=ServiceSpecArgs(
            cluster_ip="None",
            # Members must find each other before they are ready, or the first election never comes.
            publish_not_ready_addresses=True,
            selector=names.server.selector,
            ports=[ServicePortArgs(name="mongo", port=PORT, target_port="mongo")],
        ),
        opts=opts,
    )
    members = LabelSelectorArgs(match_labels=names.server.selector)
    clients = (names.server.selector, names.init.selector, names.client_labels)
    policy = NetworkPolicy(
        names.name,
        metadata=names.metadata(),
        spec=NetworkPolicySpecArgs(
            pod_selector=members,
            policy_types=["Ingress"],
            ingress=[
                NetworkPolicyIngressRuleArgs(
                    from_=[
                        NetworkPolicyPeerArgs(pod_selector=LabelSelectorArgs(match_labels=labels)) for labels in clients
                    ],
                    ports=[NetworkPolicyPortArgs(port=PORT, protocol="TCP")],
                )
            ],
        ),
        opts=opts,
    )
    PodDisruptionBudget(
        names.name,
        metadata=names.metadata(),
        # Not minAvailable: with one member that would block every node drain for ever.
        spec=PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=members),
        opts=opts,
    )
    return service.metadata.name, policy
