"""What MongoStatefulSet declares.

Mocks show objects and how they refer to each other. That mongod starts under these rules, that the Job makes a replica
set and a user of them, that no second set comes about and that a score outlives its pod, they cannot prove.
"""

import json
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import yaml

from components.cluster import RunningMongo
from components.mongo import MongoStatefulSet, MongoStatefulSetArgs
from components.mongo.init_job import INIT_SCRIPT
from components.mongo.pod import LEAVE_SCRIPT, READY_SCRIPT, mongod_arguments
from components.pacman_deployment import INDEXES
from components.pods import Resources
from tools.recorder import Recorded, Resource, SecretValue, record, record_program, stack_config, unwrap

IMAGE = "mongo:8.0.32"


@cache
def declare(
    members: int = 1,
    image: str = IMAGE,
    name: str = "mongo",
    one_per_node: bool = False,
    indexes: str = "{}",
    **more: Any,  # noqa: ANN401 - other arguments of the component
) -> Recorded:
    args = MongoStatefulSetArgs(
        namespace="arcade",
        image=image,
        members=members,
        volume_size="2Gi",
        storage_class="fast",
        context="here",
        database="pacman",
        indexes=json.loads(indexes),
        one_per_node=one_per_node,
        **more,
    )
    return record(lambda: MongoStatefulSet(name, args))


def rotated(times: int) -> Recorded:
    return declare(rotation=times)


def runs(members: int, *, ready: int | None = None, new_claim: str = "") -> RunningMongo:
    well = frozenset(range(members if ready is None else ready))
    return RunningMongo(members, "fast", "2Gi", IMAGE, well, new_claim=new_claim, empty=bool(new_claim))


