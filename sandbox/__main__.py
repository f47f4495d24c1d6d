"""The command line: `python -m sandbox up|stop|restart|node|fault|status|logs|shell|env|clean`."""

import argparse
import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sandbox import build, cluster, engine, faults, machine, network, node, parts
from sandbox.node import Node
from sandbox.places import CACHE, CHECKOUT, STATE, SandboxError
from sandbox.progress import Progress

# One for the machine: there is one address and one link, whichever checkout uses them.
_LOCK: Final = Path("/run/pacman-sandbox.lock")


def up(arguments: argparse.Namespace) -> None:
    """Builds what is missing, starts the nodes, prepares the engine. What is there already is left as it is."""
    progress = Progress()
    if arguments.nodes not in (None, *(str(each.number) for each in node.ALL)):
        raise SandboxError(f"NODES is {arguments.nodes}: must be 1, 2 or 3")
    wanted = [*parts.ALL, *(each for each in parts.OTHER_IMAGES if each.name in arguments.image)]
    machine.check(lambda: not all(part.built for part in wanted))
    with _alone():
        build.build(wanted, progress)
        with build.removing_caches(progress):
            cluster.start(int(arguments.nodes or 0), wanted, progress)
            engine.prepare(progress)
    running = ", ".join(f"{each.name} at {each.address}" for each in node.ALL if each.pid())
    progress.say(f"The sandbox runs: {running}; kubeconfig {STATE / 'kubeconfig'}")


def stop(_: argparse.Namespace) -> None:
    """Stops the nodes; etcd, images and volumes stay for the next `up`."""
    with _alone():
        print("The sandbox is stopped." if cluster.stop() else "No node runs.", file=sys.stderr)


def restart(arguments: argparse.Namespace) -> None:
    """Stops the nodes as a power cut would, and starts them again."""
    stop(arguments)
    up(arguments)


def node_(arguments: argparse.Namespace) -> None:
    """Stops one node as a power cut would, or starts it again."""
    with _alone():
        if arguments.action == "stop":
            print(f"{arguments.name} {'is stopped' if _node(arguments).stop() else 'does not run'}.", file=sys.stderr)
        else:
            cluster.start_again(_node(arguments), Progress())


def fault(arguments: argparse.Namespace) -> None:
    """Makes a fault in a pod, and undoes it: kills or stops a process, cuts the network, fills a volume."""
    if (arguments.fault == "fill") != bool(arguments.claim):
        allowed = "the claim that the process uses" if arguments.fault == "fill" else "empty: only fault fill takes one"
        raise SandboxError(f"CLAIM is {arguments.claim or 'empty'}: must be {allowed}")
    if not 0 <= arguments.seconds <= 86_400:
        raise SandboxError(f"--for is {arguments.seconds}: must be 0 to 86400 seconds")
    its = faults.Pod.find(arguments.pod)
    faults.run(arguments.fault, its, arguments.process, arguments.claim, arguments.seconds)


def status(_: argparse.Namespace) -> None:
    """Says what runs, and what everything is made of. Exits with 3, as systemctl does, where the first node is down."""
    contents = [each for part in parts.ALL if part is not parts.PROVIDER for each in part.contents]
    print("Parts:")
    for content in (*contents, *engine.contents()):
        print(f"  {content.name:<24} {content.version:<40} {content.origin}")
    for its in node.ALL:
        if running := its.status():
            print(f"{its.name} runs at {its.address} in {its.zone}, its first process is {its.pid()}:")
            for line in running.values():
                print(f"  {line}")
        elif 1 < its.number <= cluster.size():
            print(f"{its.name} does not run.")
    if node.FIRST.pid() is None:
        print(f"{node.FIRST.name}, which has the control plane, does not run: `make up` starts it.")
        raise SystemExit(3)


def logs(arguments: argparse.Namespace) -> None:
    """Shows the log of a service, from its end on and as it grows with --follow."""
    options = ["--follow"] if arguments.follow else []
    file = _node(arguments).log_file(arguments.service)
    os.execvp("tail", ["tail", "--lines", str(arguments.lines), *options, str(file)])  # noqa: S606


def shell(arguments: argparse.Namespace) -> None:
    """Opens a shell in a node."""
    command = [*_node(arguments).entering(), "/bin/bash", "--norc"]
    os.execvp(command[0], command)  # noqa: S606 - a shell is what was asked for


def env(_: argparse.Namespace) -> None:
    """Prints what `eval` makes an environment of, in which `pulumi` and `kubectl` work on the sandbox."""
    for name in engine.foreign():
        print(f"unset {name}")
    for name, value in engine.variables().items():
        print(f"export {name}={shlex.quote(value)}")


def clean(_: argparse.Namespace) -> None:
    """Deletes the node's disk and this checkout's stacks, and parts that were built for other versions."""
    with _alone():
        cluster.remove_data()
        build.remove(*(STATE / folder for folder in ("stacks", "kubectl-cache", "pulumi-home")))
        print(f"Removed the nodes' disks and the stacks from {STATE}.", file=sys.stderr)
        if network.is_anothers():
            print(f"Old parts stay in {CACHE}: the node of another checkout runs from there.", file=sys.stderr)
        else:
            removed = build.remove_stale([*parts.ALL, *parts.OTHER_IMAGES])
            print(f"Removed {removed} old parts from {CACHE}.", file=sys.stderr)


@contextmanager
def _alone() -> Iterator[None]:
    """Holds the lock of this machine; SandboxError if another command has it."""
    with _LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            raise SandboxError(f"another sandbox command is at work ({owner}): wait for its end") from None
        lock.truncate(0)
        print(f"process {os.getpid()} of {CHECKOUT}", file=lock, flush=True)
        yield


def _node(arguments: argparse.Namespace) -> Node:
    return next(each for each in node.ALL if each.name == arguments.name)


def main() -> None:
    """Runs one command; what a person can fix ends in one line and exit code 1, Ctrl-C in 130."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    names = [each.name for each in node.ALL]
    for command in (up, stop, restart, node_, fault, status, logs, shell, env, clean):
        help_text = (command.__doc__ or "").split(".")[0]
        added = commands.add_parser(command.__name__.rstrip("_"), help=help_text[:1].lower() + help_text[1:])
        added.set_defaults(run=command)
        if command in (up, restart):
            others = [each.name for each in parts.OTHER_IMAGES]
            added.add_argument("--image", action="append", choices=others, default=[], help="load this one, too")
            added.add_argument("--nodes", metavar="N", help="how many nodes, 1 to 3; as many as the last time")
        if command is node_:
            added.add_argument("action", choices=("stop", "start"))
            added.add_argument("name", choices=names)
        if command is fault:
            added.add_argument("fault", choices=faults.FAULTS)
            added.add_argument("pod", metavar="NAMESPACE/POD")
            added.add_argument("process", help="which of its processes, such as mongod")
            added.add_argument("claim", nargs="?", help="fill: the claim that the process uses")
            added.add_argument("--for", dest="seconds", type=float, default=20, help="seconds until it is undone, 20")
        if command is logs:
            added.add_argument("service", help="one that `status` lists")
            added.add_argument("--lines", type=int, default=50, help="lines from the end, 50 by default")
            added.add_argument("--follow", action="store_true", help="go on as the log grows")
        if command in (logs, shell):
            added.add_argument("--node", dest="name", choices=names, default=names[0], help="minikube by default")
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (SandboxError, PermissionError) as problem:
        needs = f": the sandbox's files are root's, run this as root ({problem})"
        Progress().say(f"error: {problem if isinstance(problem, SandboxError) else 'not allowed' + needs}")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
