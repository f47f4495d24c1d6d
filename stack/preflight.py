"""Compares the settings with the cluster, so that a missing object is an error at once, and not a long wait."""

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import pulumi

from components import cluster
from components.cluster import Cluster
from components.fixed_namespace import namespace_owner as namespace_owner_of
from components.ingress_controller import CONTROLLER
from components.metadata import STACK, this_stack
from components.nginx_ingress import PATHS
from stack.settings import PROJECT, Settings


def read_cluster(config: Settings) -> Cluster | None:
    """Reads the stack's cluster. If the cluster does not answer in time, warns and returns None.

    Raises:
        pulumi.RunError: The kubeconfig does not know the context, nobody listens at the cluster's address, or there is
            no such chart on this machine.
    """
    chart = config.ingress_chart
    if config.ingress_controller == "install" and not chart.startswith("oci://") and not Path(chart).exists():
        raise pulumi.RunError(f'{PROJECT}:ingressChart is "{chart}": no such file or folder; `helm pull` makes one')
    try:
        known = cluster.read(config.context, config.namespace)
    except cluster.UnknownContextError:
        raise pulumi.RunError(
            f'{PROJECT}:context is "{config.context}": no such context in your kubeconfig;'
            " `kubectl config get-contexts` lists those that exist"
        ) from None
    except cluster.MissingPackageError as problem:
        raise pulumi.RunError(f'{PROJECT}:context is "{config.context}": {problem}') from None
    except cluster.NoAnswerError as problem:
        # Left to the provider, `up` would first make what is not in the cluster, and a preview would show all as new.
        raise pulumi.RunError(
            f'{PROJECT}:context is "{config.context}": its cluster at {problem}; start it, or name another context'
        ) from None
    if known is None:
        pulumi.log.warn(
            f"cannot read the cluster of context {config.context}, so the classes, nodes and issuers in the config are"
            " not checked"
        )
    return known


def check(config: Settings, known: Cluster | None) -> tuple[str, ...]:
    """Checks everything, and returns the StorageClasses to demote.

    These are the classes of the settings that exist. If RBAC denies the list, they are all classes of the settings.

    Raises:
        pulumi.RunError: One line for each object that does not exist, or belongs to somebody else.
    """
    if known is None:
        return config.demote_storage_classes
    problems = [
        *_missing_classes(config, known),
        *_missing_snapshot_class(config, known),
        *_missing_issuer(config, known),
        *_missing_namespace(config, known),
        *_taken_class(config, known),
        *_taken_host(config, known),
        *_too_few_nodes(config, known),
    ]
    _warn_of_no_certificate(config, known)
    _warn_of_lost_volumes(config, known)
    if problems:
        raise pulumi.RunError("\n".join(problems))
    if known.storage_classes is None:
        return config.demote_storage_classes
    return tuple(name for name in config.demote_storage_classes if name in known.storage_classes)


def namespace_owner(config: Settings, known: Cluster | None) -> str:
    """Who owns the stack's namespace, for `FixedNamespaceArgs.owner`."""
    metadata = None if known is None else known.namespace
    if not config.create_namespace and not _creator(metadata):
        return ""  # whoever made it, made it for this stack
    return namespace_owner_of(metadata)


def _creator(metadata: Mapping[str, Any] | None) -> str:
    """The stack of this program that created a namespace; "" where none did."""
    return str(((metadata or {}).get("annotations") or {}).get(STACK, ""))


def _missing_classes(config: Settings, known: Cluster) -> list[str]:
    own = config.default_storage_class if config.new_storage_class else None
    wanted: list[tuple[str, str, str, Container[str] | None]] = []
    if not own:
        wanted.append(("defaultStorageClass", config.default_storage_class, "StorageClass", known.storage_classes))
    if config.mongo_storage_class != config.default_storage_class:
        wanted.append(("mongoStorageClass", config.mongo_storage_class, "StorageClass", known.storage_classes))
    if config.ingress_controller == "existing":
        wanted.append(("ingressClass", config.ingress_class, "IngressClass", known.ingress_classes))
    return [
        _no_such(config, key, name, kind)
        for key, name, kind, there in wanted
        if name and there is not None and name not in there
    ]


def _no_such(config: Settings, key: str, name: str, kind: str) -> str:
    create = _command_that_creates(config, name)
    return (
        f'{PROJECT}:{key} is "{name}": no such {kind} in context {config.context};'
        f" `kubectl --context {config.context} get {kind.lower()}` lists those that exist"
        + (f"; {create}" if create else "")
    )


def _command_that_creates(config: Settings, name: str) -> str:
    """The command that creates a class on this kind of cluster, "" if there is none."""
    return config.target.commands_that_create.get(name, "").format(context=config.context)


