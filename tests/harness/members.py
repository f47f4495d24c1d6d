"""Which members of a set of three have all data, at every moment."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.program import Program
from tests.harness.waiting import eventually

# Asks each member by its own name, with the driver of the game, and prints each answer that differs from its last one.
WATCH = """
const { MongoClient } = require("mongodb");
const options = { directConnection: true, serverSelectionTimeoutMS: 2000, socketTimeoutMS: 2000 };
for (const member of process.argv.slice(1)) (async () => {
  const client = new MongoClient(`mongodb://${member}.mongo:27017/`, options);
  for (let last; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const reply = await client.db("admin").command({ hello: 1 }).catch(() => ({}));
    const complete = Boolean(reply.setName && (reply.isWritablePrimary || reply.secondary));
    if (complete !== last) console.log(JSON.stringify({ member, complete }));
    last = complete;
  }
})();
"""
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
