"""The stack's config: one truth in Pulumi.yaml and settings.py, and one clear line for everything that is wrong in it.

This calls `settings.load` with config as the engine would hand it over. That the CLI fills in the defaults and refuses
a wrong type before the program runs, it cannot prove.
"""

import json
from dataclasses import fields
from typing import Any, get_type_hints

import pulumi
import pytest
import yaml

import settings
from settings import Settings
from targets import TARGETS
from tests.harness.recorder import ROOT, defaults, stack_config

STACKS = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
DECLARED: dict[str, dict[str, Any]] = {
    key: spec
    for key, spec in yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"].items()
    if not key.startswith("pulumi:")
}
DIGEST = "sha256:" + "a" * 64


def load(**given: str) -> Settings:
    return settings.load(defaults() | {f"pacman:{key}": value for key, value in given.items()})


def problems(**given: str) -> list[str]:
    with pytest.raises(pulumi.RunError) as raised:
        load(**given)
    return str(raised.value).split("\n")


class TestOneTruth:
    def test_pulumi_yaml_declares_the_keys_that_are_read_and_no_others(self) -> None:
        assert list(DECLARED) == settings.keys()

    @pytest.mark.parametrize("key", DECLARED)
    def test_every_key_says_what_it_means_and_has_a_default(self, key: str) -> None:
        assert {"type", "description", "default"} <= DECLARED[key].keys()
        assert DECLARED[key]["description"].endswith(".")

    @pytest.mark.parametrize(("key", "field"), list(zip(settings.keys(), fields(Settings), strict=True)))
    def test_the_type_of_a_key_is_the_type_of_its_field(self, key: str, field: Any) -> None:  # noqa: ANN401
        types = {str: "string", int: "integer", bool: "boolean", tuple[str, ...]: "array"}
        declared = "string" if key == "target" else types[get_type_hints(Settings)[field.name]]
        assert DECLARED[key]["type"] == declared

    @pytest.mark.parametrize(("key", "spec"), DECLARED.items())
    def test_the_default_has_the_type_of_its_key(self, key: str, spec: dict[str, Any]) -> None:
        types = {"string": str, "integer": int, "boolean": bool, "array": list}
        assert type(spec["default"]) is types[spec["type"]], key

    def test_no_kubernetes_resource_can_use_a_provider_of_its_own(self) -> None:
        config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
        assert config["pulumi:disable-default-providers"]["value"] == ["kubernetes"]


class TestWhatIsLegal:
    def test_the_defaults_are_the_lesson_on_minikube(self) -> None:
        assert load() == Settings(
            target=TARGETS["minikube"],
            context="minikube",
            namespace="pacman",
            default_storage_class="csi-hostpath-sc",
            demote_storage_classes=("standard",),
            mongo_image="mongo:8.0.32",
            mongo_members=1,
            mongo_volume_size="2Gi",
            mongo_storage_class="csi-hostpath-sc",
            pacman_image=DECLARED["pacmanImage"]["default"],
            pacman_replicas=1,
            pacman_location=True,
            ingress_host="",
            ingress_class="nginx",
        )

    @pytest.mark.parametrize("stack", STACKS)
    def test_every_committed_stack_loads(self, stack: str) -> None:
        assert settings.load(defaults() | stack_config(stack)).context == stack_config(stack)["pacman:context"]

    def test_keys_of_other_projects_are_none_of_ours(self) -> None:
        other = {"pulumi:disable-default-providers": '["kubernetes"]', "kubernetes:context": "elsewhere"}
        assert settings.load(defaults() | other) == load()

    @pytest.mark.parametrize(
        ("given", "field", "value"),
        [
            ({"mongoMembers": "5"}, "mongo_members", 5),
            ({"mongoVolumeSize": "1Gi"}, "mongo_volume_size", "1Gi"),
            ({"mongoVolumeSize": "1.5Ti"}, "mongo_volume_size", "1.5Ti"),
            ({"mongoVolumeSize": "20G"}, "mongo_volume_size", "20G"),
            ({"mongoVolumeSize": str(2**30)}, "mongo_volume_size", str(2**30)),
            ({"pacmanReplicas": "100"}, "pacman_replicas", 100),
            ({"pacmanLocation": "false"}, "pacman_location", False),
            ({"ingressHost": "pacman.example"}, "ingress_host", "pacman.example"),
            ({"ingressHost": "localhost"}, "ingress_host", "localhost"),
            ({"namespace": "a" * 63}, "namespace", "a" * 63),
            ({"demoteStorageClasses": '["standard","slow"]'}, "demote_storage_classes", ("standard", "slow")),
            ({"demoteStorageClasses": '["slow","slow"]'}, "demote_storage_classes", ("slow",)),
            ({"mongoImage": "mirror.example:5000/lib/mongo:7.0.43"}, "mongo_image", None),
            ({"mongoImage": f"mongo@{DIGEST}"}, "mongo_image", f"mongo@{DIGEST}"),
        ],
    )
    def test_takes(self, given: dict[str, str], field: str, value: object) -> None:
        (text,) = given.values()
        assert getattr(load(**given), field) == (text if value is None else value)

    @pytest.mark.parametrize(
        ("given", "default", "demoted", "volumes"),
        [
            ({}, "csi-hostpath-sc", ("standard",), "csi-hostpath-sc"),
            ({"mongoStorageClass": "fast"}, "csi-hostpath-sc", ("standard",), "fast"),
            ({"defaultStorageClass": "fast"}, "fast", ("standard",), "fast"),
            ({"defaultStorageClass": "none"}, "", (), "standard"),
            ({"defaultStorageClass": "none", "mongoStorageClass": "fast"}, "", (), "fast"),
            ({"target": "generic", "mongoStorageClass": "fast"}, "", (), "fast"),
            ({"target": "generic", "defaultStorageClass": "fast"}, "fast", ("standard",), "fast"),
            # What is promoted may be in the list of a stack that promotes nothing: nothing is demoted there either.
            (
                {"target": "generic", "mongoStorageClass": "standard", "demoteStorageClasses": '["standard"]'},
                "",
                (),
                "standard",
            ),
        ],
    )
    def test_empty_classes_mean_what_the_target_says(
        self, given: dict[str, str], default: str, demoted: tuple[str, ...], volumes: str
    ) -> None:
        loaded = load(**given)
        assert loaded.default_storage_class == default
        assert loaded.demote_storage_classes == demoted
        assert loaded.mongo_storage_class == volumes


