"""`make status`: from what the cluster has to the lines of the screen and the exit code.

What kubectl and the members answer is written down here as they answer it; tests/engine/test_status.py asks real ones.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tools.recorder import ROOT, record_program, stack_config
from tools.status import backups, screen
from tools.status.schedule import runs
from tools.status.screen import Line
from tools.status.seen import CannotTellError, Disk, FailedError, Seen, expiry, look

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GIB = 2**30


def at(time: datetime) -> str:
    """A time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def thing(kind: str, name: str, owner: tuple[str, str] | None = None, **parts: Any) -> dict[str, Any]:  # noqa: ANN401
    """An object of the cluster."""
    metadata: dict[str, Any] = {"name": name, "creationTimestamp": at(NOW - 30 * DAY), "annotations": {}}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    return {"kind": kind, "metadata": metadata, "spec": {}, "status": {}, **parts}


def database(deployed: int = 3, replicas: int = 3) -> dict[str, Any]:
    """The StatefulSet."""
    made = thing("StatefulSet", "mongo", spec={"replicas": replicas})
    made["metadata"]["annotations"] = {"pacman/members": str(deployed)}
    return made


def mongo_pod(ordinal: int, state: Mapping[str, Any] | None = None, *, ready: bool = True) -> dict[str, Any]:
    """The pod of a member."""
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "containerStatuses": [{"name": "mongo", "state": state or {"running": {}}}],
    }
    return thing("Pod", f"mongo-{ordinal}", ("StatefulSet", "mongo"), status=status)


def game(ready: int = 2, desired: int = 2) -> dict[str, Any]:
    """The Deployment."""
    return thing("Deployment", "pacman", spec={"replicas": desired}, status={"readyReplicas": ready} if ready else {})


def ingress(secret: str = "", ip: str = "192.168.49.2") -> dict[str, Any]:
    """The Ingress."""
    balancer = {"ingress": [{"ip": ip}]} if ip else {}
    tls = {"tls": [{"hosts": ["pacman.example"], "secretName": secret}]} if secret else {}
    return thing("Ingress", "pacman", spec=tls, status={"loadBalancer": balancer})


