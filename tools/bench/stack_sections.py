"""The sections about `pulumi`: deploy and destroy, nothing to do, an image change, more and fewer pods.

In each run, Pulumi and kubectl do the same one after the other, so that a slow minute of the machine slows both.
"""

import time
from typing import Any, Final

from tools.bench.figures import Row
from tools.bench.rig import NAMESPACE, Cluster, EmptyProject, PacmanProject, Stopwatch, say, second_tag

_WAITS: Final = {
    "StatefulSet": ("rollout", "status"),
    "Job": ("wait", "--for=condition=complete"),
    "Deployment": ("rollout", "status"),
}
"""How kubectl waits for each kind."""
_STAGES: Final = (("StatefulSet", "Job"), ("Deployment",))
"""The kinds in the order in which one needs the other. The Job makes the members ready, so they go together."""
FEW, MANY = 2, 10
"""Pods of Pacman between which the bench scales."""


def deploy(cluster: Cluster, runs: int) -> list[Row]:
    """From nothing until a score is saved, and back to nothing."""
    project, took = PacmanProject(), Stopwatch()
    for number in range(1, runs + 1):
        say(f"  run {number} of {runs}: pulumi up")
        with took("up"):
            project.up()
            cluster.wait_for_score()
        manifests = project.manifests()
        say(f"  run {number} of {runs}: pulumi destroy")
        with took("destroy"):
            project.destroy()
            cluster.wait_until_gone()
        cluster.clear()
        say(f"  run {number} of {runs}: kubectl apply, at once")
        with took("at once"):
            cluster.apply(manifests)
            cluster.wait_for_score()
        cluster.clear()
        say(f"  run {number} of {runs}: kubectl apply, in the right order")
        with took("in order"):
            chain = _apply_in_order(cluster, manifests)
            cluster.wait_for_score()
        took["chain"].append(chain)
        say(f"  run {number} of {runs}: kubectl delete namespace")
        with took("delete"):
            cluster.kubectl("delete", "namespace", NAMESPACE)
            cluster.wait_until_gone()
        cluster.clear()
    up = "pulumi up until a score is saved"
    return [
        Row(up, "s", took["up"], "kubectl apply at once", took["at once"], 0.5),
        Row(up, "s", took["up"], "kubectl apply in the right order", took["in order"], 1.15),
        Row(up, "s", took["up"], "the chain of pod starts", took["chain"], 1.3),
        Row("pulumi destroy", "s", took["destroy"], "kubectl delete namespace", took["delete"], 1.1),
    ]


def idle(cluster: Cluster, runs: int) -> list[Row]:
    """Commands that find nothing to do."""
    project, empty, took = PacmanProject(), EmptyProject(), Stopwatch()
    say("  preparing: pulumi up")
    project.up()
    empty.up()
    for number in range(1, runs + 1):
        say(f"  run {number} of {runs}")
        with took("up"):
            project.up("--expect-no-changes")
        with took("empty up"):
            empty.up("--expect-no-changes")
        with took("preview"):
            project.preview("--expect-no-changes")
        with took("empty preview"):
            empty.preview("--expect-no-changes")
    cluster.clear()
    return [
        Row("pulumi up with nothing to do", "s", took["up"], "up of an empty program", took["empty up"], 1.5),
        Row("pulumi preview", "s", took["preview"], "preview of an empty program", took["empty preview"]),
    ]


def change(cluster: Cluster, runs: int) -> list[Row]:
    """Another image, and more and fewer pods."""
    project, took = PacmanProject(), Stopwatch()

    def up(**changes: object) -> None:
        project.configure(pacmanReplicas=FEW, **changes)
        project.up()

    def set_image(image: str) -> None:
        cluster.kubectl("set", "image", "deployment/pacman", f"pacman={image}")
        cluster.wait_for_rollout()

    say("  preparing: pulumi up")
    up()
    with second_tag(project.image) as other:
        for number in range(1, runs + 1):
            say(f"  run {number} of {runs}: another image")
            cluster.wait_for_pods(FEW)
            with took("image"):
                up(pacmanImage=other)
                cluster.wait_for_rollout()
            cluster.wait_for_pods(FEW)
            up()
            cluster.wait_for_pods(FEW)
            with took("kubectl image"):
                set_image(other)
            cluster.wait_for_pods(FEW)
            set_image(project.image)
            cluster.wait_for_pods(FEW)
            say(f"  run {number} of {runs}: {FEW} to {MANY} pods and back")
            for pods in (MANY, FEW):
                with took(f"to {pods}"):
                    project.configure(pacmanReplicas=pods)
                    project.up()
                    cluster.wait_for_pods(pods)
            for pods in (MANY, FEW):
                with took(f"kubectl to {pods}"):
                    cluster.scale(pods)
                    cluster.wait_for_pods(pods)
        # No pod may use the tag when it is removed.
        cluster.clear()
    image = Row("pulumi up with another image", "s", took["image"], "kubectl set image", took["kubectl image"], 1.1)
    scaled = [
        Row(f"pulumi up, {of} to {to} pods", "s", took[f"to {to}"], "kubectl scale", took[f"kubectl to {to}"], 1.1)
        for of, to in ((FEW, MANY), (MANY, FEW))
    ]
    return [image, *scaled]


def _apply_in_order(cluster: Cluster, manifests: list[dict[str, Any]]) -> float:
    """Applies what nothing waits for, then one stage after the other.

    Returns:
        The seconds of the chain: from `apply` until mongo-0 is ready, the Job is complete, and Pacman is ready.
    """
    cluster.apply([each for each in manifests if each["kind"] not in _WAITS])
    began = time.monotonic()
    for stage in _STAGES:
        objects = [each for each in manifests if each["kind"] in stage]
        cluster.apply(objects)
        for each in objects:
            kind = each["kind"]
            cluster.kubectl(*_WAITS[kind], f"{kind.lower()}/{each['metadata']['name']}", "--timeout=300s")
    return time.monotonic() - began
