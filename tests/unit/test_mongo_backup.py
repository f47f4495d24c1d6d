"""What MongoBackup declares.

Mocks show objects and how they refer to each other. That the scripts read one moment, that a restore brings everything
back, and that a damaged archive changes nothing, they cannot prove: tests/engine/test_backup.py does.
"""

import re
from functools import cache
from typing import Any

import pytest

from components.backup import MongoBackup, MongoBackupArgs
from components.backup.mongo_backup import SCRIPTS
from tools.recorder import Recorded, record, record_program, stack_config

ROLES = ("backup", "restore")


@cache
def declare(schedule: str = "17 3 * * *", claim: str = "", keep: int = 7) -> Recorded:
    args = MongoBackupArgs(
        namespace="arcade",
        image="mongo:8.0.32",
        hosts=("mongo-0.mongo", "mongo-1.mongo"),
        port=27017,
        replica_set="rs0",
        database="pacman",
        scratch_database="pacman_backup_check",
        backup_secret="mongo-backup",  # noqa: S106 - the name of a Secret
        root_secret="mongo-root",  # noqa: S106
        client_labels={"mongo-client": "true"},
        schedule=schedule,
        keep=keep,
        volume_size="1Gi",
        storage_class="fast",
        claim=claim,
    )
    return record(lambda: MongoBackup("mongo", args))


def cron(role: str, run: Recorded | None = None) -> dict[str, Any]:
    found: dict[str, Any] = (run or declare()).one("CronJob", f"mongo-{role}").manifest["spec"]
    return found


def pod(role: str, run: Recorded | None = None) -> dict[str, Any]:
    found: dict[str, Any] = cron(role, run)["jobTemplate"]["spec"]["template"]["spec"]
    return found


