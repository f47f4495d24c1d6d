"""What the review script makes of a preview's events, and how it keeps one comment on a pull request.

The events are made up here, and GitHub is an API of a few lines on this machine. What a real preview says of a real
change, tests/engine/test_review.py shows; that GitHub answers like this, nothing here can.
"""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from review import comment
from review.__main__ import main
from review.comment import MARKER, MOST, PullRequest, write
from review.preview import DATA, Change, Preview, read

URN = "urn:pulumi:dev::pacman::pacman:index:X$kubernetes:"


def step(op: str, kind: str, name: str, diff: Mapping[str, str] | None = None, **states: Any) -> dict[str, Any]:  # noqa: ANN401
    """An event of the log: what happens to one resource, as the engine says it."""
    details = {path: {"diffKind": each} for path, each in diff.items()} if diff is not None else None
    inputs = {state: {"inputs": each} for state, each in states.items()}
    meta = {"op": op, "type": f"kubernetes:x/v1:{kind}", "urn": f"{URN}{kind}::{name}", "detailedDiff": details}
    return {"resourcePreEvent": {"metadata": meta | inputs}}


def summary(**counts: int) -> dict[str, Any]:
    return {"summaryEvent": {"resourceChanges": {op.replace("_", "-"): n for op, n in counts.items()}}}


def diagnostic(severity: str, message: str) -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": severity, "message": message}}


class TestRead:
    def test_what_stays_the_same_is_counted_and_not_listed(self) -> None:
        found = read("dev", 0, [step("same", "Service", "pacman"), summary(same=30)])
        assert (found.counts, found.changes) == ({"same": 30}, [])

    def test_a_default_provider_is_the_engine_s_own_and_one_of_ours_is_listed(self) -> None:
        steps = [step("update", "Service", name) for name in ("default_4_23_0", "minikube")]
        for each in steps:
            each["resourcePreEvent"]["metadata"]["type"] = "pulumi:providers:kubernetes"
        assert [change.name for change in read("dev", 0, steps).changes] == ["minikube"]

    def test_an_update_says_what_was_and_what_will_be(self) -> None:
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

    def test_what_is_known_only_later_is_said_so(self) -> None:
        new = {"spec": {"host": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}}
        (change,) = read("dev", 0, [step("update", "Ingress", "pacman", {"spec.host": "add"}, new=new)]).changes
        assert change.fields == ["spec.host: (nothing) → (known after the change)"]

    def test_a_replacement_is_one_change_and_says_what_forces_it(self) -> None:
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

    def test_a_refresh_is_no_change(self) -> None:
        events = [step("refresh", "Deployment", "pacman"), step("update", "Deployment", "pacman", {})]
        assert [change.op for change in read("dev", 7, events).changes] == ["update"]

    def test_violations_of_the_policy_and_advice(self) -> None:
        events = [
            {"policyEvent": {"enforcementLevel": level, "message": f"Why.\nService x: spec.type: {level}"}}
            for level in ("mandatory", "advisory")
        ]
        assert read("dev", 1, events).violations == ["Service x: spec.type: mandatory"]

    def test_errors_and_warnings_of_the_program_are_told(self) -> None:
        events = [diagnostic("error", "pacman:target is wrong\n"), diagnostic("warning", "a warning")]
        found = read("dev", 1, events, "error: preview failed")
        assert (found.errors, found.warnings) == (["pacman:target is wrong"], ["a warning"])

    def test_and_what_failed_before_there_was_any_event(self) -> None:
        assert read("dev", 1, [], "note\nerror: no stack named 'dev' found").errors == [
            "error: no stack named 'dev' found"
        ]

    def test_it_outlives_a_file(self) -> None:
        change = Change("update", "Service", "x", ["a: 1 → 2"], ["a"])
        found = Preview("dev", 1, {"update": 1}, [change], ["v"], ["e"], ["w"])
        assert Preview.from_json(found.to_json()) == found
        with pytest.raises(ValueError, match="not a preview"):
            Preview.from_json("{}")


