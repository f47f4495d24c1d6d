"""Runs `pulumi preview` and keeps what a reviewer has to know of it, as data that a later job can read.

It reads the engine's event log, because the engine's text is for people, and its --json leaves out the policy pack's
messages. The engine itself hides secrets in the log.
"""

import difflib
import hashlib
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

# The CLI hides --event-log unless this is set.
_ENV = {"PULUMI_DEBUG_COMMANDS": "true", "PULUMI_SKIP_UPDATE_CHECK": "true", "NO_COLOR": "1"}
# What stands for a value that is known only after the change (pulumi/sdk, plugin.UnknownStringValue).
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_LATER = "(known after the change)"
# These are no changes, or announce a change that has a step of its own.
_QUIET = ("same", "refresh", "read")
# `pulumi preview --expect-no-changes` found some (pulumi/pkg, cmd/pulumi/cmd/exit.go).
CHANGES_FOUND = 7
REPLACE = ("replace", "create-replacement", "delete-replaced", "import-replacement", "read-replacement")
# What is data, type and operation -> what the change means for the scores. Such a change must say that it is intended.
DATA = {
    ("kubernetes:StatefulSet", "replace"): "MongoDB stops and starts again on the same volumes, and the scores stay",
    ("kubernetes:StatefulSet", "delete"): "MongoDB stops; its volumes stay, and the scores on them",
    ("kubernetes:PersistentVolumeClaim", "replace"): "its volume is deleted with its data, and the new one is empty",
    ("kubernetes:PersistentVolumeClaim", "delete"): "its volume is deleted with its data",
    ("kubernetes:Namespace", "replace"): "Kubernetes deletes all that is in it, also the volumes and the scores",
    ("kubernetes:Namespace", "delete"): "Kubernetes deletes all that is in it, also the volumes and the scores",
    ("random:RandomPassword", "replace"): "MongoDB keeps the old password, so logins with the new one fail",
    ("random:RandomPassword", "delete"): "the stack forgets a password that MongoDB still asks for",
}
# The same for what is no data, but looks like it. Every other change leaves the scores alone.
NO_DATA = {
    ("kubernetes:StorageClass", "replace"): "volumes that exist keep working, and new ones follow the new class",
    ("kubernetes:StorageClass", "delete"): "volumes that exist keep working, and new ones need another class",
}
_ROTATION = "its keepers change, so this is a rotation, and MongoDB gets the new password"
# In the URN of everything below the ingress controller's component, whose namespace holds no scores.
_CONTROLLER = "pacman:index:IngressController$"
# A longer value is not shown whole, but as a diff of so many lines at most.
_LONG = 200
_DIFF_LINES = 20
_DIFF_WIDTH = 120


@dataclass(frozen=True)
class Change:
    """What happens to one resource."""

    op: str
    """create, update, replace, delete, or another word of the engine."""
    kind: str
    name: str
    fields: Sequence[str] = ()
    """A text for each field that changes: `path: old → new`, or `path:` and a diff where a value is long."""
    forced_by: Sequence[str] = ()
    """The fields for which the resource has to be replaced."""
    about_data: str = ""
    """What the change means for the scores; "" if nothing."""
    destructive: bool = False
    """Whether it replaces or deletes data."""
    protected: bool = False
    """Whether the engine refuses it, because the stack protects the resource."""
    digest: str = ""
    """Of the whole change, also of what `fields` leaves out."""

    @property
    def title(self) -> str:
        """Operation, kind and name."""
        return f"{self.op} {self.kind} {self.name}"


