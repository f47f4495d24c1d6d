"""The credentials of a private registry: a Secret that exists before the first pod that needs it.

Mocks show the Secret and which objects name it. That a kubelet pulls with it, they cannot prove.
"""

import base64
import json
from typing import Any

import pytest

from components.registry_credentials import RegistryCredentials, RegistryCredentialsArgs
from tools import recorder
from tools.recorder import Recorded, SecretValue, record, record_program, stack_config

AUTH = base64.b64encode(b"robot:hunter2").decode()
DOCKER_CONFIG = json.dumps({"auths": {"registry.example": {"auth": AUTH}}})
WORKLOADS = ("StatefulSet", "Job", "Deployment")


@pytest.fixture(scope="module")
def credentials() -> Recorded:
    args = RegistryCredentialsArgs(namespace="arcade", docker_config=DOCKER_CONFIG)
    return record(lambda: RegistryCredentials("registry", args))


def run(**config: str) -> Recorded:
    return record_program(stack_config("dev") | {f"pacman:{key}": value for key, value in config.items()})


def pull_secrets(recorded: Recorded, workload: str) -> object:
    return recorded.one(workload).manifest["spec"]["template"]["spec"].get("imagePullSecrets")


def test_the_secret_has_the_type_and_the_key_that_a_kubelet_reads(credentials: Recorded) -> None:
    secret = credentials.one("Secret").manifest
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert secret["stringData"] == {".dockerconfigjson": DOCKER_CONFIG}
    assert (secret["metadata"]["name"], secret["metadata"]["namespace"]) == ("registry", "arcade")


def test_the_credentials_are_secret_in_the_state(credentials: Recorded) -> None:
    assert isinstance(credentials.one("Secret").inputs["stringData"], SecretValue)


def test_the_name_of_the_secret_is_an_output(credentials: Recorded) -> None:
    assert credentials.one("RegistryCredentials").outputs == {"secret": "registry"}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_pods_of_every_workload_pull_with_the_credentials_of_the_config(workload: str) -> None:
    recorded = run(imagePullConfig=DOCKER_CONFIG, imagePullSecrets='["mirror"]')
    assert pull_secrets(recorded, workload) == [{"name": "mirror"}, {"name": "registry-credentials"}]
    assert recorded.one("Secret", "registry-credentials").manifest["stringData"] == {".dockerconfigjson": DOCKER_CONFIG}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_secret_exists_before_the_pods_that_need_it(workload: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed: dict[str, list[str]] = {}
    register = recorder._Monitor.RegisterResource

    def watch(monitor: recorder._Monitor, request: Any) -> object:  # noqa: ANN401 - a message of the protocol
        needed[request.type.split(":")[-1]] = list(request.propertyDependencies["spec"].urns)
        return register(monitor, request)

    monkeypatch.setattr(recorder._Monitor, "RegisterResource", watch)
    secret = run(imagePullConfig=DOCKER_CONFIG).one("Secret", "registry-credentials")
    assert secret.urn in needed[workload]


def test_the_credentials_are_nowhere_but_in_the_secret() -> None:
    recorded = run(imagePullConfig=DOCKER_CONFIG)
    assert AUTH not in str([(r.inputs, r.outputs) for r in recorded.resources])
    assert AUTH not in str(recorded.exports)


def test_without_credentials_in_the_config_there_is_no_secret_of_them() -> None:
    recorded = run()
    assert recorded.of("RegistryCredentials") == []
    assert {secret.name for secret in recorded.of("Secret")} == {
        "mongo-root",
        "mongo-users",
        "mongo-app",
        "mongo-backup",
    }
    assert [pull_secrets(recorded, workload) for workload in WORKLOADS] == [None] * 3
