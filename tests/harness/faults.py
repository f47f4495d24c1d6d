"""Recorded runs of every stack and of what people configure, and a way to plant a fault in one."""

import copy
from functools import cache
from typing import Any

from tools.recorder import Recorded, record_program, stack_config, unwrap

# What the committed stacks do not set, and people do.
VARIANTS = {
    "three members": {"pacman:mongoMembers": "3"},
    "members apart": {"pacman:mongoMembers": "3", "pacman:mongoSpread": "require"},
    "an autoscaler": {"pacman:pacmanMaxReplicas": "10"},
    "a certificate": {"pacman:ingressHost": "pacman.example", "pacman:ingressTlsSecret": "cert"},
    "a controller": {
        "pacman:ingressController": "install",
        "pacman:ingressChart": "oci://charts.example/nginx-ingress",
        "pacman:ingressScope": "public",
    },
    "ten pods": {"pacman:pacmanReplicas": "10"},
    "no location": {"pacman:pacmanLocation": "false"},
    "a host name": {"pacman:ingressHost": "pacman.example"},
    "another namespace": {"pacman:namespace": "arcade"},
    "another class": {"pacman:defaultStorageClass": "fast", "pacman:demoteStorageClasses": '["slow","standard"]'},
    "snapshots": {"pacman:backupSnapshotClass": "fast"},
    "snapshots in a given namespace": {"pacman:backupSnapshotClass": "fast", "pacman:createNamespace": "false"},
    "some other cluster": {"pacman:target": "generic", "pacman:mongoStorageClass": "fast"},
}
DELETE = object()
"""Planted, it takes away what is there."""
REVEAL = object()
"""Planted, it takes the secret that is there out of its envelope."""
EVERYTHING = object()
"""Planted as dependencies, it waits for every resource of the stack."""

POD = ("inputs", "spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
LABELS = ("inputs", "spec", "template", "metadata", "labels")
INSTANCE = "app.kubernetes.io/instance"


@cache
def run_of(stack: str, variant: str = "") -> Recorded:
    """One recorded run, shared by all checks: none of them changes it."""
    return record_program(stack_config(stack) | VARIANTS.get(variant, {}))


def plant(run: Recorded, resource: str, where: tuple[str | int, ...], value: object) -> Recorded:
    """A copy of a run with one thing changed; the first step of `where` is a field of the recorded resource."""
    faulty = copy.deepcopy(run)
    kind, name = resource.split(" ")
    at: Any = vars(faulty.one(kind, name))
    for step in where[:-1]:
        at = at[step]
    last = where[-1]
    if value is REVEAL:
        value = unwrap(at[last])
    elif value is EVERYTHING:
        value = frozenset(r.urn for r in faulty.resources)
    if value is DELETE:
        del at[last]
    else:
        at[last] = value
    return faulty
