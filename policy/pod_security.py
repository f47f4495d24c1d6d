"""The Pod Security Standard `restricted`, with all of `baseline`, as a function of a pod's spec.

Written after https://kubernetes.io/docs/concepts/security/pod-security-standards/ for Linux pods. The namespace of the
stack enforces the same on a real cluster; this says it without one, and names the field.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Spec = Mapping[str, Any]

_VOLUMES = {
    *(
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ),
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
}
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SECCOMP = {"RuntimeDefault", "Localhost"}


def violations(pod: Spec) -> list[str]:
    """What `restricted` refuses in a pod's spec: `field: what is wrong`, relative to the spec; empty if nothing."""
    found = [*_of_pod(pod), *_of_context(pod.get("securityContext") or {}, "securityContext")]
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(group, []):
            found += [f"{group}[{container['name']}].{fault}" for fault in _of_container(container, pod)]
    return found


def _of_pod(pod: Spec) -> Iterator[str]:
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(flag):
            yield f"{flag}: must not be true"
    for volume in pod.get("volumes", []):
        for kind in sorted(volume.keys() - {"name"} - _VOLUMES):
            yield f"volumes[{volume['name']}].{kind}: this kind of volume is not allowed"
    for sysctl in (pod.get("securityContext") or {}).get("sysctls", []):
        if sysctl["name"] not in _SYSCTLS:
            yield f"securityContext.sysctls: {sysctl['name']} is not a safe one"


def _of_context(context: Spec, at: str) -> Iterator[str]:
    """The rules for what may stand on the pod and on a container alike."""
    if context.get("runAsUser") == 0:
        yield f"{at}.runAsUser: must not be 0"
    if context.get("runAsNonRoot") is False:
        yield f"{at}.runAsNonRoot: must not be false"
    if "seccompProfile" in context and context["seccompProfile"].get("type") not in _SECCOMP:
        yield f"{at}.seccompProfile: must be RuntimeDefault or Localhost"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield f"{at}.appArmorProfile: must not be Unconfined"
    options = context.get("seLinuxOptions", {})
    if options.get("type", "") not in _SELINUX or options.get("user") or options.get("role"):
        yield f"{at}.seLinuxOptions: may only name a container type"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield f"{at}.windowsOptions.hostProcess: must not be true"


def _of_container(container: Spec, pod: Spec) -> Iterator[str]:
    own, of_pod = container.get("securityContext") or {}, pod.get("securityContext") or {}
    yield from _of_context(own, "securityContext")
    if own.get("privileged"):
        yield "securityContext.privileged: must not be true"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation: must be false"
    if own.get("procMount", "Default") != "Default":
        yield "securityContext.procMount: must be Default"
    if {**of_pod, **own}.get("runAsNonRoot") is not True:
        yield "securityContext.runAsNonRoot: must be true, here or for the pod"
    if "seccompProfile" not in {**of_pod, **own}:
        yield "securityContext.seccompProfile: must be set, here or for the pod"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        yield "securityContext.capabilities.drop: must hold ALL"
    if set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "securityContext.capabilities.add: may only hold NET_BIND_SERVICE"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"ports[{port['containerPort']}].hostPort: must not be set"
    for hook in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield from _of_action(container.get(hook) or {}, hook)
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        yield from _of_action(lifecycle.get(hook) or {}, f"lifecycle.{hook}")


def _of_action(action: Spec, at: str) -> Iterator[str]:
    for kind in ("httpGet", "tcpSocket"):
        if (action.get(kind) or {}).get("host"):
            yield f"{at}.{kind}.host: must not be set"
