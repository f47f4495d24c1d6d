"""The commands of the workflows in .github: `python -m review preview STACK`, `drift STACK`, `comment`."""

import argparse
import json
import os
import sys
from pathlib import Path

from review import comment, preview


def main(arguments: list[str]) -> int:
    """Runs one command; 1 where a stack cannot be changed like that, or has drifted."""
    parser = argparse.ArgumentParser(prog="python -m review", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("preview", help="preview a stack, held to the policy pack")
    one.add_argument("stack")
    one.add_argument("--out", type=Path, help="file to keep it in, for `comment`")
    drift = commands.add_parser("drift", help="find what somebody changed on a stack's cluster")
    drift.add_argument("stack")
    told = commands.add_parser("comment", help="write all previews as one comment")
    told.add_argument("previews", nargs="*", type=Path, help="files that `preview --out` wrote")
    told.add_argument("--base", required=True, help="commit that the change is compared with")
    told.add_argument("--stacks", type=json.loads, default=[], help="JSON list of all that should have been previewed")
    told.add_argument("--post", action="store_true", help="put it on the pull request, instead of printing it")
    given = parser.parse_args(arguments)
    try:
        if given.command == "comment":
            return _comment(given.previews, given.base, given.stacks, post=given.post)
        return _preview(given.stack, getattr(given, "out", None), drift=given.command == "drift")
    except (OSError, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1


def _preview(stack: str, out: Path | None, *, drift: bool) -> int:
    found = preview.run(stack, drift=drift)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(found.to_json())
    print(comment.write([found], None, title=f"{'Drift' if drift else 'Preview'} of {stack}"))
    return int(found.exit_code != 0)


def _read(file: Path) -> preview.Preview:
    try:
        return preview.Preview.from_json(file.read_text())
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise ValueError(f"previews has {file}: must be a file that `preview --out` wrote; {why}") from None


def _comment(files: list[Path], base: str, stacks: list[str], *, post: bool) -> int:
    previews = [_read(file) for file in sorted(files)]
    text = comment.write(previews, comment.changed_manifests(base), stacks=stacks)
    if not post:
        print(text)
        return 0
    wanted = ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN", "PR")
    if missing := [name for name in wanted if not os.environ.get(name)]:
        raise ValueError(f"{', '.join(missing)} must be set to post a comment")
    env = os.environ
    comment.PullRequest(env["GITHUB_API_URL"], env["GITHUB_REPOSITORY"], int(env["PR"]), env["GITHUB_TOKEN"]).say(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
