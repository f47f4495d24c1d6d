"""Backs up the database of a stack that runs, or restores it: `python -m tools.backup`, `… list`, `… restore NAME`.

`make backup`, `make backups` and `make restore` run it. It does what docs/backup.md shows with plain kubectl: creates
a Job from the CronJob of the stack, shows its log, reads its result. If it is interrupted, the Job goes on.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from tools.status.backups import why_it_ended

_SECONDS = 60.0
_POLL_SECONDS = 0.5


class BackupError(Exception):
    """Why there is no backup, or no restore: one line."""


class Cluster:
    """kubectl in the namespace of the stack."""

    def __init__(self) -> None:
        self.stack = os.environ.get("PULUMI_STACK", "")
        self.context = _output("pulumi", "config", "get", "context").strip()
        outputs = json.loads(_output("pulumi", "stack", "output", "--json"))
        if "namespace" not in outputs:
            raise BackupError(f"stack {self.stack} is not up: `pulumi up` creates it")
        self.namespace = outputs["namespace"]
        self._kubectl = ("kubectl", "--context", self.context, "--namespace", self.namespace)
        self.typed = " ".join(self._kubectl)
        """How a command begins that a person may type."""

    def restore_with(self, archive: str) -> str:
        """The command of `make` that restores an archive into this stack."""
        stack = "" if self.stack in ("", "sandbox") else f" STACK={self.stack}"
        return f"make restore FROM={archive}{stack}"

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Runs a command, and returns what it prints."""
        return _output(*self._kubectl, *arguments, stdin=stdin)

    def json(self, *arguments: str, stdin: str = "") -> Any:  # noqa: ANN401 - any object
        """What a command gives as JSON."""
        return json.loads(self(*arguments, "--output", "json", stdin=stdin))

    def follow(self, pod: str) -> None:
        """Prints the progress in a pod's log until the container ends."""
        command = [*self._kubectl, "logs", "--follow", pod]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as logs:
            for line in logs.stdout or ():
                # The other line is the result, or the reason why there is none.
                if line.startswith("["):
                    print(f"  {line}", end="", flush=True)


def main() -> None:
    """Does what the arguments say. Exits with 1 and one line if it fails."""
    parser = argparse.ArgumentParser(prog="python -m tools.backup", description=__doc__)
    parser.add_argument("action", nargs="?", choices=("backup", "list", "restore"), default="backup")
    parser.add_argument("archive", nargs="?", default="latest", help="name of the archive to restore, or `latest`")
    parser.add_argument(
        "--emptied", choices=["yes"], default="", help="back up although a collection lost most of its documents"
    )
    given = parser.parse_args()
    try:
        if given.action == "backup":
            backup(Cluster(), given.emptied)
        elif given.action == "list":
            show(Cluster())
        else:
            restore(Cluster(), given.archive)
    except BackupError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        raise SystemExit(130) from None


def backup(cluster: Cluster, emptied: str) -> None:
    """Takes a backup, and waits until it is verified; `emptied` is `yes` if most documents may be gone."""
    print(f"Backing up the database of stack {cluster.stack}, namespace {cluster.namespace}", flush=True)
    done = _run_job(cluster, "mongo-backup", {"EMPTIED": emptied})
    size = f"{done['documents']:,} documents, {done['bytes']:,} bytes"
    print(f"{done['archive']}: {size}, verified, {done['seconds']} s. {cluster.restore_with(done['archive'])}")


def show(cluster: Cluster) -> None:
    """Lists the archives that can be restored."""
    print(f"Archives of stack {cluster.stack}, namespace {cluster.namespace}, the newest first:", flush=True)
    print(f"Total: {_run_job(cluster, 'mongo-restore', {'FROM': 'list'})['archives']}")


def restore(cluster: Cluster, archive: str) -> None:
    """Restores an archive."""
    if archive == "list":
        raise BackupError("FROM is list: must be latest, or a name that make backups lists")
    print(f"Restoring {archive} into the database of stack {cluster.stack}, namespace {cluster.namespace}.")
    print(
        "What the database holds now is backed up first. The game stays up; scores saved meanwhile may be lost.",
        flush=True,
    )
    done = _run_job(cluster, "mongo-restore", {"FROM": archive})
    print(f"{done['archive']}: restored {done['documents']:,} documents in {done['seconds']} s.")
    if done["before"]:
        print(f"To undo it: {cluster.restore_with(done['before'])}")


