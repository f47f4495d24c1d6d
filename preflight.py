"""Holds the settings against what the cluster has, so that what is missing is an error and not a long wait."""

from collections.abc import Container

import pulumi

from cluster import Cluster, RunningMongo
from components.ingress_controller import CONTROLLER
from settings import PROJECT, Settings


def check(config: Settings, known: Cluster | None) -> tuple[str, ...]:
    """The StorageClasses to demote: those of the settings that exist. All of them where the cluster could not be read.

    Raises:
        pulumi.RunError: One line for everything that is named and does not exist, or is somebody else's.
    """
    if known is None:
        return config.demote_storage_classes

    problems = []

    def need(key: str, name: str, kind: str, there: Container[str]) -> None:
        mend = config.target.class_mends.get(name, "")
        if name and name not in there:
            problems.append(
                f'{PROJECT}:{key} is "{name}": no such {kind} in context {config.context};'
                f" `kubectl --context {config.context} get {kind.lower()}` lists those that exist"
                + (f"; {mend.format(context=config.context)}" if mend else "")
            )

    own = config.default_storage_class if config.new_storage_class else None
    if not own:
        need("defaultStorageClass", config.default_storage_class, "StorageClass", known.storage)
    if config.mongo_storage_class != config.default_storage_class:
        need("mongoStorageClass", config.mongo_storage_class, "StorageClass", known.storage)
    if config.ingress_controller == "existing":
        need("ingressClass", config.ingress_class, "IngressClass", known.ingress)
    else:
        problems += _collision(config, known)
    if known.issuers is not None:
        need("ingressTlsIssuer", config.ingress_tls_issuer, "ClusterIssuer", known.issuers)
    problems += _too_few_nodes(config, known)
    if known.mongo:
        problems += _not_as_it_runs(config, known.mongo)
    if problems:
        raise pulumi.RunError("\n".join(problems))
    return tuple(name for name in config.demote_storage_classes if name in known.storage)


def _collision(config: Settings, known: Cluster) -> list[str]:
    """Two controllers of one IngressClass would both serve the Ingress, and take turns at publishing its address."""
    there = known.ingress.get(config.ingress_class)
    ours = f"{config.controller_name}/{config.controller_name}"
    if there is None or (there.controller == CONTROLLER and there.release == ours):
        return []
    owner = f"the Helm release {there.release}" if there.release else f"the controller {there.controller}"
    return [
        f'{PROJECT}:ingressClass is "{config.ingress_class}": belongs to {owner} in context {config.context};'
        " name another class to install a controller beside it, or use it with ingressController existing"
    ]


def _not_as_it_runs(config: Settings, mongo: RunningMongo) -> list[str]:
    """What a database that is there does not follow: its members must not become fewer, its volumes stay as made."""
    for key, wanted, has in (
        ("mongoVolumeSize", config.mongo_volume_size, mongo.volume_size),
        ("mongoStorageClass", config.mongo_storage_class, mongo.storage_class),
    ):
        if wanted != has:
            pulumi.log.warn(f"{PROJECT}:{key} is {wanted}: the volumes were made with {has}, and keep that")
    if config.mongo_members >= mongo.members:
        return []
    return [
        f'{PROJECT}:mongoMembers is "{config.mongo_members}": must be {mongo.members} or more, as many as run;'
        " with fewer, the rest could lose its majority"
    ]


def _too_few_nodes(config: Settings, known: Cluster) -> list[str]:
    if config.mongo_spread != "require" or known.nodes is None or config.mongo_members <= known.nodes:
        return []
    short = (
        f"{config.mongo_members} members need as many nodes that take pods, context {config.context} has {known.nodes}"
    )
    if config.target.nodes_on_demand:
        pulumi.log.warn(f"{short}: the cluster has to add some, or a member stays pending")
        return []
    return [f'{PROJECT}:mongoSpread is "require": {short}; add nodes, or set it to prefer']
