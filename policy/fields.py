"""Reads a manifest as the API server does: a field that is null counts as not set.

A field of the wrong type counts as not set too. A rule must not raise on it: the API server reports it better.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UnknownValueError

Props = Mapping[str, Any]


def value(of: Any, *path: str) -> Any:  # noqa: ANN401 - any JSON
    """The value at a path; None if a step of the path is not set."""
    for step in path:
        of = of.get(step) if isinstance(of, Mapping) else None
    return of


def mapping(of: Any, *path: str) -> Props:  # noqa: ANN401
    """The mapping at a path; empty if it is not set."""
    found = value(of, *path)
    return found if isinstance(found, Mapping) else {}


def items(of: Any, *path: str) -> list[Any]:  # noqa: ANN401
    """The items of the list at a path; none if it is not set."""
    found = value(of, *path)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def text(of: Any, *path: str) -> str:  # noqa: ANN401
    """The text at a path; "" if it is not set."""
    found = value(of, *path)
    return found if isinstance(found, str) else ""


def named(of: Any, *path: str) -> Iterator[tuple[str, Props]]:  # noqa: ANN401
    """The objects in the list at a path, each with its name, or with its index if it has no name."""
    for index, item in enumerate(items(of, *path)):
        if isinstance(item, Mapping):
            yield text(item, "name") or str(index), item


def known(of: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The entries of a mapping or list as (step, value), without those that a preview does not know yet."""
    steps: list[tuple[Any, str]] = []
    if isinstance(of, Mapping):
        steps = [(key, f".{key}") for key in of]
    elif isinstance(of, Sequence) and not isinstance(of, str):
        steps = [(index, f"[{index}]") for index in range(len(of))]
    for key, step in steps:
        try:
            entry = of[key]
        except UnknownValueError:
            continue
        yield step, entry
