"""A crowd that plays the game without a pause, and counts every request that fails."""

import http.client
import threading
import time
from types import TracebackType
from typing import Self

from tools.game import Game

# Seconds. An election takes less than one and a try of a player two, so this allows a few of them on a busy machine. An
# election because a primary does not answer any more takes more than ten.
LONGEST_GAP = 9
"""Longest time without a saved score while the primary changes in good order."""


class Load:
    """People who open the page and save scores, all the time, until they are told to stop.

    Args:
        game: What they play.
        prefix: What their names begin with.
        threads: How many there are.
        rate: Requests a second, all together, at most.
        seconds: When they stop by themselves.
    """

    def __init__(self, game: Game, prefix: str, *, threads: int = 8, rate: float = 80, seconds: float = 45) -> None:
        self._game = game
        self._prefix = prefix
        self._pause = threads / rate
        self._end = time.monotonic() + seconds
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.answered = 0
        self.saved: set[str] = set()
        """Names whose score was acknowledged."""
        self.failed: list[str] = []
        """What went wrong, once for each request."""
        self.ran_to_the_end = False
        """Whether it was still going when it was told to stop."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ran_to_the_end = all(thread.is_alive() for thread in self._threads)
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.wait(self._pause) and time.monotonic() < self._end:
            count += 1
            name = f"{self._prefix}-{number}-{count}"
            try:
                if count % 2:
                    status, text = self._game.request("GET", "/")
                    assert status == 200, f"GET /: {status} {text[:80]!r}"
                else:
                    assert self._game.save(name, count % 1000), "POST /highscores: not saved"
                    self.saved.add(name)
                self.answered += 1
            except (OSError, http.client.HTTPException, ValueError, AssertionError) as problem:
                self.failed.append(f"{time.strftime('%X')} {problem!r}")
