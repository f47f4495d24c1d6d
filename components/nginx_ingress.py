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
    IngressTLSArgs,
    ServiceBackendPortArgs,
)

from components.field_owners import TAKE_OVER
from components.pods import Identity

# What fits a page that loads some thirty files and posts a score of 200 bytes now and then: bodies of 16 KiB at most,
# and for each client address 100 requests per second, five times that in a burst (the usual burst of ingress-nginx).
# Each controller reads the annotations of its own makers and passes over the others.
LIMITS = {
    "nginx.ingress.kubernetes.io/proxy-body-size": "16k",
    "nginx.ingress.kubernetes.io/limit-rps": "100",
    "nginx.org/client-max-body-size": "16k",
    "nginx.org/limit-req-rate": "100r/s",
    "nginx.org/limit-req-key": "${binary_remote_addr}",
    "nginx.org/limit-req-zone-size": "10m",
    "nginx.org/limit-req-burst": "500",
    "nginx.org/limit-req-no-delay": "true",
    "nginx.org/limit-req-reject-code": "429",
}
# HTTP leads to HTTPS, and a browser remembers that for a year. ingress-nginx has no annotation for the latter: it sends
# the header with every answer over TLS, unless its ConfigMap says otherwise, as that of minikube's addon does.
HTTPS = {
    "nginx.ingress.kubernetes.io/ssl-redirect": "true",
    "nginx.org/ssl-redirect": "true",
    "nginx.org/hsts": "true",
    "nginx.org/hsts-max-age": "31536000",
}
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
    ingress_class: pulumi.Input[str]
    """IngressClass of the controller."""
    host: str
    """The host name to answer to; "" for every name and the bare address."""
    tls_secret: str = ""
    """Secret with the certificate of `host`, of type kubernetes.io/tls; "" for plain HTTP."""
    tls_issuer: str = ""
    """ClusterIssuer of cert-manager that makes that certificate; "" where somebody else does."""


class NginxIngress(pulumi.ComponentResource):
    """The Ingress `name`, and the address that its controller published for it."""

    ip: pulumi.Output[str]
    """The address, "" where the controller published a host name, or nothing yet."""
    hostname: pulumi.Output[str]
    """The host name that the controller published (EKS does), else ""."""
    url: pulumi.Output[str]
    """Where the game opens, "" as long as there is no address."""

    def __init__(self, name: str, args: NginxIngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        if args.tls_secret and not args.host:
            raise ValueError(f"{name}: tls_secret is {args.tls_secret}: needs host, a certificate is for a name")
        if args.tls_issuer and not args.tls_secret:
            raise ValueError(f"{name}: tls_issuer is {args.tls_issuer}: needs tls_secret, to put the certificate in")
        super().__init__("pacman:index:NginxIngress", name, None, opts)
        backend = IngressBackendArgs(
            service=IngressServiceBackendArgs(name=args.service, port=ServiceBackendPortArgs(number=args.service_port))
        )
        ingress = Ingress(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                namespace=args.namespace,
                labels=Identity("pacman", name).labels,
                annotations={
                    **TAKE_OVER,
                    **LIMITS,
                    **(HTTPS if args.tls_secret else {}),
                    **(_issued_by(args.tls_issuer) if args.tls_issuer else {}),
                },
            ),
            spec=IngressSpecArgs(
                ingress_class_name=args.ingress_class,
                tls=[IngressTLSArgs(hosts=[args.host], secret_name=args.tls_secret)] if args.tls_secret else None,
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
        self.url = published.apply(lambda address: page_url(args.host, *address, tls=bool(args.tls_secret)))
        self.register_outputs({"ip": self.ip, "hostname": self.hostname, "url": self.url})


def _issued_by(issuer: str) -> dict[str, str]:
    return {
        "cert-manager.io/cluster-issuer": issuer,
        # A challenge on a second Ingress of the same host would be refused by controllers that give a host to one only.
        "acme.cert-manager.io/http01-edit-in-place": "true",
    }


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


def page_url(host: str, ip: str, hostname: str, *, tls: bool = False) -> str:
    """The URL of the page: by the Ingress's own host name, else by its address; "" where there is neither."""
    authority = host or hostname or (f"[{ip}]" if ":" in ip else ip)
    return f"{'https' if tls else 'http'}://{authority}/" if authority else ""


def access_hint(
    *,
    context: str,
    namespace: str,
    service: str,
    host: str,
    ip: str,
    hostname: str,
    tls: bool,
    node_address_is_local: bool,
) -> str:
    """What to do to open the page, with the commands for this stack.

    Args:
        context: The kubeconfig context, which with minikube is also the profile.
        namespace: The namespace of the Service.
        service: The Service behind the Ingress.
        host: The host name that the Ingress answers to, or "".
        ip: The address that the controller published, or "".
        hostname: The host name that the controller published, or "".
        tls: Whether the page is served over HTTPS.
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
    url = page_url(host, ip, hostname, tls=tls)
    lines = [f"Open {url}"]
    if host:
        bare = page_url("", ip, hostname)
        look = f"curl -H 'Host: {host}' {bare}"
        if tls:
            look = f"curl --connect-to {host}:443:{bare.removeprefix('http://').removesuffix('/')}:443 {url}"
        record = "CNAME" if not ip else "AAAA" if ":" in ip else "A"
        lines.append(f"{host} must lead to {address}: in DNS, by a record of type {record}, or for a look: {look}")
    if node_address_is_local:
        local = f"{url} with `127.0.0.1 {host}` in your hosts file" if host else "http://127.0.0.1/"
        lines.append(
            "No answer? With Docker Desktop, on macOS, Windows or WSL2, a node's address is not reachable from your"
            f" desktop. Then either: minikube tunnel -p {context}  and open {local}"
        )
        lines.append(f"or: {forward}")
    return "\n".join(lines)
