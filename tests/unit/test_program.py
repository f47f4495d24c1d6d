"""What the program as a whole gives to people: its outputs, and a stop before anything is declared.

Mocks show the values for what a provider would answer. That the engine prints them, and that a bad config changes
nothing on a cluster, they cannot prove.
"""

import re

import pulumi
import pytest

from tools import recorder
from tools.recorder import ROOT, SecretValue, record_program, stack_config

DEV = stack_config("dev")


def test_the_outputs_have_the_names_that_were_promised() -> None:
    assert record_program(DEV).exports.keys() == {
        *("target", "namespace", "storage_class", "ingress_ip", "ingress_hostname", "url", "access_hint", "mongo_uri"),
        "readme",
    }


def test_the_connection_string_is_the_only_secret_among_them() -> None:
    exports = record_program(DEV).exports
    assert [name for name, value in exports.items() if isinstance(value, SecretValue)] == ["mongo_uri"]


def test_the_readme_names_outputs_that_are_there() -> None:
    exports = record_program(DEV).exports
    assert exports["readme"] == (ROOT / "Pulumi.README.md").read_text()
    assert set(re.findall(r"\$\{outputs\.([^}]*)}", exports["readme"])) <= exports.keys()


@pytest.mark.parametrize(
    ("given", "volumes"),
    [
        ({}, "csi-hostpath-sc"),
        ({"pacman:mongoStorageClass": "fast"}, "fast"),
        ({"pacman:defaultStorageClass": "none"}, "standard"),
        ({"pacman:defaultStorageClass": "none", "pacman:mongoStorageClass": "fast"}, "fast"),
    ],
)
def test_storage_class_is_the_one_that_holds_the_scores(given: dict[str, str], volumes: str) -> None:
    run = record_program(DEV | given)
    (claim,) = run.one("StatefulSet").manifest["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == run.exports["storage_class"] == volumes


def test_the_default_class_is_left_alone_where_the_stack_says_so() -> None:
    run = record_program(DEV | {"pacman:defaultStorageClass": "none"})
    assert run.of("DefaultStorageClass") == run.of("StorageClassPatch") == run.of("DefaultMarks") == []


def test_a_bad_config_ends_it_before_anything_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[str] = []
    register = recorder._Monitor.RegisterResource

    def watch(monitor: recorder._Monitor, request: object) -> object:
        declared.append(getattr(request, "type", ""))
        return register(monitor, request)

    monkeypatch.setattr(recorder._Monitor, "RegisterResource", watch)
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "error", said.append)
    with pytest.raises(SystemExit) as ended:
        record_program(DEV | {"pacman:mongoMember": "3"})
    assert ended.value.code == 32, "the code that tells the engine that the person knows already"
    assert said == ["pacman:mongoMember is not a config key; did you mean mongoMembers?"]
    assert set(declared) == {"pulumi:pulumi:Stack"}
