"""What DefaultStorageClass declares, and what its memory of the marks does with a cluster's classes.

Mocks show patches, order as declared, and each call of the provider by itself. That the marks are really there after
`up`, that they are back after `destroy`, and that a plugin process finds the provider's class again, they cannot prove.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from components import cluster
from components.cluster import DEFAULT_CLASS
from components.default_storage_class import DefaultStorageClass, DefaultStorageClassArgs, NewStorageClass
from components.dynamic_providers import DELETE_UNREACHABLE, DefaultMarksProvider
from components.metadata import TAKE_OVER
from tools.recorder import Recorded, record


def declare(promote: str = "fast", demote: tuple[str, ...] = ("standard", "slow")) -> Recorded:
    args = DefaultStorageClassArgs(promote=promote, demote=demote, context="arcade")
    return record(lambda: DefaultStorageClass("default", args))


@pytest.fixture(scope="module")
def run() -> Recorded:
    return declare()


def marks(run: Recorded) -> dict[str, str]:
    patches = [patch.manifest["metadata"] for patch in run.of("StorageClassPatch")]
    return {patch["name"]: patch["annotations"][DEFAULT_CLASS] for patch in patches}


class TestPatches:
    def test_one_class_gets_the_mark_and_the_others_lose_it(self, run: Recorded) -> None:
        assert marks(run) == {"fast": "true", "standard": "false", "slow": "false"}

    def test_nothing_is_demoted_where_there_is_nothing_to_demote(self) -> None:
        assert marks(declare(demote=())) == {"fast": "true"}

    def test_it_patches_nothing_but_the_mark(self, run: Recorded) -> None:
        for patch in run.of("StorageClassPatch"):
            assert patch.manifest.keys() == {"apiVersion", "kind", "metadata"}
            assert patch.manifest["metadata"]["annotations"].keys() == {DEFAULT_CLASS, "pulumi.com/patchForce"}

    def test_the_marks_are_read_before_and_restored_after(self, run: Recorded) -> None:
        before = run.one("DefaultMarks")
        assert before.inputs["classes"] == ["fast", "standard", "slow"]
        assert before.inputs["context"] == "arcade"
        assert [patch.depends_on for patch in run.of("StorageClassPatch")] == [frozenset({before.urn})] * 3

    def test_it_gives_out_the_class_that_is_the_default_then(self, run: Recorded) -> None:
        assert run.one("DefaultStorageClass").outputs == {"storageClass": "fast"}

    def test_a_class_that_is_new_is_made_with_the_mark_and_not_patched(self) -> None:
        new = NewStorageClass(provisioner="disks.example", parameters={"encrypted": "true"})
        args = DefaultStorageClassArgs(promote="fast", demote=["slow"], context="arcade", new=new)
        run = record(lambda: DefaultStorageClass("default", args))
        assert marks(run) == {"slow": "false"}
        made = run.one("StorageClass")
        assert made.depends_on == frozenset({run.one("DefaultMarks").urn})
        assert made.manifest["metadata"]["name"] == "fast"
        assert made.manifest["metadata"]["annotations"] == {DEFAULT_CLASS: "true", **TAKE_OVER}
        assert made.manifest["provisioner"] == "disks.example"
        assert made.manifest["parameters"] == {"encrypted": "true"}
        assert made.manifest["allowVolumeExpansion"] is True
        assert made.manifest["volumeBindingMode"] == "WaitForFirstConsumer"
        assert run.one("DefaultStorageClass").outputs == {"storageClass": "fast"}

    def test_a_class_cannot_be_promoted_and_demoted(self) -> None:
        with pytest.raises(ValueError, match="default: demote holds fast, which promote names: must be other classes"):
            declare(demote=("standard", "fast"))


class TestMemory:
    """The provider of the marks, on a cluster that is a variable here."""

    PROPS: ClassVar[dict[str, Any]] = {"context": "arcade", "classes": ["fast", "standard"], "marks": None}

    @pytest.fixture
    def storage(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        classes = {"fast": "", "standard": "true", "slow": "false"}
        monkeypatch.setattr(
            cluster, "save_default_marks", lambda context, names: {name: classes[name] for name in names}
        )
        return classes

    @pytest.fixture
    def restored(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, str]]]:
        calls: list[tuple[str, Mapping[str, str]]] = []
        monkeypatch.setattr(cluster, "restore_default_marks", lambda context, marks: calls.append((context, marks)))
        return calls

    @pytest.mark.usefixtures("storage")
    def test_it_keeps_the_marks_that_it_finds(self) -> None:
        assert self.create()["marks"] == {"fast": "", "standard": "true"}

    @pytest.mark.usefixtures("storage")
    def test_destroy_restores_the_marks(self, restored: list[tuple[str, Mapping[str, str]]]) -> None:
        DefaultMarksProvider().delete("marks", self.create())
        assert restored == [("arcade", {"fast": "", "standard": "true"})]

    @pytest.mark.usefixtures("storage")
    def test_another_up_with_the_same_classes_changes_nothing(self) -> None:
        assert DefaultMarksProvider().diff("marks", self.create(), self.PROPS).changes is False

    @pytest.mark.parametrize("change", [{"classes": ["fast", "standard", "slow"]}, {"context": "other"}])
    def test_other_classes_or_another_cluster_are_a_change(
        self, change: dict[str, Any], storage: dict[str, str]
    ) -> None:
        assert storage
        assert DefaultMarksProvider().diff("marks", self.create(), self.PROPS | change).changes is True

    def test_a_class_that_joins_is_read_and_those_known_stay_as_first_read(self, storage: dict[str, str]) -> None:
        first = self.create()
        storage |= {"fast": "true", "standard": "false"}  # our own doing by now
        second = (
            DefaultMarksProvider().update("marks", first, self.PROPS | {"classes": ["fast", "standard", "slow"]}).outs
        )
        assert second
        assert second["marks"] == {"fast": "", "standard": "true", "slow": "false"}

    def test_it_says_when_it_cannot_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(context: str, names: object) -> Mapping[str, str]:
            raise ConnectionError("Connection refused\nand more that nobody reads")

        monkeypatch.setattr(cluster, "save_default_marks", refuse)
        with pytest.raises(RuntimeError) as told:
            self.create()
        assert str(told.value) == (
            "cannot read and save the default marks of the StorageClasses of context arcade: Connection refused"
        )

    def test_another_provider_is_a_change_so_that_the_state_does_not_keep_a_class_that_has_moved(self) -> None:
        old, new = ({**self.PROPS, "__provider": each} for each in ("old", "new"))
        assert DefaultMarksProvider().diff("marks", old, new).changes is True
        assert DefaultMarksProvider().diff("marks", new, new).changes is False

    @pytest.mark.usefixtures("storage")
    def test_it_fails_where_it_cannot_restore_unless_the_person_says_that_the_cluster_is_gone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(context: str, marks: Mapping[str, str]) -> None:
            raise ConnectionError("Connection refused\nand more that nobody reads")

        monkeypatch.setattr(cluster, "restore_default_marks", refuse)
        monkeypatch.delenv(DELETE_UNREACHABLE, raising=False)
        with pytest.raises(RuntimeError) as told:
            DefaultMarksProvider().delete("marks", self.create())
        assert str(told.value) == (
            "cannot restore the default StorageClass of context arcade: Connection refused;"
            " if that cluster is gone for good, PULUMI_K8S_DELETE_UNREACHABLE=true forgets it"
        )
        monkeypatch.setenv(DELETE_UNREACHABLE, "true")
        DefaultMarksProvider().delete("marks", self.create())

    @pytest.mark.usefixtures("storage")
    def test_a_cluster_that_answers_and_refuses_is_not_gone_whatever_the_person_says(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(context: str, marks: Mapping[str, str]) -> None:
            raise cluster.RefusedError(403, "Forbidden", "you may not patch storageclasses")

        monkeypatch.setattr(cluster, "restore_default_marks", refuse)
        monkeypatch.setenv(DELETE_UNREACHABLE, "true")
        with pytest.raises(RuntimeError, match="context arcade: you may not patch storageclasses"):
            DefaultMarksProvider().delete("marks", self.create())

    def create(self) -> dict[str, Any]:
        return DefaultMarksProvider().create(self.PROPS).outs or {}
