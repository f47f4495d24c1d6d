"""The cluster's default StorageClass: one class becomes the default, others stop being it, and `destroy` undoes that.

Kubernetes reads the default from the annotation storageclass.kubernetes.io/is-default-class, called the mark here. A
StorageClassPatch for each class sets it. If the program creates the promoted class, as on EKS, a StorageClass takes the
place of its patch.

A destroyed patch only gives up its fields, so the cluster would be left without a default. So a dynamic resource reads
the marks before the patches are created, and restores them after the patches are destroyed. It is no resource hook,
because `pulumi destroy` runs hooks only with --run-program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi.dynamic import Resource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs, ObjectMetaPatchArgs
from pulumi_kubernetes.storage.v1 import StorageClass, StorageClassPatch

from components.cluster import DEFAULT_CLASS
from components.dynamic_providers import DefaultMarksProvider
from components.metadata import OURS, TAKE_OVER

# Stacks from before November 2026 have this name in their state.
_MarksProvider = DefaultMarksProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStorageClass:
    """Provisioner and parameters of a StorageClass that the program creates."""

    provisioner: str
    """The CSI driver, which must be installed."""
    parameters: Mapping[str, str]
    """The driver's parameters; Kubernetes allows no change to them."""
    reclaim_policy: str = "Delete"
    """`Delete`, or `Retain` to keep a disk whose claim is deleted. Only a class that is created now gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultStorageClassArgs:
    """Arguments of DefaultStorageClass."""

    promote: str
    """The class to make the default; it must exist, unless `new` is set."""
    demote: Sequence[str]
    """The classes that stop being the default; each must exist."""
    context: str
    """The kubeconfig context of the cluster."""
    new: NewStorageClass | None = None
    """Provisioner and parameters if the program creates the class, which is then deleted with the stack; None if the
    class must exist."""


class DefaultStorageClass(pulumi.ComponentResource):
    """Makes one StorageClass the default, for as long as the stack lives."""

    storage_class: pulumi.Output[str]
    """The class that is the default, known once it is."""

    def __init__(self, name: str, args: DefaultStorageClassArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.promote in args.demote:
            raise ValueError(f"{name}: demote holds {args.promote}, which promote names: must be other classes")
        super().__init__("pacman:index:DefaultStorageClass", name, None, opts)
        before = _DefaultMarks(
            f"{name}-before",
            context=args.context,
            classes=[args.promote, *args.demote],
            opts=pulumi.ResourceOptions(parent=self),
        )

        def mark(role: str, storage_class: str, value: str) -> StorageClassPatch:
            return StorageClassPatch(
                f"{name}-{role}-{storage_class}",
                metadata=ObjectMetaPatchArgs(
                    name=storage_class,
                    annotations={
                        DEFAULT_CLASS: value,
                        # kubectl, or minikube at each start, owns the mark.
                        **TAKE_OVER,
                    },
                ),
                # No output gives this order: the marks must be read before they change, and restored afterwards.
                opts=pulumi.ResourceOptions(parent=self, depends_on=[before]),
            )

        for storage_class in args.demote:
            mark("demote", storage_class, "false")
        promoted = (
            self._make(name, args.promote, args.new, before) if args.new else mark("promote", args.promote, "true")
        )
        self.storage_class = promoted.metadata.apply(lambda _: args.promote)
        self.register_outputs({"storageClass": self.storage_class})

    def _make(self, name: str, storage_class: str, new: NewStorageClass, before: pulumi.Resource) -> StorageClass:
        return StorageClass(
            f"{name}-{storage_class}",
            metadata=ObjectMetaArgs(
                name=storage_class,
                labels=OURS,
                annotations={DEFAULT_CLASS: "true", **TAKE_OVER},
            ),
            provisioner=new.provisioner,
            parameters=new.parameters,
            reclaim_policy=new.reclaim_policy,
            allow_volume_expansion=True,
            # Creates the disk in the zone of its pod. Otherwise the zone of the disk would limit where the pod can run.
            volume_binding_mode="WaitForFirstConsumer",
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[before],
                # Kubernetes allows no change to it, and replacing the class would be of no use to existing volumes.
                ignore_changes=["reclaimPolicy"],
            ),
        )


class _DefaultMarks(Resource, module="pacman", name="DefaultMarks"):
    """The default marks that classes had before this stack changed them."""

    marks: pulumi.Output[Mapping[str, str]]

    def __init__(self, name: str, context: str, classes: Sequence[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__(
            DefaultMarksProvider(), name, {"context": context, "classes": list(classes), "marks": None}, opts
        )
