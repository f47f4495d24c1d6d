"""A wait for a condition, in place of a sleep."""

import time
from collections.abc import Callable


def eventually(what: str, condition: Callable[[], object], seconds: float = 30) -> float:
    """Polls until a condition holds, for a third of the time at most: what is waited for needs the processor, too.

    Returns:
        The seconds that it took.

    Raises:
        AssertionError: It did not hold in that time.
    """
    began = asked = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(min(1, max(0.1, 2 * (now - asked))))
        asked = time.monotonic()
    return time.monotonic() - began
