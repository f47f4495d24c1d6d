"""Holds the settings against the cluster's classes, so that a class that is missing is an error and not a long wait."""

from collections.abc import Container

import pulumi

from cluster import Classes
from settings import PROJECT, Settings


def check(config: Settings, classes: Classes | None) -> tuple[str, ...]:
    """The StorageClasses to demote: those of the settings that exist. All of them where the cluster could not be read.

    Raises:
        pulumi.RunError: One line for every class that is named and does not exist.
    """
    if classes is None:
        return config.demote_storage_classes

    problems = []

    def need(key: str, name: str, kind: str, known: Container[str]) -> None:
        mend = config.target.class_mends.get(name, "")
        if name and name not in known:
            problems.append(
                f'{PROJECT}:{key} is "{name}": no such {kind} in context {config.context};'
                f" `kubectl --context {config.context} get {kind.lower()}` lists those that exist"
                + (f"; {mend.format(context=config.context)}" if mend else "")
            )

    need("defaultStorageClass", config.default_storage_class, "StorageClass", classes.storage)
    if config.mongo_storage_class != config.default_storage_class:
        need("mongoStorageClass", config.mongo_storage_class, "StorageClass", classes.storage)
    need("ingressClass", config.ingress_class, "IngressClass", classes.ingress)
    if problems:
        raise pulumi.RunError("\n".join(problems))
    return tuple(name for name in config.demote_storage_classes if name in classes.storage)
