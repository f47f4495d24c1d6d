"""Whom a NetworkPolicy admits, as a function of its spec."""

import ipaddress
from collections.abc import Iterator

from policy.fields import Props, items, mapping, text, value

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
# IP version -> the length of the shortest prefix that is not everybody: that of the largest private network. It also
# catches the internet in parts, such as 0.0.0.0/1 and 128.0.0.0/1.
_SHORTEST_PREFIX = {4: 8, 6: 7}


def selects(selector: Props, labels: Props) -> bool:
    """Whether a label selector matches these labels; an empty one matches everything."""
    return all(labels.get(key) == wanted for key, wanted in mapping(selector, "matchLabels").items()) and all(
        _holds(expression, labels) for expression in items(selector, "matchExpressions")
    )


def restricts_incoming(spec: Props) -> bool:
    """Whether a policy is about incoming traffic."""
    return "Ingress" in (items(spec, "policyTypes") or ["Ingress"])


def open_to_everybody(spec: Props, namespace: str) -> Iterator[str]:
    """The fields by which a policy of this namespace admits clients that nobody chose."""
    for index, rule in enumerate(items(spec, "ingress")):
        field = f"spec.ingress[{index}].from"
        peers = items(rule, "from")
        if not peers:
            yield field
        for number, peer in enumerate(peers):
            if _is_everybody(peer, namespace):
                yield f"{field}[{number}]"


def _holds(expression: Props, labels: Props) -> bool:
    key, operator = text(expression, "key"), text(expression, "operator")
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    listed = labels.get(key) in items(expression, "values")
    return listed if operator == "In" else operator == "NotIn" and not listed


def _is_everybody(peer: Props, namespace: str) -> bool:
    """Whether a peer admits a pod without labels, or addresses of the whole internet.

    A whole namespace of another name is somebody in particular; the database's own, where all of a stack runs, is not.
    """
    if value(peer, "ipBlock") is not None:
        return _is_internet(text(peer, "ipBlock", "cidr"))
    if not selects(mapping(peer, "podSelector"), {}):
        return False
    # Without a namespaceSelector, the peer is in the policy's own namespace.
    namespaces = value(peer, "namespaceSelector")
    return namespaces is None or any(
        selects(mapping(namespaces), {_NAMESPACE_NAME: name}) for name in (namespace, f"not-{namespace}")
    )


def _is_internet(cidr: str) -> bool:
    try:
        network = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return True
    return network.prefixlen < _SHORTEST_PREFIX[network.version]
