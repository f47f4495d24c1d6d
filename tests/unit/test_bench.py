"""What the bench computes, prints, writes and refuses, without a cluster. What it measures, `make bench` shows."""

import json
import os
import signal
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox import node
from sandbox.places import CHECKOUT
from tools import measuring
from tools.bench import __main__ as command_line
from tools.bench import report
from tools.bench.figures import Report, Row, Section
from tools.bench.rig import Stopwatch, copy_checkout, manifests_of, memory_of_node, run, uninterrupted
from tools.measuring import MeasuringError, until

DEPLOY = Row("up", "s", [20, 22, 30], "kubectl", [10, 20, 20], 1.3)
RATE = Row("scores", "/s", [900], "the pod", [1000], 0.8, at_least=True)
DOWN = Row("make down", "s", [9.5], target=10)


def section(name: str, *rows: Row, notes: tuple[str, ...] = ()) -> Section:
    return Section(name, rows, 3, "2026-09-01", "abc1234", "a CPU, 2 cores", notes)


class TestRow:
    def test_the_ratio_is_the_median_of_the_ratios_within_each_run(self) -> None:
        # Not the ratio of the medians, which is 22 / 20: a slow minute of the machine is in both sides of one run.
        assert DEPLOY.ratio == 1.5

    def test_a_figure_that_is_compared_with_nothing_has_no_ratio(self) -> None:
        assert DOWN.ratio is None

    @pytest.mark.parametrize(
        ("row", "verdict"),
        [
            (DEPLOY, "missed"),
            (replace(DEPLOY, target=1.5), "held"),
            (replace(DEPLOY, target=None), ""),
            (RATE, "held"),
            (replace(RATE, target=0.95), "missed"),
            (DOWN, "held"),
            (replace(DOWN, ours=[9, 11, 12]), "missed"),
        ],
    )
    def test_the_verdict_holds_the_figure_against_the_target(self, row: Row, verdict: str) -> None:
        assert row.verdict == verdict

    @pytest.mark.parametrize(("ours", "other"), [([], []), ([1, 2], [1])])
    def test_runs_without_a_counterpart_are_refused(self, ours: list[float], other: list[float]) -> None:
        with pytest.raises(ValueError, match="up: "):
            Row("up", "s", ours, "kubectl", other)


