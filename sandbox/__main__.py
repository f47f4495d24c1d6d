"""The command line: `python -m sandbox up|down|restart|status|logs|shell|env|clean`."""

import argparse
import fcntl
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sandbox import engine, machine, node, parts
from sandbox.places import CACHE, CHECKOUT, STATE, SandboxError
from sandbox.progress import Progress

# One for the machine: there is one address and one link, whichever checkout uses them.
_LOCK: Final = Path("/run/lock/pacman-sandbox")


def up(_: argparse.Namespace) -> None:
    """Builds what is missing, starts the node, prepares the engine. What is there already is left as it is."""
    progress = Progress()
    machine.check(lambda: not all(part.built for part in parts.ALL))
    with _alone():
        parts.build(parts.ALL, progress)
        node.start(progress)
        engine.prepare(progress)
    progress.say(f"The sandbox runs: node minikube at {node.ADDRESS}, kubeconfig {STATE / 'kubeconfig'}")


def down(_: argparse.Namespace) -> None:
    """Ends the node; etcd, images and volumes stay for the next `up`."""
    with _alone():
        print("The node is stopped." if node.stop() else "No node runs.", file=sys.stderr)


def restart(arguments: argparse.Namespace) -> None:
    """Ends the node as a power cut would, and starts it again."""
    down(arguments)
    up(arguments)


def status(_: argparse.Namespace) -> None:
    """Says what runs. Exits with 3 where the node does not, as `systemctl status` does."""
    running = node.services()
    if not running:
        print("The node does not run: `python -m sandbox up` starts it.")
        raise SystemExit(3)
    print(f"The node runs, its first process is {node.pid()}.")
    for line in running.values():
        print(f"  {line}")


def logs(arguments: argparse.Namespace) -> None:
    """Shows the log of a service, from its end on and as it grows with --follow."""
    options = ["--follow"] if arguments.follow else []
    os.execvp("tail", ["tail", "--lines", str(arguments.lines), *options, str(node.log_file(arguments.service))])  # noqa: S606


def shell(_: argparse.Namespace) -> None:
    """Opens a shell in the node."""
    command = node.shell_command()
    os.execvp(command[0], command)  # noqa: S606 - a shell is what was asked for


def env(_: argparse.Namespace) -> None:
    """Prints what `eval` makes an environment of, in which `pulumi` and `kubectl` work on the sandbox."""
    environment = engine.environment()
    for name in environment.foreign():
        print(f"unset {name}")
    for name, value in environment.variables().items():
        print(f"export {name}={shlex.quote(value)}")


def clean(_: argparse.Namespace) -> None:
    """Deletes the node's disk and this checkout's stacks, and parts that were built for other versions."""
    with _alone():
        node.remove_data()
        for folder in ("stacks", "kubectl-cache"):
            if (STATE / folder).exists():
                shutil.rmtree(STATE / folder)
        print(f"Removed {STATE}, and {parts.remove_stale(parts.ALL)} old parts from {CACHE}.", file=sys.stderr)


@contextmanager
def _alone() -> Iterator[None]:
    """Holds the lock of this machine.

    Raises:
        SandboxError: Another command has it.
    """
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SandboxError(
                f"another sandbox command is at work ({lock.read().strip()}): wait for its end"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} of {CHECKOUT}")
        lock.flush()
        yield


def main() -> None:
    """Runs one command; what a person can mend ends in one line and exit code 1, Ctrl-C in 130."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for command in (up, down, restart, status, logs, shell, env, clean):
        added = commands.add_parser(command.__name__, help=(command.__doc__ or "").split(".")[0].lower())
        added.set_defaults(run=command)
        if command is logs:
            added.add_argument("service", help="one that `status` lists")
            added.add_argument("--lines", type=int, default=50, help="lines from the end, 50 by default")
            added.add_argument("--follow", action="store_true", help="go on as the log grows")
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except SandboxError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
