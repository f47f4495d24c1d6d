"""Which members of a set of three have all data, at every moment."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.chaos.rig import WATCH

MEMBERS = ["mongo-0", "mongo-1", "mongo-2"]


@contextmanager
def watch(program: Program) -> Iterator[list[set[str]]]:
    """Which members have all data, once for each change; the first entry is before anything changes."""
    (pod,) = (each["metadata"]["name"] for each in program.pods("pacman"))
    node = ["node", "--input-type=commonjs", "--eval", WATCH, *MEMBERS]
    kubectl = ["kubectl", "--context", program.kubectl.context, "--namespace", program.namespace]
    seen: list[set[str]] = []
    with subprocess.Popen([*kubectl, "exec", pod, "--", *node], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = process.stdout

        def follow() -> None:
            complete: set[str] = set()
            known: set[str] = set()
            for line in lines:
                change = json.loads(line)
                known.add(change["member"])
                complete = (complete | {change["member"]}) if change["complete"] else complete - {change["member"]}
                if known == set(MEMBERS):
                    seen.append(complete)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            eventually("all members have all data", lambda: seen and seen[-1] == set(MEMBERS))
            yield seen
        finally:
            process.terminate()
            thread.join()
