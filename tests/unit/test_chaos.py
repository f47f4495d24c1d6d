"""What `make chaos` computes, prints, writes and refuses, without a cluster. What it finds, `make chaos` shows."""

from dataclasses import replace
from pathlib import Path

import pytest

from tools.chaos import __main__ as command_line
from tools.chaos import report
from tools.chaos.figures import (
    Interruptions,
    Repetition,
    Report,
    Row,
    fewest_complete,
)
from tools.game import longest_gap
from tools.measuring import MeasuringError

PLACE = {"date": "2026-09-01", "commit": "abc1234", "machine": "a CPU, 2 cores"}
KILLED = Row(
    "kill-primary", [Repetition(300, 0, 11.0, 2), Repetition(310, 0, 12.5, 1), Repetition(290, 0, 10.5, 2)], **PLACE
)
RESTARTED = Row("restart", [Repetition(900, 0, 1.5, 2)], **PLACE)
ENDED = Interruptions("kill-deploy", [1.0, 3.0, 5.0], ["", "cancel", "cancel, refresh"], **PLACE)


def cells_of(title: str, measured: Report) -> list[str]:
    """The cells of the row that begins with a title, without that one."""
    (line,) = [each for each in report.markdown(measured).splitlines() if each.startswith(f"| {title}")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


class TestGap:
    def test_it_is_the_longest_time_between_two_scores_in_whatever_order_they_are_noted_down(self) -> None:
        assert longest_gap([5.0, 1.0, 2.0], end=5.5) == 3.0

    def test_the_time_after_the_last_score_counts(self) -> None:
        assert longest_gap([1.0, 2.0], end=10.0) == 8.0


class TestCompleteMembers:
    CHANGES = (
        {"at": 1.0, "member": "a", "complete": True},
        {"at": 1.1, "member": "b", "complete": True},
        {"at": 1.2, "member": "c", "complete": True},
        {"at": 5.0, "member": "c", "complete": False},
        {"at": 6.0, "member": "b", "complete": False},
        {"at": 7.0, "member": "b", "complete": True},
        {"at": 9.0, "member": "c", "complete": True},
    )

    @pytest.mark.parametrize(
        ("begin", "end", "fewest"), [(2, 10, 1), (2, 5.5, 2), (2, 4, 3), (7.5, 10, 2), (6.5, 6.6, 1)]
    )
    def test_it_is_the_fewest_at_any_moment_of_the_time_also_at_its_first_one(
        self, begin: float, end: float, fewest: int
    ) -> None:
        assert fewest_complete(self.CHANGES, begin, end) == fewest

    def test_it_is_unknown_if_nobody_watched_when_the_time_began(self) -> None:
        assert fewest_complete(self.CHANGES, 0.5, 10) is None


class TestRow:
    def test_it_has_the_median_and_the_worst_of_its_repetitions(self) -> None:
        assert (KILLED.acknowledged, KILLED.lost, KILLED.median, KILLED.worst, KILLED.complete) == (
            900,
            0,
            11.0,
            12.5,
            1,
        )

    def test_a_repetition_that_nobody_watched_has_no_part_in_the_fewest_members(self) -> None:
        unwatched = Repetition(10, 0, 1, None)
        assert replace(KILLED, repetitions=[unwatched, *KILLED.repetitions]).complete == 1
        assert replace(KILLED, repetitions=[unwatched]).complete is None


class TestReport:
    def test_a_report_that_is_written_can_be_read(self, tmp_path: Path) -> None:
        file = tmp_path / "chaos.json"
        Report().with_(KILLED).with_(ENDED).write(file)
        assert Report.read(file) == Report({"kill-primary": KILLED}, {"kill-deploy": ENDED})

    def test_a_fault_that_is_made_again_takes_the_place_of_the_old_figures_and_no_others(self) -> None:
        worse = replace(KILLED, repetitions=KILLED.repetitions[1:2])
        found = Report().with_(KILLED).with_(RESTARTED).with_(worse)
        assert found.rows == {"kill-primary": worse, "restart": RESTARTED}

    def test_without_a_file_there_are_no_figures(self, tmp_path: Path) -> None:
        assert Report.read(tmp_path / "none.json") == Report()

    @pytest.mark.parametrize("text", ["{", "[]", '{"rows": [1], "interruptions": []}', '{"rows": [{"fault": "x"}]}'])
    def test_a_file_of_something_else_is_reported_in_one_line(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "chaos.json"
        file.write_text(text)
        with pytest.raises(MeasuringError, match=r"chaos.json cannot be read .*: delete it") as told:
            Report.read(file)
        assert "\n" not in str(told.value)


class TestPage:
    def test_a_row_has_the_sums_the_median_and_the_worst(self) -> None:
        assert cells_of("SIGKILL the primary", Report().with_(KILLED)) == [
            "3",
            "900",
            "0",
            "11.0 s",
            "15 s",
            "12.5 s",
            "1 of 3",
        ]

    def test_a_row_without_a_whole_repetition_has_no_seconds_and_its_reason_below(self) -> None:
        failed = replace(KILLED, repetitions=[], failed="not in 300 s: all pods are ready")
        text = report.markdown(Report().with_(failed))
        assert "**Failed:** SIGKILL the primary's mongod: not in 300 s: all pods are ready" in text

    def test_interruptions_count_what_the_engine_asked_for_and_how_many_were_completed(self) -> None:
        wrong = replace(ENDED, failed="at 5.0 s: only the cluster has Job x")
        assert cells_of("SIGKILL while", Report().with_(wrong)) == ["4", "2", "1", "3"]

    def test_it_says_where_each_row_was_measured_only_if_they_differ(self) -> None:
        place = "2026-09-01, commit abc1234, on a CPU, 2 cores"
        assert f"\n{place}.\n" in report.markdown(Report().with_(KILLED).with_(RESTARTED))
        later = replace(RESTARTED, commit="def5678")
        text = report.markdown(Report().with_(KILLED).with_(later))
        assert f"\n{place}: SIGKILL the primary's mongod.\n" in text
        assert "commit def5678, on a CPU, 2 cores: `kubectl rollout restart`." in text

    def test_a_fault_that_is_made_no_more_is_left_out(self) -> None:
        gone = replace(KILLED, fault="gone", commit="fff0000")
        assert "fff0000" not in report.markdown(Report().with_(KILLED).with_(gone))

    def test_it_says_what_was_not_run(self) -> None:
        text = report.markdown(Report().with_(KILLED))
        assert "Not run yet: delete the primary; SIGKILL a secondary's mongod; " in text
        assert "`pulumi up`: Ctrl-C while it changes." in text

    def test_every_interruption_has_a_title(self) -> None:
        assert report.INTERRUPTED.keys() == command_line._INTERRUPT.keys()


class TestProblems:
    @pytest.mark.parametrize(
        ("row", "said"),
        [
            (replace(KILLED, repetitions=[Repetition(10, 2, 1, 2)]), "2 acknowledged scores are lost"),
            (replace(KILLED, repetitions=[Repetition(10, 0, 15.5, 2)]), "15.5 s without writes, 15 are allowed"),
            (replace(RESTARTED, repetitions=[Repetition(10, 0, 1, 1)]), "only 1 members had all data at some moment"),
            (replace(KILLED, failed="it did not end"), "it did not end"),
            (replace(ENDED, failed="it is there twice"), "it is there twice"),
        ],
    )
    def test_what_is_lost_too_long_or_wrong_is_reported(self, row: Row | Interruptions, said: str) -> None:
        (problem,) = report.problems(Report().with_(row), [row.fault])
        assert problem.endswith(f": {said}")

    def test_the_limit_is_for_the_median_and_not_for_the_worst(self) -> None:
        row = replace(KILLED, repetitions=[Repetition(10, 0, gap, 2) for gap in (10.0, 11.0, 40.0)])
        assert report.problems(Report().with_(row), [row.fault]) == []

    def test_a_kill_may_leave_one_complete_member_and_only_faults_of_this_run_count(self) -> None:
        lost = replace(RESTARTED, repetitions=[Repetition(10, 2, 1, 2)])
        assert report.problems(Report().with_(KILLED).with_(lost), ["kill-primary"]) == []


class TestSettings:
    def test_without_any_every_fault_that_the_nodes_allow_is_made_five_times_and_crashes_come_last(self) -> None:
        settings = command_line.Settings.read({"RUNS": "", "ONLY": ""}, nodes=1)
        assert settings.runs == 5
        assert settings.faults[0] == "delete-primary"
        assert settings.faults[-2:] == ["crash-node", "crash-node-only"]
        assert "drain" not in settings.faults
        assert "drain" in command_line.Settings.read({}, nodes=3).faults

    def test_faults_are_made_in_their_order_whatever_the_order_asked_for(self) -> None:
        asked = {"ONLY": "stop-deploy, restart,kill-primary"}
        assert command_line.Settings.read(asked, nodes=1).faults == ["kill-primary", "restart", "stop-deploy"]

    @pytest.mark.parametrize(
        ("env", "said"),
        [
            ({"RUNS": "0"}, "RUNS is 0: must be a number from 1 to 50"),
            ({"RUNS": "²"}, "RUNS is ²: must be a number from 1 to 50"),
            ({"ONLY": "restart,all"}, "ONLY has all: must be of delete-primary, "),
            ({"ONLY": "drain"}, "ONLY has drain, which needs 3 nodes: make up NODES=3"),
            ({"STACK": "dev"}, "STACK is dev: must be sandbox"),
        ],
    )
    def test_a_mistake_is_reported_in_one_line(self, env: dict[str, str], said: str) -> None:
        with pytest.raises(MeasuringError, match=f"^{said}") as told:
            command_line.Settings.read(env, nodes=1)
        assert "\n" not in str(told.value)
