"""How every pod here is labelled, confined and spread: selectors and security contexts are written here only."""

from collections.abc import Mapping
from dataclasses import dataclass

from pulumi_kubernetes.core.v1 import (
    AffinityArgs,
    CapabilitiesArgs,
    PodAffinityTermArgs,
    PodAntiAffinityArgs,
    PodSecurityContextArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
    TopologySpreadConstraintArgs,
)
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs

from cluster import OURS

NODE = "kubernetes.io/hostname"


# For a namespace. Not "latest": a cluster upgrade must not be what refuses a pod.
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "v1.30",
    "pod-security.kubernetes.io/warn": "restricted",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who an object is, in the labels that Kubernetes recommends (app.kubernetes.io)."""

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
        """All labels: what selects, and what only tells."""
        return {
            **self.selector,
            **OURS,
        }


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
    """Pods over zones and over nodes as evenly as can be; one that finds no better place starts all the same."""
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
    """Never two pods on one node. A spread constraint would allow it where there are fewer nodes than pods."""
    return AffinityArgs(
        pod_anti_affinity=PodAntiAffinityArgs(
            required_during_scheduling_ignored_during_execution=[
                PodAffinityTermArgs(topology_key=NODE, label_selector=LabelSelectorArgs(match_labels=identity.selector))
            ]
        )
    )
