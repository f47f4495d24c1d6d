"""What does not become ready: `up` fails with the reason, the state has what was made, and the next `up` goes on."""

import re
import signal

import pytest

from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.engine import Result, alive

ABSENT = "registry.invalid/pacman:9.9.9"


def deployment(program: Program) -> dict[str, object]:
    """The Deployment as the state has it."""
    resources = program.state()["deployment"]["resources"]
    (found,) = [each for each in resources if each["type"] == "kubernetes:apps/v1:Deployment"]
    return dict(found)


def test_an_image_that_does_not_exist_is_named_the_game_plays_on_and_the_right_one_heals(program: Program) -> None:
    """The provider gives a Deployment 10 minutes; an annotation makes that 20 s here."""
    program.use()
    program.up().ok()
    annotations = ("annotations=TAKE_OVER)", 'annotations={**TAKE_OVER, "pulumi.com/timeoutSeconds": "20"})')
    with program.changed("components/pacman_deployment.py", *annotations):
        program.use(pacmanImage=ABSENT)
        failed = program.up()
    assert failed.exit_code != 0
    assert ABSENT in failed.errors("pacman")
    assert deployment(program)["initErrors"]
    assert program.game.save("while-stuck", 1), "the old pod stays until a new one is ready"

    program.use()
    program.up().ok()
    assert not deployment(program).get("initErrors")
    assert program.ready_pods("pacman") == 1
    program.up("--expect-no-changes").ok()


def test_a_failed_init_job_says_why_and_the_next_up_replaces_it(program: Program) -> None:
    """As it is after a mistake in the script, or in an image; without the three more tries that the Job has."""
    program.use()
    program.up().ok()
    (good,) = program.init_jobs()
    with (
        program.changed("components/mongo/init_job.py", "backoff_limit=3", "backoff_limit=0"),
        program.changed("components/mongo/init.js", "const fs = ", 'throw new Error("no luck today");\nconst fs = '),
    ):
        failed = program.up()
    assert failed.exit_code != 0
    assert "BackoffLimitExceeded" in failed.errors("mongo-init")
    (bad,) = program.init_jobs()
    assert bad != good
    assert program.game.save("while-failed", 1)

    healed = program.up().ok()
    assert healed.op("mongo-init") == "replace"
    assert program.init_jobs() == [good]
    assert "while-failed" in program.scores()
    program.up("--expect-no-changes").ok()


def test_an_init_job_gives_up_before_its_pod_is_deleted_and_says_what_it_waited_for(program: Program) -> None:
    program.use()
    program.up().ok()
    with (
        program.changed("components/mongo/init_job.py", "_LIMIT_SECONDS = 360", "_LIMIT_SECONDS = 1"),
        program.changed("components/mongo/init_job.py", "_DEADLINE_SECONDS = 540", "_DEADLINE_SECONDS = 20"),
        program.changed("components/mongo/init.js", "indexes: [{ key, name }]", "indexes: [{ key, name, typo: true }]"),
    ):
        failed = program.up()
    assert failed.exit_code != 0
    assert "DeadlineExceeded" in failed.errors("mongo-init")
    why = r"waited 1 s for the index \S+: InvalidIndexSpecificationOption \(.*typo"
    assert re.search(why, failed.errors("mongo-init"))
    assert program.up().ok().op("mongo-init") == "replace"


def test_an_init_job_that_failed_for_a_passing_reason_is_replaced_by_the_next_up() -> None:
    """Its name says what it brings about, so the next one has the same: without a replacement it stays failed."""
    with Program() as program:
        with program.changed("components/mongo/init_job.py", "_DEADLINE_SECONDS = 540", "_DEADLINE_SECONDS = 1"):
            failed = program.up()
        assert failed.exit_code != 0
        assert "DeadlineExceeded" in failed.errors("mongo-init")
        (name,) = program.init_jobs()

        healed = program.up().ok()
        assert healed.op("mongo-init") == "replace"
        assert program.init_jobs() == [name]
        assert program.game.save("after-a-failed-job", 1)
        program.up("--expect-no-changes").ok()


def interrupted(program: Program, number: signal.Signals, *options: str) -> Result:
    """What an `up` did that a signal ended while it waited for pods of an image that does not exist."""
    program.use(pacmanImage=ABSENT)
    up = program.start("up", "--yes", "--skip-preview", *options)
    eventually("the Deployment is being changed", lambda: image(program) == ABSENT, 60)
    processes = up.processes()
    assert len(processes) > 4, "the engine, the language host, the program, and providers"
    up.signal(number)
    # Left alone, it would wait for 10 minutes.
    stopped = up.finish(60)
    assert stopped.exit_code != 0
    assert "Traceback" not in stopped.printed
    eventually("no process is left", lambda: not alive(processes))
    program.use()
    return stopped


def image(program: Program) -> str:
    """The image that the Deployment wants, empty where there is none."""
    live = program.kubectl.get("deployment", "pacman")
    return str(live["spec"]["template"]["spec"]["containers"][0]["image"]) if live else ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_up_that_is_interrupted_keeps_what_it_made_and_the_next_one_goes_on(
    program: Program, number: signal.Signals
) -> None:
    program.use()
    program.up().ok()
    program.kubectl("delete", "deployment", "pacman")
    interrupted(program, number, "--refresh")
    assert deployment(program)["initErrors"]
    healed = program.up().ok()
    assert healed.changes["update"] == 1
    assert not deployment(program).get("initErrors")
    assert program.ready_pods("pacman") == 1


def test_a_change_that_is_interrupted_is_set_back_by_an_up_with_refresh(program: Program) -> None:
    """Without --refresh it might not be: the provider tells the engine of a change only once it has waited for it."""
    program.use()
    program.up().ok()
    interrupted(program, signal.SIGINT)
    program.up("--refresh").ok()
    assert image(program) == program.config["pacmanImage"]
    assert program.ready_pods("pacman") == 1
    assert set(program.preview("--refresh").ok().changes) == {"same"}
