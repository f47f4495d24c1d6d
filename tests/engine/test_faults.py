"""Faults of `make chaos` that take seconds, each once: none costs an acknowledged score."""

from collections.abc import Iterator

import pytest

from tools.chaos.faults import FAULTS
from tools.chaos.rig import Stack, repeat

pytestmark = pytest.mark.alone

SHORT = (
    "delete-primary",
    "kill-primary",
    "kill-secondary",
    "lose-volume",
    "kill-only",
)
each_fault = pytest.mark.parametrize(
    ("stack", "name"),
    [(FAULTS[name].members, name) for name in SHORT],
    indirect=["stack"],
    # Otherwise each fault would get a stack of its own.
    scope="module",
)


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack with as many members as the faults need that it is made for."""
    with Stack(request.param) as made:
        made.deploy()
        yield made


@each_fault
def test_no_fault_costs_an_acknowledged_score(stack: Stack, name: str) -> None:
    fault = FAULTS[name]
    found = repeat(stack, fault.make, name)
    assert found.lost == 0
    assert found.acknowledged > 40
    if fault.most:
        assert found.gap <= fault.most
    if fault.majority:
        assert found.complete is not None
        assert found.complete > fault.members // 2
