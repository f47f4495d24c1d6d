"""The stack that these tests look at: the one of the environment, which `make up` has brought up."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.kubectl import Kubectl
from tests.harness.mongo import scores_of_tests_removed


@pytest.fixture(scope="session")
def outputs() -> dict[str, str]:
    """The running stack's outputs."""
    done = subprocess.run(["pulumi", "stack", "output", "--json"], capture_output=True, text=True, check=True)
    values: dict[str, str] = json.loads(done.stdout)
    return values


@pytest.fixture(scope="session", autouse=True)
def _scores(outputs: dict[str, str]) -> Iterator[None]:
    """The scores of this stack are a person's: those of the tests do not stay."""
    with scores_of_tests_removed(Kubectl("sandbox", outputs["namespace"])):
        yield


@pytest.fixture(scope="session")
def base_url(outputs: dict[str, str]) -> str:
    """Where the game is."""
    assert outputs["url"], "the stack has no URL: run `make up` first"
    return outputs["url"].rstrip("/")
