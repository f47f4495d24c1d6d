"""The way in: an Ingress of class `nginx`, and what its address means to the person who wants to open it."""

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    HTTPIngressPathArgs,
    HTTPIngressRuleValueArgs,
    Ingress,
    IngressBackendArgs,
    IngressRuleArgs,
    IngressServiceBackendArgs,
    IngressSpecArgs,
    ServiceBackendPortArgs,
)

from components.pods import Identity

# The local end of the port-forward that the hint proposes, as the lesson has it.
FORWARD_PORT = 9090


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxIngressArgs:
    """What an NginxIngress is made of."""

    namespace: pulumi.Input[str]
    """The namespace to live in."""
    service: pulumi.Input[str]
    """Name of the Service to send requests to."""
    service_port: int
    """Its port."""
    ingress_class: str
    """IngressClass of the controller."""
    host: str
    """The host name to answer to; "" for every name and the bare address."""


class NginxIngress(pulumi.ComponentResource):
    """The Ingress `name`, and the address that its controller published for it."""

    ip: pulumi.Output[str]
    """The address, "" where the controller published a host name, or nothing yet."""
    hostname: pulumi.Output[str]
    """The host name that the controller published (EKS does), else ""."""
    url: pulumi.Output[str]
    """Where the game opens, "" as long as there is no address."""

    def __init__(self, name: str, args: NginxIngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pacman:index:NginxIngress", name, None, opts)
        backend = IngressBackendArgs(
            service=IngressServiceBackendArgs(name=args.service, port=ServiceBackendPortArgs(number=args.service_port))
        )
        ingress = Ingress(
            name,
            metadata=ObjectMetaArgs(name=name, namespace=args.namespace, labels=Identity("pacman", name).labels),
            spec=IngressSpecArgs(
                ingress_class_name=args.ingress_class,
                rules=[
                    IngressRuleArgs(
                        host=args.host or None,
                        http=HTTPIngressRuleValueArgs(
                            paths=[HTTPIngressPathArgs(path="/", path_type="Prefix", backend=backend)]
                        ),
                    )
                ],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        published = ingress.status.apply(published_address)
        self.ip = published.apply(lambda address: address[0])
        self.hostname = published.apply(lambda address: address[1])
        self.url = published.apply(lambda address: page_url(args.host, *address))
        self.register_outputs({"ip": self.ip, "hostname": self.hostname, "url": self.url})


def published_address(status: Any) -> tuple[str, str]:  # noqa: ANN401 - an SDK output: an object, a mapping or None
    """`(ip, hostname)` of an Ingress's status, "" for what is not there; never an error.

    A controller publishes an address, a host name, or nothing for a while; which of the two says nothing about the
    cloud.
    """

    def get(value: Any, key: str) -> Any:  # noqa: ANN401
        if value is None:
            return None
        return value.get(key) if isinstance(value, dict) else getattr(value, key, None)

    entries = get(get(status, "load_balancer"), "ingress") or []
    for entry in entries:
        ip, hostname = get(entry, "ip") or "", get(entry, "hostname") or ""
        if ip or hostname:
            return ip, hostname
    return "", ""


def page_url(host: str, ip: str, hostname: str) -> str:
    """The URL of the page: by the Ingress's own host name, else by its address; "" where there is neither."""
    authority = host or hostname or (f"[{ip}]" if ":" in ip else ip)
    return f"http://{authority}/" if authority else ""


def access_hint(
    *, context: str, namespace: str, service: str, host: str, ip: str, hostname: str, node_address_is_local: bool
) -> str:
    """What to do to open the page, with the commands for this stack.

    Args:
        context: The kubeconfig context, which with minikube is also the profile.
        namespace: The namespace of the Service.
        service: The Service behind the Ingress.
        host: The host name that the Ingress answers to, or "".
        ip: The address that the controller published, or "".
        hostname: The host name that the controller published, or "".
        node_address_is_local: The address is that of a node on the person's machine, which not every driver routes to.
    """
    forward = (
        f"kubectl --context {context} -n {namespace} port-forward service/{service} {FORWARD_PORT}:80"
        f"  and open http://127.0.0.1:{FORWARD_PORT}/"
    )
    address = ip or hostname
    if not address:
        return (
            "The Ingress has no address yet. Once its controller runs, `pulumi up --refresh` shows it"
            f" (kubectl --context {context} -n {namespace} get ingress). Until then: {forward}"
        )
    lines = [f"Open {page_url(host, ip, hostname)}"]
    if host:
        lines.append(
            f"{host} must lead to {address}: in DNS, or for a look: curl -H 'Host: {host}' {page_url('', ip, hostname)}"
        )
    if node_address_is_local:
        local = f"http://{host}/ with `127.0.0.1 {host}` in your hosts file" if host else "http://127.0.0.1/"
        lines.append(
            "No answer? With Docker Desktop, on macOS, Windows or WSL2, a node's address is not reachable from your"
            f" desktop. Then either: minikube tunnel -p {context}  and open {local}"
        )
        lines.append(f"or: {forward}")
    return "\n".join(lines)
