"""Holds the settings against what the cluster has, so that what is missing is an error and not a long wait."""

from collections.abc import Container
from pathlib import Path

import pulumi

import cluster
from cluster import Cluster, RunningMongo
from components.ingress_controller import CONTROLLER
from images import Image
from settings import PROJECT, Settings


def look(config: Settings) -> Cluster | None:
    """What the stack's cluster has; None, with a warning, where it cannot be read.

    Raises:
        pulumi.RunError: The kubeconfig does not know the context.
    """
    try:
        known = cluster.read(config.context, config.namespace)
    except cluster.UnknownContextError as unknown:
        raise pulumi.RunError(f'{PROJECT}:context is "{config.context}": {unknown}') from None
    if known is None:
        pulumi.log.warn(
            f"the cluster of context {config.context} cannot be read: whether it has what the config names is not known"
        )
    return known


def check(config: Settings, known: Cluster | None) -> tuple[str, ...]:
    """The StorageClasses to demote: those of the settings that exist. All of them where the cluster could not be read.

    Raises:
        pulumi.RunError: One line for everything that is named and does not exist, or is somebody else's.
    """
    problems = _no_chart(config)
    if known is None:
        if problems:
            raise pulumi.RunError("\n".join(problems))
        return config.demote_storage_classes

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
    problems += _no_certificate(config, known)
    problems += _too_few_nodes(config, known)
    if known.mongo:
        problems += _not_as_it_runs(config, known.mongo)
        problems += _another_line(config, known.mongo)
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


def _another_line(config: Settings, mongo: RunningMongo) -> list[str]:
    """Data goes up one major version at a time, and never down.

    MongoDB's manual, "Upgrade a replica set": a server starts on data of its own major version or of the one before,
    and takes the second for the first only once featureCompatibilityVersion is set.
    """
    was, wanted = _line(mongo.image), _line(config.mongo_image)
    if not was or not wanted or was == wanted:
        return []
    said = f'{PROJECT}:mongoImage is "{config.mongo_image}"'
    old = ".".join(map(str, was))
    if wanted < was:
        return [f"{said}: must be {old} or newer, as {mongo.image} that runs; an older server cannot read its data"]
    if wanted[0] - was[0] > 1:
        between = f"{was[0] + 1}.0"
        return [f"{said}: must be {between} at most, one major version after {mongo.image} that runs; then go on"]
    new = ".".join(map(str, wanted))
    pulumi.log.warn(
        f"{said}: once it runs, db.adminCommand({{setFeatureCompatibilityVersion: '{new}', confirm: true}}) closes the"
        f" way back to {old}, and opens the one to the next version"
    )
    return []


def _line(image: str) -> tuple[int, ...]:
    """Major and minor version of an image, as far as its tag says them."""
    try:
        return Image.parse(image).version[:2]
    except ValueError:  # one that somebody set by hand
        return ()


def _no_chart(config: Settings) -> list[str]:
    chart = config.ingress_chart
    if config.ingress_controller != "install" or chart.startswith("oci://") or Path(chart).exists():
        return []
    return [f'{PROJECT}:ingressChart is "{chart}": no such file or folder in {Path.cwd()}; `helm pull` makes one']


def _no_certificate(config: Settings, known: Cluster) -> list[str]:
    """Without the Secret, a controller serves a certificate of its own, that no browser takes."""
    name = config.ingress_tls_secret
    if not name or config.ingress_tls_issuer or (known.certificates and name in known.certificates):
        return []
    said = f'{PROJECT}:ingressTlsSecret is "{name}"'
    make = f"`kubectl create secret tls {name} --cert=tls.crt --key=tls.key -n {config.namespace}` makes it"
    if known.certificates is None:
        pulumi.log.warn(f"{said}: the controller's own certificate is served until there is that Secret; {make}")
        return []
    return [f"{said}: no such Secret of type kubernetes.io/tls in namespace {config.namespace}; {make}"]


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
