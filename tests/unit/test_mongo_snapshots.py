"""What MongoSnapshots declares.

Mocks show objects and how they refer to each other. That the script creates, waits and deletes as it should, and that
its account may do nothing else, tests/engine/test_snapshots.py shows.
"""

import json
import re
from functools import cache
from typing import Any

import pytest

from components.backup import MongoSnapshots, MongoSnapshotsArgs
from components.backup.mongo_snapshots import SNAPSHOT_SCRIPT
from tools.recorder import Recorded, record, record_program, stack_config

LABELS = {"app.kubernetes.io/name": "mongo", "app.kubernetes.io/instance": "scores"}


@cache
def declare(schedule: str = "17 3 * * *", keep: int = 7) -> Recorded:
    args = MongoSnapshotsArgs(
        namespace="arcade",
        image="mongo:8.0.32",
        claims=("data-scores-0", "data-scores-1"),
        snapshot_class="fast",
        schedule=schedule,
        keep=keep,
    )
    return record(lambda: MongoSnapshots("scores", args))


def cron(run: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = run.one("CronJob", "scores-snapshot").manifest["spec"]
    return found


def template(run: Recorded) -> dict[str, Any]:
    found: dict[str, Any] = cron(run)["jobTemplate"]["spec"]["template"]
    return found


def environment(run: Recorded) -> dict[str, str]:
    (container,) = template(run)["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_without_a_schedule_no_snapshot_is_taken_but_the_template_of_a_job_stays() -> None:
    assert cron(declare())["suspend"] is False
    assert cron(declare(schedule=""))["suspend"] is True
    assert template(declare(schedule="")) == template(declare())


def test_every_member_gets_a_snapshot_of_the_class() -> None:
    assert environment(declare())["CLAIMS"] == "data-scores-0,data-scores-1"
    assert environment(declare())["SNAPSHOT_CLASS"] == "fast"


def test_a_snapshot_has_labels_by_which_the_job_finds_those_of_its_own_database() -> None:
    labels = json.loads(environment(declare())["LABELS"])
    assert labels.items() >= LABELS.items()
    assert labels["app.kubernetes.io/component"] == "snapshot"


def test_the_script_gives_up_before_its_job_does_so_that_it_can_say_why() -> None:
    job = cron(declare())["jobTemplate"]["spec"]
    assert int(environment(declare())["READY_SECONDS"]) < job["activeDeadlineSeconds"]


def test_the_script_reads_all_variables_that_it_is_given_and_no_others() -> None:
    script = SNAPSHOT_SCRIPT.read_text()
    (single,) = re.findall(r"const \{ ([A-Z_]+) \} = process\.env;", script)
    read = {single, *re.findall(r"process\.env\.([A-Z_]+)", script)}
    kubernetes = {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}
    assert read - kubernetes == environment(declare()).keys() - {"HOME"}
    assert declare().one("ConfigMap").manifest["data"] == {"snapshot.js": script}


def test_the_pod_has_no_secret_and_may_not_reach_the_database() -> None:
    assert not any("secret" in volume for volume in template(declare())["spec"]["volumes"])
    run = record_program(stack_config("dev") | {"pacman:backupSnapshotClass": "fast"})
    job = run.one("CronJob", "mongo-snapshot").manifest["spec"]["jobTemplate"]["spec"]
    labels = job["template"]["metadata"]["labels"]
    for rule in run.one("NetworkPolicy", "mongo").manifest["spec"]["ingress"]:
        for peer in rule["from"]:
            assert not peer["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_account_is_granted_the_role_in_its_own_namespace_only() -> None:
    run = declare()
    binding = run.one("RoleBinding").manifest
    (subject,) = binding["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "scores-snapshot", "namespace": "arcade"}
    assert binding["roleRef"]["kind"] == "Role"
    assert run.one("Role").manifest["metadata"]["namespace"] == "arcade"
    assert template(run)["spec"]["serviceAccountName"] == "scores-snapshot"


def test_at_least_one_snapshot_is_kept() -> None:
    with pytest.raises(ValueError, match="scores: keep is 0: must be 1 or more"):
        declare(keep=0)


class TestProgram:
    def test_without_a_class_there_are_no_snapshots_and_no_rights(self) -> None:
        run = record_program(stack_config("dev"))
        assert run.of("MongoSnapshots") == run.of("Role") == run.of("RoleBinding") == []

    def test_members_class_schedule_and_number_come_from_the_config(self) -> None:
        config = {"pacman:mongoMembers": "3", "pacman:backupSchedule": "@hourly", "pacman:backupKeep": "3"}
        run = record_program(stack_config("dev") | config | {"pacman:backupSnapshotClass": "fast"})
        spec = run.one("CronJob", "mongo-snapshot").manifest["spec"]
        (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry["value"] for entry in container["env"]}
        assert spec["schedule"] == "@hourly"
        assert env["CLAIMS"] == "data-mongo-0,data-mongo-1,data-mongo-2"
        assert env["SNAPSHOT_CLASS"] == "fast"
        assert env["KEEP"] == "3"
