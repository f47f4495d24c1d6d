"""The game behind the Ingress: one player, or some who save scores without a pause."""

import contextlib
import http.client
import itertools
import json
import secrets
import threading
import time
from itertools import pairwise
from typing import Final, Self

from tools.measuring import until

_CONNECTIONS: Final = 4
_RATE: Final = 20.0
"""Scores a second, all connections together."""
_TIMEOUT: Final = 2.0
"""Seconds that these players wait for an answer. Each is idle for as long, at most, once writes go through."""
_ENOUGH: Final = 20
"""Scores after which they count as being saved."""


class Game:
    """The game behind the Ingress, as a browser meets it: one connection for each request.

    Args:
        address: The address of the Ingress.
        host: The host name that it serves.
    """

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

    def save(self, name: str, score: int, seconds: float = 15) -> bool:
        """Posts a score; whether the game says that it is saved, which is less than that it answers.

        Raises:
            OSError, http.client.HTTPException: There was no answer.
        """
        body = {"name": name, "cloud": "", "zone": "", "host": "", "score": score, "level": 10}
        status, text = self.request("POST", "/highscores", body, seconds)
        return status == 200 and json.loads(text).get("rs") == "success"

    def listed(self, name: str) -> bool:
        """Whether the list of the ten best has that name; false also where there is no list at the moment."""
        try:
            status, text = self.request("GET", "/highscores/list", seconds=3)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and name in [each["name"] for each in json.loads(text)]


class Writer:
    """Players who save numbered scores all the time.

    Args:
        game: What they play.
        prefix: What their names begin with; the number follows.
    """

    def __init__(self, game: Game, prefix: str = "") -> None:
        self._game = game
        self._prefix = prefix or f"writer-{secrets.token_hex(4)}"
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(_CONNECTIONS)]
        self._began = self._ended = 0.0
        self._moments: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = time.monotonic()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def saved(self) -> set[str]:
        """The names of the scores that the game called saved."""
        return set(self._moments)

    @property
    def longest_gap(self) -> float:
        """The longest time without a score that the game called saved, in seconds; known at the end."""
        return longest_gap([self._began, *self._moments.values()], self._ended)

    def wait_for_writes(self) -> None:
        """Waits until scores are saved.

        Raises:
            MeasuringError: They are not.
        """
        wanted = len(self._moments) + _ENOUGH
        until("scores are saved", lambda: len(self._moments) >= wanted)

    def _run(self) -> None:
        while not self._stop.wait(_CONNECTIONS / _RATE):
            number = next(self._numbers)
            name = f"{self._prefix}-{number}"
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                if self._game.save(name, number, _TIMEOUT):
                    self._moments[name] = time.monotonic()


def longest_gap(moments: list[float], end: float) -> float:
    """The longest time between two of these moments, or from the last one to the end; 0 without any moment."""
    return max((later - earlier for earlier, later in pairwise([*sorted(moments), end])), default=0.0)
