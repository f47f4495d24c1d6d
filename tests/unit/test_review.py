"""What the review script makes of a preview's events, and how it keeps one comment on a pull request.

The events are made up here, and GitHub is an API of a few lines on this machine. tests/engine/test_review.py shows what
a real preview says of a real change. No test here can show that GitHub answers like this.
"""

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from review import commits, preview
from review.__main__ import main
from review.comment import MARKER, MOST, PullRequest, write
from review.commits import commit_that_intends
from review.preview import DATA, Change, Preview, read
from tools.recorder import ROOT

URN = "urn:pulumi:dev::pacman::pacman:index:X$kubernetes:"


GENERATED = "random:index/randomPassword:RandomPassword"


def step(op: str, kind: str, name: str, diff: Mapping[str, str] | None = None, **states: Any) -> dict[str, Any]:  # noqa: ANN401
    """An event of the log: what happens to one resource, as the engine says it. `kind` may be a whole type.

    Args:
        states: The inputs of the resource, `old` and `new`.
    """
    details = {path: {"diffKind": each} for path, each in diff.items()} if diff is not None else None
    inputs = {state: {"inputs": each} for state, each in states.items()}
    meta = {
        "op": op,
        "type": kind if ":" in kind else f"kubernetes:x/v1:{kind}",
        "urn": f"{URN}{kind}::{name}",
        "detailedDiff": details,
    }
    return {"resourcePreEvent": {"metadata": meta | inputs}}


def protect(event: dict[str, Any], *states: str) -> dict[str, Any]:
    """A step whose resource is protected in its old or new state."""
    for state in states:
        event["resourcePreEvent"]["metadata"].setdefault(state, {"inputs": {}})["protect"] = True
    return event


def summary(**counts: int) -> dict[str, Any]:
    return {"summaryEvent": {"resourceChanges": {op.replace("_", "-"): n for op, n in counts.items()}}}


def diagnostic(severity: str, message: str, urn: str = "") -> dict[str, Any]:
    about = {"urn": urn} if urn else {}
    return {"diagnosticEvent": {"severity": severity, "message": message, **about}}


