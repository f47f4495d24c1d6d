"""The stack that most tests of this folder share."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.program import Program
from tools.engine import Result


@dataclass(frozen=True)
class FirstUp:
    """What the first `up` of a stack did, and what a player found right after it."""

    program: Program
    result: Result
    saved: bool
    listed: bool


@pytest.fixture(scope="session")
def first_up() -> Iterator[FirstUp]:
    """A stack that is up. All tests share it, because it takes half a minute: each says which config it wants."""
    with Program() as program:
        result = program.up().ok()
        saved, listed = program.game.save("first", 10_000), program.game.listed("first")
        yield FirstUp(program, result, saved, listed)


@pytest.fixture
def program(first_up: FirstUp) -> Program:
    """The stack that is up."""
    return first_up.program