@dataclass(frozen=True)
class Preview:
    """What an `up` of one stack would do."""

    stack: str
    exit_code: int
    """The engine's."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many resources would be created, updated, …; replacements count once."""
    changes: Sequence[Change] = ()
    """Everything but what stays the same."""
    violations: Sequence[str] = ()
    """Messages of the policy pack that stop an `up`."""
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()
    """Messages of the program and the providers that stop nothing."""
    intended_by: str | None = None
    """The commit that says that the stack's data may be replaced or deleted; "" if none does, None if nobody looked."""

    @property
    def destructive(self) -> list[Change]:
        """The changes that replace or delete data."""
        return [each for each in self.changes if each.destructive]

    @property
    def unintended(self) -> list[Change]:
        """Those of them that no commit intends."""
        return self.destructive if self.intended_by == "" else []

    def differences(self, approved: "Preview") -> list[str]:
        """The titles of the changes that this preview and an approved one of the same stack do not share."""
        # As text, because a file knows no tuples.
        mine, theirs = ({json.dumps(asdict(each)): each.title for each in side.changes} for side in (self, approved))
        return sorted({(mine | theirs)[change] for change in mine.keys() ^ theirs.keys()})

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
        drift: Refresh first, so that the preview shows what somebody changed in the cluster and an `up` would revert.
        folder: The project; the current folder by default.

    Raises:
        ValueError: The engine wrote no complete event log. It says nothing of that, and does not fail.
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
        # Not splitlines: a value may hold other ends of lines.
        events = [json.loads(line) for line in log.read_text().split("\n") if line] if log.exists() else []
    if done.returncode in (0, CHANGES_FOUND) and not any("summaryEvent" in each for each in events):
        raise ValueError(
            f"{stack}: the preview went well, but its event log has no end, so nobody can say what changes"
        )
    return read(stack, done.returncode, events, done.stderr)


def read(stack: str, exit_code: int, events: Sequence[Mapping[str, Any]], stderr: str = "") -> Preview:
    """What a reviewer has to know of a preview's events, or of its `stderr` if it failed before the first event."""
    steps = _step_of_each(events)
    protected = {urn for urn, meta in steps.items() if _is_protected(meta)}
    errors, warnings = (_messages(events, severity, protected) for severity in ("error", "warning"))
    if exit_code not in (0, CHANGES_FOUND) and not errors and not protected:
        errors = [line.strip() for line in stderr.splitlines() if line.startswith("error:")] or [stderr.strip()]
    changes = list(map(_change, steps.values()))
    # The engine does not count a change that it refuses.
    counts = dict(Counter(change.op for change in changes))
    for event in events:
        for op, count in event.get("summaryEvent", {}).get("resourceChanges", {}).items():
            name = "replace" if op in REPLACE else op
            counts[name] = max(count, counts.get(name, 0))
    # Advice stops no `up`, and the engine prints it.
    violations = [
        each["policyEvent"]["message"].strip().rpartition("\n")[2]
        for each in events
        if each.get("policyEvent", {}).get("enforcementLevel") == "mandatory"
    ]
    return Preview(stack, exit_code, counts, changes, violations, errors, warnings)


def _messages(events: Sequence[Mapping[str, Any]], severity: str, protected: Set[str]) -> list[str]:
    """The messages of a severity, without those about protected resources, which the changes name."""
    found = [
        each["diagnosticEvent"]["message"].strip()
        for each in events
        if each.get("diagnosticEvent", {}).get("severity") == severity and not _is_refusal(each, protected)
    ]
    # The engine adds this to every error.
    return [each for each in found if each != "preview failed" or (len(found) == 1 and not protected)]


def _is_refusal(event: Mapping[str, Any], protected: Set[str]) -> bool:
    """Whether the engine says, in three lines, that it does not replace or delete a protected resource."""
    diagnostic = event["diagnosticEvent"]
    return diagnostic.get("urn") in protected and "protect" in diagnostic["message"]


