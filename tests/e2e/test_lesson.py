"""The lesson as `make demo` plays it, and the lesson as a player sees it, in a browser, on the running stack."""

import secrets
import subprocess
import sys

from playwright.sync_api import Page

from tests.e2e.test_game import expect_listed, play_to_score


def test_the_lesson_holds() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.e2e.lesson"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_score_that_was_played_outlives_the_databases_pod(page: Page, outputs: dict[str, str]) -> None:
    name = f"player-{secrets.token_hex(4)}"
    score = play_to_score(page, name)
    page.reload()
    expect_listed(page, name, score)
    subprocess.run(["kubectl", "delete", "pod", "mongo-0", "-n", outputs["namespace"]], check=True, timeout=120)
    ready = ["kubectl", "rollout", "status", "statefulset/mongo", "-n", outputs["namespace"], "--timeout=60s"]
    subprocess.run(ready, check=True, timeout=90)
    page.reload()
    expect_listed(page, name, score)
