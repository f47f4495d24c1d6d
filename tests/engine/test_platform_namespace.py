"""A namespace that a platform team made, with a quota, and the keys that such a team asks for."""

import json
from collections.abc import Iterator

import pytest

from tests.harness.program import CONTEXT, Program

QUOTA = {"limits.cpu": "4", "limits.memory": "8Gi", "requests.cpu": "2", "limits.ephemeral-storage": "8Gi"}
CREDENTIALS = json.dumps({"auths": {"registry.example": {"auth": "bm9ib2R5OnNlY3JldA=="}}})


@pytest.fixture
def given() -> Iterator[Program]:
    """A stack in a namespace that exists, has a quota, and belongs to somebody else."""
    with Program({"createNamespace": False}) as program:
        program.kubectl("create", "namespace", program.namespace)
        metadata = {"name": "platform", "namespace": program.namespace}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": QUOTA}}
        program.kubectl("apply", "--filename", "-", stdin=json.dumps(quota))
        yield program


def test_a_quota_that_wants_cpu_limits_is_named_within_seconds_and_met_by_the_keys(given: Program) -> None:
    up = given.start("up", "--yes", "--skip-preview")
    wanted = "failed quota: platform: must specify limits.cpu for: keyfile,mongo"
    up.wait_for(lambda message: wanted in message.text, 30)
    up.end()

    given.use(mongoCpu="100m/1", pacmanCpu="25m/500m")
    given.run("cancel", "--yes", check=False)
    given.up("--refresh").ok()
    assert given.game.save("within-the-quota", 1)
    given.destroy().ok()
    assert given.kubectl.get("namespace", given.namespace) is not None, "it is not this stack's to delete"
    assert given.kubectl.get("pvc", "data-mongo-0") is not None, "the scores stay with the namespace"


def test_a_namespace_that_does_not_exist_is_refused(given: Program) -> None:
    given.use(namespace=f"{given.namespace}-2")
    refused = given.preview()
    assert refused.exit_code != 0
    (line,) = refused.causes()
    assert f'pacman:namespace is "{given.namespace}-2": no such namespace in context {CONTEXT}' in line


def test_labels_placement_and_credentials_reach_the_first_pod() -> None:
    with Program() as program:
        program.run("config", "set", "--stack", "test", "--secret", "pacman:imagePullConfig", "--", CREDENTIALS)
        secret = json.loads(program.run("config", "--json", "--stack", "test"))["pacman:imagePullConfig"]
        assert secret["secret"] is True
        program.config["imagePullConfig"] = {"secure": _encrypted(program)}
        program.use(
            labels={"example.com/team": "games"},
            annotations={"example.com/note": "any text: 1 & 2"},
            nodeSelector={"kubernetes.io/hostname": "minikube"},
            tolerations=[{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        )
        program.up().ok()
        for app in ("mongo", "pacman"):
            for pod in program.pods(app):
                assert pod["metadata"]["labels"]["example.com/team"] == "games"
                assert pod["metadata"]["annotations"]["example.com/note"] == "any text: 1 & 2"
                assert pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] == "minikube"
                assert {"name": "registry-credentials"} in pod["spec"]["imagePullSecrets"]
                assert "dedicated" in [each.get("key") for each in pod["spec"]["tolerations"]]
        assert json.loads(program.secret("registry-credentials")[".dockerconfigjson"]) == json.loads(CREDENTIALS)
        state = json.dumps(program.state())
        assert "bm9ib2R5OnNlY3JldA" not in state
        service = program.kubectl.live("service", "pacman")
        assert service["metadata"]["labels"]["example.com/team"] == "games"
        assert "example.com/team" not in service["spec"]["selector"]
        program.up("--refresh", "--expect-no-changes").ok()


def _encrypted(program: Program) -> str:
    """The value as the CLI wrote it into the stack's file."""
    text = (program.folder / "Pulumi.test.yaml").read_text()
    return text.partition("pacman:imagePullConfig:")[2].partition("secure:")[2].split()[0]