class TestReport:
    def test_a_report_that_is_written_can_be_read(self, tmp_path: Path) -> None:
        written = (
            Report().with_section(section("deploy", DEPLOY, notes=("a note",))).with_section(section("cold", DOWN))
        )
        written.write(tmp_path / "performance.json")
        found = Report.read(tmp_path / "performance.json")
        assert list(found.sections) == ["deploy", "cold"]
        assert found.sections["deploy"].rows[0] == DEPLOY
        assert list(found.sections["deploy"].notes) == ["a note"]

    def test_a_section_that_is_measured_again_takes_the_place_of_the_old_one_and_no_other(self) -> None:
        old = Report().with_section(section("deploy", DEPLOY)).with_section(section("cold", DOWN))
        new = old.with_section(section("deploy", RATE))
        assert new.sections["deploy"].rows == (RATE,)
        assert new.sections["cold"] is old.sections["cold"]

    def test_without_a_file_there_are_no_figures(self, tmp_path: Path) -> None:
        assert Report.read(tmp_path / "none.json") == Report()

    @pytest.mark.parametrize("text", ["{", '[{"name": "deploy"}]', '[{"rows": 1}]', '{"deploy": 1}'])
    def test_a_file_of_something_else_is_told_in_one_line(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "performance.json"
        file.write_text(text)
        with pytest.raises(MeasuringError, match=r"performance.json cannot be read .*: delete it") as told:
            Report.read(file)
        assert "\n" not in str(told.value)


class TestTable:
    report = Report().with_section(section("deploy", DEPLOY, notes=("a note",))).with_section(section("sandbox", DOWN))

    def test_a_row_shows_both_medians_the_ratio_the_target_and_the_verdict(self) -> None:
        (line,) = [each for each in report.table(self.report, ["deploy"]).splitlines() if each.startswith("up")]
        assert line.split() == ["up", "22.0", "s", "kubectl", "20.0", "s", "1.50", "≤", "1.3", "missed"]

    def test_a_target_without_a_ratio_has_the_unit(self) -> None:
        assert "≤ 10 s  held" in report.table(self.report, ["sandbox"])

    def test_it_says_which_sections_were_not_run_now_and_which_never_were(self) -> None:
        text = report.table(self.report, ["deploy"])
        assert "Deploy and destroy\n" in text
        assert "The sandbox (not run now: of 2026-09-01, commit abc1234)" in text
        assert "Not run yet: Nothing to do, Changes, Through the Ingress, More pods, The sandbox from nothing" in text

    def test_columns_are_aligned(self) -> None:
        lines = [line for line in report.table(self.report, []).splitlines() if line.startswith(("up", "make down"))]
        assert len({line.index(verdict) for line, verdict in zip(lines, ("missed", "held"), strict=True)}) == 1


class TestPage:
    def test_each_section_has_its_method_its_table_its_notes_and_where_it_was_measured(self) -> None:
        text = report.markdown(Report().with_section(section("deploy", DEPLOY, notes=("a note",))), "performance.svg")
        assert "## Deploy and destroy\n\n`pulumi up` starts from no namespace" in text
        assert "| up | 22.0 s | kubectl | 20.0 s | 1.50 | ≤ 1.3 | missed |" in text
        assert "\na note\n\n2026-09-01, commit abc1234, 3 runs, on a CPU, 2 cores." in text
        assert "](performance.svg)" in text
        assert "0 held, 1 missed" in text

    def test_it_says_what_was_not_measured(self) -> None:
        assert "Not measured yet: Deploy and destroy, " in report.markdown(Report(), "performance.svg")

    def test_every_section_that_can_be_measured_is_described(self) -> None:
        assert list(report.SECTIONS) == list(command_line._SECTIONS)


class TestPlot:
    growth = (
        Row("seconds per pod until 1 is ready", "s", [2]),
        Row("seconds per pod until 10 are ready", "s", [1], "1 pod", [2]),
        Row("memory per pod, 1 running", "MB", [80]),
        Row("memory per pod, 10 running", "MB", [60], "1 pod", [80]),
    )

    def test_it_is_an_svg_with_the_names_as_text_and_the_same_each_time(self, tmp_path: Path) -> None:
        measured = Report().with_section(section("deploy", DEPLOY)).with_section(section("pods", *self.growth))
        first, second = tmp_path / "first.svg", tmp_path / "second.svg"
        report.plot(measured, first)
        report.plot(measured, second)
        drawn = ET.fromstring(first.read_text())  # noqa: S314 - our own file
        assert drawn.tag.endswith("svg")
        assert "1.50" in "".join(drawn.itertext())
        assert first.read_text() == second.read_text()

    def test_it_can_be_drawn_without_any_figure(self, tmp_path: Path) -> None:
        report.plot(Report(), tmp_path / "empty.svg")
        assert (tmp_path / "empty.svg").stat().st_size


class TestSettings:
    def test_without_any_it_runs_all_but_the_build_from_nothing_and_more_than_once(self) -> None:
        settings = command_line.Settings.read({})
        assert settings.runs > 1
        assert {*command_line._SECTIONS} - {*settings.sections} == {"cold"}

    def test_empty_values_are_none(self) -> None:
        # `make bench` hands on all of them, set or not.
        assert command_line.Settings.read({"RUNS": "", "ONLY": "", "COLD": ""}) == command_line.Settings.read({})

    def test_sections_are_run_in_their_order_whatever_the_order_asked_for(self) -> None:
        assert command_line.Settings.read({"ONLY": "pods, deploy"}).sections == ["deploy", "pods"]

    def test_the_build_from_nothing_comes_last(self) -> None:
        assert command_line.Settings.read({"ONLY": "deploy", "COLD": "1"}).sections == ["deploy", "cold"]

    @pytest.mark.parametrize(
        ("env", "said"),
        [
            ({"RUNS": "0"}, "RUNS is 0: must be a number from 1 to 50"),
            ({"RUNS": "-1"}, "RUNS is -1: must be a number from 1 to 50"),
            ({"RUNS": "many"}, "RUNS is many: must be a number from 1 to 50"),
            ({"RUNS": "²"}, "RUNS is ²: must be a number from 1 to 50"),
            ({"COLD": "yes"}, "COLD is yes: must be 1, or 0"),
            ({"ONLY": "deploy,all"}, "ONLY has all: must be of deploy, idle, change, throughput, pods, sandbox, cold"),
            ({"STACK": "dev"}, "STACK is dev: must be sandbox"),
        ],
    )
    def test_a_mistake_is_told_in_one_line(
        self, env: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("RUNS", "ONLY", "COLD", "STACK"):
            monkeypatch.setenv(name, env.get(name, ""))
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert ended.value.code == 1
        told = capsys.readouterr().err
        assert told.startswith(f"error: {said}")
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("running", "current", "said"),
    [
        (0, True, "the sandbox does not run: make up"),
        (1, False, "the sandbox runs versions that are not those of this checkout: make up"),
        (3, True, "the sandbox has 3 nodes, .*: make up NODES=1"),
    ],
)
def test_a_sandbox_that_cannot_be_measured_is_refused_with_the_command_to_give(
    monkeypatch: pytest.MonkeyPatch, running: int, current: bool, said: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(node.Node, "pid", lambda self: self.number if self.number <= running else None)
    monkeypatch.setattr(node.Node, "is_current", current)
    with pytest.raises(MeasuringError, match=said):
        command_line._check_sandbox()


def test_manifests_are_the_kubernetes_inputs_with_secrets_in_plain_and_in_the_order_of_creation() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "a mark", "plaintext": json.dumps({"password": "p"})}
    state = [
        {"type": "pulumi:providers:kubernetes", "inputs": {"context": "sandbox"}},
        {"type": "kubernetes:core/v1:Namespace", "inputs": {"kind": "Namespace", "__defaults": []}},
        {"type": "random:index/randomPassword:RandomPassword", "inputs": {"length": 3}},
        {"type": "kubernetes:core/v1:Secret", "inputs": {"kind": "Secret", "stringData": secret, "list": [secret]}},
    ]
    assert manifests_of(state) == [
        {"kind": "Namespace"},
        {"kind": "Secret", "stringData": {"password": "p"}, "list": [{"password": "p"}]},
    ]


def test_a_stopwatch_takes_no_time_of_what_fails() -> None:
    took = Stopwatch()
    with took("works"):
        pass
    with pytest.raises(ValueError), took("fails"):
        raise ValueError
    assert len(took["works"]) == 1
    assert not took["fails"]


class TestCommands:
    def test_a_command_that_fails_is_told_in_one_line_with_its_last_error(self) -> None:
        script = "echo 'error: the first'; echo >&2 'error: the reason'; echo >&2 more; exit 1"
        with pytest.raises(MeasuringError, match=r"^sh -c .*: error: the reason$"):
            run("sh", "-c", script, env={"PATH": "/usr/bin:/bin"})

    def test_what_a_command_reads_is_in_no_error(self) -> None:
        with pytest.raises(MeasuringError) as told:
            run("sh", "-c", "read word; exit 1", env={"PATH": "/usr/bin:/bin"}, stdin="secret\n")
        assert "secret" not in str(told.value)

    def test_a_command_that_does_not_end_is_ended_with_what_it_started(self, tmp_path: Path) -> None:
        script = f"sh -c 'echo $$ >{tmp_path}/child; exec sleep 300'; true"
        with pytest.raises(MeasuringError, match="did not end in 1 s"):
            run("sh", "-c", script, env={"PATH": "/usr/bin:/bin"}, seconds=1)
        child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
        until("the child has ended", lambda: not child.exists() or ") Z" in child.read_text())


def test_the_machine_is_named_by_its_cpu_cores_memory_and_kernel() -> None:
    assert all(what in measuring.this_machine() for what in ("cores", "GiB of memory", "Linux"))


def test_the_commit_is_unknown_outside_of_git(tmp_path: Path) -> None:
    assert measuring.commit_of(tmp_path) == "unknown"


def test_memory_counts_a_process_and_all_below_it() -> None:
    assert memory_of_node(1) > 10**6


def test_an_interruption_during_the_cleanup_waits_for_its_end() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        # What is started meanwhile, such as the node, must not inherit that it is ignored.
        assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before


def test_the_copy_of_the_checkout_has_its_files_and_none_that_git_ignores(tmp_path: Path) -> None:
    copy_checkout(tmp_path / "copy")
    assert (tmp_path / "copy/Pulumi.yaml").read_text() == (CHECKOUT / "Pulumi.yaml").read_text()
    assert (tmp_path / "copy/.venv/bin/python").exists()
    assert not (tmp_path / "copy/.sandbox").exists()
