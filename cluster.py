"""What the program must know of the cluster before it declares anything: which StorageClasses and IngressClasses exist.

A class that does not exist would otherwise show as ten minutes of waiting for a volume or an address. This reads
only, with the person's own kubeconfig and rights. Where it cannot read (no cluster yet, no right to list), it knows
nothing, and what is wrong is left for the provider to say.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
# What one request may take.
SECONDS = 5
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_INGRESS_CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"


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
        storage = _list(api, _STORAGE_CLASSES)
        ingress = _list(api, _INGRESS_CLASSES)
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
    now = {item["metadata"]["name"]: item for item in _list(api, _STORAGE_CLASSES)}
    for name, mark in marks.items():
        if mark is None or name not in now or DEFAULT_CLASS in (now[name]["metadata"].get("annotations") or {}):
            continue
        _request(
            api,
            "PATCH",
            f"{_STORAGE_CLASSES}/{name}",
            {"Content-Type": "application/merge-patch+json"},
            {"metadata": {"annotations": {DEFAULT_CLASS: mark}}},
        )


def connect(context: str) -> Any:  # noqa: ANN401 - the client has no types
    """A client for one context of the person's kubeconfig; `kubernetes` is slow to import, so only here."""
    from kubernetes import client, config

    once: Any = client.Configuration()
    once.retries = False  # or a cluster that is away is waited for four times
    connected: Any = config.new_client_from_config
    return connected(os.environ.get("KUBECONFIG") or None, context=context, client_configuration=once)


def _list(api: Any, path: str) -> list[dict[str, Any]]:  # noqa: ANN401
    items: list[dict[str, Any]] = _request(api, "GET", path, {"Accept": "application/json"})["items"]
    return items


def _request(api: Any, method: str, path: str, headers: Mapping[str, str], body: object = None) -> Any:  # noqa: ANN401
    call = api.param_serialize(
        method=method, resource_path=path, header_params=dict(headers), body=body, auth_settings=["BearerToken"]
    )
    answer = api.call_api(*call, _request_timeout=SECONDS)
    if answer.status >= 400:
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.reason}")
    return json.loads(answer.read())
