"""The sections about what runs: requests through the Ingress, and the cluster as pods grow."""

import json
import os
import shutil
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from sandbox import node
from tools.bench.figures import Row
from tools.bench.rig import HOST, Cluster, PacmanProject, memory_of_node, run, say, score_is_saved
from tools.measuring import MeasuringError, memory

CONNECTIONS: Final = (1, 16, 64)
"""How many connections send one request after the other, at the same time."""
SECONDS_PER_POINT: Final = 4
PODS: Final = (1, 10, 50, 90)
"""How many pods are started at once; a node takes 110 with those that run already."""
POD_CPU: Final = "5m"
"""What a pod requests while pods grow: the program's 25m would not fit 90 times on two cores."""
_POD_BYTES: Final = 150 * 10**6
"""More than a pod takes with its shim: the machine must have that much available for each."""
_SETTLE_SECONDS: Final = 3.0
_START_SECONDS: Final = 600.0
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_PORT: Final = 8080
# Runs in the pod of the database, so that no password leaves it.
_EMPTY_THE_LIST: Final = """
const read = (name) => require("fs").readFileSync("/secrets/" + name, "utf8");
const login = encodeURIComponent(read("username")) + ":" + encodeURIComponent(read("password"));
const uri = "mongodb://" + login + "@127.0.0.1/?authSource=admin&directConnection=true";
new Mongo(uri).getDB("pacman").highscore.deleteMany({});
"""


def throughput(cluster: Cluster, runs: int) -> tuple[list[Row], list[str]]:
    """Scores saved and lists read, through the Ingress and without it."""
    _install_wrk()
    project = PacmanProject()
    say("  preparing: pulumi up")
    project.up()
    cluster.kubectl("annotate", "--overwrite", "ingress", "pacman", "nginx.ingress.kubernetes.io/limit-rps=0")
    cluster.wait_for_score()
    (pod,) = cluster.pods()
    ways = {"Ingress": f"http://{node.FIRST.address}/", "pod": f"http://{pod['status']['podIP']}:{_PORT}/"}
    results = defaultdict[tuple[str, int, str], list[dict[str, float]]](list)
    for number in range(runs):
        _empty_the_list(cluster)
        for doing in ("read", "save"):
            for connections in CONNECTIONS:
                say(f"  run {number + 1} of {runs}: {doing}, {connections} connections")
                # Each way is the first one in every other run.
                for way in sorted(ways, reverse=bool(number % 2)):
                    results[doing, connections, way].append(_wrk(ways[way], doing, connections))
    failed = sum(int(each["failed"]) for some in results.values() for each in some)
    worked = sum(int(each["worked"]) for some in results.values() for each in some)
    notes = [f"{failed} of {failed + worked} requests failed or were answered with an error."]
    return [row for doing in ("save", "read") for each in CONNECTIONS for row in _rows(doing, each, results)], notes


def pods(cluster: Cluster, runs: int) -> tuple[list[Row], list[str]]:
    """Time and memory as pods grow."""
    project = PacmanProject()
    say("  preparing: pulumi up")
    project.up()
    cluster.kubectl("set", "resources", "deployment/pacman", f"--requests=cpu={POD_CPU},memory=96Mi")
    cluster.wait_for_rollout()
    seconds, megabytes = defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    sizes, notes = list(PODS), list[str]()
    for number in range(runs):
        for size in list(sizes):
            say(f"  run {number + 1} of {runs}: pods, {size}")
            cluster.scale(0)
            cluster.wait_for_pods(0)
            time.sleep(_SETTLE_SECONDS)
            before = _node_bytes()
            took = _start(cluster, size) if memory("MemAvailable") > size * _POD_BYTES else None
            if took is None:
                # The larger ones do not, either.
                sizes = [each for each in sizes if each < size]
                notes.append(f"{size} pods do not fit on this machine.")
                break
            time.sleep(_SETTLE_SECONDS)
            seconds[size].append(took)
            megabytes[size].append((_node_bytes() - before) / size / 10**6)
    one = f"{PODS[0]} pod"
    return [
        *(
            Row(
                f"seconds per pod until {size} {'is' if size == 1 else 'are'} ready",
                "s",
                [each / size for each in seconds[size]],
                *(() if size == PODS[0] else (f"until {one} is ready", seconds[PODS[0]])),
            )
            for size in sizes
        ),
        *(
            Row(
                f"memory per pod, {size} running",
                "MB",
                megabytes[size],
                *(() if size == PODS[0] else (f"{one} running", megabytes[PODS[0]])),
            )
            for size in sizes
        ),
    ], notes


