"""The default StorageClass while the stack lives and after it: what was there before is there again.

The component is used by another program in a copy of the project, on classes that the test made: the cluster's real
default, and the other stacks that claim it, are left alone. A class that is marked here is a second default for some
seconds.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from components.cluster import DEFAULT_CLASS
from tests.harness.kubectl import Kubectl, storage_class
from tests.harness.program import CONTEXT
from tools.engine import Engine
from tools.recorder import ROOT

pytestmark = pytest.mark.alone

_PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s
from components.default_storage_class import DefaultStorageClass, DefaultStorageClassArgs

context = {context!r}
provider = k8s.Provider("kubernetes", kubeconfig="", context=context)
made = DefaultStorageClass(
    "default", DefaultStorageClassArgs(promote={promote!r}, demote={demote!r}, context=context),
    opts=pulumi.ResourceOptions(providers={{"kubernetes": provider}}),
)
pulumi.export("class", made.storage_class)
"""


class Classes:
    """Four classes of the test's own: `gold` to promote, three to demote.

    A plain `kubectl create` made them, but for `tin`, which a tool applies on the server's side.
    """

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._prefix = f"engine-test-{secrets.token_hex(4)}"
        self.before = {"gold": "", "silver": "true", "iron": "false", "tin": "true"}

    def name(self, short: str) -> str:
        """The class's full name."""
        return f"{self._prefix}-{short}"

    def marks(self) -> dict[str, str]:
        """The mark of each class, empty where it has none."""
        names = [self.name(short) for short in self.before]
        items = json.loads(self._kubectl("get", "storageclass", *names, "--output", "json"))["items"]
        found = {each["metadata"]["name"]: each["metadata"].get("annotations") or {} for each in items}
        return {short: found[self.name(short)].get(DEFAULT_CLASS, "") for short in self.before}

    def annotations(self) -> list[Mapping[str, str]]:
        """All that the classes are annotated with."""
        names = [self.name(short) for short in self.before]
        items = json.loads(self._kubectl("get", "storageclass", *names, "--output", "json"))["items"]
        return [each["metadata"].get("annotations") or {} for each in items]

    def managers(self, short: str) -> set[str]:
        """Who has set the default mark of a class."""
        fields = self._kubectl.live("storageclass", self.name(short))["metadata"]["managedFields"]
        return {each["manager"] for each in fields if f"f:{DEFAULT_CLASS}" in json.dumps(each["fieldsV1"])}

    def mark(self, short: str, value: str) -> None:
        """What a person does with kubectl."""
        self._kubectl("annotate", "--overwrite", "storageclass", self.name(short), f"{DEFAULT_CLASS}={value}")

    def declare(self, engine: Engine, *demote: str) -> None:
        """Writes a program that promotes `gold` and demotes others."""
        program = _PROGRAM.format(
            context=self._kubectl.context,
            promote=self.name("gold"),
            demote=[self.name(short) for short in demote],
        )
        engine.write(program)


@pytest.fixture
def classes() -> Iterator[Classes]:
    kubectl = Kubectl(CONTEXT, "default")
    made = Classes(kubectl)
    with ExitStack() as cleanup:
        for short, mark in made.before.items():
            manager = "addon-manager" if short == "tin" else ""
            cleanup.enter_context(storage_class(kubectl, made.name(short), mark, manager))
        yield made


def test_destroy_restores_the_default_of_before(classes: Classes) -> None:
    """Also for a class that joined in a later `up` or left in one, and though others owned the marks."""
    annotated = classes.annotations()
    with Engine(ROOT) as engine:
        classes.declare(engine, "silver", "iron")
        engine.preview().ok()
        assert classes.marks() == classes.before, "a preview marks nothing"
        engine.up().ok()
        assert engine.outputs() == {"class": classes.name("gold")}
        assert classes.marks() == {"gold": "true", "silver": "false", "iron": "false", "tin": "true"}

        classes.declare(engine, "silver", "iron", "tin")
        engine.up().ok()
        assert classes.marks() == {"gold": "true", "silver": "false", "iron": "false", "tin": "false"}
        for short, manager in (("silver", "kubectl"), ("tin", "addon-manager")):
            owners = classes.managers(short)
            assert len(owners) == 1, f"{owners}: the mark was taken over from {manager}"
            assert not next(iter(owners)).startswith(manager)
        engine.up("--refresh", "--expect-no-changes").ok()

        classes.declare(engine, "iron", "tin")
        engine.up().ok()
        assert classes.marks() == {"gold": "true", "silver": "", "iron": "false", "tin": "false"}

        engine.destroy().ok()
        assert classes.marks() == classes.before
        assert classes.annotations() == annotated


def test_two_stacks_leave_the_marks_of_before_both_in_whichever_order_they_are_destroyed(classes: Classes) -> None:
    """The second stack finds the marks of the first one, and must not restore those."""
    annotated = classes.annotations()
    for first_goes_first in (True, False):
        with Engine(ROOT) as one, Engine(ROOT) as two:
            for engine in (one, two):
                classes.declare(engine, "silver", "tin")
                engine.up().ok()
            claimed = {"gold": "true", "silver": "false", "iron": "false", "tin": "false"}
            assert classes.marks() == claimed
            first, last = (one, two) if first_goes_first else (two, one)
            first.destroy().ok()
            assert classes.marks() == claimed, "the other stack lives"
            last.destroy().ok()
        assert classes.marks() == classes.before
        assert classes.annotations() == annotated


def test_destroy_keeps_a_default_that_somebody_set_meanwhile(classes: Classes) -> None:
    """`iron` was no default before, and a person makes it one after `up`: that is not undone, what the stack did is."""
    with Engine(ROOT) as engine:
        classes.declare(engine, "silver", "iron", "tin")
        engine.up().ok()
        classes.mark("iron", "true")
        engine.destroy().ok()
        assert classes.marks() == classes.before | {"iron": "true"}
