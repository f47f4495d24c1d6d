"""The stack that most tests of this folder share."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.harness.program import Program
from tools.engine import Result

# The discard port: nobody listens there.
NOBODY = "https://127.0.0.1:9"


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


@pytest.fixture
def away(tmp_path: Path) -> str:
    """A kubeconfig like that of the environment, whose clusters do not answer."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    for cluster in config["clusters"]:
        cluster["cluster"]["server"] = NOBODY
    path = tmp_path / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return str(path)
