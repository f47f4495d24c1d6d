"""Runs `pulumi preview` and keeps what a reviewer has to know of it, as data that a later job can read.

Everything is read from the engine's event log: what the engine prints is for people, and its --json leaves out what
the policy pack says. Secrets are hidden there by the engine itself.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

# The CLI hides --event-log unless this is set.
_ENV = {"PULUMI_DEBUG_COMMANDS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true", "NO_COLOR": "1"}
# What stands for a value that is known only after the change (pulumi/sdk, plugin.UnknownStringValue).
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# What is not a change, or tells of one that comes as a step of its own.
_QUIET = ("same", "refresh", "read")
# `pulumi preview --expect-no-changes` found some (pulumi/pkg, cmd/pulumi/cmd/exit.go).
CHANGES_FOUND = 7
REPLACE = ("replace", "create-replacement", "delete-replaced")
# Kind -> what it means for the scores when one of them is replaced or deleted.
DATA = {
    "StatefulSet": "the database stops, and is made anew on the volumes that stay",
    "PersistentVolumeClaim": "the volume goes, and the scores on it",
    "Namespace": "everything in it goes, the volumes and the scores too",
    "StorageClass": "volumes that exist keep working, new ones are made by another class or by none",
    "RandomPassword": "the database keeps the old one, so that nobody can log in",
}


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    op: str
    """create, update, replace, delete, or another word of the engine."""
    kind: str
    name: str
    fields: Sequence[str] = ()
    """A line for each field that changes: `path: old → new`."""
    forced_by: Sequence[str] = ()
    """The fields for which the resource has to be replaced."""

    @property
    def about_data(self) -> str:
        """What the change means for the scores; "" if nothing."""
        return DATA.get(self.kind, "") if self.op in ("replace", "delete") else ""


@dataclass(frozen=True)
class Preview:
    """What an `up` of one stack would do."""

    stack: str
    exit_code: int
    """The engine's."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many resources would be created, updated, …, as the engine counts them; replacements once."""
    changes: Sequence[Change] = ()
    """Everything but what stays the same."""
    violations: Sequence[str] = ()
    """What the policy pack says."""
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """What the program and the providers want to be known, and the engine goes on."""

    def to_json(self) -> str:
        """The preview for a file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The preview of such a file.

        Raises:
            ValueError: The text is not one.
        """
        try:
            found = json.loads(text)
            return cls(**(found | {"changes": [Change(**each) for each in found["changes"]]}))
        except (ValueError, KeyError, TypeError) as problem:
            raise ValueError(f"not a preview: {problem!r}") from None


def run(stack: str, *, policy_pack: str = "policy", drift: bool = False, folder: Path | None = None) -> Preview:
    """Previews one stack.

    Args:
        stack: Its name in the current backend.
        policy_pack: A folder with a policy pack, relative to the project.
        drift: Compare with the cluster instead: what somebody changed there is what an `up` would set back.
        folder: The project; the current folder by default.
    """
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch, "events")
        options = ["--refresh", "--expect-no-changes"] if drift else []
        done = subprocess.run(
            [
                *("pulumi", "preview", "--non-interactive", "--stack", stack, "--policy-pack", policy_pack),
                *("--event-log", str(log), *options),
            ],
            cwd=folder,
            env=os.environ | _ENV,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return read(stack, done.returncode, events, done.stderr)


def read(stack: str, exit_code: int, events: Sequence[Mapping[str, Any]], stderr: str = "") -> Preview:
    """What a reviewer has to know of a preview's events; of its `stderr` where it failed before there were any."""
    diagnostics = [each["diagnosticEvent"] for each in events if "diagnosticEvent" in each]
    errors, warnings = (
        [each["message"].strip() for each in diagnostics if each["severity"] == severity]
        for severity in ("error", "warning")
    )
    if exit_code not in (0, CHANGES_FOUND) and not errors:
        errors = [line.strip() for line in stderr.splitlines() if line.startswith("error:")] or [stderr.strip()]
    counts: dict[str, int] = {}
    for event in events:
        for op, count in event.get("summaryEvent", {}).get("resourceChanges", {}).items():
            counts["replace" if op in REPLACE else op] = count
    # One that is only advice is printed by the engine, and no reason to stop.
    violations = [
        each["policyEvent"]["message"].strip().rpartition("\n")[2]
        for each in events
        if each.get("policyEvent", {}).get("enforcementLevel") == "mandatory"
    ]
    return Preview(stack, exit_code, counts, list(_changes(events)), violations, errors, warnings)


def _changes(events: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
    steps: dict[str, Mapping[str, Any]] = {}
    for meta in (each["resourcePreEvent"]["metadata"] for each in events if "resourcePreEvent" in each):
        if meta["op"] in _QUIET or meta["type"] == "pulumi:pulumi:Stack" or _is_default_provider(meta):
            continue
        # A replacement has several parts, and only one of them says what differs.
        if meta["urn"] not in steps or meta.get("detailedDiff"):
            steps[meta["urn"]] = meta
    for urn, meta in steps.items():
        op = "replace" if meta["op"] in REPLACE else meta["op"]
        details = meta.get("detailedDiff") or {}
        yield Change(
            op,
            meta["type"].rpartition(":")[2],
            urn.rpartition("::")[2],
            [_field(path, meta) for path in sorted(details)] if op in ("update", "replace") else [],
            sorted(path for path, detail in details.items() if detail["diffKind"].endswith("-replace")),
        )


def _is_default_provider(meta: Mapping[str, Any]) -> bool:
    """Whether the engine made it for itself: its version is that of a package, which the diff of the code shows."""
    kind, name = str(meta["type"]), str(meta["urn"]).rpartition("::")[2]
    return kind.startswith("pulumi:providers:") and name.startswith("default")


def _field(path: str, meta: Mapping[str, Any]) -> str:
    old, new = (_value((meta.get(state) or {}).get("inputs") or {}, path) for state in ("old", "new"))
    return f"{path}: {old} → {new}"


_NOTHING = "(nothing)"


def _value(inputs: Mapping[str, Any], path: str) -> str:
    """The value at a path such as `spec.template.containers[0].image` or `metadata.labels["a.b/c"]`, on one line."""
    value: Any = inputs
    for step in _steps(path):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return _NOTHING
    return "(known after the change)" if value == _UNKNOWN else json.dumps(value, ensure_ascii=False)


def _steps(path: str) -> Iterator[str | int]:
    while path:
        if path.startswith('["'):
            name, _, path = path[2:].partition('"]')
            yield name
        elif path.startswith("["):
            index, _, path = path[1:].partition("]")
            yield int(index)
        else:
            path = path.removeprefix(".")
            cut = min((at for at in (path.find("."), path.find("[")) if at >= 0), default=len(path))
            yield path[:cut]
            path = path[cut:]