NAME = "must be a Kubernetes name"
HOST = "must be a host name in lower case"
BARE = "must be a bare host name: no scheme, no port, no path"
ADDRESS = "must be a name; leave it empty and the Ingress answers on its bare address"
LABEL = "must be a DNS label"
OWN = "must be a namespace of its own"
COUNT = "must be a number from 1 to 100"
MEMBERS = "must be 1, 3 or 5"
QUANTITY = "must be a Kubernetes quantity such as 2Gi"
SIZE = "must be 1Gi or more"
REFERENCE = "not an image reference; expected name:version"
PINNED = "not pinned; name a full version"
LINES = "not a MongoDB that should be run; allowed: 7.0 from 7.0.43, 8.0 from 8.0.32"
LIST = "must be a list of names; `pulumi config set --path"
# Key, value, and the part of the message that says what is allowed.
BAD: list[tuple[str, str, str]] = [
    ("target", "", "must be one of minikube, generic"),
    ("target", "Minikube", "must be one of minikube, generic"),
    ("target", "openshift", "must be one of minikube, generic"),
    ("context", "", "must name a context; `kubectl config get-contexts` lists yours"),
    ("context", "  ", "must name a context"),
    ("namespace", "", LABEL),
    ("namespace", "Pacman", LABEL),
    ("namespace", "pac.man", LABEL),
    ("namespace", "-pacman", LABEL),
    ("namespace", "a" * 64, LABEL),
    ("namespace", "default", OWN),
    ("namespace", "kube-system", OWN),
    ("namespace", "kube-games", OWN),
    ("defaultStorageClass", "Fast_SSD", NAME),
    ("defaultStorageClass", "a" * 254, NAME),
    ("demoteStorageClasses", "standard", LIST),
    ("demoteStorageClasses", '["standard"', LIST),
    ("demoteStorageClasses", '{"standard": true}', LIST),
    ("demoteStorageClasses", "[1]", LIST),
    ("demoteStorageClasses", '["standard", "Slow"]', NAME),
    ("mongoImage", "", REFERENCE),
    ("mongoImage", "mongo", PINNED),
    ("mongoImage", "mongo:latest", "`latest` moves; name a full version"),
    ("mongoImage", "mongo:8", PINNED),
    ("mongoImage", "mongo:noble", PINNED),
    ("mongoImage", "mongo:8.0", LINES),
    ("mongoImage", "mongo:8.0.31", LINES),
    ("mongoImage", "mongo:8.2.1", LINES),
    ("mongoImage", "mongo:4.4.29", LINES),
    ("mongoImage", "mirror.example/mongo:6.0.27", LINES),
    ("mongoImage", "sandbox/mongo:6.0.4", "allowed: 6.0 from 6.0.5"),
    ("mongoImage", "Mongo:8.0.32", REFERENCE),
    ("mongoImage", "mongo:8.0.32@sha256:abc", REFERENCE),
    ("mongoImage", "mongo :8.0.32", REFERENCE),
    ("mongoMembers", "0", MEMBERS),
    ("mongoMembers", "-1", MEMBERS),
    ("mongoMembers", "2", MEMBERS),
    ("mongoMembers", "4", MEMBERS),
    ("mongoMembers", "7", MEMBERS),
    ("mongoMembers", "three", MEMBERS),
    ("mongoMembers", "3.0", MEMBERS),
    ("mongoMembers", "", MEMBERS),
    ("mongoVolumeSize", "", QUANTITY),
    ("mongoVolumeSize", "big", QUANTITY),
    ("mongoVolumeSize", "2gi", QUANTITY),
    ("mongoVolumeSize", "2 Gi", QUANTITY),
    ("mongoVolumeSize", "2GB", QUANTITY),
    ("mongoVolumeSize", "-2Gi", QUANTITY),
    ("mongoVolumeSize", "0", SIZE),
    ("mongoVolumeSize", "2", SIZE),
    ("mongoVolumeSize", "1023Mi", SIZE),
    ("mongoVolumeSize", "1G", SIZE),
    ("mongoStorageClass", "my class", NAME),
    ("pacmanImage", "", REFERENCE),
    ("pacmanImage", "saintdle/pacman", PINNED),
    ("pacmanImage", "saintdle/pacman:latest", "`latest` moves"),
    ("pacmanImage", "saintdle/pacman:v1", PINNED),
    ("pacmanImage", "saintdle//pacman:0.7.9", REFERENCE),
    ("pacmanImage", "font/pacman:1.0.0", "use saintdle/pacman"),
    ("pacmanImage", "mirror.example/ifont/pacman-nodejs-app:1.0.0", "use saintdle/pacman"),
    ("pacmanImage", "shuguet/pacman:0.2.0", "use saintdle/pacman"),
    ("pacmanReplicas", "0", COUNT),
    ("pacmanReplicas", "-3", COUNT),
    ("pacmanReplicas", "101", COUNT),
    ("pacmanReplicas", "1.5", COUNT),
    ("pacmanReplicas", "ten", COUNT),
    ("pacmanReplicas", " 3", COUNT),
    ("pacmanReplicas", "9" * 5000, COUNT),
    ("pacmanLocation", "yes", "must be true or false"),
    ("pacmanLocation", "True", "must be true or false"),
    ("pacmanLocation", "", "must be true or false"),
    ("ingressHost", "http://pacman.example", BARE),
    ("ingressHost", "pacman.example:8080", BARE),
    ("ingressHost", "pacman.example/", BARE),
    ("ingressHost", "Pacman.example", HOST),
    ("ingressHost", "*.example", HOST),
    ("ingressHost", "pac man.example", HOST),
    ("ingressHost", "pacman..example", HOST),
    ("ingressHost", "pacman_game.example", HOST),
    ("ingressHost", f"{'a' * 64}.example", HOST),
    ("ingressHost", ".".join(["a" * 49] * 6), "must be a host name of 253 characters at most"),
    ("ingressHost", "pacman.example\nx", HOST),
    ("ingressHost", "192.168.49.2", ADDRESS),
    ("ingressHost", "fd00::1", ADDRESS),
    ("ingressClass", "", NAME),
    ("ingressClass", "nginx/public", NAME),
]


