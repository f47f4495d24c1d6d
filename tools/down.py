"""Deletes the sandbox's stack, for `make down`: `pulumi destroy`, with its longest waits begun at once.

The namespace controller looks at a namespace five seconds after its deletion and again five seconds later, and a pod of
the game takes five more to finish its requests. Nobody plays any more, so the namespace is deleted while the engine
deletes what is in it. The engine still awaits each deletion, and notes it down in the state.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
SANDBOX: Final = "sandbox"
"""The sandbox's stack, and its context. A namespace of any other one is not deleted here."""
_POLL_SECONDS: Final = 0.05
_GONE_SECONDS: Final = 120


def main() -> None:
    """Destroys the selected stack; or, with --interrupted, says how `pulumi up` goes on after one that was cut off."""
    parser = argparse.ArgumentParser(prog="python -m tools.down", description=__doc__)
    parser.add_argument("--interrupted", action="store_true", help="print `--refresh` if the namespace is gone")
    given = parser.parse_args()
    try:
        if given.interrupted:
            print(option_of_up(configured_namespace()))
            return
        state = json.loads(_run("pulumi", "stack", "export").stdout or "{}")
        raise SystemExit(destroy(own_namespace(state)))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def own_namespace(state: dict[str, Any]) -> str:
    """The game's namespace on the sandbox, as a state has it; "" if there is none, or if a destroy would keep it.

    A destroy deletes other resources before it refuses to delete a protected one, which may lie in the namespace.
    """
    resources = (state.get("deployment") or {}).get("resources") or []
    if any(each.get("protect") for each in resources):
        return ""
    contexts = {each["urn"]: (each.get("inputs") or {}).get("context") for each in resources}
    for each in resources:
        # Other components, such as the Ingress controller, have namespaces as well.
        is_own = "pacman:index:RestrictedNamespace$kubernetes:core/v1:Namespace" in each["urn"]
        stays = each.get("retainOnDelete") or each.get("delete")
        if is_own and not stays and contexts.get(each["provider"].rpartition("::")[0]) == SANDBOX:
            return str(each["id"])
    return ""


def destroy(namespace: str) -> int:
    """`pulumi destroy`; once the engine is at work, the namespace is deleted, too. Returns the exit code.

    Not before: a stack that is locked, or whose config the CLI refuses, keeps all that it has. Not later: pods whose
    owner the engine has deleted take five seconds more.
    """
    # Not at the top: `make up` needs nothing of it, and it takes a quarter of a second.
    from tools.engine import EVENT_LOG, read_events

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "events"
        command = ["pulumi", "destroy", "--yes", "--skip-preview", "--event-log", str(log)]
        with subprocess.Popen(command, env=os.environ | EVENT_LOG) as engine:
            try:
                while namespace and engine.poll() is None:
                    if any(event.prelude_event for event in read_events(log)):
                        begin(SANDBOX, namespace)
                        break
                    time.sleep(_POLL_SECONDS)
                return engine.wait()
            except KeyboardInterrupt:
                engine.wait()  # it gets the signal as well, and notes down what it has done
                raise


def begin(context: str, namespace: str) -> None:
    """Deletes a namespace, its claims and its pods, which get a second to end, and waits for none of them.

    What fails here is left to `pulumi destroy`, which says why.
    """
    _kubectl(context, "delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
    everything = ("pods,persistentvolumeclaims", "--all", "--namespace", namespace)
    _kubectl(context, "delete", *everything, "--grace-period=1", "--wait=false")


def configured_namespace() -> str:
    """The game's namespace, as the files of the project and of the sandbox's stack have it."""
    project, stack = (yaml.safe_load((ROOT / name).read_text()) for name in ("Pulumi.yaml", f"Pulumi.{SANDBOX}.yaml"))
    return str(stack["config"].get("pacman:namespace") or project["config"]["namespace"]["default"])


def option_of_up(namespace: str) -> str:
    """`--refresh` if the namespace is gone, since only that finds out what else is; waits while it is being deleted.

    Raises:
        SystemExit: Its deletion does not end.
    """
    options = ("--ignore-not-found", "--output", "jsonpath={.status.phase}")
    found = _kubectl(SANDBOX, "get", "namespace", namespace, *options)
    if found.returncode != 0 or found.stdout == "Active":
        return ""
    if found.stdout:
        print(f"Waiting until the namespace {namespace} is deleted", file=sys.stderr)
        wait = ("wait", "--for=delete", f"namespace/{namespace}", f"--timeout={_GONE_SECONDS}s")
        if _kubectl(SANDBOX, *wait).returncode != 0:
            raise SystemExit(f"error: after {_GONE_SECONDS} s, the namespace {namespace} is still being deleted")
    return "--refresh"


def _kubectl(context: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run("kubectl", "--context", context, *arguments)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