class TestComment:
    def test_a_row_for_each_stack(self) -> None:
        text = write([Preview("aks", 0, {"same": 30}), Preview("dev", 0, {"update": 2, "same": 28})], "")
        assert text.startswith(MARKER)
        assert "| `aks` |  |  |  |  | 30 | ok |\n| `dev` |  | 2 |  |  | 28 | ok |" in text
        assert "The manifests are the same for every stack." in text

    @pytest.mark.parametrize("kind", DATA)
    @pytest.mark.parametrize("op", ["replace", "delete"])
    def test_what_is_about_data_is_called_out(self, kind: str, op: str) -> None:
        text = write([Preview("dev", 0, {op: 1}, [Change(op, kind, "mongo", forced_by=["spec.x"])])], "")
        assert f"> [!CAUTION]\n> `dev`: **`{kind} mongo` is {op}d** (`spec.x`): {DATA[kind]}." in text

    def test_and_nothing_else_is(self) -> None:
        changes = [
            Change("update", "StatefulSet", "mongo"),
            Change("delete", "Service", "x"),
            Change("create", "Job", "y"),
        ]
        assert "CAUTION" not in write([Preview("dev", 0, {}, changes)], "")

    def test_a_stack_that_failed_says_why(self) -> None:
        text = write(
            [Preview("dev", 1, errors=["context is away"]), Preview("eks", 1, violations=["v"], errors=["e"])], ""
        )
        assert "| `dev` |  |  |  |  |  | **failed** |" in text
        assert "> [!WARNING]\n> `dev`: `context is away`" in text
        assert "| `eks` |  |  |  |  |  | **policy violated** |" in text
        assert "> `eks`: `v`" in text
        assert "`eks`: `e`" not in text

    def test_what_is_only_a_warning_is_a_note(self) -> None:
        text = write([Preview("dev", 0, warnings=["the volumes keep 2Gi"])], "")
        assert "| `dev` |  |  |  |  |  | ok |" in text
        assert "> [!NOTE]\n> `dev`: `the volumes keep 2Gi`" in text

    def test_a_fork_gets_the_manifests_only(self) -> None:
        text = write([], "+ image: x")
        assert "No stack was previewed. A fork may not; by hand" in text
        assert "+ image: x" in text

    def test_text_of_the_change_stays_text_in_a_block(self) -> None:
        change = Change("update", "ConfigMap", "x", ["data.a: ``` </details> → @everybody"])
        text = write([Preview("dev", 0, {}, [change])], "")
        assert text.count("```") == 2
        assert text.endswith("The manifests are the same for every stack.\n")

    def test_and_outside_of_one(self) -> None:
        bad = "x`** | <img src=y>\n\n# @everybody"
        change = Change("delete", "Namespace", bad, forced_by=[bad])
        text = write([Preview(bad, 1, {}, [change], errors=[bad]), Preview("eks", 1, violations=[bad])], "")
        outside = text.partition("<details>")[0]
        shown = "x'** / <img src=y> # @everybody"
        assert outside.count(shown) == outside.count("@everybody") == 7
        assert outside.count("`") % 2 == 0
        assert all(shown in part for part in outside.split("`")[1::2] if "@" in part), "out of its code"

    def test_a_stack_whose_preview_never_came_is_missed(self) -> None:
        text = write([Preview("dev", 0, {"same": 1})], "", stacks=["dev", "eks"])
        assert "| `eks` | | | | | | **no preview**: see the run of its job |" in text
        assert "| `dev` | | | | | | **no preview**" not in text
        assert "No stack was previewed" not in write([], "", stacks=["eks"])

    @pytest.mark.parametrize("lines", [10_000, 3])
    def test_it_fits_into_a_comment_and_is_whole(self, lines: int) -> None:
        text = write([], "\n".join(f"+ line {n}: {'x' * 40}" for n in range(lines)))
        assert len(text) < MOST + 200
        assert text.count("```") % 2 == 0
        assert text.count("<details>") == text.count("</details>")
        assert ("does not fit" in text) == (lines > 100)


class GitHub:
    """The comments of one pull request, by pages of two."""

    def __init__(self, comments: Sequence[Mapping[str, Any]] = ()) -> None:
        self.comments = [dict(each) for each in comments]
        self.tokens: set[str | None] = set()
        self.url = ""


@pytest.fixture
def github() -> Iterator[GitHub]:
    state = GitHub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = int(self.path.rpartition("page=")[2])
            self.answer(state.comments[2 * page - 2 : 2 * page])

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


class TestSticky:
    def test_the_first_time_it_is_made_and_then_changed(self, github: GitHub) -> None:
        request = PullRequest(github.url, "we/pacman", 7, "token-of-the-job")
        request.say(f"{MARKER} one")
        request.say(f"{MARKER} two")
        assert [each["body"] for each in github.comments] == [f"{MARKER} two"]
        assert github.tokens == {"Bearer token-of-the-job"}

    def test_it_is_found_behind_what_others_said_and_theirs_are_left_alone(self, github: GitHub) -> None:
        others = ["nice", f"{MARKER} as a person wrote it", "really"]
        github.comments = [{"id": n, "user": {"type": "User"}, "body": text} for n, text in enumerate(others)]
        github.comments.append({"id": 9, "user": {"type": "Bot"}, "body": f"{MARKER} old"})
        PullRequest(github.url, "we/pacman", 7, "t").say(f"{MARKER} new")
        assert [each["body"] for each in github.comments] == [*others, f"{MARKER} new"]

    def test_posting_needs_what_a_workflow_gives(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN", "PR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(comment, "changed_manifests", lambda base: "")
        assert main(["comment", "--base", "main", "--post"]) == 1
        told = "error: GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN, PR must be set to post a comment\n"
        assert capsys.readouterr().err == told

    def test_it_posts_what_it_would_print(
        self, github: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "dev.json").write_text(Preview("dev", 0, {"same": 3}).to_json())
        monkeypatch.setattr(comment, "changed_manifests", lambda base: f"diff from {base}")
        given = {"GITHUB_API_URL": github.url, "GITHUB_REPOSITORY": "we/pacman", "GITHUB_TOKEN": "t", "PR": "7"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        assert main(["comment", str(tmp_path / "dev.json"), "--base", "abc", "--post"]) == 0
        (posted,) = github.comments
        assert "| `dev` |  |  |  |  | 3 | ok |" in posted["body"]
        assert "diff from abc" in posted["body"]


def test_a_base_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["comment", "--base", "no-such-commit"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("error: base is no-such-commit: must be a commit that is here")


def test_a_file_that_is_no_preview_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[]")
    for name, why in (("x.json", "not a preview"), ("none.json", "No such file or directory")):
        file = tmp_path / name
        assert main(["comment", str(file), "--base", "HEAD"]) == 1
        told = f"error: previews has {file}: must be a file that `preview --out` wrote; {why}"
        assert capsys.readouterr().err.startswith(told)
