"""The game, played in a real browser with real keys until it is over, and its score found again in the list.

Wherever `base_url` leads, the page there must be the real one: nothing here knows how it is served or stored. The
player is a poor one, who turns at random and looks at nothing but score and state, so a list that is full of better
scores will not show his; a test says so.
"""

import random
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, expect, sync_playwright

# Nothing leaves the machine, and no GPU or user namespace is needed.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_ARROWS = ["ArrowUp", "ArrowLeft", "ArrowDown", "ArrowRight"]
# How long a key is held: about as fast as a person turns.
_HOLD_MILLISECONDS = 120
# Who steers for longer than this lets go, and the ghosts end it: three idle lives last less than a minute.
_STEER_SECONDS = 45
_GAME_SECONDS = 115
# What a running game must have on its canvas, as red, green, blue: the colours of Pacman and of the four ghosts.
_ACTORS = {
    "Pacman": (255, 224, 61),
    "red ghost": (255, 75, 75),
    "pink ghost": (255, 155, 213),
    "blue ghost": (63, 224, 255),
    "orange ghost": (255, 179, 71),
}


@contextmanager
def open_page(url: str, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """A browser that has opened the game at `url`, in a window of that many pixels; closed at the end.

    Raises:
        AssertionError: At the end, if the page reported an error, or asked another host for something.
    """
    chromium = shutil.which("chromium")
    assert chromium, "chromium is not on PATH; on Debian: apt-get install --no-install-recommends chromium"
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("request", lambda request: errors.append(request.url) if _foreign(request.url, url) else None)
            page.goto(url)
            expect(page.locator("body")).to_have_attribute("data-state", "ready")
            yield page
        finally:
            browser.close()
    assert not errors, errors


def _foreign(asked: str, url: str) -> bool:
    return not asked.startswith((url.rstrip("/") + "/", "data:"))


def play(page: Page) -> int:
    """Plays the opened page from its start to the end of the last life.

    Returns:
        The points, 1 or more.
    """
    body = page.locator("body")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(body).to_have_attribute("data-state", "playing")
    begin = time.monotonic()
    while body.get_attribute("data-state") == "playing" and time.monotonic() - begin < _STEER_SECONDS:
        page.keyboard.press(random.choice(_ARROWS), delay=_HOLD_MILLISECONDS)  # noqa: S311
    left = _GAME_SECONDS - (time.monotonic() - begin)
    expect(body).to_have_attribute("data-state", "over", timeout=left * 1000)
    score = int(page.locator("#score").inner_text())
    assert score > 0
    return score


def play_to_score(page: Page, name: str) -> int:
    """Plays the opened page until it is over, and saves the score under `name`, 1 to 20 characters.

    Returns:
        The score that the page says it has saved.
    """
    score = play(page)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Save score").click()
    # A write is given 10 s by the database, and a database that is away 30 s to come back.
    expect(page.get_by_role("alert")).to_have_text("Your score is saved.", timeout=45_000)
    return score


def expect_listed(page: Page, name: str, score: int) -> None:
    """Waits until the opened page lists this name with this score."""
    rows = page.get_by_role("list").get_by_role("listitem")
    mine = rows.filter(has_text=name)
    expect(rows.first).to_be_visible()
    points = [int(text) for text in page.locator("#scores .points").all_inner_texts()]
    if name not in page.locator("#scores").inner_text() and len(points) == 10:
        assert min(points) <= score, f"the list is full of better scores than {score}: {points}; empty it and try again"
    expect(mine).to_have_count(1)
    expect(mine.locator(".points")).to_have_text(str(score))


@pytest.fixture
def page(base_url: str) -> Iterator[Page]:
    """The game, opened and not yet started."""
    with open_page(base_url) as page:
        yield page


def test_a_played_score_is_listed_and_outlives_the_page(page: Page) -> None:
    name = f"player-{secrets.token_hex(4)}"
    score = play_to_score(page, name)
    expect_listed(page, name, score)
    page.reload()
    expect(page.locator("body")).to_have_attribute("data-state", "ready")
    expect_listed(page, name, score)


def test_a_running_game_is_drawn(page: Page) -> None:
    # At its start, with nobody steering: a player may meet a big dot, on which the ghosts change their colours.
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator("body")).to_have_attribute("data-state", "playing")
    end = time.monotonic() + 10
    while missing := [name for name, colour in _ACTORS.items() if colour not in _colours(page)]:
        assert time.monotonic() < end, f"not on the canvas: {missing}"


def _colours(page: Page) -> set[tuple[int, int, int]]:
    """Every colour that the canvas has."""
    seen: list[list[int]] = page.evaluate(
        """() => {
            const canvas = document.querySelector("canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const colours = new Set();
            for (let i = 0; i < data.length; i += 4) {
                colours.add((data[i] << 16) + (data[i + 1] << 8) + data[i + 2]);
            }
            return [...colours].map((each) => [each >> 16, (each >> 8) & 255, each & 255]);
        }"""
    )
    return {(red, green, blue) for red, green, blue in seen}


def test_a_game_is_paused_and_goes_on(page: Page) -> None:
    body = page.locator("body")
    page.get_by_role("button", name="Play", exact=True).click()
    page.keyboard.press("p")
    expect(body).to_have_attribute("data-state", "paused")
    page.get_by_role("button", name="Resume").click()
    expect(body).to_have_attribute("data-state", "playing")


def test_the_page_fits_a_small_window(base_url: str) -> None:
    with open_page(base_url, width=800, height=600) as page:
        for part in (page.locator("canvas"), page.locator("#scores"), page.locator("#host")):
            box = part.bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= 800
            assert box["y"] + box["height"] <= 600
