"""What really differs between kinds of clusters, in one table; nothing else in the program asks which one it is on."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    class_mends: Mapping[str, str] = field(default_factory=dict)
    """A class that may be missing, to how one gets it, with {context} for the stack's context."""


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
            class_mends={
                "csi-hostpath-sc": "`minikube -p {context} addons enable csi-hostpath-driver` brings it",
                "nginx": "`minikube -p {context} addons enable ingress` brings it",
            },
        ),
        Target(name="generic", default_storage_class="", storage_class="", node_address_is_local=False),
    )
}