def _start(cluster: Cluster, pods: int) -> float | None:
    """The seconds until that many pods are ready; None where the node has no room for them."""
    began = time.monotonic()
    cluster.scale(pods)
    ready = f"--for=jsonpath={{.status.readyReplicas}}={pods}"
    while not cluster.kubectl("wait", "deployment/pacman", ready, "--timeout=30s", check=False):
        if any(_is_unschedulable(pod) for pod in cluster.pods()):
            return None
        if time.monotonic() - began > _START_SECONDS:
            raise MeasuringError(f"{pods} pods are not ready in {_START_SECONDS:.0f} s")
    return time.monotonic() - began


def _node_bytes() -> float:
    process = node.FIRST.pid()
    if process is None:
        raise MeasuringError("the sandbox does not run any more: make up")
    return memory_of_node(process)


def _is_unschedulable(pod: dict[str, Any]) -> bool:
    return any(each.get("reason") == "Unschedulable" for each in pod["status"].get("conditions") or [])


# --- wrk -------------------------------------------------------------------------------------------------------------


def _rows(doing: str, connections: int, results: dict[tuple[str, int, str], list[dict[str, float]]]) -> list[Row]:
    """Rate and latencies of one point: through the Ingress, against the pod."""
    through, direct = (results[doing, connections, way] for way in ("Ingress", "pod"))
    what = f"{'scores saved' if doing == 'save' else 'lists read'}, {connections} connection{'s'[: connections - 1]}"

    def rates(some: list[dict[str, float]]) -> list[float]:
        return [each["worked"] / each["microseconds"] * 10**6 for each in some]

    target = 0.8 if connections == CONNECTIONS[-1] else None
    return [
        Row(what, "/s", rates(through), "the pod", rates(direct), target, at_least=True),
        *(
            Row(
                f"{what}: {name}",
                "ms",
                *([each[name] / 1000 for each in through], "the pod"),
                [each[name] / 1000 for each in direct],
            )
            for name in ("p50", "p99")
        ),
    ]


def _wrk(url: str, doing: str, connections: int) -> dict[str, float]:
    """Sends requests for some seconds, from the node's network: from there, pod and Ingress are equally near."""
    inside = ("nsenter", "--target", str(node.FIRST.pid()), "--net")
    options = ("--threads", str(min(connections, 2)), "--connections", str(connections), "--timeout", "10s")
    for_seconds = (f"--duration={SECONDS_PER_POINT}s", "--script", _SCRIPT, "--header", f"Host: {HOST}")
    printed = run(*inside, "wrk", *options, *for_seconds, url, "--", doing, env=os.environ)
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    if not result["worked"]:
        raise MeasuringError(f"{url} answered no request to {doing} scores, {connections} connections")
    return result


def _empty_the_list(cluster: Cluster) -> None:
    """Deletes the scores of earlier runs, since a long list takes longer to sort, and saves ten."""
    shell = ("mongosh", "--quiet", "--norc", "--nodb", "--file", "/dev/stdin")
    cluster.kubectl("exec", "--stdin", "mongo-0", "--container", "mongo", "--", *shell, stdin=_EMPTY_THE_LIST)
    for _ in range(10):
        if not score_is_saved(HOST):
            raise MeasuringError("a score was not saved")


def _install_wrk() -> None:
    """Installs wrk where it is missing.

    Raises:
        MeasuringError: It cannot be installed.
    """
    if shutil.which("wrk"):
        return
    if not shutil.which("apt-get"):
        raise MeasuringError("wrk is not on PATH, nor is apt-get, which would install it: install wrk")
    say("  installing wrk, which sends the requests")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "--quiet", env=env)
    run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "wrk", env=env)
