"""What really differs between kinds of clusters, in one table; nothing else in the program asks which one it is on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the empty config keys stand for on one kind of cluster."""

    name: str
    """Legal value of the config key `target`."""
    default_storage_class: str
    """Class to make the default where `defaultStorageClass` is empty; "" leaves the cluster's default alone."""
    storage_class: str
    """Class of the volumes where neither `mongoStorageClass` nor a default class is set; "" asks the person for one."""
    node_address_is_local: bool
    """The Ingress has the address of a node on the person's own machine: reaching it depends on the driver."""
    storage_class_mend: str = ""
    """How to get the StorageClass if it is missing, with {context} for the stack's context."""
    ingress_class_mend: str = ""
    """How to get the IngressClass if it is missing, likewise."""


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
            storage_class_mend="`minikube -p {context} addons enable csi-hostpath-driver` brings csi-hostpath-sc",
            ingress_class_mend="`minikube -p {context} addons enable ingress` brings nginx",
        ),
        Target(name="generic", default_storage_class="", storage_class="", node_address_is_local=False),
    )
}