def member(ordinal: int, state: str = "SECONDARY", **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """A member as the set knows it."""
    host = f"mongo-{ordinal}.mongo.pacman.svc.cluster.local:27017"
    optime = int(NOW.timestamp() * 1000)
    return {"host": host, "state": state, "optime": optime, "version": "6.0.5", "message": "", **changed}


def replica_set(*members: Mapping[str, Any]) -> dict[str, Any]:
    """What a member answers."""
    return {"members": list(members), "featureCompatibilityVersion": {"version": "6.0"}}


WELL = replica_set(member(0, "PRIMARY"), member(1), member(2))


def seen(
    answer: Mapping[str, Any] = WELL,
    objects: Sequence[Mapping[str, Any]] = (),
    **changed: Any,  # noqa: ANN401
) -> Seen:
    """A stack of three members that is well, with other objects in place of those of the same kind and name."""
    all_well = [database(), *map(mongo_pod, range(3)), game(), ingress()]
    replaced = {(each["kind"], each["metadata"]["name"]): each for each in (*all_well, *objects)}
    disks = {f"mongo-{ordinal}": Disk(GIB // 2, 3 * GIB // 2) for ordinal in range(3)}
    return replace(Seen("kubectl", list(replaced.values()), {"mongo-0": answer}, disks), **changed)


def without(stack: Seen, kind: str, name: str) -> Seen:
    """The same without one object."""
    left = [each for each in stack.objects if (each["kind"], each["metadata"]["name"]) != (kind, name)]
    return replace(stack, objects=left)


def line(stack: Seen, what: str) -> Line:
    """The one line that is about that."""
    (found,) = [each for each in screen.lines(stack, NOW) if each.what == what]
    return found


def bad(stack: Seen) -> list[Line]:
    """The lines that are not well."""
    return [each for each in screen.lines(stack, NOW) if each.mark != "✓"]


# --- The database and the game ---------------------------------------------------------------------------------------


def test_a_stack_that_is_well_has_a_line_for_each_part_and_needs_nobody() -> None:
    lines = list(screen.lines(seen(), NOW))
    assert [(each.what, each.text) for each in lines] == [
        ("primary", "mongo-0"),
        ("mongo-0", "PRIMARY, 0 s behind, MongoDB 6.0.5"),
        ("mongo-1", "SECONDARY, 0 s behind, MongoDB 6.0.5"),
        ("mongo-2", "SECONDARY, 0 s behind, MongoDB 6.0.5"),
        ("compatibility", "featureCompatibilityVersion 6.0"),
        *((f"volume mongo-{ordinal}", "25 % full, 512.0 MiB of 2.0 GiB") for ordinal in range(3)),
        ("game", "2 of 2 pods ready"),
        ("certificate", "none: plain HTTP"),
        ("address", "192.168.49.2"),
    ]
    assert screen.exit_code(lines) == 0


def test_a_namespace_without_the_stack_is_one_line() -> None:
    assert [each.helps for each in screen.lines(Seen("kubectl", []), NOW)] == ["pulumi up"]


def test_a_set_without_a_primary_needs_a_person() -> None:
    stack = seen(replica_set(member(0), member(1, "(not reachable/healthy)"), member(2, "(not reachable/healthy)")))
    assert [each.what for each in bad(stack)] == ["primary", "mongo-1", "mongo-2"]
    assert line(stack, "mongo-0").text == "SECONDARY, MongoDB 6.0.5", "behind whom, nobody knows"


def test_a_member_that_is_down_is_named_with_the_reason_and_its_log() -> None:
    down = member(2, "(not reachable/healthy)", optime=0, version=None, message="Connection refused")
    (found,) = bad(seen(replica_set(member(0, "PRIMARY"), member(1), down)))
    assert found == Line(
        "mongo-2", "(not reachable/healthy), Connection refused", "!", "kubectl logs mongo-2 --container mongo"
    )


def test_a_member_that_has_just_stopped_answering_needs_a_person_although_the_set_does_not_know_yet() -> None:
    (found,) = bad(seen(replica_set(member(0, "PRIMARY"), member(1, version=None), member(2))))
    assert (found.what, found.text) == ("mongo-1", "SECONDARY, 0 s behind, does not answer")


@pytest.mark.parametrize(("seconds", "mark"), [(30, "✓"), (31, "!")])
def test_a_member_may_be_30_seconds_behind_the_primary(seconds: int, mark: str) -> None:
    late = member(1, optime=int((NOW - timedelta(seconds=seconds)).timestamp() * 1000))
    found = line(seen(replica_set(member(0, "PRIMARY"), late, member(2))), "mongo-1")
    assert (found.text, found.mark) == (f"SECONDARY, {seconds} s behind, MongoDB 6.0.5", mark)


def test_a_member_whose_statefulset_was_scaled_away_is_named() -> None:
    stack = without(seen(objects=[database(deployed=3, replicas=2)]), "Pod", "mongo-2")
    (found,) = bad(stack)
    assert found == Line("mongo-2", "has no pod: the StatefulSet has 2 replicas", "!", "pulumi up --refresh")


def test_a_pod_that_the_statefulset_does_not_bring_back_is_named() -> None:
    (found,) = bad(without(seen(), "Pod", "mongo-1"))
    assert (found.what, found.helps) == ("mongo-1", "kubectl describe statefulset mongo")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff"),
        ({"terminated": {"reason": "Error", "exitCode": 132}}, "Error"),
        ({"waiting": {}}, "Running"),
    ],
)
def test_a_pod_whose_server_does_not_run_says_why(state: Mapping[str, Any], reason: str) -> None:
    (found,) = bad(seen(objects=[mongo_pod(1, state)]))
    assert found == Line("mongo-1", f"its server does not run: {reason}", "!", "kubectl describe pod mongo-1")


def test_a_pod_that_is_not_in_the_set_needs_the_job_of_an_up() -> None:
    (found,) = bad(seen(replica_set(member(0, "PRIMARY"), member(1))))
    assert (found.what, found.helps) == ("mongo-2", "pulumi up")


def test_a_database_that_answers_nobody_needs_a_person_and_says_what_each_member_said() -> None:
    answers = {
        "mongo-0": {"error": "Authentication failed."},
        "mongo-1": FailedError("no answer in 30 s"),
        "mongo-2": {"error": "no replset config has been received"},
    }
    lines = list(screen.lines(seen(answers=answers), NOW))
    assert [each.text for each in lines[:4]] == [
        "unknown: no member answers",
        "Authentication failed.",
        "no answer in 30 s",
        "no replset config has been received",
    ]
    assert screen.exit_code(lines) == 1


def test_who_may_not_exec_cannot_tell_and_reads_why() -> None:
    denied = CannotTellError('pods "mongo-0" is forbidden')
    names = [f"mongo-{ordinal}" for ordinal in range(3)]
    stack = seen(answers=dict.fromkeys(names, denied), disks=dict.fromkeys(names, denied))
    lines = list(screen.lines(stack, NOW))
    assert screen.exit_code(lines) == 2
    assert line(stack, "primary").text == 'pods "mongo-0" is forbidden'
    assert line(stack, "game").mark == "✓", "what may be read is shown"


def test_an_interrupted_change_of_the_feature_compatibility_version_needs_a_person() -> None:
    half = {"version": "5.0", "targetVersion": "6.0", "previousVersion": "5.0"}
    (found,) = bad(seen(WELL | {"featureCompatibilityVersion": half}))
    assert "mongoFeatureCompatibility '6.0'" in found.helps


@pytest.mark.parametrize(("used", "mark"), [(80, "✓"), (81, "!")])
def test_a_volume_may_be_80_percent_full(used: int, mark: str) -> None:
    found = line(seen(disks={"mongo-0": Disk(used * GIB, (100 - used) * GIB)}), "volume mongo-0")
    assert (found.text, found.mark) == (f"{used} % full, {used}.0 GiB of 100.0 GiB", mark)


def test_df_is_read_as_it_prints_it() -> None:
    printed = (
        "Filesystem                    1024-blocks     Used Available Capacity Mounted on\n"
        "/dev/mapper/a-very-long-name     1992552   312780   1663388      16% /data/db\n"
    )
    assert Disk.of(printed) == Disk(312780 * 1024, 1663388 * 1024)
    with pytest.raises(FailedError):
        Disk.of("df: /data/db: Input/output error\n")


def test_a_change_of_the_game_that_does_not_come_up_needs_a_person_although_the_old_pods_are_ready() -> None:
    stuck = game(2, 2)
    stuck["status"]["conditions"] = [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
        {"type": "Available", "status": "True"},
    ]
    (found,) = bad(seen(objects=[stuck]))
    assert found.text == "2 of 2 pods ready; the last change is stuck: ProgressDeadlineExceeded"


@pytest.mark.parametrize(("ready", "desired"), [(1, 2), (0, 2), (0, 0)])
def test_a_game_with_too_few_pods_or_none_needs_a_person(ready: int, desired: int) -> None:
    (found,) = bad(seen(objects=[game(ready, desired)]))
    assert (found.what, found.text) == ("game", f"{ready} of {desired} pods ready")


def test_an_ingress_without_an_address_needs_a_person() -> None:
    (found,) = bad(seen(objects=[ingress(ip="")]))
    assert found.helps == "kubectl describe ingress pacman"


@pytest.mark.parametrize(("kind", "what"), [("Deployment", "game"), ("Ingress", "address")])
def test_what_somebody_deleted_comes_back_with_a_refresh(kind: str, what: str) -> None:
    (found,) = bad(without(seen(), kind, "pacman"))
    assert (found.what, found.helps) == (what, "pulumi up --refresh")


# --- The certificate -------------------------------------------------------------------------------------------------


def certificate(expires: datetime) -> bytes:
    """A chain, its own certificate first."""
    issued = trustme.CA().issue_cert("pacman.example", not_after=expires)
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems)


