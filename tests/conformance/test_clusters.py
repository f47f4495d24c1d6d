"""Clusters that are not there: what fails, what it says, and how a stack gets rid of one that is gone for good."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conformance.conftest import Kubectl, Stack

_NOBODY = "https://127.0.0.1:9"
_PROGRAM = 'k8s.core.v1.ConfigMap("config", metadata=named("remote"), data={"key": "value"}, opts=on)'


@pytest.fixture
def dead(tmp_path: Path, context: str) -> str:
    """A kubeconfig like the environment's, whose servers nobody answers at."""
    shown = ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "--context", context]
    config = yaml.safe_load(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)
    for each in config["clusters"]:
        each["cluster"]["server"] = _NOBODY
    path = tmp_path / "dead"
    path.write_text(json.dumps(config))
    return str(path)


def test_a_context_that_does_not_exist_fails_before_anything_is_made(stack: Stack, kubectl: Kubectl) -> None:
    with stack(_PROGRAM) as engine:
        engine.edit(f"context={kubectl.context!r}", 'context="conformance-absent"')
        failed = engine.up()
        assert failed.exit_code != 0
        assert "conformance-absent" in failed.errors()
        assert engine.resources() == {}
    assert kubectl.get("configmap", "remote") is None


def test_a_cluster_that_does_not_answer_can_be_previewed_but_not_deployed_to(stack: Stack, dead: str) -> None:
    with stack(_PROGRAM, env={"KUBECONFIG": dead}) as engine:
        assert engine.preview().ok().op("config") == "create"
        failed = engine.up()
        assert failed.exit_code != 0
        assert "127.0.0.1:9" in failed.errors()
        assert engine.resources() == {}


def test_a_cluster_that_is_gone_is_forgotten_when_told_so(stack: Stack, kubectl: Kubectl, dead: str) -> None:
    with stack(_PROGRAM) as engine:
        engine.up().ok()
        engine.env["KUBECONFIG"] = dead
        failed = engine.refresh()
        assert failed.exit_code != 0
        assert "PULUMI_K8S_DELETE_UNREACHABLE" in failed.errors()
        assert "config" in engine.resources(), "nothing is forgotten by accident"
        engine.env["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
        engine.refresh().ok()
        assert engine.resources() == {}
    kubectl("delete", "configmap", "remote")