def _run_job(cluster: Cluster, template: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Runs a Job of a CronJob to its end.

    Returns:
        The result that its script reports.

    Raises:
        BackupError: The Job failed.
    """
    name = f"{template}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    job = cluster.json("create", "job", name, f"--from=cronjob/{template}", "--dry-run=client")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"] = [each | {"value": env.get(each["name"], each.get("value"))} for each in container["env"]]
    cluster("create", "--filename", "-", stdin=json.dumps(job))
    try:
        ended, pods = _follow(cluster, name)
    except (BackupError, KeyboardInterrupt):
        print(f"\nUnless it was deleted, job {name} goes on: {cluster.typed} logs --follow job/{name}", file=sys.stderr)
        raise
    states = [state for pod in pods if (state := _terminated(pod))]
    if ended["type"] == "Failed":
        reason = why_it_ended(states[0]) if states else f"{ended['reason']}: {ended['message']}"
        raise BackupError(f"{reason} (job {name})")
    try:
        return dict(json.loads(next(state["message"] for state in states if state["exitCode"] == 0)))
    except (StopIteration, KeyError, ValueError):
        raise BackupError(f"job {name} is complete, but its pod is gone with what it reported: make backups") from None


def _follow(cluster: Cluster, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Shows what a Job says until it has ended; returns its last condition and its pods, the newest first."""
    followed: set[str] = set()
    said = ""
    while True:
        # In this order, a pod that starts and ends between two looks is followed, too.
        ended = _ended(_patiently(cluster, "job", name))
        pods = _pods(cluster, name)
        for pod in pods:
            if pod["metadata"]["name"] not in followed and _has_started(pod):
                followed.add(pod["metadata"]["name"])
                cluster.follow(pod["metadata"]["name"])
            elif (reason := _waits_for(pod)) not in ("", said):
                print(f"  the pod waits: {reason}", flush=True)
                said = reason
        if ended:
            return ended, _pods(cluster, name)
        time.sleep(_POLL_SECONDS)


def _patiently(cluster: Cluster, *what: str) -> Any:  # noqa: ANN401 - any object
    """What the cluster has; it is asked again for a minute, since the Job goes on while it does not answer."""
    end = time.monotonic() + _SECONDS
    while True:
        try:
            return cluster.json("get", *what)
        except BackupError as problem:
            if time.monotonic() > end or "(NotFound)" in str(problem):
                raise
            time.sleep(_POLL_SECONDS)


def _ended(job: Mapping[str, Any]) -> dict[str, Any]:
    """The condition of the Job that says that it ended; empty while it runs."""
    conditions = job.get("status", {}).get("conditions") or []
    return next((c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), {})


def _pods(cluster: Cluster, job: str) -> list[dict[str, Any]]:
    """The Job's pods, the newest first."""
    pods = _patiently(cluster, "pods", "--selector", f"batch.kubernetes.io/job-name={job}")["items"]
    return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)


def _container(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The status of the pod's container; empty before the node has seen it."""
    return dict(next(iter(pod.get("status", {}).get("containerStatuses") or []), {}))


def _terminated(pod: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_container(pod).get("state", {}).get("terminated") or {})


def _has_started(pod: Mapping[str, Any]) -> bool:
    return not _container(pod).get("state", {"waiting": {}}).keys() <= {"waiting"}


def _waits_for(pod: Mapping[str, Any]) -> str:
    """Why a pod does not start: in words of Kubernetes; "" where it has a node and only takes its time."""
    waiting = _container(pod).get("state", {}).get("waiting") or {}
    if waiting.get("reason") not in (None, "ContainerCreating"):
        return f"{waiting['reason']}: {waiting.get('message', '')}"
    conditions = pod.get("status", {}).get("conditions") or []
    scheduled: Mapping[str, Any] = next((each for each in conditions if each["type"] == "PodScheduled"), {})
    return str(scheduled.get("message", "")) if scheduled.get("status") == "False" else ""


def _output(*command: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError:
        raise BackupError(f"{command[0]} is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise BackupError(f"`{' '.join(command)}` did not end within {_SECONDS:.0f} s") from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BackupError(f"`{' '.join(command[:1] + command[-3:])}`: {reason.removeprefix('error: ')}")
    return done.stdout


if __name__ == "__main__":
    main()
