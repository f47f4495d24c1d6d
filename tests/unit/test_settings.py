"""The stack's config: one truth in Pulumi.yaml and settings.py, and one clear line for everything that is wrong in it.

This calls `settings.load` with config as the engine would hand it over. That the CLI fills in the defaults and refuses
a wrong type before the program runs, it cannot prove.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_type_hints

import pulumi
import pytest
import yaml

from stack import settings
from stack.settings import Settings
from stack.targets import TARGETS
from tools.recorder import ROOT, defaults, stack_config, stacks

DECLARED: dict[str, dict[str, Any]] = {
    key: spec
    for key, spec in yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"].items()
    if not key.startswith("pulumi:")
}
DIGEST = "sha256:" + "a" * 64
CHART = "oci://charts.example/nginx-ingress"


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
        types = {
            str: "string",
            int: "integer",
            bool: "boolean",
            tuple[str, ...]: "array",
            tuple[Mapping[str, Any], ...]: "array",
            Mapping[str, str]: "object",
        }
        of_two_values = ("mongoMemory", "mongoCpu", "pacmanMemory", "pacmanCpu")
        declared = "string" if key == "target" or key in of_two_values else types[get_type_hints(Settings)[field.name]]
        assert DECLARED[key]["type"] == declared

    @pytest.mark.parametrize(("key", "spec"), DECLARED.items())
    def test_the_default_has_the_type_of_its_key(self, key: str, spec: dict[str, Any]) -> None:
        types = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
        assert type(spec["default"]) is types[spec["type"]], key

    def test_no_kubernetes_resource_can_use_a_provider_of_its_own(self) -> None:
        config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
        assert config["pulumi:disable-default-providers"]["value"] == ["kubernetes"]


class TestWhatIsLegal:
    def test_the_defaults_are_the_lesson_on_minikube_as_the_stack_dev_deploys_it(self) -> None:
        assert load() == settings.load(defaults() | stack_config("dev"))

    @pytest.mark.parametrize("stack", stacks())
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
            ({"backupSchedule": "*/15 0-6,22 1 JAN-jun ?"}, "backup_schedule", "*/15 0-6,22 1 JAN-jun ?"),
            ({"backupSchedule": "@hourly"}, "backup_schedule", "@hourly"),
            ({"backupSchedule": ""}, "backup_schedule", ""),
            ({"backupVolumeSize": "64Mi"}, "backup_volume_size", "64Mi"),
            ({"pacmanReplicas": "100"}, "pacman_replicas", 100),
            ({"pacmanLocation": "false"}, "pacman_location", False),
            ({"ingressHost": "pacman.example"}, "ingress_host", "pacman.example"),
            ({"ingressHost": "localhost"}, "ingress_host", "localhost"),
            ({"namespace": "a" * 63}, "namespace", "a" * 63),
            ({"demoteStorageClasses": '["standard","slow"]'}, "demote_storage_classes", ("standard", "slow")),
            ({"demoteStorageClasses": '["slow","slow"]'}, "demote_storage_classes", ("slow",)),
            ({"mongoImage": "mirror.example:5000/lib/mongo:7.0.43"}, "mongo_image", None),
            ({"mongoImage": f"mongo:8.0@{DIGEST}"}, "mongo_image", f"mongo:8.0@{DIGEST}"),
            ({"mongoSpread": "require"}, "mongo_spread", "require"),
            ({"pacmanMaxReplicas": "1"}, "pacman_max_replicas", 1),
            ({"ingressClass": "arcade"}, "ingress_class", "arcade"),
        ],
    )
    def test_a_legal_value_is_taken(self, given: dict[str, str], field: str, value: object) -> None:
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

    CLOUDS = ("eks", "aks", "gke")

    @pytest.mark.parametrize("target", CLOUDS)
    def test_a_cloud_has_three_members_apart_and_a_controller_of_its_own_that_is_not_public(self, target: str) -> None:
        loaded = load(target=target, ingressChart=CHART)
        assert (loaded.mongo_members, loaded.mongo_spread) == (3, "require")
        assert (loaded.ingress_controller, loaded.ingress_class) == ("install", "pacman-nginx")
        assert loaded.controller_name == "pacman-ingress"
        assert loaded.ingress_scope == "private"
        assert loaded.target.load_balancers["private"] != loaded.target.load_balancers["public"]

    @pytest.mark.parametrize("target", CLOUDS)
    def test_all_that_a_target_says_can_be_said_otherwise(self, target: str) -> None:
        loaded = load(
            target=target,
            defaultStorageClass="quick",
            mongoStorageClass="fast",
            mongoMembers="5",
            mongoSpread="prefer",
            ingressController="existing",
            ingressClass="web",
        )
        assert (loaded.default_storage_class, loaded.mongo_storage_class) == ("quick", "fast")
        assert loaded.new_storage_class is None
        assert (loaded.mongo_members, loaded.mongo_spread) == (5, "prefer")
        assert (loaded.ingress_controller, loaded.ingress_class) == ("existing", "web")
        assert loaded.ingress_scope == ""
        public = load(target=target, ingressChart=CHART, ingressScope="public", ingressClass="web")
        assert (public.ingress_scope, public.ingress_class) == ("public", "web")

    def test_only_eks_gets_a_class_that_is_made_for_it(self) -> None:
        made = load(target="eks", ingressChart=CHART, namespace="arcade")
        assert made.default_storage_class == made.mongo_storage_class == "arcade-gp3"
        new = TARGETS["eks"].new_storage_class
        assert new is not None
        assert made.new_storage_class == replace(new, reclaim_policy="Retain"), "data on a cloud are protected"
        assert load(target="aks", ingressChart=CHART).mongo_storage_class == "managed-csi"
        assert load(target="gke", ingressChart=CHART).mongo_storage_class == "standard-rwo"
        others = [load(target=target, ingressChart=CHART) for target in ("aks", "gke")]
        assert [(loaded.default_storage_class, loaded.new_storage_class) for loaded in others] == [("", None)] * 2
        assert load().new_storage_class is None

    def test_the_class_stays_where_the_volumes_name_it(self) -> None:
        eks = {"target": "eks", "ingressChart": CHART, "namespace": "arcade"}
        assert load(**eks, mongoStorageClass="arcade-gp3") == load(**eks)

    def test_no_class_is_made_where_the_volumes_have_another_one(self) -> None:
        own = load(target="eks", ingressChart=CHART, mongoStorageClass="auto-gp3")
        assert (own.default_storage_class, own.new_storage_class) == ("", None)
        assert own.mongo_storage_class == "auto-gp3"

    def test_a_controller_can_be_installed_where_no_load_balancer_is_known(self) -> None:
        loaded = load(ingressController="install", ingressChart="charts/nginx.tgz", ingressScope="public")
        assert (loaded.ingress_class, loaded.ingress_scope) == ("pacman-nginx", "public")

    @pytest.mark.parametrize(
        ("given", "secret"),
        [
            ({}, ""),
            ({"ingressTlsSecret": "cert"}, "cert"),
            ({"ingressTlsIssuer": "letsencrypt"}, "pacman-tls"),
            ({"ingressTlsIssuer": "letsencrypt", "ingressTlsSecret": "cert"}, "cert"),
        ],
    )
    def test_where_the_certificate_lies(self, given: dict[str, str], secret: str) -> None:
        assert load(ingressHost="pacman.example", **given).ingress_tls_secret == secret


NAME = "must be a Kubernetes name"
HOST = "must be a host name in lower case"
BARE = "must be a bare host name: no scheme, no port, no path"
ADDRESS = "must be a name; leave it empty and the Ingress answers on its bare address"
LABEL = "must be a DNS label"
OWN = "must be a namespace of its own"
CRON = "must be a cron schedule of five fields"
COUNT = "must be a number from 1 to 100"
MEMBERS = "must be 1, 3 or 5, or 0"
MOST = "must be a number from 1 to 100, or 0"
SPREAD = "must be prefer or require, or empty"
CONTROLLER = "must be existing or install, or empty"
SCOPE = "must be public or private, or empty"
PATH = "must be a path or an address that begins with oci://"
QUANTITY = "must be a Kubernetes quantity such as 2Gi"
SIZE = "must be 1Gi or more"
REFERENCE = "not an image reference; expected name:version"
PINNED = "not pinned; name a full version"
LINES = "not a MongoDB that should be run; allowed: 7.0 from 7.0.43, 8.0 from 8.0.32"
LIST = "must be a list of names; `pulumi config set --path"
MAP = "must be a map of names to texts"
RESERVED = "names that begin with app.kubernetes.io/, pulumi.com/"
TOLERATION = "must be a list of tolerations"
FIELDS = "must be tolerations with the fields key, operator, value, effect, tolerationSeconds"
TWO = "must be a request, or a request and a limit that is not less"
AMOUNT = "must be a Kubernetes quantity such as"
CREDENTIALS = "must be the text of a Docker config.json whose auths hold the credentials"
RATE = "must be a number from 1 to 100000, or 0"
OTHER_CONTRACT = "must be the official image `mongo` or a mirror of it"
# Key, value, and the part of the message that says what is allowed.
BAD: list[tuple[str, str, str]] = [
    ("createNamespace", "no", "must be true or false"),
    ("createNamespace", "False", "must be true or false"),
    ("createNamespace", "0", "must be true or false"),
    ("labels", "team=games", MAP),
    ("labels", '["team"]', MAP),
    ("labels", '{"team": 1}', MAP),
    ("labels", '{"team": null}', MAP),
    ("labels", '{"team": {"name": "games"}}', MAP),
    ("labels", '{"": "games"}', "must have names such as team or example.com/team"),
    ("labels", '{"my team": "games"}', "must have names such as team"),
    ("labels", '{"example.com/": "games"}', "must have names such as team"),
    ("labels", '{"Example.com/team": "games"}', "must have names such as team"),
    ("labels", '{"a/b/team": "games"}', "must have names such as team"),
    ("labels", '{"team": "the games"}', "must have values of at most 63 letters, digits"),
    ("labels", json.dumps({"team": "a" * 64}), "must have values of at most 63 letters, digits"),
    ("labels", json.dumps({"a" * 64: "games"}), "must have names such as team"),
    ("labels", '{"app.kubernetes.io/name": "mine"}', RESERVED),
    ("labels", '{"pod-security.kubernetes.io/enforce": "privileged"}', RESERVED),
    ("annotations", "hello", MAP),
    ("annotations", '{"a": true}', MAP),
    ("annotations", '{"pulumi.com/patchForce": "false"}', RESERVED),
    ("annotations", '{"pacman/stack": "mine"}', RESERVED),
    ("annotations", '{"pulumi.com/skipAwait": "true"}', RESERVED),
    ("imagePullSecrets", "my-secret", LIST),
    ("imagePullSecrets", '["My_Secret"]', NAME),
    ("imagePullSecrets", '[""]', NAME),
    ("nodeSelector", "disk=ssd", MAP),
    ("nodeSelector", '{"disk": "very fast"}', "must have values of at most 63 letters, digits"),
    ("nodeSelector", '{"disk": true}', MAP),
    ("tolerations", "dedicated", TOLERATION),
    ("tolerations", '{"key": "dedicated"}', TOLERATION),
    ("tolerations", '["dedicated"]', TOLERATION),
    ("tolerations", '[{"key": "a", "effects": "NoSchedule"}]', f"{FIELDS}; effects: unknown"),
    (
        "tolerations",
        '[{"key": "a", "tolerationSeconds": "5"}]',
        f"{FIELDS}; tolerationSeconds: unknown, or of",
    ),
    ("tolerations", '[{"key": 1}]', f"{FIELDS}; key: unknown, or of another type"),
    ("tolerations", '[{"key": "a", "operator": "In"}]', "whose operator is Equal or Exists"),
    ("tolerations", '[{"key": "a", "effect": "Never"}]', "whose effect is NoSchedule, PreferNoSchedule or NoExecute"),
    ("tolerations", '[{"effect": "NoSchedule"}]', "with a key, or with operator Exists for every taint"),
    ("mongoImage", "bitnami/mongodb:8.0.40", OTHER_CONTRACT),
    ("mongoImage", "docker.io/bitnami/mongodb:8.0.40", OTHER_CONTRACT),
    ("mongoImage", "bitnamilegacy/mongodb:8.0.40", OTHER_CONTRACT),
    ("mongoImage", "percona/percona-server-mongodb:8.0.40", OTHER_CONTRACT),
    ("mongoImage", "mongodb/mongodb-community-server:8.0.40-ubi9", OTHER_CONTRACT),
    ("mongoImage", "mirror.example/mongodb/mongodb-enterprise-server:8.0.40", OTHER_CONTRACT),
    ("mongoMemory", "", AMOUNT),
    ("mongoMemory", "lots", AMOUNT),
    ("mongoMemory", "256Mi", "must be 512Mi or more"),
    ("mongoMemory", "2Gi/1Gi", TWO),
    ("mongoMemory", "1Gi/2Gi/3Gi", TWO),
    ("mongoMemory", "1Gi/", AMOUNT),
    ("mongoMemory", "1GB", AMOUNT),
    ("mongoMemory", "-1Gi", AMOUNT),
    ("mongoCpu", "", AMOUNT),
    ("mongoCpu", "half", AMOUNT),
    ("mongoCpu", "0", "must be 1m or more"),
    ("mongoCpu", "500m/250m", TWO),
    ("pacmanMemory", "32Mi", "must be 64Mi or more"),
    ("pacmanMemory", "256Mi/96Mi", TWO),
    ("pacmanMemory", "96 Mi", AMOUNT),
    ("pacmanCpu", "25milli", AMOUNT),
    ("pacmanCpu", "1/0.5", TWO),
    ("pacmanLogLevel", "", "must be one of error, warn, info, debug"),
    ("pacmanLogLevel", "WARN", "must be one of error, warn, info, debug"),
    ("pacmanLogLevel", "trace", "must be one of error, warn, info, debug"),
    ("ingressRateLimit", "-1", RATE),
    ("ingressRateLimit", "many", RATE),
    ("ingressRateLimit", "100r/s", RATE),
    ("ingressRateLimit", "1000000", RATE),
    ("target", "", "must be one of minikube, eks, aks, gke, generic"),
    ("target", "Minikube", "must be one of minikube, eks, aks, gke, generic"),
    ("target", "openshift", "must be one of minikube, eks, aks, gke, generic"),
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
    ("mongoImage", "mongo:8.0", PINNED),
    ("mongoImage", "mongo:8.0.31", LINES),
    ("mongoImage", "mongo:8.2.1", LINES),
    ("mongoImage", "mongo:4.4.29", LINES),
    ("mongoImage", "mirror.example/mongo:6.0.27", LINES),
    ("mongoImage", "sandbox/mongo:6.0.4", "allowed: 5.0 from 5.0.4, 6.0 from 6.0.5"),
    ("mongoImage", "Mongo:8.0.32", REFERENCE),
    ("mongoImage", "mongo:8.0.32@sha256:abc", REFERENCE),
    ("mongoImage", "mongo :8.0.32", REFERENCE),
    ("mongoImage", f"mongo@{DIGEST}", "must have a tag that says the version"),
    ("mongoFeatureCompatibility", "8", "must be major and minor version in quotes, such as '8.0', or empty"),
    ("mongoFeatureCompatibility", "8.0.32", "must be major and minor version in quotes, such as '8.0', or empty"),
    ("passwordRotation", "-1", "must be a number from 0 to 100000"),
    ("passwordRotation", "now", "must be a number from 0 to 100000"),
    ("deletionProtection", "true", "must be enabled or disabled, or empty"),
    ("deletionProtection", "on", "must be enabled or disabled, or empty"),
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
    ("backupSchedule", "daily", CRON),
    ("backupSchedule", "@daly", CRON),
    ("backupSchedule", "17 3 * *", CRON),
    ("backupSchedule", "17 3 * * * *", CRON),
    ("backupSchedule", "TZ=UTC 17 3 * * *", CRON),
    ("backupSchedule", "17 3 * * *; x", CRON),
    ("backupSchedule", "60 3 * * *", CRON),
    ("backupSchedule", "17 3 * * 7", CRON),
    ("backupSchedule", "17 3 0 * *", CRON),
    ("backupSchedule", "17 3 * smarch *", CRON),
    ("backupSchedule", "17 6-3 * * *", CRON),
    ("backupSchedule", "17 3- * * *", CRON),
    ("backupSchedule", "*/0 3 * * *", CRON),
    ("backupKeep", "0", "must be a number from 1 to 1000"),
    ("backupKeep", "1001", "must be a number from 1 to 1000"),
    ("backupVolumeSize", "1", "must be 64Mi or more"),
    ("backupVolumeSize", "big", "must be a Kubernetes quantity"),
    ("backupClaim", "My_Claim", "must be a Kubernetes name"),
    ("backupSnapshotClass", "My Class", "must be a Kubernetes name"),
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
    ("ingressClass", "Nginx", NAME),
    ("ingressClass", "nginx/public", NAME),
    ("ingressClass", " ", NAME),
    ("target", "EKS", "must be one of minikube, eks, aks, gke, generic"),
    ("target", "aws", "must be one of minikube, eks, aks, gke, generic"),
    ("mongoMembers", "6", MEMBERS),
    ("mongoSpread", "node", SPREAD),
    ("mongoSpread", "Require", SPREAD),
    ("mongoSpread", "none", SPREAD),
    ("mongoSpread", "true", SPREAD),
    ("pacmanMaxReplicas", "-1", MOST),
    ("pacmanMaxReplicas", "101", MOST),
    ("pacmanMaxReplicas", "many", MOST),
    ("pacmanMaxReplicas", "", MOST),
    ("pacmanMaxReplicas", "2.0", MOST),
    ("ingressController", "nginx", CONTROLLER),
    ("ingressController", "Install", CONTROLLER),
    ("ingressController", "true", CONTROLLER),
    ("ingressChart", "charts.example/nginx-ingress:2.6.4", PATH),
    ("ingressChart", "https://charts.example/nginx-ingress", PATH),
    ("ingressChart", "my chart", PATH),
    ("ingressChart", "oci://charts.example/nginx-ingress:2.6.4", "must have no version"),
    ("ingressScope", "internal", SCOPE),
    ("ingressScope", "internet-facing", SCOPE),
    ("ingressScope", "Public", SCOPE),
    ("ingressTlsSecret", "Pacman_TLS", NAME),
    ("ingressTlsSecret", "pacman/tls", NAME),
    ("ingressTlsIssuer", "Let's Encrypt", NAME),
    ("ingressTlsIssuer", "ClusterIssuer/letsencrypt", NAME),
]
INSTALL = {"ingressController": "install", "ingressChart": CHART, "ingressScope": "public"}
NOT_PRIVATE = "no way is known to make a load balancer private there"
EMPTY_CHART = "must say where the chart is, since ingressController is install: a path or oci://"
OWNER = "must be empty where ingressController is existing: its owner decides that"
NEEDS_HOST = "needs ingressHost: a certificate is for a name"
# What each value would be legal by itself for: the config, the key that is blamed, and the whole of the reason.
TOGETHER: list[tuple[dict[str, str], str, str]] = [
    ({"pacmanReplicas": "3", "pacmanMaxReplicas": "2"}, "pacmanMaxReplicas", "must not be less than pacmanReplicas"),
    ({"pacmanReplicas": "100", "pacmanMaxReplicas": "99"}, "pacmanMaxReplicas", "which is 100"),
    *(({"target": target}, "ingressChart", EMPTY_CHART) for target in ("eks", "aks", "gke")),
    ({"ingressController": "install", "ingressScope": "public"}, "ingressChart", EMPTY_CHART),
    ({"ingressChart": CHART}, "ingressChart", OWNER),
    ({"target": "eks", "ingressController": "existing", "ingressChart": CHART}, "ingressChart", OWNER),
    ({"ingressScope": "public"}, "ingressScope", OWNER),
    ({"target": "gke", "ingressController": "existing", "ingressScope": "private"}, "ingressScope", OWNER),
    (INSTALL | {"ingressScope": "private"}, "ingressScope", f"must be public on target minikube: {NOT_PRIVATE}"),
    (INSTALL | {"ingressScope": ""}, "ingressScope", f"must be public on target minikube: {NOT_PRIVATE}"),
    (
        INSTALL | {"target": "generic", "mongoStorageClass": "fast", "ingressScope": "private"},
        "ingressScope",
        f"must be public on target generic: {NOT_PRIVATE}",
    ),
    (INSTALL | {"namespace": "a" * 46}, "namespace", "must have 45 characters at most where ingressController is"),
    ({"ingressTlsSecret": "cert"}, "ingressTlsSecret", NEEDS_HOST),
    ({"ingressTlsIssuer": "letsencrypt"}, "ingressTlsIssuer", NEEDS_HOST),
    ({"target": "aks", "ingressChart": CHART, "ingressTlsIssuer": "own"}, "ingressTlsIssuer", NEEDS_HOST),
    ({"target": "eks", "ingressChart": CHART, "defaultStorageClass": "none"}, "mongoStorageClass", "on target eks"),
    *(
        (
            {"target": "eks", "ingressChart": CHART, "mongoStorageClass": "pacman-gp3", "defaultStorageClass": default},
            "defaultStorageClass",
            "must be empty, since the volumes have the class pacman-gp3",
        )
        for default in ("none", "gp2")
    ),
    (
        {"target": "eks", "ingressChart": CHART, "demoteStorageClasses": '["pacman-gp3"]'},
        "demoteStorageClasses",
        "must not hold the class that defaultStorageClass makes the default",
    ),
    (
        {"target": "gke", "ingressChart": CHART, "defaultStorageClass": "standard"},
        "demoteStorageClasses",
        "must not hold the class that defaultStorageClass makes the default",
    ),
]


class TestWhatIsNot:
    @pytest.mark.parametrize(("given", "key", "reason"), TOGETHER)
    def test_values_that_contradict_each_other_are_one_line(self, given: dict[str, str], key: str, reason: str) -> None:
        (line,) = problems(**given)
        assert line.startswith(f"pacman:{key} is ")
        assert reason in line

    @pytest.mark.parametrize(("key", "value", "allowed"), BAD, ids=[f"{key}={value[:20]!r}" for key, value, _ in BAD])
    def test_a_bad_value_is_one_line_with_key_value_and_what_is_allowed(
        self, key: str, value: str, allowed: str
    ) -> None:
        (line,) = problems(**{key: value})
        shown = value if value.startswith(("[", "{")) else json.dumps(value)
        assert line.startswith(f"pacman:{key} is {shown}: ")
        assert allowed in line

    @pytest.mark.parametrize("key", sorted(set(settings.keys()) - {"imagePullConfig"}))
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

    def test_the_class_that_the_target_promotes_cannot_be_demoted(self) -> None:
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


CONFIG = [
    ("not json", CREDENTIALS),
    ("[]", CREDENTIALS),
    ('{"auths": {}}', CREDENTIALS),
    ('{"auths": null}', CREDENTIALS),
    ('{"credsStore": "desktop"}', CREDENTIALS),
]


@pytest.mark.parametrize(("value", "allowed"), CONFIG)
def test_an_unusable_docker_config_is_refused_without_showing_it(value: str, allowed: str) -> None:
    (line,) = problems(imagePullConfig=value)
    assert line.startswith('pacman:imagePullConfig is "(secret)": ')
    assert allowed in line
    assert value not in line


def test_credentials_that_the_stack_file_shows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """That the engine tells secrets from others, tests/engine/test_platform_namespace.py shows."""
    key = "pacman:imagePullConfig"
    given = defaults() | {key: '{"auths": {"registry.example": {"auth": "c2VjcmV0"}}}'}
    monkeypatch.setattr(settings, "_running_config", lambda: given)
    monkeypatch.setattr(pulumi.runtime.config, "is_config_secret", lambda name: name == key)
    assert settings.load().image_pull_config == given[key]
    monkeypatch.setattr(pulumi.runtime.config, "is_config_secret", lambda _: False)
    with pytest.raises(pulumi.RunError) as raised:
        settings.load()
    assert str(raised.value) == (
        "pacman:imagePullConfig is not encrypted: `pulumi config set --secret imagePullConfig < config.json` encrypts"
        " it; change the credentials if anybody else can read the stack file"
    )


def test_the_settings_do_not_show_the_credentials() -> None:
    assert "c2VjcmV0" not in repr(load(imagePullConfig='{"auths": {"registry.example": {"auth": "c2VjcmV0"}}}'))


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"mongoMemory": "1Gi"}, "mongo_memory", ("1Gi",)),
        ({"mongoMemory": "1Gi/1024Mi"}, "mongo_memory", ("1Gi", "1024Mi")),
        ({"mongoCpu": "0.5/1"}, "mongo_cpu", ("0.5", "1")),
        ({"labels": '{"example.com/team": "games"}'}, "labels", {"example.com/team": "games"}),
        ({"annotations": '{"note": "any text: 1 & 2"}'}, "annotations", {"note": "any text: 1 & 2"}),
        ({"tolerations": '[{"operator": "Exists"}]'}, "tolerations", ({"operator": "Exists"},)),
        ({"ingressRateLimit": "0"}, "ingress_rate_limit", 0),
        ({"mongoImage": "mirror.example/library/mongo:8.0.32"}, "mongo_image", "mirror.example/library/mongo:8.0.32"),
    ],
)
def test_legal_values_are_taken(given: dict[str, str], field: str, value: object) -> None:
    assert getattr(load(**given), field) == value


class TestARenamedProject:
    @pytest.fixture(autouse=True)
    def rename(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pulumi, "get_project", lambda: "arcade")

    def load(self, **given: str) -> Settings:
        declared = {key.replace("pacman:", "arcade:"): value for key, value in defaults().items()}
        return settings.load(declared | {key.replace("_", ":"): value for key, value in given.items()})

    def test_the_keys_of_its_stack_files_still_count(self) -> None:
        loaded = self.load(pacman_namespace="games")
        assert (loaded.namespace, loaded.mongo_image) == ("games", "mongo:8.0.32")

    def test_a_key_may_be_set_under_the_new_name(self) -> None:
        assert self.load(arcade_namespace="games").namespace == "games"

    def test_a_key_with_one_value_under_both_names_is_accepted(self) -> None:
        assert self.load(arcade_namespace="games", pacman_namespace="games").namespace == "games"

    @pytest.mark.parametrize(
        ("key", "values"),
        [
            ("context", ("acme", "minikube")),
            ("pacmanLocation", ("false", "true")),
            ("demoteStorageClasses", ('["slow"]', '["standard"]')),
        ],
    )
    def test_a_key_with_different_values_under_both_names_is_refused(self, key: str, values: tuple[str, str]) -> None:
        given = dict(zip((f"arcade_{key}", f"pacman_{key}"), values, strict=True))
        with pytest.raises(pulumi.RunError) as raised:
            self.load(**given)
        assert str(raised.value) == (
            f"arcade:{key} and pacman:{key} have different values: set only one of them;"
            f" `pulumi config rm pacman:{key}` removes the second"
        )

    def test_a_key_of_the_stack_file_overrides_any_default(self) -> None:
        """The engine passes each default under the new name."""
        loaded = self.load(pacman_pacmanLocation="false", pacman_demoteStorageClasses="[]", pacman_pacmanReplicas="2")
        assert (loaded.pacman_location, loaded.demote_storage_classes, loaded.pacman_replicas) == (False, (), 2)


@pytest.mark.parametrize(
    ("key", "command"),
    [
        ("demoteStorageClasses", "`pulumi config set --path 'demoteStorageClasses[0]' NAME` adds one"),
        ("imagePullSecrets", "`pulumi config set --path 'imagePullSecrets[0]' NAME` adds one"),
        ("nodeSelector", "`pulumi config set --path 'nodeSelector[\"NAME\"]' VALUE` adds one"),
        ("labels", "`pulumi config set --path 'labels[\"NAME\"]' VALUE` adds one"),
    ],
)
def test_the_command_that_an_error_proposes_is_for_the_key_that_is_wrong(key: str, command: str) -> None:
    (line,) = problems(**{key: "text"})
    assert command in line
