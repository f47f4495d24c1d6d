"""Lines that say what is being done, how far it is, and how long it still takes."""

import sys
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
        self._doing = ""
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def update(self, detail: str = "", left: float | None = None) -> None:
        """What is going on in the current step.

        Args:
            detail: How far it is.
            left: Seconds until everything is done, as far as one can tell.
        """
        now = time.monotonic()
        line = ", ".join(part for part in (f"{self._doing}: {detail}" if detail else self._doing, _left(left)) if part)
        if self._terminal:
            if now - self._written > 0.1:
                sys.stderr.write(f"\r\033[K{line}")
                sys.stderr.flush()
                self._written = now
        elif now - self._written > _EVERY_SECONDS:
            print(f"  {line}", file=sys.stderr, flush=True)
            self._written = now

    @contextmanager
    def step(self, doing: str, left: float | None = None) -> Iterator[None]:
        """A step: announced when it begins, with its seconds when it is done."""
        self._doing, self._began, self._written = doing, time.monotonic(), 0.0
        self.update(left=left)
        yield
        self.say(f"  {doing}: done in {duration(time.monotonic() - self._began)}")

    def _clear(self) -> None:
        if self._terminal:
            sys.stderr.write("\r\033[K")


def duration(seconds: float) -> str:
    """`2 min 05 s`, or `3.4 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"about {max(round(seconds / 60), 1)} min left" if seconds > 45 else "less than a minute left"