def test_the_certificate_of_the_page_counts_and_not_that_of_who_issued_it() -> None:
    expires = (NOW + 20 * DAY).replace(microsecond=0)
    assert expiry(certificate(expires)) == expires


def test_what_is_no_certificate_is_said() -> None:
    with pytest.raises(FailedError):
        expiry(b"-----BEGIN CERTIFICATE-----\n")


def test_without_openssl_the_certificate_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CannotTellError, match="openssl"):
        expiry(b"")


@pytest.mark.parametrize(
    ("left", "text", "mark"),
    [
        (14 * DAY, "expires in 14 days", "✓"),
        (14 * DAY - HOUR, "expires in 13 days", "!"),
        (-HOUR, "expired on 2026-11-26", "!"),
    ],
)
def test_a_certificate_must_be_good_for_14_days(left: timedelta, text: str, mark: str) -> None:
    found = line(seen(objects=[ingress("cert")], expires=NOW + left), "certificate")
    assert (found.text, found.mark, found.helps) == (text, mark, "kubectl describe secret cert")


def test_a_certificate_of_cert_manager_is_looked_up_there() -> None:
    page = ingress("cert")
    page["metadata"]["annotations"] = {"cert-manager.io/cluster-issuer": "letsencrypt"}
    (found,) = bad(seen(objects=[page], expires=FailedError("the Secret cert does not exist")))
    assert found.helps == "kubectl describe certificate cert"


