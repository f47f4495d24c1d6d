"""The Pod Security Standard `restricted`, with all of `baseline`, as a function of a pod's spec.

The source is https://kubernetes.io/docs/concepts/security/pod-security-standards/, for Linux pods. On a cluster the
stack's namespace enforces the same. This module needs no cluster, and its message names the field.
"""

from collections.abc import Iterator

from policy.fields import Props, items, mapping, named, text, value

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
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


def violations(pod: Props) -> list[str]:
    """What `restricted` refuses in a pod's spec, each as `field: what is wrong`, relative to the spec."""
    found = [*_of_pod(pod), *_of_context(mapping(pod, "securityContext"), "securityContext")]
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for name, container in named(pod, group):
            found += [f"{group}[{name}].{fault}" for fault in _of_container(container, pod)]
    return found


def _of_pod(pod: Props) -> Iterator[str]:
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(flag):
            yield f"{flag}: must not be true"
    for name, volume in named(pod, "volumes"):
        for kind in sorted(volume.keys() - {"name"} - _VOLUMES):
            if volume[kind] is not None:
                yield f"volumes[{name}].{kind}: this kind of volume is not allowed"
    for name, _ in named(pod, "securityContext", "sysctls"):
        if name not in _SYSCTLS:
            yield f"securityContext.sysctls: {name} is not a safe sysctl"


def _of_context(context: Props, at: str) -> Iterator[str]:
    """Checks what a pod's and a container's security context have in common."""
    if context.get("runAsUser") == 0:
        yield f"{at}.runAsUser: must not be 0"
    if context.get("runAsNonRoot") is False:
        yield f"{at}.runAsNonRoot: must not be false"
    if context.get("seccompProfile") is not None and text(context, "seccompProfile", "type") not in _SECCOMP:
        yield f"{at}.seccompProfile: must be RuntimeDefault or Localhost"
    if text(context, "appArmorProfile", "type") == "Unconfined":
        yield f"{at}.appArmorProfile: must not be Unconfined"
    options = mapping(context, "seLinuxOptions")
    if text(options, "type") not in _SELINUX or options.get("user") or options.get("role"):
        yield f"{at}.seLinuxOptions: may only name a container type"
    if value(context, "windowsOptions", "hostProcess"):
        yield f"{at}.windowsOptions.hostProcess: must not be true"


def _of_container(container: Props, pod: Props) -> Iterator[str]:
    own = mapping(container, "securityContext")
    yield from _of_context(own, "securityContext")
    if own.get("privileged"):
        yield "securityContext.privileged: must not be true"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation: must be false"
    if (text(own, "procMount") or "Default") != "Default":
        yield "securityContext.procMount: must be Default"
    if _own_or_of_pod(container, pod, "runAsNonRoot") is not True:
        yield "securityContext.runAsNonRoot: must be true, here or for the pod"
    if _own_or_of_pod(container, pod, "seccompProfile") is None:
        yield "securityContext.seccompProfile: must be set, here or for the pod"
    if "ALL" not in items(own, "capabilities", "drop"):
        yield "securityContext.capabilities.drop: must hold ALL"
    if any(added != "NET_BIND_SERVICE" for added in items(own, "capabilities", "add")):
        yield "securityContext.capabilities.add: may only hold NET_BIND_SERVICE"
    yield from _of_connections(container)


def _of_connections(container: Props) -> Iterator[str]:
    for port in items(container, "ports"):
        if value(port, "hostPort"):
            yield f"ports[{value(port, 'containerPort')}].hostPort: must not be set"
    for hook in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield from _of_action(mapping(container, hook), hook)
    for hook in ("postStart", "preStop"):
        yield from _of_action(mapping(container, "lifecycle", hook), f"lifecycle.{hook}")


def _own_or_of_pod(container: Props, pod: Props, field: str) -> object:
    own = value(container, "securityContext", field)
    return value(pod, "securityContext", field) if own is None else own


def _of_action(action: Props, at: str) -> Iterator[str]:
    for kind in ("httpGet", "tcpSocket"):
        if value(action, kind, "host"):
            yield f"{at}.{kind}.host: must not be set"
