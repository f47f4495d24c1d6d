"""The commands of the Makefile that must not run on a stack that may hold somebody's scores."""

import subprocess

import pytest

from tools.recorder import ROOT


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("up", 'use pulumi up --stack "prod" --policy-pack policy'),
        ("down", 'use pulumi destroy --stack "prod"'),
        ("stop", "use minikube stop --profile PROFILE: the stack stays as it is"),
        ("demo", "use the commands of docs/lesson.md: the demo deletes a pod and saves scores"),
    ],
)
def test_commands_that_ask_no_question_refuse_other_stacks_than_the_sandbox(target: str, advice: str) -> None:
    command = ["make", "--old-file=.venv/ready", target, "STACK=prod"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == f"error: STACK is prod: make {target} is for the sandbox; {advice}"
