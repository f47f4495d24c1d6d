"""The commands of the workflows in .github: `python -m review preview STACK`, `drift STACK`, `comment`."""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from review import comment, commits, preview


def main(arguments: list[str]) -> int:
    """Runs one command.

    Returns 1 if a preview fails, is not the approved one, or replaces or deletes data that no commit gives up; and if a
    stack has drifted.
    """
    parser = argparse.ArgumentParser(prog="python -m review", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("preview", help="preview a stack, with the policy pack")
    one.add_argument("stack")
    one.add_argument("--out", type=Path, help="file to write the preview to, for `comment` and `--approved`")
    one.add_argument("--approved", type=Path, help="file that `--out` wrote: fail if the changes are not the same")
    one.add_argument("--base", default="HEAD^1", help="commit that the change starts from; %(default)s by default")
    drift = commands.add_parser("drift", help="find what somebody changed on a stack's cluster")
    drift.add_argument("stack")
    write = commands.add_parser("comment", help="write all previews as one comment")
    write.add_argument("previews", nargs="*", type=Path, help="files that `preview --out` wrote")
    write.add_argument("--base", required=True, help="commit that the manifests are compared with")
    write.add_argument(
        "--stacks", type=json.loads, default=[], help="JSON list of the stacks that should have a preview"
    )
    write.add_argument("--commit", default="", help="the commit that was previewed, for the comment to name it")
    write.add_argument("--post", action="store_true", help="put it on the pull request, instead of printing it")
    given = parser.parse_args(arguments)
    try:
        if given.command == "comment":
            return _comment(given.previews, given.base, given.stacks, given.commit, post=given.post)
        if given.command == "drift":
            return _show(preview.run(given.stack, drift=True), f"Drift of {given.stack}")
        return _preview(given.stack, given.out, given.approved, given.base)
    except (OSError, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1


def _preview(stack: str, out: Path | None, approved: Path | None, base: str) -> int:
    found = preview.run(stack)
    if found.destructive:
        found = replace(found, intended_by=commits.commit_that_intends(stack, base))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(found.to_json())
    code = _show(found, f"Preview of {stack}")
    if found.unintended:
        raise ValueError(
            f"{stack}: the change replaces or deletes data: {_some([each.title for each in found.unintended])}; if that"
            f" is intended, add the line `{commits.line_that_intends(stack)}` to the message of a commit"
        )
    if approved and (differences := found.differences(_read(approved))):
        raise ValueError(
            f"{stack} has changed since its preview was approved: {_some(differences)};"
            " run all jobs of the workflow again, for a new preview and a new approval"
        )
    return code


# So many titles are enough for one line.
_NAMED = 5


def _some(titles: list[str]) -> str:
    rest = f" and {len(titles) - _NAMED} more" if len(titles) > _NAMED else ""
    return f"{', '.join(titles[:_NAMED])}{rest}"


def _show(found: preview.Preview, title: str) -> int:
    print(comment.write([found], None, title=title))
    return int(found.exit_code != 0)


def _read(file: Path) -> preview.Preview:
    try:
        return preview.Preview.from_json(file.read_text())
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise ValueError(f"previews has {file}: must be a file that `preview --out` wrote; {why}") from None


def _comment(files: list[Path], base: str, stacks: list[str], commit: str, *, post: bool) -> int:
    previews = [_read(file) for file in sorted(files)]
    text = comment.write(previews, commits.changed_manifests(base), stacks=stacks, commit=commit)
    if not post:
        print(text)
        return 0
    if not commit:
        raise ValueError("--commit is empty: must be the commit that was previewed, to post a comment")
    wanted = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN", "PR")
    if missing := [name for name in wanted if not os.environ.get(name)]:
        raise ValueError(f"{', '.join(missing)} must be set to post a comment")
    env = os.environ
    there = comment.PullRequest(env["GITHUB_API_URL"], env["GITHUB_REPOSITORY"], int(env["PR"]), env["GITHUB_TOKEN"])
    if not there.post(text, commit):
        print(f"No comment: {commit} is not the last commit of the pull request any more.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
