"""Writes the previews of a change as one comment, and keeps that comment on the pull request up to date."""

import html
import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from review.commits import line_that_intends
from review.preview import CHANGES_FOUND, Change, Preview

# `PullRequest` finds its comment by this. Nobody sees it.
MARKER = "<!-- pacman: preview of every stack -->"
# GitHub takes 65536 characters.
MOST = 60_000
_NOTICES = MOST // 3
_MESSAGE = 1_000
_COLUMNS = ("create", "update", "replace", "delete", "same")
# GitHub shows these as boxes, red, yellow and blue.
_CAUTION, _WARNING, _NOTE = "> [!CAUTION]", "> [!WARNING]", "> [!NOTE]"
_PROTECTED = "The stack protects it, so the preview fails: deploy `deletionProtection: disabled` first, on its own"
# In a block of the language `diff`, GitHub colours a line by its first character.
_SIGNS = {"create": "+", "update": "!", "replace": "-", "delete": "-"}


def write(
    previews: Sequence[Preview],
    manifests: str | None,
    *,
    stacks: Sequence[str] = (),
    commit: str = "",
    title: str = "What this change does",
) -> str:
    """The comment: what happens to data, a table with a row for each stack, other notices, and the differences.

    Args:
        stacks: All that should have been previewed.
        previews: Of each stack; none where nobody may see a stack, as for a fork.
        manifests: The difference of the rendered manifests, as `git diff` prints it; "" if there is none, and
            None if nobody looked.
        commit: What was previewed, so that a reader sees whether it is the last commit.
        title: The heading.
    """
    parts = [f"{MARKER}\n## {title}\n"]
    if commit:
        parts.append(f"Of commit {_code(commit[:10])}.\n")
    missing = sorted(set(stacks) - {each.stack for each in previews})
    if previews or missing:
        notices = _notices(previews)
        parts += [each for each in notices if each.startswith(_CAUTION)]
        parts.append("\n".join([*_table(previews), *map(_missed, missing)]) + "\n")
        parts += [each for each in notices if not each.startswith(_CAUTION)]
    else:
        parts.append(
            "No stack was previewed: the variable `STACKS` names none, or the pull request comes from a fork or from"
            " Dependabot, which get no secrets. `pulumi preview -s STACK --policy-pack policy` previews one by hand.\n"
        )
    end = ["The manifests are the same for every stack.\n"] if manifests == "" else []
    sections = [_section_of_stack(each) for each in previews if each.changes]
    sections += _sections_of_manifests(manifests or "")
    room = MOST - sum(len(part) + 1 for part in [*parts, *end]) - len(sections)
    shares = _shares([len(each.text(MOST)) for each in sections], room)
    return "\n".join([*parts, *(each.text(share) for each, share in zip(sections, shares, strict=True)), *end])


def _table(previews: Sequence[Preview]) -> Iterator[str]:
    yield f"| Stack | {' | '.join(_COLUMNS)} | |"
    yield f"|---|{'---:|' * len(_COLUMNS)}---|"
    for each in previews:
        numbers = " | ".join(str(each.counts.get(op) or "") for op in _COLUMNS)
        good = {0: "ok", CHANGES_FOUND: "**drift**"}
        verdict = "**policy violated**" if each.violations else good.get(each.exit_code, "**failed**")
        if verdict == "ok" and each.unintended:
            verdict = "**replaces or deletes data**"
        yield f"| {_code(each.stack)} | {numbers} | {verdict} |"


def _missed(stack: str) -> str:
    return f"| {_code(stack)} |{' |' * len(_COLUMNS)} **no preview**: see the run of its job |"


def _notices(previews: Sequence[Preview]) -> list[str]:
    """What a reviewer must not miss, the worst of all stacks first; each stack has its share of the room."""
    of_stacks = [[*_about_data(each), *_refused(each), *_warnings(each)] for each in previews]
    shares = _shares([sum(map(len, notices)) for notices in of_stacks], _NOTICES)
    shown: list[str] = []
    for preview, notices, room in zip(previews, of_stacks, shares, strict=True):
        ends = accumulate(map(len, notices))
        kept = [notice for notice, end in zip(notices, ends, strict=True) if end <= room]
        shown += kept
        if left := len(notices) - len(kept):
            shown.append(f"{_NOTE}\n> {_code(preview.stack)}: {left} more messages are in the run of its job.\n")
    severities = (_CAUTION, _WARNING, _NOTE)
    return sorted(shown, key=lambda notice: severities.index(notice.partition("\n")[0]))


def _about_data(preview: Preview) -> Iterator[str]:
    stack = _code(preview.stack)
    if preview.unintended:
        yield (
            f"{_CAUTION}\n> {stack}: **the check fails, because this change replaces or deletes data.** If that is"
            f" intended, add the line {_code(line_that_intends(preview.stack))} to the message of a commit.\n"
        )
    elif preview.destructive and preview.intended_by:
        says = f"The commit {_code(preview.intended_by)} says that it is intended."
        yield f"{_CAUTION}\n> {stack}: this change replaces or deletes data. {says}\n"
    # Data first, because a long list is cut at its end.
    for change in sorted(preview.changes, key=lambda each: not each.destructive):
        if not (change.about_data or change.protected):
            continue
        why = f" ({', '.join(map(_code, change.forced_by))})" if change.forced_by else ""
        past = {"replace": "replaced", "delete": "deleted"}[change.op]
        means = [change.about_data] if change.about_data else []
        means += [_PROTECTED] if change.protected else []
        severity = _CAUTION if change.destructive or change.protected else _NOTE
        resource = _code(f"{change.kind} {change.name}")
        yield f"{severity}\n> {stack}: **{resource} is {past}**{why}: {'. '.join(means)}.\n"


