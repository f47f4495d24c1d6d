"""Configs that cannot work, each through a real `pulumi up`: one line says why, and nothing has happened.

Here it is what the person sees, after the engine has checked the types, and what the cluster and the state have
afterwards.
"""

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import pytest

from tests.harness.kubectl import storage_class
from tests.harness.program import CONTEXT, Program
from tools.engine import Result

DIGEST = f"sha256:{'0' * 64}"


@dataclass(frozen=True)
class Case:
    """A config that is refused."""

    change: dict[str, object]
    says: tuple[str, ...]
    """What the one line must hold: the key, the value, what is allowed."""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        shown = ",".join(f"{key}={json.dumps(value)}" for key, value in self.change.items())
        object.__setattr__(self, "id", shown[:60])


@dataclass(frozen=True)
class Refusal:
    """What an `up` did that was refused."""

    result: Result
    before: object
    after: object
    types: list[str]
    """The types of the resources that the state has."""


def wrong(key: str, value: object, allowed: str, **more: object) -> Case:
    """A value that the program refuses in its own words; the engine hands every value over as text."""
    listed = isinstance(value, list | dict)
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return Case({key: value, **more}, (f"pacman:{key} is {text if listed else json.dumps(text)}: ", allowed))


def mistyped(key: str, value: object, kind: str) -> Case:
    """A value that the engine refuses, by the type in Pulumi.yaml; it does not say the value."""
    return Case({key: value}, (f"configuration key '{key}' must be of type '{kind}'",))


CHART = "oci://charts.example/nginx-ingress"
INSTALL = {"ingressController": "install", "ingressChart": CHART}

# One of each way in which a config is refused. All other values have their test in tests/unit/test_settings.py.
CASES = [
    mistyped("mongoMembers", "three", "integer"),
    mistyped("demoteStorageClasses", {"standard": True}, "array<string>"),
    mistyped("nodeSelector", ["ssd"], "object"),
    Case({"pacmanReplica": 3}, ("pacman:pacmanReplica is not a config key; did you mean pacmanReplicas?",)),
    wrong("namespace", "kube-system", "must be a namespace of its own"),
    wrong("mongoMembers", 4, "must be 1, 3 or 5"),
    wrong("mongoImage", "bitnami/mongodb:8.0.40", "must be the official image `mongo` or a mirror of it"),
    wrong("tolerations", [{"effect": "NoSchedule"}], "with a key, or with operator Exists for every taint"),
    wrong("pacmanMaxReplicas", 2, "must not be less than pacmanReplicas, which is 3", pacmanReplicas=3),
]

# What only the cluster knows. The message has the command that lists what there is.
MISSING = [
    Case(
        {"defaultStorageClass": "gold"},
        (
            f'pacman:defaultStorageClass is "gold": no such StorageClass in context {CONTEXT}',
            f"`kubectl --context {CONTEXT} get storageclass` lists those that exist",
        ),
    ),
    Case({"mongoStorageClass": "gold"}, ('pacman:mongoStorageClass is "gold": no such StorageClass', "lists those")),
    Case(
        {"ingressClass": "nginx", "ingressScope": "public", **INSTALL},
        (
            f'pacman:ingressClass is "nginx": belongs to the controller sandbox/nginx in context {CONTEXT}',
            "name another class to install a controller beside it, or use it with ingressController existing",
        ),
    ),
    Case(
        {"mongoMembers": 3, "mongoSpread": "require"},
        (
            'pacman:mongoSpread is "require": 3 members need as many nodes that take their pods,',
            f"context {CONTEXT} has 1;",
            "add nodes, or set it to prefer",
        ),
    ),
    Case(
        {"ingressTlsIssuer": "letsencrypt"},
        (
            f'pacman:ingressTlsIssuer is "letsencrypt": there is no ClusterIssuer in context {CONTEXT}',
            "install cert-manager",
        ),
    ),
    Case(
        {"target": "aks", "mongoStorageClass": "managed-csi", "ingressController": "existing"},
        (
            f'pacman:mongoStorageClass is "managed-csi": no such StorageClass in context {CONTEXT}',
            "lists those that exist",
        ),
    ),
    Case(
        {"ingressClass": "traefik"},
        (
            f'pacman:ingressClass is "traefik": no such IngressClass in context {CONTEXT}',
            f"`kubectl --context {CONTEXT} get ingressclass` lists those that exist",
        ),
    ),
]


def look(program: Program) -> dict[str, object]:
    """What of the cluster this stack could have changed: its namespace, its cluster-wide objects, the default marks."""
    kinds = "namespaces,clusterroles,clusterrolebindings,storageclasses"
    found = json.loads(program.kubectl("get", kinds, "--output", "json"))["items"]
    ours = {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"]
        for each in found
        if each["metadata"]["name"].partition(":")[0] == program.namespace
    }
    marks = {
        each["metadata"]["name"]: each["metadata"].get("annotations")
        for each in found
        # Classes of other names come and go with other tests.
        if each["kind"] == "StorageClass" and each["metadata"]["name"] in ("standard", "csi-hostpath-sc")
    }
    return {"ours": ours, "marks": marks}