class TestRead:
    def test_an_unchanged_resource_is_counted_and_not_listed(self) -> None:
        found = read("dev", 0, [step("same", "Service", "pacman"), summary(same=30)])
        assert (found.counts, found.changes) == ({"same": 30}, [])

    def test_a_default_provider_is_not_listed_and_a_provider_of_the_program_is(self) -> None:
        steps = [step("update", "Service", name) for name in ("default_4_23_0", "minikube")]
        for each in steps:
            each["resourcePreEvent"]["metadata"]["type"] = "pulumi:providers:kubernetes"
        assert [change.name for change in read("dev", 0, steps).changes] == ["minikube"]

    def test_an_update_shows_the_old_and_the_new_value_of_each_field(self) -> None:
        old = {"spec": {"containers": [{"image": "a:1.0"}], "x.y/z": "1"}}
        new = {"spec": {"containers": [{"image": "a:1.1"}], "more": True}}
        diff = {"spec.containers[0].image": "update", "spec.more": "add", 'spec["x.y/z"]': "delete"}
        (change,) = read("dev", 0, [step("update", "Deployment", "pacman", diff, old=old, new=new)]).changes
        assert (change.op, change.kind, change.name) == ("update", "Deployment", "pacman")
        assert change.fields == [
            'spec.containers[0].image: "a:1.0" → "a:1.1"',
            "spec.more: (nothing) → true",
            'spec["x.y/z"]: "1" → (nothing)',
        ]
        assert change.forced_by == []

    def test_a_value_that_is_not_known_yet_is_shown_as_known_after_the_change(self) -> None:
        new = {"spec": {"host": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}}
        (change,) = read("dev", 0, [step("update", "Ingress", "pacman", {"spec.host": "add"}, new=new)]).changes
        assert change.fields == ["spec.host: (nothing) → (known after the change)"]

    def test_a_replacement_is_one_change_and_names_the_fields_that_force_it(self) -> None:
        diff = {"spec.serviceName": "update-replace", "spec.replicas": "update"}
        parts = [
            step("delete-replaced", "StatefulSet", "mongo"),
            step("replace", "StatefulSet", "mongo", diff),
            step("create-replacement", "StatefulSet", "mongo"),
        ]
        found = read("dev", 0, [*parts, summary(replace=1)])
        (change,) = found.changes
        assert (change.op, change.forced_by) == ("replace", ["spec.serviceName"])
        assert found.counts == {"replace": 1}

    @pytest.mark.parametrize(
        "steps",
        [
            ["import-replacement", "replace", "delete-replaced"],
            ["import-replacement", "replace", "update", "delete-replaced"],
            ["read-replacement", "replace", "delete-replaced"],
            ["update", "delete-replaced"],
            ["update", "delete"],
        ],
        ids=["an import", "an import and an update", "a read", "an undone deletion", "a deletion beside an update"],
    )
    def test_whatever_deletes_data_counts_also_beside_a_step_that_says_more(self, steps: list[str]) -> None:
        diff = {"import-replacement": {}, "update": {"spec.x": "update"}}
        events = [step(op, "PersistentVolumeClaim", "backups", diff.get(op), old={}, new={}) for op in steps]
        (change,) = read("dev", 0, [*events, summary(update=1)]).changes
        assert change.destructive

    def test_the_digest_covers_what_the_fields_leave_out(self) -> None:
        long = [f"line {number}\n" for number in range(100)]

        def change(last: str) -> Change:
            new = {"data": {"a": "".join([*long, last])}, "__provider": last}
            (found,) = read("dev", 0, [step("update", "ConfigMap", "x", {"data.a": "update"}, old={}, new=new)]).changes
            return found

        assert change("one").fields == change("two").fields
        assert change("one").digest != change("two").digest

    def test_a_refresh_is_not_a_change(self) -> None:
        events = [step("refresh", "Deployment", "pacman"), step("update", "Deployment", "pacman", {})]
        assert [change.op for change in read("dev", 7, events).changes] == ["update"]

    def test_a_mandatory_policy_is_a_violation_and_an_advisory_one_is_not(self) -> None:
        events = [
            {"policyEvent": {"enforcementLevel": level, "message": f"Why.\nService x: spec.type: {level}"}}
            for level in ("mandatory", "advisory")
        ]
        assert read("dev", 1, events).violations == ["Service x: spec.type: mandatory"]

    def test_errors_and_warnings_of_the_program_are_kept(self) -> None:
        events = [diagnostic("error", "pacman:target is wrong\n"), diagnostic("warning", "a warning")]
        found = read("dev", 1, events, "error: preview failed")
        assert (found.errors, found.warnings) == (["pacman:target is wrong"], ["a warning"])

    def test_a_protected_resource_is_told_by_its_change_and_not_by_the_messages_of_the_engine(self) -> None:
        urn = f"{URN}StatefulSet::mongo"
        events = [
            protect(step("delete", "StatefulSet", "mongo", old={}), "old"),
            # As Pulumi 3.259 says it.
            diagnostic(
                "error",
                f'Preview failed: resource "{urn}" cannot be deleted\nbecause it is protected. To unprotect the'
                " resource, either remove the `protect` flag from the resource in your Pulumi program and run"
                f" `pulumi up`, or use the command:\n`pulumi state unprotect '{urn}'`\n",
                urn,
            ),
            diagnostic("error", "preview failed\n"),
            summary(same=30),
        ]
        found = read("dev", 1, events, "error: preview failed")
        assert [change.protected for change in found.changes] == [True]
        assert found.counts == {"delete": 1, "same": 30}
        assert found.errors == []

    def test_other_errors_stay_beside_those_of_a_protected_resource(self) -> None:
        urn = f"{URN}StatefulSet::mongo"
        parts = [
            diagnostic("error", f'unable to replace resource "{urn}"\nas it is currently marked for protection.', urn),
            protect(step("create-replacement", "StatefulSet", "mongo", old={}, new={}), "old", "new"),
            protect(step("delete-replaced", "StatefulSet", "mongo", old={}), "old"),
            diagnostic("error", "the cluster is gone", urn),
            diagnostic("error", "preview failed"),
        ]
        found = read("dev", 1, parts)
        assert [change.protected for change in found.changes] == [True]
        assert found.errors == ["the cluster is gone"]

    @pytest.mark.parametrize(
        ("op", "states"),
        [("update", ("old", "new")), ("replace", ("old",)), ("replace", ("new",))],
        ids=["an update", "unprotected by the change", "protected by the change"],
    )
    def test_what_is_not_protected_before_and_after_a_replacement_is_not_refused(
        self, op: str, states: Sequence[str]
    ) -> None:
        (change,) = read("dev", 0, [protect(step(op, "StatefulSet", "mongo", old={}, new={}), *states)]).changes
        assert not change.protected

    def test_a_replacement_without_kinds_of_differences_still_names_the_fields_that_force_it(self) -> None:
        parts = [
            step(op, GENERATED, "a", None, **states)
            for op, states in (
                ("delete-replaced", {"old": {"length": 8}}),
                ("replace", {"old": {"length": 8}, "new": {"length": 9}}),
            )
        ]
        # As the stand-in of the random provider says it.
        parts[1]["resourcePreEvent"]["metadata"] |= {"keys": ["length"], "diffs": ["length"]}
        (change,) = read("dev", 0, parts).changes
        assert (change.forced_by, change.fields) == (["length"], ["length: 8 → 9"])

    def test_a_preview_that_failed_before_the_first_event_has_the_error_of_stderr(self) -> None:
        assert read("dev", 1, [], "note\nerror: no stack named 'dev' found").errors == [
            "error: no stack named 'dev' found"
        ]

    def test_a_preview_is_the_same_after_a_round_through_a_file(self) -> None:
        change = Change("update", "Service", "x", ["a: 1 → 2"], ["a"], "it matters", destructive=True, protected=True)
        found = Preview("dev", 1, {"update": 1}, [change], ["v"], ["e"], ["w"], "abc1234")
        assert Preview.from_json(found.to_json()) == found
        with pytest.raises(ValueError, match="not a preview"):
            Preview.from_json("{}")