# --- Backups ---------------------------------------------------------------------------------------------------------

NIGHT = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
REPORT = {"archive": "a", "bytes": 5 * 2**20, "documents": 7, "seconds": 1.5, "verified": True}


def cron_job(rhythm: str = "0 3 * * *", **spec: Any) -> dict[str, Any]:  # noqa: ANN401
    """The CronJob of the backups."""
    return thing("CronJob", "mongo-backup", spec={"schedule": rhythm, **spec})


def backup(began: datetime, condition: str = "Complete", name: str = "mongo-backup-1") -> dict[str, Any]:
    """A Job that has ended a minute after it began."""
    status = {"startTime": at(began), "conditions": [{"type": condition, "status": "True"}]}
    if condition == "Complete":
        status["completionTime"] = at(began + MINUTE)
    return thing("Job", name, ("CronJob", "mongo-backup"), status=status)


def backup_pod(message: str, job: str = "mongo-backup-1", code: int = 0) -> dict[str, Any]:
    """The finished pod of a backup."""
    ended = {"name": "backup", "state": {"terminated": {"exitCode": code, "message": message}}}
    return thing("Pod", f"{job}-{code}", ("Job", job), status={"containerStatuses": [ended]})


def told(*objects: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Mark, text and command of the lines of the backups."""
    return [(each.mark, each.text, each.helps) for each in backups.lines(Seen("kubectl", objects), NOW)]


def marks(*objects: Mapping[str, Any]) -> str:
    """The marks of the lines."""
    return "".join(mark for mark, *_ in told(*objects))


def test_a_verified_backup_of_last_night_needs_nobody() -> None:
    ((mark, text, _),) = told(cron_job(), backup(NIGHT), backup_pod(json.dumps(REPORT)))
    assert (mark, text) == ("✓", "8 h 59 min old, verified, 5.0 MiB")


def test_a_cron_job_of_the_backups_that_is_gone_comes_back_with_an_up() -> None:
    ((mark, text, helps),) = told()
    assert (mark, text) == ("!", "no backups: there is no CronJob mongo-backup")
    assert helps == "pulumi up --refresh"


@pytest.mark.parametrize("message", [json.dumps(REPORT | {"verified": False}), "", "Segmentation fault", "[]", "{}"])
def test_a_backup_that_does_not_say_that_it_was_verified_was_not(message: str) -> None:
    ((mark, text, helps),) = told(cron_job(), backup(NIGHT), backup_pod(message))
    assert mark == "!"
    assert "not verified" in text
    assert helps == "kubectl logs job/mongo-backup-1"


def test_a_backup_whose_pod_is_gone_has_its_age_and_an_unknown_verification() -> None:
    ((mark, text, _),) = told(cron_job(), backup(NIGHT))
    assert (mark, text) == ("✓", "8 h 59 min old, verification unknown: its pod is gone")


def test_the_pod_that_succeeded_counts_and_not_one_that_the_job_had_before() -> None:
    failed = backup_pod(json.dumps(REPORT | {"verified": False}), code=1)
    assert marks(cron_job(), backup(NIGHT), failed, backup_pod(json.dumps(REPORT))) == "✓"


@pytest.mark.parametrize(("began", "mark"), [(NIGHT - 1 * DAY, "✓"), (NIGHT - 2 * DAY, "!")])
def test_a_backup_is_too_old_when_the_schedule_has_asked_for_two_since(began: datetime, mark: str) -> None:
    assert marks(cron_job(), backup(began), backup_pod(json.dumps(REPORT))) == mark


def test_days_on_which_the_schedule_asks_for_nothing_make_no_backup_old() -> None:
    """NOW is a Thursday: since Monday, one run was due."""
    monday = NIGHT - 3 * DAY
    assert marks(cron_job("0 3 * * mon,tue"), backup(monday), backup_pod(json.dumps(REPORT))) == "✓"


def test_a_failed_backup_after_the_last_good_one_needs_a_person() -> None:
    good, since = backup(NIGHT - DAY), backup(NIGHT, "Failed", "mongo-backup-2")
    lines = told(cron_job(), since, good, backup_pod(json.dumps(REPORT)))
    assert lines[1] == ("!", "mongo-backup-2 of 9 h 0 min ago failed", "kubectl logs job/mongo-backup-2")


def test_a_failed_backup_says_why_in_the_last_words_of_its_pod() -> None:
    said = backup_pod("[0.2 s] wrote 1 MB\nerror: No space left on device\n", "mongo-backup-2", code=1)
    _, (_, text, _) = told(cron_job(), backup(NIGHT, "Failed", "mongo-backup-2"), said)
    assert text == "mongo-backup-2 of 9 h 0 min ago failed: No space left on device"


def test_a_killed_backup_says_what_kubernetes_says_and_not_what_it_was_doing() -> None:
    said = backup_pod("[0.2 s] read 5 documents\n", "mongo-backup-2", code=137)
    said["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    _, (_, text, _) = told(cron_job(), backup(NIGHT, "Failed", "mongo-backup-2"), said)
    assert text.endswith(" ago failed: OOMKilled, exit code 137, after: [0.2 s] read 5 documents")


def test_a_failed_backup_before_the_last_good_one_is_history() -> None:
    before = backup(NIGHT - DAY, "Failed", "mongo-backup-0")
    assert marks(cron_job(), before, backup(NIGHT), backup_pod(json.dumps(REPORT))) == "✓"


def test_without_a_snapshot_class_there_is_no_line_of_snapshots() -> None:
    assert len(told(cron_job(), backup(NIGHT), backup_pod(json.dumps(REPORT)))) == 1


def test_snapshots_have_their_age_and_a_failure_since_needs_a_person() -> None:
    taken, failed = (
        thing("Job", name, ("CronJob", "mongo-snapshot"), status=backup(began, condition)["status"])
        for name, began, condition in (("taken", NIGHT - DAY, "Complete"), ("failed", NIGHT, "Failed"))
    )
    snapshots = thing("CronJob", "mongo-snapshot", spec={"schedule": "0 3 * * *"})
    stack = (cron_job(), backup(NIGHT), backup_pod(json.dumps(REPORT)), snapshots)
    snapshots["metadata"]["creationTimestamp"] = at(NOW - HOUR)
    assert told(*stack)[1][:2] == ("✓", "none yet")
    assert told(*stack, taken)[1][0] == "✓"
    snapshots["metadata"]["creationTimestamp"] = at(NOW - 3 * DAY)
    assert told(*stack)[1] == (
        "!",
        "none yet; 2 are due since, by the schedule 0 3 * * *",
        "kubectl describe cronjob mongo-snapshot",
    )
    snapshots["spec"]["suspend"] = True
    assert told(*stack)[1] == ("!", "none yet; the CronJob is suspended", "pulumi up --refresh")
    snapshots["spec"] = {"suspend": True, "schedule": "0 0 30 2 *"}
    assert told(*stack)[1][:2] == ("✓", "none yet"), "somebody takes them by hand"
    snapshots["spec"] = {"schedule": "0 3 * * *"}
    ended = {"name": "snapshot", "state": {"terminated": {"exitCode": 1, "message": "error: disk quota\n"}}}
    pod = thing("Pod", "failed-1", ("Job", "failed"), status={"containerStatuses": [ended]})
    _, (mark, age, _), after = told(*stack, taken, failed, pod)
    assert (mark, age) == ("✓", "32 h 59 min old")
    assert after == ("!", "failed of 9 h 0 min ago failed: disk quota", "kubectl logs job/failed")


def test_jobs_of_others_are_no_backups() -> None:
    other = backup(NIGHT)
    other["metadata"]["ownerReferences"] = [{"kind": "CronJob", "name": "other", "controller": True}]
    ((_, text, _),) = told(cron_job(), other)
    assert text.startswith("none yet")


def test_a_new_stack_has_until_the_second_run_of_its_schedule_for_the_first_backup() -> None:
    new = cron_job()
    new["metadata"]["creationTimestamp"] = at(NOW - HOUR)
    assert marks(new) == "✓"
    assert marks(cron_job()) == "!"


def test_without_a_schedule_a_person_is_asked_for_one() -> None:
    run = record_program(stack_config("dev") | {"pacman:backupSchedule": ""})
    declared = run.one("CronJob", "mongo-backup").manifest["spec"]
    job = cron_job(declared["schedule"], suspend=declared["suspend"])
    ((mark, text, helps),) = told(job, backup(NIGHT), backup_pod(json.dumps(REPORT)))
    assert (mark, text.partition("; ")[2]) == ("!", "no schedule: backupSchedule is empty")
    assert helps.startswith("pulumi config set backupSchedule ")


def test_a_suspended_schedule_needs_a_person() -> None:
    assert marks(cron_job(suspend=True), backup(NIGHT), backup_pod(json.dumps(REPORT))) == "!"


def test_a_schedule_of_another_form_cannot_be_told() -> None:
    assert marks(cron_job("@every 1h"), backup(NIGHT), backup_pod(json.dumps(REPORT))) == "?"


@pytest.mark.parametrize(
    ("rhythm", "zone", "first"),
    [
        ("30 * * * *", "", NOW + 30 * MINUTE),
        ("*/20 * * * *", "", NOW + 20 * MINUTE),
        ("5-59/25 13 * * *", "", NOW + 65 * MINUTE),
        ("0 3 * * *", "", NIGHT + DAY),
        ("@daily", "", NIGHT + 21 * HOUR),
        ("0 3 * * *", "America/New_York", NIGHT + DAY + 5 * HOUR),
        ("0 3 1 * *", "", datetime(2026, 12, 1, 3, tzinfo=UTC)),
        ("0 3 * * sun", "", datetime(2026, 11, 29, 3, tzinfo=UTC)),
        ("0 3 1 JAN ?", "", datetime(2027, 1, 1, 3, tzinfo=UTC)),
        # Both days given: either is enough. One of them open, with a step: both are needed.
        ("0 3 28 * sun", "", datetime(2026, 11, 28, 3, tzinfo=UTC)),
        ("0 3 */28 * tue", "", datetime(2026, 12, 1, 3, tzinfo=UTC)),
    ],
)
def test_the_next_run_of_a_schedule_is_that_of_cron(rhythm: str, zone: str, first: datetime) -> None:
    assert next(runs(rhythm, zone, NOW, NOW + 60 * DAY)) == first


def test_a_run_at_the_end_counts_and_one_at_the_beginning_does_not() -> None:
    assert list(runs("0 3 * * *", "", NIGHT - 2 * DAY, NIGHT)) == [NIGHT - DAY, NIGHT]


# --- Asking the cluster ----------------------------------------------------------------------------------------------


class Cluster:
    """Answers kubectl: a listing, and what each pod says."""

    def __init__(self, stack: Seen, answers: Mapping[str, Mapping[str, Any]], certificate: bytes = b"") -> None:
        self._stack = stack
        self._answers = answers
        self._certificate = certificate
        self.asked: list[str] = []

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        if arguments[:2] == ("get", "secret"):
            return base64.b64encode(self._certificate).decode()
        if arguments[0] == "get":
            return json.dumps({"items": self._stack.objects})
        if "df" in arguments:
            return "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 4 1 3 25% /data/db\n"
        assert stdin, "mongosh waits for a script"
        self.asked.append(arguments[2])
        return json.dumps(self._answers[arguments[2]])


def test_one_member_that_is_ready_is_asked_for_the_whole_set() -> None:
    cluster = Cluster(seen(objects=[mongo_pod(0, ready=False)]), {"mongo-1": WELL})
    found = look(cluster, "kubectl")
    assert cluster.asked == ["mongo-1"]
    assert found.replica_set == WELL
    assert found.disks == dict.fromkeys(("mongo-0", "mongo-1", "mongo-2"), Disk(1024, 3072))


def test_a_member_that_is_cut_off_does_not_speak_for_the_set() -> None:
    cut_off = replica_set(member(0), member(1, "(not reachable/healthy)"), member(2, "(not reachable/healthy)"))
    others = replica_set(member(0, "(not reachable/healthy)"), member(1, "PRIMARY"), member(2))
    found = look(Cluster(seen(), {"mongo-0": cut_off, "mongo-1": others}), "kubectl")
    assert found.replica_set == others


@pytest.mark.parametrize("present", [True, False])
def test_the_certificate_is_read_from_the_secret_of_the_ingress(present: bool) -> None:
    expires = (NOW + 20 * DAY).replace(microsecond=0)
    pem = certificate(expires) if present else b""
    found = look(Cluster(seen(objects=[ingress("cert")]), {"mongo-0": WELL}, pem), "kubectl").expires
    assert found == expires if present else "the Secret cert does not exist" in str(found)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder of programs, with a `pulumi` that knows the stack."""
    config = {f"pacman:{key}": {"value": key} for key in ("context", "namespace")}
    program(tmp_path / "pulumi", f"echo '{json.dumps(config)}'")
    return tmp_path


def program(file: Path, script: str) -> None:
    """Writes a program of the shell."""
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def status(path: Path, **variables: str) -> tuple[int, str]:
    """Exit code and output of the command, with no other programs than those of the folder."""
    command = [sys.executable, "-m", "tools.status"]
    others = {name: value for name, value in os.environ.items() if name != "PULUMI_STACK"}
    env = others | {"PATH": f"{path}:/bin"} | variables
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "reason",
    [
        "The connection to the server 127.0.0.1:9 was refused - did you specify the right host or port?",
        'Error from server (Forbidden): pods is forbidden: User "x" cannot list resource "pods"',
        "error: You must be logged in to the server (Unauthorized)",
    ],
)
def test_a_cluster_that_is_away_or_denies_is_one_line_and_exit_code_2(path: Path, reason: str) -> None:
    program(path / "kubectl", f"echo 'E1126 12:00:00 memcache.go: again' >&2; echo '{reason}' >&2; exit 1")
    assert status(path) == (2, f"? {reason}\n")


