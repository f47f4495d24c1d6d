"""The annotation `pulumi.com/waitFor`: what a person says to wait for, as tests on an object.

It may be `jsonpath={.path}` (it is there), `jsonpath={.path}=value`, `condition=Type`, `condition=Type=status`, or a
JSON list of such, which must all hold.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from sandbox.plugins.kubernetes.values import Object, at

WAIT_FOR: Final = "pulumi.com/waitFor"

Test = Callable[[Object], bool]
"""Whether a live object is what was waited for."""


def parse(wanted: str) -> list[tuple[str, Test]]:
    """The expressions of an annotation, each with its test.

    Raises:
        ValueError: It is none; the message says what it may be.
    """
    expressions = [wanted]
    if wanted.lstrip().startswith("["):
        try:
            expressions = json.loads(wanted)
        except ValueError:
            raise ValueError(f"{WAIT_FOR}: {wanted!r} is not a JSON list of strings") from None
        if not expressions or not all(isinstance(each, str) for each in expressions):
            raise ValueError(f"{WAIT_FOR}: {wanted!r} is not a JSON list of strings")
    return [(each, _test(each)) for each in expressions]


def _test(expression: str) -> Test:
    if match := re.fullmatch(r"condition=([^=\s]+)(?:=(.+))?", expression):
        kind, status = match[1].lower(), (match[2] or "True").lower()
        return lambda live: any(
            str(each.get("type")).lower() == kind and str(each.get("status")).lower() == status
            for each in at(live, "status", "conditions") or []
        )
    if match := re.fullmatch(r"jsonpath=(\{.*\}|[^={}]+?)(?:={1,2}(.+))?", expression):
        steps, value = _json_path(match[1].strip("{}"), expression), match[2]
        if value is None:
            return lambda live: any(True for _ in _walk(live, steps))
        expected = value.strip("\"'")
        return lambda live: any(_as_text(found) == expected for found in _walk(live, steps))
    raise ValueError(
        f"{WAIT_FOR}: {expression!r} must be `jsonpath={{.path}}`, `jsonpath={{.path}}=value`, `condition=Type` or "
        "`condition=Type=status`"
    )


_STEP: Final = re.compile(
    r"""\.(?P<key>(?:[\w/-]|\\.)+) | \['(?P<quoted>[^']+)'\] | \["(?P<double>[^"]+)"\] | \[(?P<index>-?\d+)\]
    | \[\?\(?@\.(?P<field>[\w.]+)\s*==\s*['"]?(?P<value>[^'")\]]+)['"]?\)?\] | (?P<all>\[\*\]|\.\*)""",
    re.VERBOSE,
)
_Step = Callable[[Any], list[Any]]


def _json_path(path: str, expression: str) -> list[_Step]:
    text = path.removeprefix("$")
    text = text if text[:1] in (".", "[") else "." + text
    steps, position = [], 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise ValueError(f"{WAIT_FOR}: {expression!r} has a path that does not parse at {text[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return steps


def _step(match: re.Match[str]) -> _Step:
    if key := match["key"] or match["quoted"] or match["double"]:
        name = key.replace("\\.", ".") if match["key"] else key
        return lambda value: [value[name]] if isinstance(value, dict) and name in value else []
    if match["index"]:
        index = int(match["index"])
        return lambda value: value[index:][:1] if isinstance(value, list) else []
    if match["field"]:
        field, wanted = match["field"].split("."), match["value"]
        return lambda value: [
            each for each in (value if isinstance(value, list) else []) if _as_text(at(each, *field)) == wanted
        ]
    return lambda value: list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _walk(live: Object, steps: Sequence[_Step]) -> list[Any]:
    found: list[Any] = [live]
    for step in steps:
        found = [inner for value in found for inner in step(value)]
    return found


def _as_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)
