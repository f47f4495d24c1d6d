"""The Ingress of the game, and the commands that open the page at its address."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import pulumi
from pulumi_kubernetes.meta.v1 import LabelSelectorArgs, ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import (
    HTTPIngressPathArgs,
    HTTPIngressRuleValueArgs,
    Ingress,
    IngressBackendArgs,
    IngressRuleArgs,
    IngressServiceBackendArgs,
    IngressSpecArgs,
    IngressTLSArgs,
    NetworkPolicy,
    NetworkPolicyIngressRuleArgs,
    NetworkPolicyPortArgs,
    NetworkPolicySpecArgs,
    ServiceBackendPortArgs,
)

from components import cluster
from components.metadata import STACK, TAKE_OVER, this_stack
from components.pods import Identity

# What a player's browser asks for, and nothing else: the app also serves metrics, a demo mode and an interface that
# writes scores, on the same port. A list of what is closed could be walked around, since the app takes its paths in any
# case and with a slash at the end. "Exact" where a prefix would open more than the page asks for.
PATHS = {
    **dict.fromkeys(("/", "/config", "/pacman-canvas.css", "/pacman-canvas.js", "/style.css"), "Exact"),
    **dict.fromkeys(("/data", "/fonts", "/highscores", "/img", "/js", "/location", "/mp3", "/user", "/wav"), "Prefix"),
}
# How often a client address may exceed its rate at once, as ingress-nginx has it unless told otherwise.
_BURST = 5
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
# ingress-nginx writes the status once a minute.
ADDRESS_SECONDS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class NginxIngressArgs:
    """Arguments of NginxIngress."""

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
    context: str
    """The kubeconfig context of the cluster, to read the address from that the controller publishes."""
    rate_limit: int = 500
    """Requests per second and client address, five times that in a burst; 0 for no limit. A page load is 35 requests,
    and a whole class may share one address."""


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
        child = pulumi.ResourceOptions(parent=self)
        identity = Identity("pacman", name)
        ingress = Ingress(
            name,
            metadata=ObjectMetaArgs(
                name=name, namespace=args.namespace, labels=identity.labels, annotations=_annotations(args)
            ),
            spec=_spec(args),
            opts=child,
        )
        if args.tls_issuer:
            _let_the_issuer_in(name, args.namespace, identity, child)
        # The id is known once the Ingress is there, in a preview of one that is new it is not.
        published: pulumi.Output[tuple[str, str]] = pulumi.Output.all(ingress.id, args.namespace).apply(
            lambda known: asyncio.ensure_future(asyncio.to_thread(_wait_for_address, args.context, known[1], name))
        )
        self.ip = published.apply(lambda address: address[0])
        self.hostname = published.apply(lambda address: address[1])
        self.url = published.apply(lambda address: page_url(args.host, *address, tls=bool(args.tls_secret)))
        self.register_outputs({"ip": self.ip, "hostname": self.hostname, "url": self.url})


def _spec(args: NginxIngressArgs) -> IngressSpecArgs:
    backend = IngressBackendArgs(
        service=IngressServiceBackendArgs(name=args.service, port=ServiceBackendPortArgs(number=args.service_port))
    )
    paths = [HTTPIngressPathArgs(path=path, path_type=kind, backend=backend) for path, kind in PATHS.items()]
    return IngressSpecArgs(
        ingress_class_name=args.ingress_class,
        tls=[IngressTLSArgs(hosts=[args.host], secret_name=args.tls_secret)] if args.tls_secret else None,
        rules=[IngressRuleArgs(host=args.host or None, http=HTTPIngressRuleValueArgs(paths=paths))],
    )


def _annotations(args: NginxIngressArgs) -> dict[str, str]:
    """The limits and redirects. Each controller reads the annotations of its own makers and passes over the others."""
    rate = args.rate_limit
    return {
        **TAKE_OVER,
        # By which a stack knows its own Ingress in another namespace.
        STACK: this_stack(),
        # The provider would wait for ten minutes for an address, and then fail. The component waits itself.
        "pulumi.com/skipAwait": "true",
        # A score has 200 bytes.
        "nginx.ingress.kubernetes.io/proxy-body-size": "16k",
        "nginx.org/client-max-body-size": "16k",
        **(_rate_limit(rate) if rate else {}),
        **(HTTPS if args.tls_secret else {}),
        **(_issued_by(args.tls_issuer) if args.tls_issuer else {}),
    }


def _rate_limit(rate: int) -> dict[str, str]:
    return {
        "nginx.ingress.kubernetes.io/limit-rps": str(rate),
        "nginx.ingress.kubernetes.io/limit-burst-multiplier": str(_BURST),
        "nginx.org/limit-req-rate": f"{rate}r/s",
        "nginx.org/limit-req-key": "${binary_remote_addr}",
        "nginx.org/limit-req-zone-size": "10m",
        "nginx.org/limit-req-burst": str(_BURST * rate),
        "nginx.org/limit-req-no-delay": "true",
        "nginx.org/limit-req-reject-code": "429",
    }


def _issued_by(issuer: str) -> dict[str, str]:
    return {
        "cert-manager.io/cluster-issuer": issuer,
        # A challenge on a second Ingress of the same host would be refused by controllers that give a host to one only.
        "acme.cert-manager.io/http01-edit-in-place": "true",
    }


def _let_the_issuer_in(
    name: str, namespace: pulumi.Input[str], identity: Identity, opts: pulumi.ResourceOptions
) -> None:
    """Lets the ingress controller reach the pod by which cert-manager answers an HTTP-01 challenge."""
    solver = LabelSelectorArgs(match_labels={"acme.cert-manager.io/http01-solver": "true"})
    NetworkPolicy(
        f"{name}-acme-solver",
        metadata=ObjectMetaArgs(
            name=f"{name}-acme-solver", namespace=namespace, labels=identity.labels, annotations=TAKE_OVER
        ),
        spec=NetworkPolicySpecArgs(
            pod_selector=solver,
            policy_types=["Ingress"],
            ingress=[NetworkPolicyIngressRuleArgs(ports=[NetworkPolicyPortArgs(port=8089, protocol="TCP")])],
        ),
        opts=opts,
    )


def _wait_for_address(context: str, namespace: str, name: str) -> tuple[str, str]:
    """`(ip, hostname)` that the controller published, "" for what it did not; never an error, since all else runs."""
    seconds = 0 if pulumi.runtime.is_dry_run() else ADDRESS_SECONDS
    try:
        address = cluster.wait_for_ingress_address(context, namespace, name, seconds)
    except Exception as problem:  # the game runs, and the hint says how to reach it
        gone = isinstance(problem, cluster.RefusedError) and problem.status == HTTPStatus.NOT_FOUND
        hint = ". The stack has it: `pulumi up --refresh` creates again what somebody has deleted" if gone else ""
        pulumi.log.warn(f"cannot read the address of the Ingress {name}: {cluster.reason(problem)}{hint}")
        return "", ""
    if seconds and not any(address):
        pulumi.log.warn(
            f"the Ingress {name} has no address after {ADDRESS_SECONDS} s: does a controller serve its class?"
            f" `kubectl --context {context} -n {namespace} describe ingress {name}` shows it; the game runs, and the"
            " output access_hint says how to reach it without"
        )
    return address


def page_url(host: str, ip: str, hostname: str, *, tls: bool = False) -> str:
    """The URL of the page: by the Ingress's own host name, else by its address; "" as long as there is no address."""
    if not (ip or hostname):
        return ""
    authority = host or hostname or (f"[{ip}]" if ":" in ip else ip)
    return f"{'https' if tls else 'http'}://{authority}/"


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