def test_a_stack_that_pulumi_does_not_know_is_one_line_and_exit_code_2(path: Path) -> None:
    program(path / "pulumi", "echo \"error: no stack named 'prod' found\" >&2; exit 255")
    assert status(path) == (2, "? error: no stack named 'prod' found\n")


def test_what_needs_a_person_has_the_command_below_it_and_exit_code_1(path: Path) -> None:
    program(path / "kubectl", "echo '{\"items\": []}'")
    code, printed = status(path)
    assert code == 1
    lines = printed.splitlines()
    assert lines[0] == "Namespace namespace, context context"
    assert [each[0] for each in lines[1:]] == ["!", " ", "!", " "]
    assert lines[2].strip() == "pulumi up"
    _, printed = status(path, PULUMI_STACK="prod")
    assert printed.splitlines()[2].strip() == "pulumi up --stack prod"


def test_a_pod_that_may_not_be_entered_cannot_be_told_and_one_that_fails_needs_a_person(path: Path) -> None:
    listed = path / "objects.json"
    listed.write_text(json.dumps({"items": [*seen().objects, cron_job(), backup(datetime.now(UTC))]}))
    forbidden = 'error: unable to upgrade connection: pods "mongo-0" is forbidden: User "x" cannot create "pods/exec"'
    for reason, code in ((forbidden, 2), ("df: not found", 1)):
        fail = f"echo '{reason}' >&2; echo 'command terminated with exit code 1' >&2; exit 1"
        program(path / "kubectl", f'case "$*" in *exec*) {fail};; esac\ncat {listed}')
        found, printed = status(path)
        assert found == code
        assert reason in printed