class TestWhatIsNot:
    @pytest.mark.parametrize(("key", "value", "allowed"), BAD, ids=[f"{key}={value[:20]!r}" for key, value, _ in BAD])
    def test_is_one_line_that_names_key_value_and_what_is_allowed(self, key: str, value: str, allowed: str) -> None:
        (line,) = problems(**{key: value})
        assert line.startswith(f"pacman:{key} is {json.dumps(value)}: ")
        assert allowed in line

    @pytest.mark.parametrize("key", settings.keys())
    def test_every_key_has_a_value_that_it_refuses(self, key: str) -> None:
        assert key in {bad for bad, _, _ in BAD}

    def test_a_misspelt_key_is_answered_with_the_one_that_was_meant(self) -> None:
        assert problems(pacmanReplica="3") == ["pacman:pacmanReplica is not a config key; did you mean pacmanReplicas?"]

    def test_a_key_like_no_other_is_answered_with_all_of_them(self) -> None:
        (line,) = problems(zzz="1")
        assert line == f"pacman:zzz is not a config key; the keys are {', '.join(settings.keys())}"

    def test_a_class_cannot_be_promoted_and_demoted(self) -> None:
        (line,) = problems(defaultStorageClass="standard")
        assert line.startswith('pacman:demoteStorageClasses is "standard": must not hold the class')

    def test_nor_the_one_that_the_target_promotes(self) -> None:
        (line,) = problems(demoteStorageClasses='["csi-hostpath-sc"]')
        assert line.startswith('pacman:demoteStorageClasses is "csi-hostpath-sc": must not hold the class')

    def test_a_generic_cluster_needs_the_name_of_a_class(self) -> None:
        assert problems(target="generic") == [
            'pacman:mongoStorageClass is "": must name a StorageClass on target generic'
        ]

    def test_a_key_without_default_and_value(self) -> None:
        config = defaults()
        del config["pacman:namespace"]
        with pytest.raises(pulumi.RunError, match="pacman:namespace is not set, and"):
            settings.load(config)

    def test_several_faults_are_told_at_once_a_line_each(self) -> None:
        told = problems(
            contxt="x", target="moon", mongoMembers="2", mongoVolumeSize="1", ingressHost="A", namespace="-"
        )
        assert [line.split(" ")[0] for line in told] == [
            *("pacman:contxt", "pacman:target", "pacman:namespace", "pacman:mongoMembers", "pacman:mongoVolumeSize"),
            "pacman:ingressHost",
        ]

    def test_a_fault_is_not_told_twice_by_what_depends_on_it(self) -> None:
        assert len(problems(target="moon", mongoStorageClass="")) == 1
        assert len(problems(target="generic", defaultStorageClass="No_Name")) == 1