def _step_of_each(events: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """URN -> the step that says most of what happens to that resource."""
    steps: dict[str, Mapping[str, Any]] = {}
    for meta in (each["resourcePreEvent"]["metadata"] for each in events if "resourcePreEvent" in each):
        if meta["op"] in _QUIET or meta["type"] == "pulumi:pulumi:Stack" or _is_default_provider(meta):
            continue
        # A replacement has several steps. Not all of them have the differences and both states.
        if meta["urn"] not in steps or _knowledge(meta) > _knowledge(steps[meta["urn"]]):
            steps[meta["urn"]] = meta
    return steps


def _knowledge(meta: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    # What is deleted first: an update may stand beside a deletion that an earlier `up` left undone.
    return meta["op"] in (*REPLACE, "delete"), bool(meta.get("detailedDiff")), bool(meta.get("new"))


def _change(meta: Mapping[str, Any]) -> Change:
    op = "replace" if meta["op"] in REPLACE else meta["op"]
    # Not every provider tells the kinds of its differences.
    details = meta.get("detailedDiff") or {}
    paths = details or meta.get("diffs") or ()
    forced_by = [path for path, detail in details.items() if detail["diffKind"].endswith("-replace")]
    about_data, destructive = _about_data(meta, op)
    return Change(
        op,
        meta["type"].rpartition(":")[2],
        meta["urn"].rpartition("::")[2],
        [_field(path, meta) for path in sorted(paths)] if op in ("update", "replace") else [],
        sorted(forced_by or meta.get("keys") or ()),
        about_data,
        destructive,
        _is_protected(meta),
        _digest(meta),
    )


def _digest(meta: Mapping[str, Any]) -> str:
    """A digest of a resource's operation, URN and inputs. The engine has hidden the secrets."""
    states = [(meta.get(state) or {}).get("inputs") or {} for state in ("old", "new")]
    # The code of a dynamic provider, `__provider`, may be another text for the same code.
    inputs = [{key: value for key, value in state.items() if not key.startswith("__")} for state in states]
    return hashlib.sha256(json.dumps([meta["op"], meta["urn"], *inputs], sort_keys=True).encode()).hexdigest()[:16]


def _about_data(meta: Mapping[str, Any], op: str) -> tuple[str, bool]:
    """What a change means for the scores, and whether it replaces or deletes data."""
    kind = _kind(meta)
    if _CONTROLLER in meta["urn"]:
        return "", False
    if (kind, op) == ("random:RandomPassword", "replace"):
        if not meta.get("new"):
            # An earlier `up` made the new password and ended before it forgot the old one.
            return "", False
        old, new = (meta[state]["inputs"].get("keepers") for state in ("old", "new"))
        if old != new:
            return _ROTATION, False
    if (kind, op) in DATA:
        return DATA[kind, op], True
    return NO_DATA.get((kind, op), ""), False


def _is_protected(meta: Mapping[str, Any]) -> bool:
    """Whether the engine refuses a step. A change may replace what it unprotects, but not delete it."""
    old, new = meta.get("old") or {}, meta.get("new") or {}
    if meta["op"] == "delete":
        return bool(old.get("protect"))
    return meta["op"] in REPLACE and bool(old.get("protect")) and bool(new.get("protect"))


def _kind(meta: Mapping[str, Any]) -> str:
    """A type without its module and version: `kubernetes:core/v1:Namespace` is `kubernetes:Namespace`."""
    package, _, rest = str(meta["type"]).partition(":")
    return f"{package}:{rest.rpartition(':')[2]}"


def _is_default_provider(meta: Mapping[str, Any]) -> bool:
    """Whether the engine made this provider itself. Its version is that of a package, so the code's diff shows it."""
    kind, name = str(meta["type"]), str(meta["urn"]).rpartition("::")[2]
    return kind.startswith("pulumi:providers:") and name.startswith("default")


def _field(path: str, meta: Mapping[str, Any]) -> str:
    old, new = (_value((meta.get(state) or {}).get("inputs") or {}, path) for state in ("old", "new"))
    if len(_on_one_line(old)) <= _LONG and len(_on_one_line(new)) <= _LONG:
        return f"{path}: {_on_one_line(old)} → {_on_one_line(new)}"
    # The first two lines would name two files.
    diff = list(difflib.unified_diff(_in_lines(old), _in_lines(new), n=1, lineterm=""))[2:]
    kept = [" …" if line.startswith("@@") else line for line in diff[:_DIFF_LINES]]
    cut = [f" … {len(diff) - _DIFF_LINES} more lines of this value"] if len(diff) > _DIFF_LINES else []
    return "\n".join([f"{path}:", *kept, *cut])


_NOTHING = object()


def _value(inputs: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - any JSON
    """The value at a path such as `spec.template.containers[0].image` or `metadata.labels["a.b/c"]`."""
    value: Any = inputs
    for step in _steps(path):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return _NOTHING
    return value


def _on_one_line(value: object) -> str:
    if value is _NOTHING:
        return "(nothing)"
    return json.dumps(value, ensure_ascii=False).replace(f'"{_UNKNOWN}"', _LATER)


def _in_lines(value: object) -> list[str]:
    """A value for a diff. A long line comes in pieces, so that the diff has only the pieces that differ."""
    if value is _NOTHING:
        return []
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    pieces: list[str] = []
    for line in text.replace(_UNKNOWN, _LATER).split("\n"):
        pieces += [line[start : start + _DIFF_WIDTH] for start in range(0, max(len(line), 1), _DIFF_WIDTH)]
    return pieces


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