def _refused(preview: Preview) -> Iterator[str]:
    # The engine repeats a violation as an error.
    others = [each for each in preview.errors if not any(violation in each for violation in preview.violations)]
    for problem in [*preview.violations, *others]:
        yield f"{_WARNING}\n> {_code(preview.stack)}: {_code(problem)}\n"


def _warnings(preview: Preview) -> Iterator[str]:
    for warning in preview.warnings:
        yield f"{_NOTE}\n> {_code(preview.stack)}: {_code(warning)}\n"


@dataclass(frozen=True)
class _Section:
    """A folded part of the comment, which may have to be shortened."""

    summary: str
    versions: Sequence[Sequence[str]]
    """Its lines, and shorter versions of them, the shortest last."""
    whole: str
    """Where a reader finds what was left out."""

    def text(self, room: int) -> str:
        """The longest version that fits into so many characters, or as many lines of the shortest as fit."""
        for version in self.versions:
            note = [] if version is self.versions[0] else [f"… left out: the changed values; {self.whole}"]
            if len(text := _folded(self.summary, [*version, *note])) <= room:
                return text
        lines = self.versions[-1]
        fields = " and the changed fields" if len(self.versions) > 1 else ""
        room -= len(_folded(self.summary, [f"… left out: {len(lines)} of {len(lines)} lines{fields}; {self.whole}"]))
        ends = accumulate(len(line) + 1 for line in lines)
        kept = [line for line, end in zip(lines, ends, strict=True) if end <= room]
        left = f"{len(lines) - len(kept)} of {len(lines)} lines{fields}"
        return _folded(self.summary, [*kept, f"… left out: {left}; {self.whole}"])


def _section_of_stack(preview: Preview) -> _Section:
    versions = [list(_lines(preview.changes, detail)) for detail in (_VALUES, _PATHS, _TITLES)]
    return _Section(
        f"{preview.stack}: {_summary(preview)}", versions, f"run `pulumi preview --diff -s {preview.stack}`"
    )


def _sections_of_manifests(diff: str) -> Iterator[_Section]:
    for file in re.split(r"^(?=diff --git )", diff, flags=re.MULTILINE):
        if file:
            name = re.search(r"/([^/\n]+)\.yaml$", file.partition("\n")[0])
            yield _Section(
                f"The manifests of {name[1]}" if name else "The manifests",
                [file.splitlines()],
                "the diff of tests/golden has them",
            )


def _shares(sizes: Sequence[int], room: int) -> list[int]:
    """Divides room among parts: none gets more than it needs, and the large ones share what the small ones leave."""
    shares = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=sizes.__getitem__)
    for served, index in enumerate(smallest_first):
        shares[index] = min(sizes[index], max(room, 0) // (len(sizes) - served))
        room -= shares[index]
    return shares


def _summary(preview: Preview) -> str:
    said = [f"{preview.counts[op]} to {op}" for op in _COLUMNS[:-1] if preview.counts.get(op)]
    return ", ".join(said)


# How much `_lines` writes of each change.
_TITLES, _PATHS, _VALUES = range(3)


def _lines(changes: Sequence[Change], detail: int) -> Iterator[str]:
    for change in changes:
        yield f"{_SIGNS.get(change.op, ' ')} {change.title}"
        for field in change.fields if detail > _TITLES else ():
            first, *diff = field.split("\n")
            if detail == _VALUES:
                yield f"      {first}"
                # The sign stays first, because GitHub colours by it.
                yield from (f"{line[:1]}       {line[1:]}" for line in diff)
            else:
                yield f"      {first.partition(': ')[0].removesuffix(':')}"


def _folded(summary: str, lines: Sequence[str]) -> str:
    body = "\n".join(map(_harmless, lines))
    return f"<details><summary>{html.escape(summary)}</summary>\n\n```diff\n{body}\n```\n\n</details>\n"


def _harmless(text: str) -> str:
    """Text of the change for a block of code, which it could end."""
    return text.replace("```", "'''")


def _code(text: str) -> str:
    """Text of the change outside a block: as code on one line it mentions nobody, and is no HTML and no heading."""
    line = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{line if len(line) <= _MESSAGE else line[:_MESSAGE] + '…'}`"


@dataclass(frozen=True)
class PullRequest:
    """A pull request on GitHub."""

    api: str
    """The address of GitHub's API, as a workflow finds it in GITHUB_API_URL."""
    repository: str
    """`owner/name`."""
    number: int
    token: str
    """It needs the right to write to pull requests."""

    def post(self, text: str, commit: str) -> bool:
        """Creates the comment, or updates the one that is there.

        Returns:
            Whether it did. A commit that is not the last one any more gets no comment: that of the last one stays.

        Raises:
            OSError: GitHub cannot be reached, or refuses.
        """
        if self._request("GET", f"pulls/{self.number}")["head"]["sha"] != commit:
            return False
        there = self._comment()
        if there is None:
            self._request("POST", f"issues/{self.number}/comments", {"body": text})
        else:
            self._request("PATCH", f"issues/comments/{there}", {"body": text})
        return True

    def _comment(self) -> int | None:
        page = 1
        while found := self._request("GET", f"issues/{self.number}/comments?per_page=100&page={page}"):
            for each in found:
                # Anybody can write the marker, but only our own comment can be changed.
                if each["body"].startswith(MARKER) and each["user"]["type"] == "Bot":
                    return int(each["id"])
            page += 1
        return None

    def _request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        request = urllib.request.Request(  # noqa: S310 - the workflow gives GitHub's own address
            f"{self.api}/repos/{self.repository}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)
