"""The stack that these tests look at: the one of the environment, which `make up` has brought up."""

import json
import subprocess

import pytest


@pytest.fixture(scope="session")
def outputs() -> dict[str, str]:
    """The running stack's outputs."""
    done = subprocess.run(["pulumi", "stack", "output", "--json"], capture_output=True, text=True, check=True)
    values: dict[str, str] = json.loads(done.stdout)
    return values


@pytest.fixture(scope="session")
def base_url(outputs: dict[str, str]) -> str:
    """Where the game is."""
    assert outputs["url"], "the stack has no URL: run `make up` first"
    return outputs["url"].rstrip("/")