class TestRun:
    """`pulumi` is a script here. tests/engine/test_review.py runs the real one."""

    def run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> Preview:
        program = tmp_path / "pulumi"
        program.write_text(f'#!/bin/bash\nwhile [ "$1" != --event-log ]; do shift; done\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return preview.run("dev")

    @pytest.mark.parametrize("code", [0, 7])
    @pytest.mark.parametrize("log", ["", json.dumps(step("delete", "Namespace", "pacman"))], ids=["none", "no end"])
    def test_a_preview_that_goes_well_without_a_whole_event_log_fails(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: str, code: int
    ) -> None:
        write_log = f"echo '{log}' >$2; " if log else ""
        with pytest.raises(ValueError, match="dev: the preview went well, but its event log has no end"):
            self.run(monkeypatch, tmp_path, f"{write_log}exit {code}")

    def test_a_value_may_hold_any_end_of_a_line(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        update = step("update", "ConfigMap", "x", {"data.a": "add"}, new={"data": {"a": "1\u0085\u20282"}})
        (tmp_path / "log").write_text(
            "\n".join(json.dumps(each, ensure_ascii=False) for each in (update, summary(update=1)))
        )
        (change,) = self.run(monkeypatch, tmp_path, f"cat {tmp_path}/log >$2").changes
        assert change.fields == ['data.a: (nothing) → "1\u0085\u20282"']


class TestComment:
    def test_the_comment_has_a_row_for_each_stack(self) -> None:
        text = write([Preview("aks", 0, {"same": 30}), Preview("dev", 0, {"update": 2, "same": 28})], "")
        assert text.startswith(MARKER)
        assert "| `aks` |  |  |  |  | 30 | ok |\n| `dev` |  | 2 |  |  | 28 | ok |" in text
        assert "The manifests are the same for every stack." in text

    @pytest.mark.parametrize("op", ["replace", "delete"])
    def test_a_change_of_data_gets_a_caution_with_its_reason(self, op: str) -> None:
        change = Change(op, "StatefulSet", "mongo", forced_by=["spec.x"], about_data="MongoDB stops", destructive=True)
        text = write([Preview("dev", 0, {op: 1}, [change])], "")
        assert f"> [!CAUTION]\n> `dev`: **`StatefulSet mongo` is {op}d** (`spec.x`): MongoDB stops." in text
        assert "the check fails" not in text, "nobody asked whether it is intended"

    def test_a_change_beside_the_data_gets_a_note_after_the_table(self) -> None:
        change = Change("delete", "StorageClass", "fast", about_data="volumes that exist keep working")
        text = write([Preview("dev", 0, {"delete": 1}, [change], intended_by="")], "")
        assert text.index("| `dev` |") < text.index("> [!NOTE]\n> `dev`: **`StorageClass fast` is deleted**")
        assert "CAUTION" not in text
        assert "| ok |" in text

    def test_the_first_lines_say_what_is_lost_and_how_a_change_says_that_it_is_intended(self) -> None:
        changes = [
            Change("delete", "StorageClass", "fast", about_data="volumes that exist keep working"),
            Change("delete", "Namespace", "pacman", about_data="all is deleted", destructive=True),
        ]
        previews = [Preview("aks", 1, errors=["e"]), Preview("acme/dev", 0, {"delete": 2}, changes, intended_by="")]
        first, second, *_ = write(previews, "").partition("\n\n")[2].split("\n\n")
        assert first == (
            "> [!CAUTION]\n> `acme/dev`: **the check fails, because this change replaces or deletes data.** If that is"
            " intended, add the line `Deletes-Data: acme/dev` to the message of a commit."
        )
        assert second == "> [!CAUTION]\n> `acme/dev`: **`Namespace pacman` is deleted**: all is deleted."

    @pytest.mark.parametrize(("intended_by", "verdict"), [("", "**replaces or deletes data**"), ("abc1234", "ok")])
    def test_the_row_of_a_stack_says_whether_its_data_may_go(self, intended_by: str, verdict: str) -> None:
        change = Change("delete", "Namespace", "pacman", about_data="all is deleted", destructive=True)
        text = write([Preview("dev", 0, {"delete": 1}, [change], intended_by=intended_by)], "")
        assert f"| `dev` |  |  |  | 1 |  | {verdict} |" in text
        assert ("The commit `abc1234` says that it is intended." in text) == bool(intended_by)
        assert ("the check fails" in text) != bool(intended_by)
        assert "**`Namespace pacman` is deleted**" in text

    def test_a_protected_resource_says_what_to_deploy_first_also_where_it_is_no_data(self) -> None:
        changes = [
            Change("delete", "Namespace", "pacman", about_data="all is deleted", destructive=True, protected=True),
            Change("replace", "Service", "x", protected=True),
        ]
        text = write([Preview("dev", 1, {}, changes, intended_by="abc1234")], "")
        reason = "The stack protects it, so the preview fails: deploy `deletionProtection: disabled` first, on its own."
        assert f"> [!CAUTION]\n> `dev`: **`Namespace pacman` is deleted**: all is deleted. {reason}" in text
        assert f"> [!CAUTION]\n> `dev`: **`Service x` is replaced**: {reason}" in text
        assert "| **failed** |" in text

    def test_a_change_that_is_not_about_data_gets_no_caution(self) -> None:
        changes = [
            Change("update", "StatefulSet", "mongo"),
            Change("delete", "Service", "x"),
            Change("create", "Job", "y"),
        ]
        assert "CAUTION" not in write([Preview("dev", 0, {}, changes)], "")

    def test_a_failed_stack_shows_its_errors_but_not_the_one_that_repeats_a_violated_policy(self) -> None:
        violated = Preview("eks", 1, violations=["v"], errors=["says the engine: v", "e"])
        text = write([Preview("dev", 1, errors=["no such context"]), violated], "")
        assert "| `dev` |  |  |  |  |  | **failed** |" in text
        assert "> [!WARNING]\n> `dev`: `no such context`" in text
        assert "| `eks` |  |  |  |  |  | **policy violated** |" in text
        assert "> `eks`: `v`" in text
        assert "> `eks`: `e`" in text
        assert "says the engine" not in text

    def test_a_stack_that_somebody_changed_is_not_ok(self) -> None:
        assert "| `eks` |  | 1 |  |  |  | **drift** |" in write([Preview("eks", 7, {"update": 1})], None)

    def test_a_reader_sees_which_commit_was_previewed(self) -> None:
        assert "\nOf commit `0123456789`.\n" in write([Preview("dev", 0)], "", commit="0123456789abcdef")

    def test_a_warning_of_the_program_is_a_note(self) -> None:
        text = write([Preview("dev", 0, warnings=["the volumes keep 2Gi"])], "")
        assert "| `dev` |  |  |  |  |  | ok |" in text
        assert "> [!NOTE]\n> `dev`: `the volumes keep 2Gi`" in text

    def test_without_any_stack_the_comment_shows_the_manifests_and_says_why(self) -> None:
        text = write([], "+ image: x")
        assert "No stack was previewed: the variable `STACKS` names none, or the pull request comes from a fork" in text
        assert "or from Dependabot, which get no secrets." in text
        assert "+ image: x" in text

    def test_a_change_cannot_end_the_block_of_code_that_shows_it(self) -> None:
        change = Change("update", "ConfigMap", "x", ["data.a: ``` </details> → @everybody"])
        text = write([Preview("dev", 0, {}, [change])], "")
        assert text.count("```") == 2
        assert text.endswith("The manifests are the same for every stack.\n")

    def test_text_of_a_change_outside_a_block_is_code_that_mentions_nobody(self) -> None:
        bad = "x`** | <img src=y>\n\n# @everybody"
        change = Change("delete", "Namespace", bad, forced_by=[bad], about_data="all is deleted", destructive=True)
        text = write([Preview(bad, 1, {}, [change], errors=[bad]), Preview("eks", 1, violations=[bad])], "")
        outside = text.partition("<details>")[0]
        shown = "x'** / <img src=y> # @everybody"
        assert outside.count(shown) == outside.count("@everybody") == 7
        assert outside.count("`") % 2 == 0
        assert all(shown in part for part in outside.split("`")[1::2] if "@" in part), "out of its code"

    def test_the_comment_names_a_stack_that_has_no_preview(self) -> None:
        text = write([Preview("dev", 0, {"same": 1})], "", stacks=["dev", "eks"])
        assert "| `eks` | | | | | | **no preview**: see the run of its job |" in text
        assert "| `dev` | | | | | | **no preview**" not in text
        assert "No stack was previewed" not in write([], "", stacks=["eks"])

    @pytest.mark.parametrize("lines", [10_000, 3])
    def test_manifests_that_do_not_fit_are_cut_at_a_line_and_the_comment_says_so(self, lines: int) -> None:
        text = write([], "\n".join(f"+ line {n}: {'x' * 40}" for n in range(lines)))
        assert len(text) < MOST
        assert text.count("```") % 2 == 0
        assert text.count("<details>") == text.count("</details>")
        assert (" of 10000 lines; the diff of tests/golden has them" in text) == (lines > 100)


def with_script(stack: str, lines: int, more: int = 0) -> Preview:
    """A preview in which one line of a ConfigMap's long script changes, and `more` other resources."""
    old = [f"echo line {n} of the script" for n in range(lines)]
    new = [*old[: lines // 2], "echo the changed line", *old[lines // 2 + 1 :]]
    states = {state: {"data": {"run.sh": "\n".join(each)}} for state, each in (("old", old), ("new", new))}
    others = [step("delete", "Service", f"service-{n}") for n in range(more)]
    events = [step("update", "ConfigMap", "script", {'data["run.sh"]': "update"}, **states), *others]
    return read(stack, 0, [*events, summary(update=1, delete=more)])


class TestSize:
    """GitHub takes 65536 characters."""

    STACKS = ("acme/dev", "acme/test", "aks", "eks", "gke")

    def manifests(self, lines: int) -> str:
        """The diff of the manifests of all stacks."""
        names = [stack.rpartition("/")[2] for stack in self.STACKS]
        return "".join(
            f"diff --git a/tests/golden/{name}.yaml b/tests/golden/{name}.yaml\n+    of {name}\n"
            + "+    echo a line of the script\n" * lines
            for name in names
        )

    def test_a_long_value_is_shown_as_a_diff_of_the_lines_that_change(self) -> None:
        (change,) = with_script("eks", 2_000).changes
        (field,) = change.fields
        assert field.split("\n") == [
            'data["run.sh"]:',
            " …",
            " echo line 999 of the script",
            "-echo line 1000 of the script",
            "+echo the changed line",
            " echo line 1001 of the script",
        ]
        shown = write([Preview("eks", 0, {}, [change])], "")
        assert '      data["run.sh"]:\n' in shown
        assert "\n-       echo line 1000 of the script\n+       echo the changed line\n" in shown

    def test_a_long_line_is_shown_by_its_pieces_that_change(self) -> None:
        states = {state: {"data": {"ca": "x" * 5_000 + end}} for state, end in (("old", "a"), ("new", "b"))}
        (change,) = read("eks", 0, [step("update", "Secret", "ca", {"data.ca": "update"}, **states)]).changes
        assert len(change.fields[0]) < 500
        assert "xa\n" in change.fields[0]
        assert "xb" in change.fields[0]

    def test_a_value_that_changes_as_a_whole_is_cut_and_says_how_much(self) -> None:
        new = {"data": {"a": "\n".join(f"new {n}" for n in range(500))}}
        (change,) = read("eks", 0, [step("update", "ConfigMap", "x", {"data.a": "add"}, old={}, new=new)]).changes
        assert change.fields[0].split("\n")[-1] == " … 481 more lines of this value"

    def test_five_stacks_and_one_long_script_keep_the_lines_and_the_manifests_of_each_stack(self) -> None:
        text = write([with_script(stack, 2_000) for stack in self.STACKS], self.manifests(2_000), stacks=self.STACKS)
        assert len(text) < MOST
        assert text.count("! update ConfigMap script\n") == text.count("+       echo the changed line\n") == 5
        for stack in self.STACKS:
            name = stack.rpartition("/")[2]
            assert f"<summary>{stack}: 1 to update</summary>" in text
            section = text.partition(f"<summary>The manifests of {name}</summary>")[2].partition("</details>")[0]
            assert len(section) > 5_000
            assert f"+    of {name}\n" in section
            assert " of 2002 lines; the diff of tests/golden has them" in section

    def test_a_small_stack_stays_whole_beside_a_large_one(self) -> None:
        text = write([with_script("aks", 10, more=5_000), with_script("eks", 300)], self.manifests(10))
        assert len(text) < MOST
        small = text.partition("<summary>eks:")[2].partition("</details>")[0]
        assert "+       echo the changed line" in small
        assert "left out" not in small
        assert "+    echo a line of the script" in text.partition("<summary>The manifests of gke")[2]
        large = text.partition("<summary>aks:")[2].partition("</details>")[0]
        assert "! update ConfigMap script\n- delete Service service-0\n" in large
        assert "lines and the changed fields; run `pulumi preview --diff -s aks`" in large

    def test_a_stack_loses_its_values_before_it_loses_a_change(self) -> None:
        fields = [f"spec.field{n}: {'x' * 150} → {'y' * 150}" for n in range(300)]
        changes = [Change("update", "Deployment", "first", fields), Change("delete", "Service", "last")]
        text = write([Preview("eks", 0, {"update": 1}, changes)], None)
        assert "! update Deployment first\n      spec.field0\n      spec.field1\n" in text
        assert "- delete Service last\n… left out: the changed values; run `pulumi preview --diff -s eks`\n" in text

    def test_long_messages_of_many_stacks_leave_room_for_the_changes(self) -> None:
        errors = [f"{n} {'x' * 5_000}" for n in range(50)]
        changes = [Change("update", "Deployment", "pacman", ["spec.replicas: 1 → 3"])]
        text = write([Preview(f"s{n}", 1, {}, changes, errors=errors) for n in range(60)], self.manifests(500))
        assert len(text) < 65_536
        assert text.count("! update Deployment pacman\n") == 60
        assert text.count("50 more messages are in the run of its job.") == 60


class TestAboutData:
    def about(self, *events: Mapping[str, Any]) -> list[str]:
        return [each.about_data for each in read("dev", 0, events).changes]

    def destroys(self, *events: Mapping[str, Any]) -> bool:
        return bool(read("dev", 0, events).destructive)

    @pytest.mark.parametrize("op", ["replace", "delete"])
    @pytest.mark.parametrize(
        ("kind", "destroys"),
        [
            ("kubernetes:core/v1:Namespace", True),
            ("kubernetes:apps/v1:StatefulSet", True),
            ("kubernetes:core/v1:PersistentVolumeClaim", True),
            (GENERATED, True),
            ("kubernetes:storage.k8s.io/v1:StorageClass", False),
            ("kubernetes:storage.k8s.io/v1:StorageClassPatch", False),
            ("kubernetes:apps/v1:Deployment", False),
            ("kubernetes:core/v1:Secret", False),
        ],
    )
    def test_only_namespace_database_claims_and_passwords_are_data(self, kind: str, op: str, destroys: bool) -> None:
        states = {"old": {"length": 8}} | ({"new": {"length": 9}} if op == "replace" else {})
        assert self.destroys(step(op, kind, "x", None, **states)) is destroys

    @pytest.mark.parametrize("op", ["create", "update"])
    def test_a_created_or_updated_database_is_no_loss(self, op: str) -> None:
        assert not self.destroys(step(op, "StatefulSet", "mongo", old={}, new={}))

    @pytest.mark.parametrize(("op", "told"), [("replace", "starts again on the same volumes"), ("delete", "stay")])
    def test_a_statefulset_keeps_the_scores_and_only_a_replaced_one_starts_again(self, op: str, told: str) -> None:
        (about,) = self.about(step(op, "StatefulSet", "mongo"))
        assert told in about
        assert ("starts again" in about) == (op == "replace")

    @pytest.mark.parametrize("op", ["replace", "delete"])
    def test_a_namespace_takes_the_scores_with_it(self, op: str) -> None:
        told = "Kubernetes deletes all that is in it, also the volumes and the scores"
        assert self.about(step(op, "Namespace", "pacman")) == [told]

    @pytest.mark.parametrize("op", ["replace", "delete"])
    def test_the_namespace_of_the_ingress_controller_loses_no_scores(self, op: str) -> None:
        event = step(op, "Namespace", "pacman-ingress")
        parent = "pacman:index:IngressController"
        assert f'"{parent}"' in (ROOT / "components/ingress_controller.py").read_text()
        event["resourcePreEvent"]["metadata"]["urn"] = (
            f"urn:pulumi:dev::pacman::{parent}$kubernetes:core/v1:Namespace::pacman-ingress"
        )
        assert self.about(event) == [""]
        assert not self.destroys(event)

    def test_a_dynamic_resource_of_the_program_is_not_a_namespace_of_kubernetes(self) -> None:
        assert self.about(step("replace", "pulumi-python:dynamic/pacman:Namespace", "namespace")) == [""]

    @pytest.mark.parametrize(
        ("op", "states", "told"),
        [
            ("replace", {"old": {"length": 8}, "new": {"length": 9}}, "keeps the old password"),
            # `pulumi up --replace`
            ("replace", {"old": {"keepers": {"a": "1"}}, "new": {"keepers": {"a": "1"}}}, "keeps the old password"),
            ("delete", {"old": {"keepers": {"a": "1"}}}, "forgets a password"),
        ],
    )
    def test_a_password_that_goes_says_what_mongodb_still_knows(
        self, op: str, states: Mapping[str, Any], told: str
    ) -> None:
        event = step(op, GENERATED, "mongo-app", **states)
        assert told in self.about(event)[0]
        assert self.destroys(event)

    @pytest.mark.parametrize("old", [{}, {"keepers": {"rotation": "1"}}], ids=["the first", "the second"])
    def test_a_rotation_of_a_password_is_no_loss(self, old: Mapping[str, Any]) -> None:
        states = {"old": {"length": 8, **old}, "new": {"length": 8, "keepers": {"rotation": "2"}}}
        parts = [
            step("create-replacement", GENERATED, "mongo-app", **states),
            step("replace", GENERATED, "mongo-app", **states),
            step("delete-replaced", GENERATED, "mongo-app", old=states["old"]),
        ]
        assert "rotation" in self.about(*parts)[0]
        assert not self.destroys(*parts)

    def test_an_old_password_that_an_interrupted_rotation_left_in_the_state_is_no_loss(self) -> None:
        states = {"old": {"keepers": {"rotation": "2"}}, "new": {"keepers": {"rotation": "2"}}}
        left = step("delete-replaced", GENERATED, "mongo-app", old={"keepers": {"rotation": "1"}})
        assert not self.destroys(step("same", GENERATED, "mongo-app", None, **states), left)

    def test_every_type_says_it_differently_for_a_replacement_and_for_a_deletion_unless_both_lose_everything(
        self,
    ) -> None:
        kinds = {kind for kind, _ in DATA}
        same = {kind for kind in kinds if DATA[kind, "replace"] == DATA[kind, "delete"]}
        assert same == {"kubernetes:Namespace"}

    def test_a_created_statefulset_is_not_about_data(self) -> None:
        assert self.about(step("create", "StatefulSet", "mongo")) == [""]


class Repository:
    """A git repository whose first commit is the base of every change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("the base\n\nDeletes-Data: dev")

    def git(self, *arguments: str) -> str:
        """Runs git, under a made-up name."""
        who = ["-c", "user.name=author", "-c", "user.email=author@pacman.example"]
        command = ["git", *who, *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, message: str) -> str:
        """Makes a commit; returns its short name."""
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "--short", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


class TestIntended:
    """A commit says that the change may replace or delete the data of a stack."""

    LOSS = Change("delete", "Namespace", "pacman", about_data="all is deleted", destructive=True)

    def run(self, monkeypatch: pytest.MonkeyPatch, repository: Repository, *options: str, change: Change = LOSS) -> int:
        monkeypatch.chdir(repository.folder)
        monkeypatch.setattr(preview, "run", lambda stack: Preview(stack, 0, {"delete": 1}, [change]))
        return main(["preview", "dev", *options])

    def test_a_change_that_deletes_data_fails_and_says_what_to_write(
        self, monkeypatch: pytest.MonkeyPatch, repository: Repository, capsys: pytest.CaptureFixture[str]
    ) -> None:
        repository.commit("Tidy up")
        assert self.run(monkeypatch, repository) == 1
        printed = capsys.readouterr()
        assert printed.err == (
            "error: dev: the change replaces or deletes data: delete Namespace pacman; if that is intended, add the"
            " line `Deletes-Data: dev` to the message of a commit\n"
        )
        assert "**the check fails" in printed.out

    def test_a_change_that_says_so_passes_and_its_preview_names_the_commit(
        self, monkeypatch: pytest.MonkeyPatch, repository: Repository
    ) -> None:
        name = repository.commit("Move\n\nDeletes-Data: dev")
        out = repository.folder / "previews/dev.json"
        assert self.run(monkeypatch, repository, "--out", str(out)) == 0
        assert Preview.from_json(out.read_text()).intended_by == name

    def test_the_preview_of_a_failed_check_is_there_for_the_comment(
        self, monkeypatch: pytest.MonkeyPatch, repository: Repository
    ) -> None:
        repository.commit("Tidy up")
        out = repository.folder / "dev.json"
        assert self.run(monkeypatch, repository, "--out", str(out)) == 1
        assert [each.title for each in Preview.from_json(out.read_text()).unintended] == ["delete Namespace pacman"]

    def test_a_preview_that_fails_stays_a_failure_whatever_a_commit_says(
        self, monkeypatch: pytest.MonkeyPatch, repository: Repository
    ) -> None:
        repository.commit("Move\n\nDeletes-Data: dev")
        monkeypatch.chdir(repository.folder)
        monkeypatch.setattr(preview, "run", lambda stack: Preview(stack, 255, {}, [self.LOSS], errors=["e"]))
        assert main(["preview", "dev"]) == 1

    def test_without_the_commits_a_loss_fails_and_other_changes_do_not(
        self, monkeypatch: pytest.MonkeyPatch, repository: Repository, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As in a clone of one commit, or outside a repository."""
        assert self.run(monkeypatch, repository) == 1
        assert capsys.readouterr().err.startswith("error: base is HEAD^1: must be a commit of this clone")
        assert self.run(monkeypatch, repository, change=Change("update", "Service", "x")) == 0

    @pytest.mark.parametrize(
        "message",
        [
            "Move\n\nDeletes-Data: dev",
            "Move\n\nDeletes-Data: acme/prod\nDeletes-Data: dev\n\nReviewed-by: somebody",
            "Deletes-Data: dev",
            # As GitHub joins the commits of a pull request that it squashes.
            "The title (#7)\n\n* Tidy up\n\n* Deletes-Data: dev\n\n* Tidy up",
            "The title (#7)\n\n* Move\n\nDeletes-Data: dev\n\n* Tidy up",
        ],
    )
    def test_the_line_may_stand_anywhere_in_a_message(self, repository: Repository, message: str) -> None:
        name = repository.commit(message)
        assert commit_that_intends("dev", "HEAD^1", repository.folder) == name

    @pytest.mark.parametrize(
        "message",
        [
            "Move",
            "Move\n\nDeletes-Data: dev2",
            "Move\n\nDeletes-Data: acme/dev",
            "Move\n\nDeletes-Data:",
            "Move\n\nNo more Deletes-Data: dev",
            "Move\n\nDeletes-Data: dev, says the comment",
        ],
    )
    def test_a_line_about_another_stack_or_in_a_sentence_says_nothing(
        self, repository: Repository, message: str
    ) -> None:
        repository.commit(message)
        assert commit_that_intends("dev", "HEAD^1", repository.folder) == ""

    def test_all_commits_of_a_pull_request_count_and_none_of_its_base(self, repository: Repository) -> None:
        """GitHub checks out a merge of the two, for a pull request, and after a merge that keeps its commits."""
        repository.git("checkout", "--quiet", "-b", "topic")
        name = repository.commit("Move\n\nDeletes-Data: dev")
        repository.commit("Tidy up")
        repository.git("checkout", "--quiet", "main")
        repository.commit("Another pull request\n\nDeletes-Data: prod")
        repository.git("merge", "--quiet", "--no-ff", "--message", "Merge topic into main", "topic")
        assert commit_that_intends("dev", "HEAD^1", repository.folder) == name
        assert commit_that_intends("prod", "HEAD^1", repository.folder) == ""

    def test_the_next_commit_does_not_inherit_the_line(self, repository: Repository) -> None:
        repository.commit("Move\n\nDeletes-Data: dev")
        repository.commit("Tidy up")
        assert commit_that_intends("dev", "HEAD^1", repository.folder) == ""


class TestApproved:
    """`preview --approved` holds a stack to what its reviewers saw."""

    THREE = Change("update", "Deployment", "pacman", ["spec.replicas: 1 → 3"])

    def run(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, now: Preview) -> int:
        (tmp_path / "approved.json").write_text(Preview("acme/prod", 0, {"update": 1}, [self.THREE]).to_json())
        monkeypatch.setattr(preview, "run", lambda stack: now)
        return main(["preview", "acme/prod", "--approved", str(tmp_path / "approved.json")])

    def test_the_same_changes_pass_also_with_another_warning(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        now = Preview("acme/prod", 0, {"update": 1}, [self.THREE], warnings=["the node is slow"])
        assert self.run(monkeypatch, tmp_path, now) == 0
        assert "! update Deployment pacman" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ([], "update Deployment pacman"),
            ([replace(THREE, fields=["spec.replicas: 5 → 3"])], "update Deployment pacman"),
            ([replace(THREE, digest="of what `fields` leaves out")], "update Deployment pacman"),
            ([THREE, Change("delete", "Service", "x")], "delete Service x"),
        ],
        ids=["a change is gone", "another value", "another value that is not shown", "one more change"],
    )
    def test_any_other_change_fails_and_is_named(
        self,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        changes: Sequence[Change],
        named: str,
    ) -> None:
        assert self.run(monkeypatch, tmp_path, Preview("acme/prod", 0, {}, changes)) == 1
        assert capsys.readouterr().err == (
            f"error: acme/prod has changed since its preview was approved: {named};"
            " run all jobs of the workflow again, for a new preview and a new approval\n"
        )

    def test_a_preview_that_fails_is_not_approved_by_its_equal_changes(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        assert self.run(monkeypatch, tmp_path, Preview("acme/prod", 255, {}, [self.THREE], errors=["e"])) == 1

    def test_many_differences_stay_one_short_line(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        changes = [self.THREE, *(Change("delete", "Service", f"s{n}") for n in range(9))]
        assert self.run(monkeypatch, tmp_path, Preview("acme/prod", 0, {}, changes)) == 1
        assert "delete Service s4 and 4 more; run all jobs" in capsys.readouterr().err


class GitHub:
    """The comments of one pull request, by pages of two."""

    def __init__(self, comments: Sequence[Mapping[str, Any]] = ()) -> None:
        self.comments = [dict(each) for each in comments]
        self.tokens: set[str | None] = set()
        self.last_commit = "abc"
        self.url = ""


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/repos/we/pacman/pulls/7":
                return self.answer({"head": {"sha": state.last_commit}})
            page = int(self.path.rpartition("page=")[2])
            return self.answer(state.comments[2 * page - 2 : 2 * page])

        def do_POST(self) -> None:
            assert self.path == "/repos/we/pacman/issues/7/comments"
            state.comments.append({"id": len(state.comments) + 1, "user": {"type": "Bot"}, **self.body()})
            self.answer({})

        def do_PATCH(self) -> None:
            ident = int(self.path.removeprefix("/repos/we/pacman/issues/comments/"))
            next(each for each in state.comments if each["id"] == ident).update(self.body())
            self.answer({})

        def body(self) -> Any:  # noqa: ANN401
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def answer(self, body: object) -> None:
            state.tokens.add(self.headers["Authorization"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


class TestPullRequest:
    def test_the_first_run_creates_the_comment_and_the_next_one_updates_it(self, github: GitHub) -> None:
        request = PullRequest(github.url, "we/pacman", 7, "token-of-the-job")
        request.post(f"{MARKER} one", "abc")
        request.post(f"{MARKER} two", "abc")
        assert [each["body"] for each in github.comments] == [f"{MARKER} two"]
        assert github.tokens == {"Bearer token-of-the-job"}

    def test_comments_of_other_people_are_left_alone_even_with_the_marker(self, github: GitHub) -> None:
        others = ["nice", f"{MARKER} as a person wrote it", "really"]
        github.comments = [{"id": n, "user": {"type": "User"}, "body": text} for n, text in enumerate(others)]
        github.comments.append({"id": 9, "user": {"type": "Bot"}, "body": f"{MARKER} old"})
        PullRequest(github.url, "we/pacman", 7, "t").post(f"{MARKER} new", "abc")
        assert [each["body"] for each in github.comments] == [*others, f"{MARKER} new"]

    def test_an_older_commit_that_runs_again_leaves_the_comment_of_the_last_one(self, github: GitHub) -> None:
        request = PullRequest(github.url, "we/pacman", 7, "t")
        assert request.post(f"{MARKER} last", "abc")
        assert not request.post(f"{MARKER} older", "0ld")
        assert [each["body"] for each in github.comments] == [f"{MARKER} last"]

    def test_posting_without_the_variables_of_a_workflow_names_the_missing_ones(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN", "PR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(commits, "changed_manifests", lambda base: "")
        assert main(["comment", "--base", "main", "--commit", "abc", "--post"]) == 1
        told = "error: GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN, PR must be set to post a comment\n"
        assert capsys.readouterr().err == told

    def test_post_puts_the_previews_and_the_manifests_on_the_pull_request(
        self, github: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "dev.json").write_text(Preview("dev", 0, {"same": 3}).to_json())
        monkeypatch.setattr(commits, "changed_manifests", lambda base: f"diff from {base}")
        given = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "we/pacman", "GITHUB_TOKEN": "t", "PR": "7"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert main(["comment", str(tmp_path / "dev.json"), "--base", "def", "--commit", "abc", "--post"]) == 0
        (posted,) = github.comments
        assert "| `dev` |  |  |  |  | 3 | ok |" in posted["body"]
        assert "diff from def" in posted["body"]
        assert "Of commit `abc`" in posted["body"]


def test_an_unknown_base_is_one_line_of_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["comment", "--base", "no-such-commit"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("error: base is no-such-commit: must be a commit of this clone")


def test_a_file_that_is_not_a_preview_is_one_line_of_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    for name, why in (("x.json", "not a preview"), ("none.json", "No such file or directory")):
        file = tmp_path / name
        assert main(["comment", str(file), "--base", "HEAD"]) == 1
        told = f"error: previews has {file}: must be a file that `preview --out` wrote; {why}"
        assert capsys.readouterr().err.startswith(told)
