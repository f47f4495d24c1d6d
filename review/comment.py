"""Writes the previews of a change as one comment, and keeps that comment on the pull request up to date."""

import html
import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from review.preview import CHANGES_FOUND, Change, Preview

# By which the comment is found again; nobody sees it.
MARKER = "<!-- pacman: preview of every stack -->"
# GitHub takes 65536 characters.
MOST = 60_000
_COLUMNS = ("create", "update", "replace", "delete", "same")
# In a block of the language `diff`, GitHub colours a line by its first character.
_SIGNS = {"create": "+", "update": "!", "replace": "-", "delete": "-"}


def write(
    previews: Sequence[Preview],
    manifests: str | None,
    *,
    stacks: Sequence[str] = (),
    title: str = "What this change does",
) -> str:
    """The comment: a table with a row for each stack, what is about data, and the differences.

    Args:
        stacks: All that should have been previewed.
        previews: Of each stack; none where nobody may see a stack, as for a fork.
        manifests: The difference of the rendered manifests, as `git diff` prints it; "" if there is none, and
            None if nobody looked.
        title: The heading.
    """
    parts = [f"{MARKER}\n## {title}\n"]
    missing = sorted(set(stacks) - {each.stack for each in previews})
    if previews or missing:
        parts.append("\n".join([*_table(previews), *map(_missed, missing)]) + "\n")
        parts += [f"> [!CAUTION]\n> {line}\n" for line in _about_data(previews)]
        parts += [f"> [!WARNING]\n> {line}\n" for line in _refused(previews)]
        parts += [f"> [!NOTE]\n> {_code(each.stack)}: {_code(line)}\n" for each in previews for line in each.warnings]
        parts += [_folded(f"{each.stack}: {_summary(each)}", _lines(each.changes)) for each in previews if each.changes]
    else:
        parts.append("No stack was previewed. A fork may not; by hand, `review preview STACK --out FILE` does it.\n")
    if manifests:
        parts.append(_folded("The manifests of each stack that differ", manifests.splitlines()))
    elif manifests is not None:
        parts.append("The manifests are the same for every stack.\n")
    return _cut("\n".join(parts))


def _table(previews: Sequence[Preview]) -> Iterator[str]:
    yield f"| Stack | {' | '.join(_COLUMNS)} | |"
    yield f"|---|{'---:|' * len(_COLUMNS)}---|"
    for each in previews:
        numbers = " | ".join(str(each.counts.get(op) or "") for op in _COLUMNS)
        failed = each.exit_code not in (0, CHANGES_FOUND)
        verdict = "**policy violated**" if each.violations else "**failed**" if failed else "ok"
        yield f"| {_code(each.stack)} | {numbers} | {verdict} |"


def _missed(stack: str) -> str:
    return f"| {_code(stack)} |{' |' * len(_COLUMNS)} **no preview**: see the run of its job |"


def _about_data(previews: Sequence[Preview]) -> Iterator[str]:
    for each in previews:
        for change in each.changes:
            if change.about_data:
                why = f" ({', '.join(map(_code, change.forced_by))})" if change.forced_by else ""
                past = {"replace": "replaced", "delete": "deleted"}[change.op]
                resource = _code(f"{change.kind} {change.name}")
                yield f"{_code(each.stack)}: **{resource} is {past}**{why}: {change.about_data}."


def _refused(previews: Sequence[Preview]) -> Iterator[str]:
    for each in previews:
        # What the engine says of a violation as an error is told already.
        for problem in each.violations or each.errors:
            yield f"{_code(each.stack)}: {_code(problem)}"


def _summary(preview: Preview) -> str:
    said = [f"{preview.counts[op]} to {op}" for op in _COLUMNS[:-1] if preview.counts.get(op)]
    return ", ".join(said) or "no change"


def _lines(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        yield f"{_SIGNS.get(change.op, ' ')} {change.op} {change.kind} {change.name}"
        yield from (f"      {line}" for line in change.fields)


def _folded(summary: str, lines: Sequence[str] | Iterator[str]) -> str:
    body = "\n".join(map(_harmless, lines))
    return f"<details><summary>{html.escape(summary)}</summary>\n\n```diff\n{body}\n```\n\n</details>\n"


def _harmless(text: str) -> str:
    """Text of the change in a block of code: what it cannot do there is end the block."""
    return text.replace("```", "'''")


def _code(text: str) -> str:
    """Text of the change outside a block: as code on one line it calls nobody, and is no HTML and no heading."""
    return f"`{' '.join(text.replace('`', chr(39)).replace('|', '/').split())}`"


def _cut(text: str) -> str:
    if len(text) <= MOST:
        return text
    kept = text[:MOST].rpartition("\n")[0]
    close = "\n```\n\n</details>\n" if kept.count("```") % 2 else "\n"
    return f"{kept}{close}\nThe rest does not fit into a comment: run `make render` and `make preview`.\n"


def changed_manifests(base: str, folder: Path | None = None) -> str:
    """How the rendered manifests differ from those of a commit that this one came from.

    Raises:
        ValueError: There is no such commit.
    """
    command = ["git", "diff", "--no-color", "--no-ext-diff", "--merge-base", base, "--", "tests/golden/*.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"base is {base}: must be a commit that is here; {done.stderr.splitlines()[0]}")
    return done.stdout


@dataclass(frozen=True)
class PullRequest:
    """A pull request on GitHub."""

    api: str
    """The address of GitHub's API, as a workflow finds it in GITHUB_API_URL."""
    repository: str
    """`owner/name`."""
    number: int
    token: str
    """With the right to write to pull requests."""

    def say(self, text: str) -> None:
        """Makes the comment, or changes the one that is there.

        Raises:
            OSError: GitHub cannot be reached, or refuses.
        """
        there = self._comment()
        if there is None:
            self._request("POST", f"issues/{self.number}/comments", {"body": text})
        else:
            self._request("PATCH", f"issues/comments/{there}", {"body": text})

    def _comment(self) -> int | None:
        page = 1
        while found := self._request("GET", f"issues/{self.number}/comments?per_page=100&page={page}"):
            for each in found:
                # Anybody can write the marker; only what is ours can be changed.
                if each["body"].startswith(MARKER) and each["user"]["type"] == "Bot":
                    return int(each["id"])
            page += 1
        return None

    def _request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - any JSON
        request = urllib.request.Request(  # noqa: S310 - the address is GitHub's own, out of the workflow
            f"{self.api}/repos/{self.repository}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)
