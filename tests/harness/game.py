"""The game behind the Ingress: one player, or a crowd that plays without a pause."""

import http.client
import json
import secrets
import threading
import time
from types import TracebackType
from typing import Self

# Seconds. An election takes less than one, and a try of the driver three.
LONGEST_GAP = 5
"""Longest time without a saved score while the primary changes in good order."""


class Game:
    """The game behind the Ingress, as a browser meets it: one connection for each request."""

    def __init__(self, address: str, host: str) -> None:
        self._address = address
        self._host = host

    def request(self, method: str, path: str, body: object = None, seconds: float = 15) -> tuple[int, bytes]:
        """Status and body of one answer.

        Raises:
            OSError, http.client.HTTPException: There was none.
        """
        connection = http.client.HTTPConnection(self._address, timeout=seconds)
        try:
            headers = {"Host": self._host} | ({"Content-Type": "application/json"} if body is not None else {})
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def save(self, name: str, score: int) -> bool:
        """Posts a score; whether the game says that it is saved, which is less than that it answers."""
        body = {"name": name, "cloud": "", "zone": "", "host": "", "score": score, "level": 10}
        status, text = self.request("POST", "/highscores", body)
        return status == 200 and json.loads(text).get("rs") == "success"

    def listed(self, name: str) -> bool:
        """Whether the list of the ten best has that name; false also where there is no list at the moment."""
        try:
            status, text = self.request("GET", "/highscores/list", seconds=3)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and name in [each["name"] for each in json.loads(text)]


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


class Writer:
    """A player who saves scores all the time, and the moments at which one was saved."""

    def __init__(self, game: Game) -> None:
        self._game = game
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.saved: set[str] = set()
        self.longest_gap = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(0.1):
            name = f"writer-{secrets.token_hex(4)}"
            try:
                saved = self._game.save(name, 1)
            except (OSError, http.client.HTTPException, ValueError):
                saved = False
            self.longest_gap = max(self.longest_gap, time.monotonic() - last)
            if saved:
                self.saved.add(name)
                last = time.monotonic()
