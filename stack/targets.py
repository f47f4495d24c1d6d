"""What differs between kinds of clusters, in one table. No other file of the program asks for the kind of cluster.

The annotations of each cloud's load balancer are in components/ingress_controller.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.default_storage_class import NewStorageClass
from components.ingress_controller import LOAD_BALANCERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The values of empty config keys on one kind of cluster."""

    name: str
    """Legal value of the config key `target`."""
    default_storage_class: str = ""
    """Class to make the default where `defaultStorageClass` is empty, with {namespace} for the stack's namespace; ""
    leaves the cluster's default alone."""
    new_storage_class: NewStorageClass | None = None
    """Provisioner and parameters if the program creates `default_storage_class`; None if the class must exist."""
    storage_class: str = ""
    """Class of the volumes where neither `mongoStorageClass` nor a default class is set; "" asks the person for one."""
    mongo_members: int = 1
    """Members of the replica set where `mongoMembers` is 0."""
    deletion_protection: str = "disabled"
    """`enabled` or `disabled`, where `deletionProtection` is empty."""
    mongo_spread: str = "prefer"
    """`prefer` or `require`: members on different nodes, where `mongoSpread` is empty."""
    nodes_on_demand: bool = False
    """Whether nodes usually come when a pod needs one: too few of them is then no error yet."""
    ingress_controller: str = "existing"
    """`existing` or `install`, where `ingressController` is empty."""
    load_balancers: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: LOAD_BALANCERS["other"])
    """`public`, `private` -> annotations of that kind of load balancer. A kind without an entry is refused."""
    traffic_policy: str = "Local"
    """`externalTrafficPolicy` of that load balancer with which the controller sees the client's own address."""
    node_address_is_local: bool = False
    """The Ingress has the address of a node on the person's own machine: reaching it depends on the driver."""
    commands_that_create: Mapping[str, str] = field(default_factory=dict)
    """A class that may be missing -> the command that creates it, with {context} for the stack's context."""


TARGETS = {
    target.name: target
    for target in (
        # The lesson's classes: the csi-hostpath-driver addon brings csi-hostpath-sc, minikube itself `standard`.
        # The ingress addon publishes the node's address, which Docker Desktop and WSL2 do not route to (minikube,
        # pkg/minikube/driver/driver.go, NeedsPortForward).
        Target(
            name="minikube",
            default_storage_class="csi-hostpath-sc",
            storage_class="standard",
            node_address_is_local=True,
            commands_that_create={
                "csi-hostpath-sc": "`minikube -p {context} addons enable csi-hostpath-driver` brings it",
                "csi-hostpath-snapclass": "`minikube -p {context} addons enable volumesnapshots` brings it",
                "nginx": "`minikube -p {context} addons enable ingress` brings it",
            },
        ),
        # Since 1.30 EKS marks no class as the default, and its gp2 is an older disk, not encrypted. gp3: see the EBS
        # CSI driver's docs/parameters.md (kubernetes-sigs/aws-ebs-csi-driver); XFS: what MongoDB advises.
        # Its load balancer publishes a host name and no address; to pods it goes straight, so the policy Cluster costs
        # no second hop.
        Target(
            name="eks",
            default_storage_class="{namespace}-gp3",
            new_storage_class=NewStorageClass(
                provisioner="ebs.csi.aws.com",
                parameters={"type": "gp3", "encrypted": "true", "csi.storage.k8s.io/fstype": "xfs"},
            ),
            mongo_members=3,
            deletion_protection="enabled",
            mongo_spread="require",
            nodes_on_demand=True,
            ingress_controller="install",
            load_balancers=LOAD_BALANCERS["eks"],
            traffic_policy="Cluster",
        ),
        # managed-csi (Standard SSD) comes with every AKS cluster, encrypted at rest; its own default class is the same
        # disk (learn.microsoft.com, AKS, storage).
        Target(
            name="aks",
            storage_class="managed-csi",
            mongo_members=3,
            deletion_protection="enabled",
            mongo_spread="require",
            nodes_on_demand=True,
            ingress_controller="install",
            load_balancers=LOAD_BALANCERS["aks"],
        ),
        # standard-rwo (balanced persistent disk) is GKE's default, encrypted at rest; `standard` is the old, slow one.
        Target(
            name="gke",
            storage_class="standard-rwo",
            mongo_members=3,
            deletion_protection="enabled",
            mongo_spread="require",
            nodes_on_demand=True,
            ingress_controller="install",
            load_balancers=LOAD_BALANCERS["gke"],
        ),
        # The program knows nothing about it: it keeps the default StorageClass, and mongoStorageClass is required.
        Target(name="generic"),
    )
}
