"""Shows how the running stack is: `make status`, or `python -m tools.status` in a shell of `make env`.

It changes nothing. It lists the objects of the namespace, reads the Secret of the certificate, and runs `df` and
`mongosh` in the pods of the database.

Exit codes: 0 all is well; 1 something needs a person; 2 something cannot be told, because the cluster does not answer
or denies it. `make` turns both into its own 2.
"""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime

from tools.status import backups, screen
from tools.status.seen import CannotTellError, FailedError, look

# A command in a pod whose node is gone does not end by itself. On a busy node, mongosh needs some seconds to start.
_SECONDS = 60


def main() -> int:
    """Prints the screen; returns the exit code."""
    try:
        context, namespace = _of_stack()
        kubectl = ("kubectl", "--context", context, "--namespace", namespace)
        seen = look(lambda *arguments, stdin="": _run(*kubectl, *arguments, stdin=stdin), " ".join(kubectl))
    except (CannotTellError, FailedError) as problem:
        print(f"? {problem}")
        return 2
    now = datetime.now(UTC)
    lines = [*screen.lines(seen, now), *backups.lines(seen, now)]
    width = max(len(line.what) for line in lines)
    print(f"Namespace {namespace}, context {context}")
    for line in lines:
        print(f"{line.mark} {line.what:{width}}  {line.text}")
        if line.mark == "!":
            # Whoever types it may have selected another stack.
            stack = f" --stack {os.environ['PULUMI_STACK']}" if os.environ.get("PULUMI_STACK") else ""
            helps = re.sub("(pulumi [^&]+?)(?= &&|$)", rf"\1{stack}", line.helps)
            print(f"  {'':{width}}  {helps}")
    return screen.exit_code(lines)


def _of_stack() -> tuple[str, str]:
    """Context and namespace of the stack, from its config. It is the stack of PULUMI_STACK, else the selected one.

    Raises:
        CannotTellError: Pulumi does not know the stack, or one of the two is not set.
    """
    stack = os.environ.get("PULUMI_STACK")
    # As an option, since the message about an unknown stack names it only then.
    config = json.loads(_run("pulumi", "config", "--json", *(("--stack", stack) if stack else ())))
    try:
        return config["pacman:context"]["value"], config["pacman:namespace"]["value"]
    except KeyError as missing:
        key = missing.args[0]
        raise CannotTellError(f"{key} is not set: pulumi config set {key} VALUE") from None


def _run(*command: str, stdin: str = "") -> str:
    """Runs a command; returns what it prints.

    Raises:
        CannotTellError: It is not on PATH, it cannot reach the cluster or Pulumi's state, or the cluster denies it.
        FailedError: It ran in a pod and failed there, or did not end.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise CannotTellError(f"{command[0]} is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise FailedError(f"no answer in {_SECONDS} s") from None
    if done.returncode == 0:
        return done.stdout
    # kubectl adds a line of its own to what a command in a pod says.
    said = [line for line in done.stderr.splitlines() if line.strip() and "command terminated with exit" not in line]
    reason = said[-1] if said else f"{command[0]} ended with exit code {done.returncode}"
    denied = re.search("forbidden|unauthorized", reason, re.IGNORECASE)
    raise (FailedError if "exec" in command and not denied else CannotTellError)(reason)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