def one_line(result: Result) -> str:
    """What a failed command says: one line of it is the cause, and nobody sees how the program is made inside."""
    assert result.exit_code not in (0, None)
    assert "Traceback" not in result.printed, result.printed
    assert not re.search(r'File ".*", line', result.printed), result.printed
    causes = result.causes()
    assert len(causes) == 1, result.printed
    return causes[0]


def _next(left: "SimpleQueue[Case]") -> Case | None:
    try:
        return left.get_nowait()
    except Empty:
        return None


@pytest.fixture(scope="module")
def refusals() -> Mapping[str, Refusal]:
    """What each case did. Each has an `up` of its own, of which one leaves half of the machine idle: two at a time."""
    done: dict[str, Refusal] = {}
    left = SimpleQueue[Case]()
    for case in [*CASES, *MISSING]:
        left.put(case)

    def work() -> None:
        with Program() as stack:
            before = look(stack)
            while (case := _next(left)) is not None:
                stack.use(**case.change)
                result = stack.up()
                types = [each["type"] for each in stack.state()["deployment"].get("resources") or []]
                done[case.id] = Refusal(result, before, look(stack), types)

    with ThreadPoolExecutor(max_workers=2) as workers:
        for worker in [workers.submit(work) for _ in range(2)]:
            worker.result()
    return done


@pytest.mark.parametrize("case", [*CASES, *MISSING], ids=lambda case: case.id)
def test_up_says_in_one_line_what_is_wrong_and_changes_nothing(refusals: Mapping[str, Refusal], case: Case) -> None:
    refusal = refusals[case.id]
    said = one_line(refusal.result)
    for part in case.says:
        assert part in said
    assert refusal.after == refusal.before
    assert refusal.types in ([], ["pulumi:pulumi:Stack"])


def test_a_preview_reports_every_bad_value_at_once() -> None:
    with Program() as stack:
        stack.use(mongoMembers=2, pacmanReplicas=0, ingressHost="-")
        failed = stack.preview()
        assert failed.exit_code != 0
        for key in ("mongoMembers", "pacmanReplicas", "ingressHost"):
            assert len(re.findall(rf"^pacman:{key} is .*: must be ", failed.errors(), re.MULTILINE)) == 1


# What follows only shows when the first object is to be made. The state may have components and passwords then, which
# stand for nothing yet.


def made(program: Program) -> list[str]:
    """The objects of the cluster that the state has."""
    return [name for name, each in program.resources().items() if each["type"].startswith("kubernetes:")]


def test_a_context_that_does_not_exist_is_refused_in_one_line() -> None:
    with Program() as stack:
        before = look(stack)
        stack.use(context="nowhere")
        for command in (stack.preview, stack.up):
            said = one_line(command())
            assert 'pacman:context is "nowhere": no such context in your kubeconfig; `kubectl config get-co' in said
        assert (look(stack), made(stack)) == (before, [])


def test_a_namespace_that_somebody_else_has_is_refused_and_nothing_changes() -> None:
    """Nothing of the cluster is changed then, not even the default StorageClass, which has nothing to do with it."""
    with Program() as stack, storage_class(stack.kubectl, stack.namespace):
        stack.kubectl("create", "namespace", stack.namespace)
        before = look(stack)
        stack.use(defaultStorageClass=stack.namespace, demoteStorageClasses=[])
        for command in (stack.preview, stack.up):
            said = one_line(command())
            assert f'pacman:namespace is "{stack.namespace}": belongs to somebody else in context' in said
        assert (look(stack), made(stack)) == (before, [])
        # It holds nobody to that name: another one is taken then.
        stack.use(namespace=f"{stack.namespace}-2")
        stack.preview().ok()


@pytest.mark.parametrize(
    ("owner", "said"),
    [
        ("pacman/prod", "the stack pacman/prod"),
        # A colleague's, with the same name and another backend; or what is left of a state that was lost.
        ("pacman/test", "a stack pacman/test that has another state"),
    ],
)
def test_a_namespace_that_another_stack_has_is_refused_with_its_name(owner: str, said: str) -> None:
    with Program() as stack:
        stack.kubectl("create", "namespace", stack.namespace)
        labels = ("app.kubernetes.io/part-of=pacman", "app.kubernetes.io/managed-by=pulumi")
        stack.kubectl("label", "namespace", stack.namespace, *labels)
        stack.kubectl("annotate", "namespace", stack.namespace, f"pacman/stack={owner}")
        before = look(stack)
        for command in (stack.preview, stack.up):
            assert f'pacman:namespace is "{stack.namespace}": belongs to {said} in context' in one_line(command())
        assert (look(stack), made(stack)) == (before, [])
