"""What the program must know of the cluster before it declares anything: which StorageClasses and IngressClasses exist.

A class that does not exist would otherwise show as ten minutes of waiting for a volume or an address. This reads
only, with the person's own kubeconfig and rights. Where it cannot read (no cluster yet, no right to list), it knows
nothing, and what is wrong is left for the provider to say.
"""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class Classes:
    """The cluster's classes by name."""

    storage: Mapping[str, str | None]
    """StorageClass to the value of its default-class annotation, None where it has none."""
    ingress: frozenset[str]
    """The IngressClasses."""


def read_classes(context: str) -> Classes | None:
    """The classes of a context's cluster, or None where they cannot be read within a few seconds."""
    try:
        api = connect(context)
        storage = _list(api, "/apis/storage.k8s.io/v1/storageclasses")
        ingress = _list(api, "/apis/networking.k8s.io/v1/ingressclasses")
    except Exception as problem:  # whatever it is, the provider meets it next and says it better
        logging.getLogger(__name__).debug("cannot read classes: %s", problem)
        return None
    return Classes(
        {item["metadata"]["name"]: (item["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) for item in storage},
        frozenset(item["metadata"]["name"] for item in ingress),
    )


def restore_default_marks(context: str, marks: Mapping[str, str | None]) -> None:
    """Gives StorageClasses back the default mark that they had.

    A class that has a mark now was given one by somebody else since, and keeps it; one that is gone is left alone.

    Args:
        context: The kubeconfig context.
        marks: StorageClass to the value of its annotation, None where it had none.

    Raises:
        Exception: The cluster cannot be reached or refuses; nothing is lost, and the same call can be made again.
    """
    api = connect(context)
    now = {item["metadata"]["name"]: item for item in _list(api, "/apis/storage.k8s.io/v1/storageclasses")}
    for name, mark in marks.items():
        if mark is None or name not in now or DEFAULT_CLASS in (now[name]["metadata"].get("annotations") or {}):
            continue
        api.call_api(
            f"/apis/storage.k8s.io/v1/storageclasses/{name}",
            "PATCH",
            header_params={"Content-Type": "application/merge-patch+json"},
            body={"metadata": {"annotations": {DEFAULT_CLASS: mark}}},
            auth_settings=["BearerToken"],
            response_type="object",
            _request_timeout=30,
        )


def connect(context: str) -> Any:  # noqa: ANN401 - the client has no types
    """A client for one context of the person's kubeconfig; `kubernetes` is slow to import, so only here."""
    from kubernetes import config

    connected: Any = config.new_client_from_config  # has no types
    return connected(os.environ.get("KUBECONFIG") or None, context=context)


def _list(api: Any, path: str) -> list[dict[str, Any]]:  # noqa: ANN401
    body, _, _ = api.call_api(
        path,
        "GET",
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
        response_type="object",
        _request_timeout=5,
    )
    items: list[dict[str, Any]] = body["items"]
    return items