def environment(role: str) -> dict[str, str]:
    (container,) = pod(role)["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def volume(role: str, path: str, run: Recorded | None = None) -> dict[str, Any]:
    """The volume behind a mount path."""
    (container,) = pod(role, run)["containers"]
    (name,) = (mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == path)
    (found,) = (each for each in pod(role, run)["volumes"] if each["name"] == name)
    return dict(found)


class TestSchedule:
    def test_backups_run_by_the_schedule_in_utc_and_never_two_of_them(self) -> None:
        assert cron("backup")["schedule"] == "17 3 * * *"
        assert cron("backup")["timeZone"] == "Etc/UTC"
        assert cron("backup")["suspend"] is False
        assert cron("backup")["concurrencyPolicy"] == "Forbid"

    def test_without_a_schedule_no_backup_runs_by_itself_but_the_template_of_one_stays(self) -> None:
        assert cron("backup", declare(schedule=""))["suspend"] is True
        assert pod("backup", declare(schedule="")) == pod("backup")

    def test_a_restore_never_runs_by_itself(self) -> None:
        assert cron("restore")["suspend"] is True

    @pytest.mark.parametrize("role", ROLES)
    def test_a_job_ends_and_only_what_a_person_must_solve_is_not_tried_again(self, role: str) -> None:
        job = cron(role)["jobTemplate"]["spec"]
        (rule,) = job["podFailurePolicy"]["rules"]
        assert rule == {
            "action": "FailJob",
            "onExitCodes": {"containerName": pod(role)["containers"][0]["name"], "operator": "In", "values": [1]},
        }
        assert pod(role)["restartPolicy"] == "Never", "a podFailurePolicy needs it"
        assert job["activeDeadlineSeconds"] == int(environment(role)["DEADLINE"])


class TestVolume:
    def test_the_claim_of_the_backups_is_mounted_where_the_scripts_write(self) -> None:
        (folder,) = re.findall(r'const FOLDER = "(.*)";', SCRIPTS["database.js"].read_text())
        for role in ROLES:
            assert volume(role, folder)["persistentVolumeClaim"] == {"claimName": "mongo-backup"}

    def test_up_does_not_wait_for_a_claim_that_the_first_backup_binds(self) -> None:
        claim = declare().one("PersistentVolumeClaim")
        assert claim.manifest["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
        assert claim.manifest["spec"]["storageClassName"] == "fast"

    def test_no_change_of_the_settings_replaces_the_claim(self) -> None:
        assert declare().one("PersistentVolumeClaim").options["ignoreChanges"] == ["spec"]

    def test_with_a_claim_of_somebody_else_none_is_created(self) -> None:
        run = declare(claim="nfs")
        assert run.of("PersistentVolumeClaim") == []
        for role in ROLES:
            assert volume(role, "/backup", run)["persistentVolumeClaim"] == {"claimName": "nfs"}

    def test_at_least_one_backup_is_kept(self) -> None:
        with pytest.raises(ValueError, match="mongo: keep is 0: must be 1 or more"):
            declare(keep=0)


class TestUsers:
    def test_a_backup_has_its_own_user_and_only_a_restore_has_root(self) -> None:
        assert volume("backup", "/secrets")["secret"]["secretName"] == "mongo-backup"
        assert volume("restore", "/secrets")["secret"]["secretName"] == "mongo-root"

    @pytest.mark.parametrize("role", ROLES)
    def test_a_pod_gets_only_the_login_from_the_secret_and_as_files(self, role: str) -> None:
        login = volume(role, "/secrets")["secret"]
        assert [each["key"] for each in login["items"]] == ["username", "password"]
        assert login["defaultMode"] == 0o440
        assert not any("PASSWORD" in name for name in environment(role))

    @pytest.mark.parametrize("role", ROLES)
    def test_the_pods_may_reach_the_database(self, role: str) -> None:
        labels = cron(role)["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert labels["mongo-client"] == "true"


class TestScripts:
    @pytest.mark.parametrize("role", ROLES)
    def test_a_job_runs_the_committed_script(self, role: str) -> None:
        (container,) = pod(role)["containers"]
        assert container["command"][-1] == f"/scripts/{role}.js"
        assert volume(role, "/scripts")["configMap"] == {"name": "mongo-backup"}
        scripts = {name: file.read_text() for name, file in SCRIPTS.items()}
        assert declare().one("ConfigMap").manifest["data"] == scripts

    @pytest.mark.parametrize("role", ROLES)
    def test_a_script_reads_all_variables_that_it_is_given_and_no_others(self, role: str) -> None:
        script = "".join(SCRIPTS[name].read_text() for name in ("archive.js", "database.js", f"{role}.js"))
        (several,) = re.findall(r"const \{([A-Z_, ]+)\} = process\.env;", script)
        read = {*re.findall(r"process\.env\.([A-Z_]+)", script), *several.replace(" ", "").split(",")}
        assert read == environment(role).keys() - {"HOME"}

    def test_every_member_is_named(self) -> None:
        assert environment("backup")["HOSTS"] == "mongo-0.mongo:27017,mongo-1.mongo:27017"

    def test_a_restore_takes_the_latest_backup_unless_it_is_told_another(self) -> None:
        assert environment("restore")["FROM"] == "latest"


class TestProgram:
    def test_schedule_number_and_claim_come_from_the_config(self) -> None:
        config = {"pacman:backupSchedule": "@hourly", "pacman:backupKeep": "3", "pacman:backupClaim": "nfs"}
        run = record_program(stack_config("dev") | config)
        backups = run.one("CronJob", "mongo-backup").manifest["spec"]
        (container,) = backups["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert backups["schedule"] == "@hourly"
        assert {"name": "KEEP", "value": "3"} in container["env"]
        assert {"name": "CLAIM", "value": "nfs"} in container["env"]

    def test_the_volume_has_the_class_of_the_database(self) -> None:
        run = record_program(stack_config("dev") | {"pacman:mongoStorageClass": "fast"})
        assert run.one("PersistentVolumeClaim").manifest["spec"]["storageClassName"] == "fast"
