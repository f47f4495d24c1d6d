"""What every pod has in common: labels, security contexts, resources, and where it may run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi
from pulumi_kubernetes.core.v1 import (
    AffinityArgs,
    CapabilitiesArgs,
    LocalObjectReferenceArgs,
    PodAffinityTermArgs,
    PodAntiAffinityArgs,
    PodSecurityContextArgs,
    ResourceRequirementsArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
    TolerationArgs,
    TopologySpreadConstraintArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from components import quantities
from components.metadata import OURS

NODE = "kubernetes.io/hostname"


# For a namespace. Not "latest": a cluster upgrade must not be what refuses a pod.
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "v1.30",
    "pod-security.kubernetes.io/warn": "restricted",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The labels that identify an object, as Kubernetes recommends them (app.kubernetes.io)."""

    app: str
    """What runs: `mongo`, `pacman`."""
    instance: str
    """The name of the component that declared it, so that two of a kind can live in one namespace."""
    role: str = "server"
    """Which of the component's pods: `server`, `init`."""

    @property
    def selector(self) -> Mapping[str, str]:
        """The labels that select these pods. A workload's selector is immutable: nothing that changes belongs here."""
        return {
            "app.kubernetes.io/name": self.app,
            "app.kubernetes.io/instance": self.instance,
            "app.kubernetes.io/component": self.role,
        }

    @property
    def labels(self) -> Mapping[str, str]:
        """All labels: those of the selector, and those that only describe."""
        return {
            **self.selector,
            **OURS,
        }


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container requests and may use. Each is a request, and a limit where there is a second value."""

    cpu: tuple[str, ...]
    """CPU. Without a limit, a container may use idle CPU; with one, it is throttled."""
    memory: tuple[str, ...]
    """Memory. A single value is request and limit."""
    disk: tuple[str, ...]
    """Ephemeral storage: logs and emptyDirs. A single value is request and limit."""

    def args(self) -> ResourceRequirementsArgs:
        """The field `resources` of the container."""
        limits = {"memory": self.memory[-1], "ephemeral-storage": self.disk[-1]}
        return ResourceRequirementsArgs(
            requests={"cpu": self.cpu[0], "memory": self.memory[0], "ephemeral-storage": self.disk[0]},
            limits={"cpu": self.cpu[1], **limits} if len(self.cpu) > 1 else limits,
        )

    def with_cpu_limit_of(self, other: "Resources") -> "Resources":
        """Returns a copy with the CPU limit of another container, because a quota may require a limit for each."""
        limit = other.cpu[1:]
        # Kubernetes refuses a request beyond its limit.
        return replace(self, cpu=(min([self.cpu[0], *limit], key=quantities.parse), *limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where pods may run, and how their images are pulled."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a node must have."""
    tolerations: Sequence[Mapping[str, Any]] = ()
    """Taints that the pods tolerate, each with the fields of a Kubernetes toleration."""
    pull_secrets: Sequence[pulumi.Input[str]] = ()
    """Names of Secrets with the credentials of registries."""

    def pod_fields(self) -> dict[str, Any]:
        """The fields of a PodSpec."""
        return {
            # The images are Linux ones, and a cluster may have Windows nodes, too.
            "node_selector": {"kubernetes.io/os": "linux", **self.node_selector},
            "tolerations": [_toleration(each) for each in self.tolerations] or None,
            "image_pull_secrets": [LocalObjectReferenceArgs(name=name) for name in self.pull_secrets] or None,
        }


def _toleration(given: Mapping[str, Any]) -> TolerationArgs:
    return TolerationArgs(
        key=given.get("key"),
        operator=given.get("operator"),
        value=given.get("value"),
        effect=given.get("effect"),
        toleration_seconds=given.get("tolerationSeconds"),
    )


def pod_security(uid: int, gid: int) -> PodSecurityContextArgs:
    """A pod's context under Pod Security `restricted`; volumes belong to the group of the process."""
    return PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=uid,
        run_as_group=gid,
        fs_group=gid,
        # Without it the kubelet walks a whole volume at each start to change its owner.
        fs_group_change_policy="OnRootMismatch",
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> SecurityContextArgs:
    """A container's context under Pod Security `restricted`, with a root file system that nobody writes to."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )


def spread(identity: Identity) -> list[TopologySpreadConstraintArgs]:
    """Spreads pods over zones and nodes. It is best effort: a pod also starts where the spread is uneven."""
    return [
        TopologySpreadConstraintArgs(
            topology_key=key,
            max_skew=1,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=LabelSelectorArgs(match_labels=identity.selector),
        )
        for key in ("topology.kubernetes.io/zone", NODE)
    ]


def apart(identity: Identity) -> AffinityArgs:
    """Never two pods on one node. A spread constraint would allow that if there are fewer nodes than pods."""
    return AffinityArgs(
        pod_anti_affinity=PodAntiAffinityArgs(
            required_during_scheduling_ignored_during_execution=[
                PodAffinityTermArgs(topology_key=NODE, label_selector=LabelSelectorArgs(match_labels=identity.selector))
            ]
        )
    )