def spec(kind: str, members: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = declare(members).one(kind).manifest["spec"]
    return found


def pod(kind: str, members: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = spec(kind, members)["template"]["spec"]
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container["env"]}


def files(pod: dict[str, Any], container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The volume behind each mount path, with `readOnly` as the mount has it."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    mounts = container["volumeMounts"]
    return {m["mountPath"]: volumes.get(m["name"], {}) | {"readOnly": m.get("readOnly", False)} for m in mounts}


class TestReplicaSet:
    @pytest.mark.parametrize("members", [1, 3, 5])
    def test_the_stateful_set_has_as_many_replicas_as_members(self, members: int) -> None:
        assert spec("StatefulSet", members)["replicas"] == members

    @pytest.mark.parametrize("members", [-1, 0, 2, 4, 7])
    def test_an_even_or_unusual_number_of_members_is_refused(self, members: int) -> None:
        with pytest.raises(ValueError, match=f"mongo: members is {members}: must be 1, 3 or 5"):
            declare(members)

    def test_members_spread_over_zones_and_nodes_where_they_can(self) -> None:
        spread = pod("StatefulSet", 3)["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert {each["whenUnsatisfiable"] for each in spread} == {"ScheduleAnyway"}
        assert all(each["labelSelector"] == spec("StatefulSet", 3)["selector"] for each in spread)
        assert "affinity" not in pod("StatefulSet", 3)

    def test_with_one_per_node_two_members_never_share_a_node(self) -> None:
        apart = declare(3, one_per_node=True).one("StatefulSet").manifest["spec"]
        (term,) = apart["template"]["spec"]["affinity"]["podAntiAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert term == {"topologyKey": "kubernetes.io/hostname", "labelSelector": apart["selector"]}

    def test_one_member_is_a_replica_set_too_so_that_it_can_grow(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        assert "--replSet=rs0" in mongod["args"]

    def test_members_of_different_size_differ_in_number_only(self) -> None:
        assert spec("StatefulSet", 1) | {"replicas": 3} == spec("StatefulSet", 3)

    def test_members_start_at_once_since_they_need_each_other_to_elect(self) -> None:
        assert spec("StatefulSet")["podManagementPolicy"] == "Parallel"

    def test_members_find_each_other_before_they_are_ready(self) -> None:
        service = spec("Service")
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True

    def test_one_member_does_not_block_the_drain_of_its_node(self) -> None:
        budget = spec("PodDisruptionBudget")
        assert budget["maxUnavailable"] == 1
        assert "minAvailable" not in budget


class TestVolumes:
    def test_each_member_has_a_claim_of_the_named_class_for_its_data(self) -> None:
        (claim,) = spec("StatefulSet")["volumeClaimTemplates"]
        assert claim["spec"] == {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "2Gi"}},
        }
        (mongod,) = pod("StatefulSet")["containers"]
        assert {"name": claim["metadata"]["name"], "mountPath": "/data/db"} in mongod["volumeMounts"]

    def test_a_claim_outlives_its_pod_and_the_stateful_set(self) -> None:
        assert spec("StatefulSet")["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }

    def test_another_volume_size_does_not_replace_the_stateful_set(self) -> None:
        assert declare().one("StatefulSet").options["ignoreChanges"] == ["spec.volumeClaimTemplates"]

    def test_what_mongod_writes_besides_its_data_goes_to_volumes_of_the_pod(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        found = files(pod("StatefulSet"), mongod)
        assert all("emptyDir" in found[path] for path in ("/tmp", "/data/configdb"))  # noqa: S108
        assert environment(mongod)["HOME"] == "/tmp"  # noqa: S108


class TestSecrets:
    def test_passwords_are_generated_in_letters_and_digits(self) -> None:
        assert len(declare().of("RandomPassword")) == 4
        assert all(not p.inputs["special"] and p.inputs["length"] >= 32 for p in declare().of("RandomPassword"))

    def test_the_secret_of_a_client_has_only_its_own_password(self) -> None:
        for role, user in (("app", "pacman"), ("backup", "backup")):
            assert declare().one("Secret", f"mongo-{role}").manifest["stringData"] == {
                "username": user,
                "password": f"generated-for-mongo-{role}",
            }

    def test_members_get_no_password_of_a_client(self) -> None:
        assert declare().one("Secret", "mongo-root").manifest["stringData"] == {
            "username": "root",
            "password": "generated-for-mongo-root",
            "keyfile": "generated-for-mongo-keyfile",
        }

    def test_a_client_gets_its_password_after_the_database_has_it(self) -> None:
        (job,) = declare().of("Job")
        assert all(job.urn in declare().one("Secret", f"mongo-{role}").depends_on for role in ("app", "backup"))

    def test_the_data_of_every_secret_is_secret_in_the_state(self) -> None:
        assert all(isinstance(secret.inputs["stringData"], SecretValue) for secret in declare().of("Secret"))

    def test_mongod_reads_passwords_from_files_and_not_from_environment_or_arguments(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        assert environment(mongod) == {
            "MONGO_INITDB_ROOT_USERNAME_FILE": "/secrets/username",
            "MONGO_INITDB_ROOT_PASSWORD_FILE": "/secrets/password",
            "HOME": "/tmp",  # noqa: S108 - in the container
            "GLIBC_TUNABLES": "glibc.pthread.rseq=1",
        }
        assert not any("auth" in argument or "password" in argument.lower() for argument in mongod["args"])
        secrets = files(pod("StatefulSet"), mongod)["/secrets"]
        assert secrets["secret"]["secretName"] == "mongo-root"
        assert secrets["readOnly"] is True

    def test_no_secret_is_readable_for_everybody_in_the_pod(self) -> None:
        volumes = [v["secret"] for kind in ("StatefulSet", "Job") for v in pod(kind)["volumes"] if "secret" in v]
        assert [volume["defaultMode"] for volume in volumes] == [0o440] * 3


class TestAuthentication:
    def test_the_keyfile_is_copied_to_where_only_mongod_reads_it(self) -> None:
        (copies,) = pod("StatefulSet")["initContainers"]
        (mongod,) = pod("StatefulSet")["containers"]
        assert copies["command"] == ["install", "-m", "0400", "/secrets/keyfile", "/keyfile/keyfile"]
        assert "--keyFile=/keyfile/keyfile" in mongod["args"]
        target = files(pod("StatefulSet"), copies)["/keyfile"]
        assert target["emptyDir"] == {"medium": "Memory"}
        assert files(pod("StatefulSet"), mongod)["/keyfile"] == target | {"readOnly": True}

    def test_scripting_and_zlib_are_off_in_the_server(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        assert "--noscripting" in mongod["args"]
        (compressors,) = [arg for arg in mongod["args"] if arg.startswith("--networkMessageCompressors=")]
        assert "zlib" not in compressors


class TestMemory:
    @pytest.mark.parametrize(
        ("memory", "cache_in_gb"),
        [
            (("512Mi",), "0.25"),
            (("512Mi", "1Gi"), "0.25"),
            (("512Mi", "1.5Gi"), "0.25"),
            (("1Gi", "2Gi"), "0.5"),
            (("4Gi",), "1.5"),
            (("2Gi", "4096Mi"), "1.5"),
            (("16Gi", "64Gi"), "31.5"),
        ],
    )
    def test_the_cache_is_half_of_the_memory_limit_without_its_first_gib_and_a_quarter_gb_at_least(
        self, memory: tuple[str, ...], cache_in_gb: str
    ) -> None:
        arguments = mongod_arguments(Resources(("1",), memory, ("1Gi",)), "2Gi")
        assert f"--wiredTigerCacheSizeGB={cache_in_gb}" in arguments

    @pytest.mark.parametrize(
        ("volume", "oplog_in_mib"),
        [("1Gi", "256"), ("2Gi", "256"), ("5Gi", "256"), ("20Gi", "1024"), ("1.5Ti", "78643"), ("100G", "4768")],
    )
    def test_the_oplog_is_a_twentieth_of_the_volume_and_256_mib_at_least(self, volume: str, oplog_in_mib: str) -> None:
        assert f"--oplogSize={oplog_in_mib}" in mongod_arguments(Resources(("1",), ("1Gi",), ("1Gi",)), volume)

    def test_the_cache_follows_the_memory_of_the_config_and_the_oplog_the_volume(self) -> None:
        config = {"pacman:mongoMemory": "2Gi/4Gi", "pacman:mongoVolumeSize": "40Gi"}
        run = record_program(stack_config("dev") | config)
        (mongod,) = run.one("StatefulSet").manifest["spec"]["template"]["spec"]["containers"]
        assert mongod["resources"]["limits"]["memory"] == "4Gi"
        assert {"--wiredTigerCacheSizeGB=1.5", "--oplogSize=2048"} <= set(mongod["args"])

    def test_the_allocator_of_mongodb_8_starts_on_new_kernels(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        assert environment(mongod)["GLIBC_TUNABLES"] == "glibc.pthread.rseq=1"


class TestProbes:
    def test_startup_and_liveness_ask_whether_the_port_is_open_which_a_member_that_copies_data_passes(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        for probe in ("startupProbe", "livenessProbe"):
            assert mongod[probe]["tcpSocket"] == {"port": "mongo"}

    def test_readiness_asks_whether_the_member_has_all_data(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        script = READY_SCRIPT.read_text()
        assert mongod["readinessProbe"]["exec"] == {"command": ["bash", "-c", script, "ready", "127.0.0.1", "27017"]}
        assert mongod["readinessProbe"]["timeoutSeconds"] == 2

    def test_a_recovery_of_an_hour_is_no_reason_to_kill(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        assert mongod["startupProbe"]["periodSeconds"] * mongod["startupProbe"]["failureThreshold"] >= 3600

    def test_a_member_has_a_minute_to_wait_for_others_and_then_the_time_to_step_down_and_close(self) -> None:
        (mongod,) = pod("StatefulSet")["containers"]
        command = mongod["lifecycle"]["preStop"]["exec"]["command"]
        assert command == ["bash", "-c", LEAVE_SCRIPT.read_text(), "leave", "27017", READY_SCRIPT.read_text(), "60"]
        assert pod("StatefulSet")["terminationGracePeriodSeconds"] >= 60 + 30
        assert mongod["livenessProbe"]["terminationGracePeriodSeconds"] >= 30


class TestWhoMayReachIt:
    def test_members_the_init_job_and_pods_with_the_client_labels_may_reach_the_database(self) -> None:
        (rule,) = spec("NetworkPolicy")["ingress"]
        template = {kind: spec(kind)["template"]["metadata"]["labels"] for kind in ("StatefulSet", "Job")}
        members, job, clients = (peer["podSelector"]["matchLabels"] for peer in rule["from"])
        assert members.items() <= template["StatefulSet"].items()
        assert job.items() <= template["Job"].items()
        assert clients == {"mongo-client": "true"}

    def test_the_policy_opens_only_the_port_of_mongodb(self) -> None:
        assert spec("NetworkPolicy")["ingress"][0]["ports"] == [{"port": 27017, "protocol": "TCP"}]

    def test_the_service_does_not_select_the_pod_of_the_init_job(self) -> None:
        labels = spec("Job")["template"]["metadata"]["labels"]
        assert not spec("Service")["selector"].items() <= labels.items()


class TestInitJob:
    def job_name(self, members: int = 1, image: str = IMAGE) -> str:
        name: str = declare(members, image).one("Job").manifest["metadata"]["name"]
        return name

    def test_the_init_job_runs_the_committed_script(self) -> None:
        assert declare().one("ConfigMap").manifest["data"] == {"init.js": INIT_SCRIPT.read_text()}
        (init,) = pod("Job")["containers"]
        assert init["command"][-1] == "/script/init.js"
        assert files(pod("Job"), init)["/script"]["configMap"] == {"name": "mongo-init"}

    def test_the_init_job_gets_the_names_of_all_members_and_the_namespace(self) -> None:
        (init,) = pod("Job", 3)["containers"]
        members = environment(init)["MEMBERS"].split(",")
        assert members == [f"mongo-{ordinal}.mongo:27017" for ordinal in range(3)]
        assert environment(init)["NAMESPACE"] == "arcade"

    def test_the_init_job_gets_the_names_of_replica_set_and_database(self) -> None:
        (init,) = pod("Job")["containers"]
        assert environment(init)["REPLICA_SET"] == "rs0"
        assert environment(init)["DATABASE"] == "pacman"

    def test_the_init_job_creates_the_given_indexes_and_other_indexes_are_another_job(self) -> None:
        given = {"scores": {"score": -1, "name": 1}}
        run = declare(indexes=json.dumps(given))
        (init,) = run.one("Job").manifest["spec"]["template"]["spec"]["containers"]
        assert json.loads(environment(init)["INDEXES"]) == given
        assert run.one("Job").manifest["metadata"]["name"] != self.job_name()
        assert "createIndexes:" in INIT_SCRIPT.read_text()

    def test_the_program_creates_the_index_by_which_the_game_lists_its_scores(self) -> None:
        run = record_program(stack_config("dev"))
        (init,) = run.one("Job").manifest["spec"]["template"]["spec"]["containers"]
        assert json.loads(environment(init)["INDEXES"]) == INDEXES == {"highscore": {"score": -1}}

    def test_the_script_reads_all_that_it_is_given_and_nothing_else(self) -> None:
        (init,) = pod("Job")["containers"]
        script = INIT_SCRIPT.read_text()
        assert set(re.findall(r"process\.env\.([A-Z_]+)", script)) == environment(init).keys() - {"HOME"}
        logins = set(re.findall(r"users/([a-z]+)-", script)) | {
            u["secret"] for u in json.loads(environment(init)["USERS"])
        }
        given = rotated(1).one("Secret", "mongo-users").manifest["stringData"]
        assert {f"{login}-{part}" for login in logins for part in ("username", "password")} == given.keys()

    def test_another_image_or_number_of_members_is_another_job(self) -> None:
        assert self.job_name() == self.job_name()
        assert re.fullmatch(r"mongo-init-[0-9a-f]{8}", self.job_name())
        assert len({self.job_name(), self.job_name(3), self.job_name(1, "mongo:7.0.43")}) == 3

    def test_the_init_job_ends_before_the_engine_stops_waiting_for_it(self) -> None:
        assert spec("Job")["activeDeadlineSeconds"] < 600
        assert spec("Job")["backoffLimit"] <= 3
        assert pod("Job")["restartPolicy"] == "Never"

    def test_a_failed_init_job_puts_the_reason_into_the_status_of_its_pod(self) -> None:
        (init,) = pod("Job")["containers"]
        assert init["terminationMessagePolicy"] == "FallbackToLogsOnError"

    def test_mongod_itself_initiates_nothing(self) -> None:
        assert "rs.initiate" not in str(declare().one("StatefulSet").manifest)
        assert "command" not in pod("StatefulSet")["containers"][0]


class TestMembersComeAndGo:
    def job_first(self, members: int, running: RunningMongo | None) -> bool:
        run = declare(members, runs=running)
        return run.one("Job").urn in run.one("StatefulSet").depends_on

    def test_a_member_leaves_the_set_before_its_pod_goes_and_joins_after_its_pod_came(self) -> None:
        assert self.job_first(1, runs(3))
        assert self.job_first(3, runs(5))
        assert not self.job_first(3, runs(1))
        assert not self.job_first(3, runs(3))
        assert not self.job_first(1, None)

    def test_an_up_waits_for_a_member_that_copies_however_long_that_takes(self) -> None:
        def patience(members: int, running: RunningMongo) -> object:
            return declare(members, runs=running).one("StatefulSet").options.get("customTimeouts")

        assert patience(3, runs(1)) == {"update": "24h"}
        assert patience(3, runs(3, ready=2)) == {"update": "24h"}
        assert not patience(3, runs(3))
        assert not patience(1, runs(1, ready=0))

    def test_an_up_does_not_wait_for_a_day_behind_a_member_that_cannot_start(self) -> None:
        stuck = replace(runs(3, ready=2), stuck=frozenset({2}))
        assert not declare(3, runs=stuck).one("StatefulSet").options.get("customTimeouts")

    def test_a_lost_volume_is_another_job(self) -> None:
        names = {declare(runs=runs(1, new_claim=uid)).one("Job").manifest["metadata"]["name"] for uid in ("", "a", "b")}
        assert len(names) == 3

    def test_everything_of_the_database_waits_for_the_guard(self) -> None:
        run = declare(3)
        (guard,) = run.of("Database")
        parts = [r for r in run.resources if r.kind not in ("Database", "MongoStatefulSet", "Volumes")]
        later = [r for r in parts if r.kind == "Secret" and r.name in ("mongo-app", "mongo-backup")]
        assert [r.name for r in parts if guard.urn not in r.depends_on and r not in later] == []


class TestRotation:
    def passwords(self, times: int) -> dict[str, str]:
        keepers = {p.name: (p.manifest.get("keepers") or {}) for p in rotated(times).of("RandomPassword")}
        return {name: kept.get("rotation", "0") for name, kept in keepers.items() if "-app" in name}

    def test_each_rotation_changes_one_password_of_two_and_the_user_moves_to_it(self) -> None:
        assert [self.passwords(times) for times in range(4)] == [
            {"mongo-app": "0"},
            {"mongo-app": "0", "mongo-app-2": "1"},
            {"mongo-app": "1", "mongo-app-2": "1"},
            {"mongo-app": "1", "mongo-app-2": "2"},
        ]
        users = [rotated(times).one("Secret", "mongo-app").manifest["stringData"] for times in range(3)]
        assert [user["username"] for user in users] == ["pacman", "pacman-2", "pacman"]
        assert [user["password"] for user in users] == [f"generated-for-mongo-app{s}" for s in ("", "-2", "")]

    def test_members_of_before_and_after_a_rotation_have_a_key_in_common(self) -> None:
        def keys(times: int) -> list[str]:
            text: str = rotated(times).one("Secret", "mongo-root").manifest["stringData"]["keyfile"]
            loaded = yaml.safe_load(text)
            return [loaded] if isinstance(loaded, str) else loaded

        assert keys(0) == ["generated-for-mongo-keyfile"]
        assert keys(1) == ["generated-for-mongo-keyfile-2", "generated-for-mongo-keyfile"]
        assert keys(2) == ["generated-for-mongo-keyfile", "generated-for-mongo-keyfile-2"]

    def test_the_job_can_log_in_with_the_password_before(self) -> None:
        users = rotated(1).one("Secret", "mongo-users").manifest["stringData"]
        assert (users["previous-username"], users["previous-password"]) == ("root", "generated-for-mongo-root")
        assert "previous-username" not in rotated(0).one("Secret", "mongo-users").manifest["stringData"]

    def test_a_rotation_restarts_the_members_and_a_stack_without_one_has_no_mark_of_it(self) -> None:
        def annotations(times: int) -> object:
            pod = rotated(times).one("StatefulSet").manifest["spec"]["template"]
            return pod["metadata"].get("annotations")

        assert [annotations(times) for times in (0, 1, 2)] == [None, {"pacman/rotation": "1"}, {"pacman/rotation": "2"}]

    def test_the_game_gets_the_new_password_before_the_old_user_is_deleted(self) -> None:
        run = record_program(stack_config("dev") | {"pacman:passwordRotation": "1"})
        retire = run.one("Job", "mongo-retire")
        assert run.one("Deployment").urn in run.one("PreviousUsers").depends_on
        assert retire.parent == run.one("PreviousUsers").urn
        assert run.one("Deployment").manifest["spec"]["template"]["metadata"]["annotations"] == {"pacman/rotation": "1"}
        assert retire.manifest["metadata"]["annotations"]["pacman/rotation"] == "1"
        assert not [job for job in record_program(stack_config("dev")).of("Job") if job.name == "mongo-retire"]

    def test_protection_covers_the_passwords_in_use_and_not_those_that_the_next_rotation_replaces(self) -> None:
        protected = {p.name for p in declare(rotation=1, protect=True).of("RandomPassword") if p.options.get("protect")}
        assert protected == {f"mongo-{role}-2" for role in ("root", "app", "backup", "keyfile")}


class TestDeletionProtection:
    def test_namespace_and_stateful_set_are_protected_on_clouds_and_not_on_a_laptop(self) -> None:
        for stack, expected in (("eks", True), ("aks", True), ("gke", True), ("dev", False)):
            run = record_program(stack_config(stack))
            (namespace,) = [r for r in run.of("Namespace") if r.name == "pacman" and r.type.startswith("kubernetes:")]
            for resource in (namespace, run.one("StatefulSet")):
                assert bool(resource.options.get("protect")) is expected, (stack, resource.name)
            assert run.one("Volumes").inputs["retain"] is expected

    def test_the_key_overrides_the_target(self) -> None:
        run = record_program(stack_config("eks") | {"pacman:deletionProtection": "disabled"})
        assert not [r.name for r in run.resources if r.options.get("protect")]
        assert run.one("StorageClass").manifest["reclaimPolicy"] == "Delete"
        assert record_program(stack_config("eks")).one("StorageClass").manifest["reclaimPolicy"] == "Retain"


class TestOutputs:
    def test_the_uri_is_secret_and_logs_in_where_the_user_lives(self) -> None:
        uri = declare(3).one("MongoStatefulSet").outputs["uri"]
        assert isinstance(uri, SecretValue)
        hosts = ",".join(f"mongo-{ordinal}.mongo.arcade.svc:27017" for ordinal in range(3))
        assert unwrap(uri) == f"mongodb://pacman:generated-for-mongo-app@{hosts}/pacman?replicaSet=rs0"

    def test_what_a_client_needs_is_known_without_waiting(self) -> None:
        made: list[MongoStatefulSet] = []
        args = MongoStatefulSetArgs(
            namespace="arcade",
            image=IMAGE,
            members=3,
            volume_size="2Gi",
            storage_class="fast",
            context="here",
            database="pacman",
        )
        record(lambda: made.append(MongoStatefulSet("mongo", args)))
        assert made[0].hosts == ["mongo-0.mongo", "mongo-1.mongo", "mongo-2.mongo"]
        assert made[0].client_labels == {"mongo-client": "true"}
        assert made[0].database == "pacman"


def test_two_databases_can_live_in_one_namespace() -> None:
    def key(r: Resource) -> tuple[str, str]:
        return r.type, r.manifest["metadata"]["name"]

    one, other = ({key(r) for r in declare(name=name).kubernetes()} for name in ("mongo", "other"))
    assert len(one) == len(other)
    assert not one & other
