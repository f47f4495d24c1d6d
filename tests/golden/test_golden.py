"""The manifests of every committed stack, as they were reviewed: `make golden` writes them anew.

A difference is no fault in itself, but one that a review has to see. That a cluster takes the manifests, the engine
tests show.
"""

import pytest

from tools.recorder import stacks
from tools.render import GOLDEN, render_stack


@pytest.mark.parametrize("stack", stacks())
def test_the_manifests_are_those_that_were_reviewed(stack: str) -> None:
    golden = GOLDEN / f"{stack}.yaml"
    if not golden.exists() or render_stack(stack) != golden.read_text():
        # One line: the difference is for git to show, and long.
        pytest.fail(f"{stack} gets other manifests: run `make golden`, and look at `git diff {GOLDEN}`", pytrace=False)


@pytest.mark.parametrize("stack", stacks())
def test_rendered_manifests_are_deterministic_and_hold_no_secret(stack: str) -> None:
    text = render_stack(stack)
    assert text == render_stack(stack)
    assert "generated-for-" not in text
    assert "password: (secret)" in text


def test_there_is_no_file_for_a_stack_that_is_gone() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(stacks())
