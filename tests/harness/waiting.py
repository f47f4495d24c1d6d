"""A wait for a condition, in place of a sleep."""

import time
from collections.abc import Callable


def eventually(what: str, condition: Callable[[], object], seconds: float = 30) -> float:
    """Polls until a condition holds.

    Returns:
        The seconds that it took.

    Raises:
        AssertionError: It did not hold in that time.
    """
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began
