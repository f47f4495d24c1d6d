"""The lesson as `make demo` plays it, and the lesson as a player sees it, in a browser, on the running stack."""

import secrets
import subprocess
import sys
import time
import urllib.request

from tests.e2e.test_game import expect_listed, open_page, play_to_score


def test_the_lesson_holds() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.lesson"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_score_that_was_played_outlives_the_databases_pod(base_url: str, outputs: dict[str, str]) -> None:
    name = f"player-{secrets.token_hex(4)}"
    with open_page(base_url) as page:
        score = play_to_score(page, name)
        page.reload()
        expect_listed(page, name, score)
    subprocess.run(["kubectl", "delete", "pod", "mongo-0", "-n", outputs["namespace"]], check=True, timeout=120)
    # The page comes from Pacman, which is not ready while the database is away.
    for workload in ("statefulset/mongo", "deployment/pacman"):
        ready = ["kubectl", "rollout", "status", workload, "-n", outputs["namespace"], "--timeout=60s"]
        subprocess.run(ready, check=True, timeout=90)
    _until_served(base_url)
    with open_page(base_url) as page:
        expect_listed(page, name, score)


def _until_served(url: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{url}/highscores/list", timeout=5):  # noqa: S310 - the stack's own address
                return
        except OSError:
            assert time.monotonic() < end, f"{url} does not serve {seconds} s after the database was back"
            time.sleep(0.2)