def _missing_snapshot_class(config: Settings, known: Cluster) -> list[str]:
    name = config.backup_snapshot_class
    if not name or known.snapshot_classes is None or name in known.snapshot_classes:
        return []
    if known.snapshot_classes:
        return [_no_such(config, "backupSnapshotClass", name, "VolumeSnapshotClass")]
    return [
        f'{PROJECT}:backupSnapshotClass is "{name}": there is no VolumeSnapshotClass in context {config.context}; '
        + (
            _command_that_creates(config, name)
            or "install a CSI driver with snapshots and the snapshot controller, or leave it empty"
        )
    ]


def _missing_issuer(config: Settings, known: Cluster) -> list[str]:
    name = config.ingress_tls_issuer
    if not name or known.issuers is None or name in known.issuers:
        return []
    if known.issuers:
        return [_no_such(config, "ingressTlsIssuer", name, "ClusterIssuer")]
    return [
        f'{PROJECT}:ingressTlsIssuer is "{name}": there is no ClusterIssuer in context {config.context};'
        " install cert-manager and make one, or use ingressTlsSecret with a certificate of yours"
    ]


def _missing_namespace(config: Settings, known: Cluster) -> list[str]:
    if config.create_namespace:
        return []
    if known.namespace == {}:
        return [
            f'{PROJECT}:namespace is "{config.namespace}": no such namespace in context {config.context}, or you may'
            " not see it; with createNamespace false it must exist"
        ]
    return []


def _taken_host(config: Settings, known: Cluster) -> list[str]:
    """Two Ingresses of one host and class: the controller refuses the second, or serves whichever is older."""
    for taken in known.hosts or ():
        namespace, _, _ = taken.ingress.partition("/")
        if (
            taken.host == config.ingress_host
            and taken.paths & PATHS.keys()
            and taken.stack != this_stack()
            and taken.ingress_class == config.ingress_class
            and namespace != config.namespace
        ):
            every = "every host name" if not taken.host else "that host name"
            return [
                f'{PROJECT}:ingressHost is "{config.ingress_host}": the Ingress {taken.ingress} in context'
                f" {config.context} serves {every} of class {taken.ingress_class} already; set another ingressHost,"
                " such as pacman.example"
            ]
    return []


def _taken_class(config: Settings, known: Cluster) -> list[str]:
    """Two controllers of one IngressClass would both serve the Ingress, and take turns at publishing its address."""
    if config.ingress_controller == "existing" or known.ingress_classes is None:
        return []
    there = known.ingress_classes.get(config.ingress_class)
    ours = f"{config.controller_name}/{config.controller_name}"
    if there is None or (there.controller == CONTROLLER and there.release == ours):
        return []
    owner = f"the Helm release {there.release}" if there.release else f"the controller {there.controller}"
    return [
        f'{PROJECT}:ingressClass is "{config.ingress_class}": belongs to {owner} in context {config.context};'
        " name another class to install a controller beside it, or use it with ingressController existing"
    ]


def _warn_of_lost_volumes(config: Settings, known: Cluster) -> None:
    if known.mongo and known.mongo.empty:
        pulumi.log.warn(
            f"the volumes of the database in namespace {config.namespace} are new: the old ones were deleted, and the"
            " scores with them; `pulumi up` creates an empty database, and docs/backup.md says how to restore a backup"
        )


def _warn_of_no_certificate(config: Settings, known: Cluster) -> None:
    """Only warns: the Secret may come later, and a controller may have a certificate of its own that fits."""
    name = config.ingress_tls_secret
    if not name or config.ingress_tls_issuer or known.secrets is None or name in known.secrets:
        return
    pulumi.log.warn(
        f'{PROJECT}:ingressTlsSecret is "{name}": no such Secret in namespace {config.namespace}; until'
        f" `kubectl create secret tls {name} --cert=tls.crt --key=tls.key -n {config.namespace}` makes it, the"
        " controller serves another certificate"
    )


def _too_few_nodes(config: Settings, known: Cluster) -> list[str]:
    if config.mongo_spread != "require" or known.nodes is None:
        return []
    usable = sum(node.takes(config.node_selector, config.tolerations) for node in known.nodes)
    if config.mongo_members <= usable:
        return []
    short = (
        f"{config.mongo_members} members need as many nodes that take their pods, context {config.context} has {usable}"
    )
    if config.target.nodes_on_demand:
        pulumi.log.warn(f"{short}: the cluster has to add some, or a member stays pending")
        return []
    return [f'{PROJECT}:mongoSpread is "require": {short}; add nodes, or set it to prefer']
