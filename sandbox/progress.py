"""Lines that say what is being done, how far it is, and how long it still takes."""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# A log is read later: there, a line now and then is enough.
_EVERY_SECONDS: Final = 15.0


class Progress:
    """One line on a terminal, written anew as things go on; in a log, a new line every quarter of a minute."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._written = 0.0
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._write(f"{text}\n")

    def update(self, doing: str, done: float, left: float) -> None:
        """Says what is being worked on, the share of all work that is done (0 to 1), and the seconds that are left."""
        now = time.monotonic()
        if now - self._written < (0.2 if self._terminal else _EVERY_SECONDS):
            return
        self._written = now
        remaining = f"{round(left / 60)} min" if left > 90 else f"{max(round(left, -1), 10):.0f} s"
        line = f"  {done:4.0%}, about {remaining} left: {doing}"
        self._write(line[: shutil.get_terminal_size().columns - 1] if self._terminal else f"{line}\n")

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """A step that is short: named while it goes on, on a terminal, and with its seconds when it is done."""
        began = time.monotonic()
        if self._terminal:
            self._write(f"  {doing}")
        yield
        self.say(f"  {doing}: done in {duration(time.monotonic() - began)}")

    def _write(self, text: str) -> None:
        with self._lock:
            # On a terminal, in place of the line that did not end.
            sys.stderr.write(f"\r\033[K{text}" if self._terminal else text)
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """`2 min 05 s`, or `3.4 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
