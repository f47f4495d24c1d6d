"""The lines of backups and snapshots: how old the last is, whether it was verified, and whether one failed since."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from tools.status.schedule import runs
from tools.status.screen import Line, size
from tools.status.seen import Object, Seen, conditions, owner

CRON_JOB = "mongo-backup"
"""The CronJob whose Jobs are the backups."""
SNAPSHOTS = "mongo-snapshot"
"""The CronJob whose Jobs take snapshots; a stack without `backupSnapshotClass` has none."""
_CONTAINERS = ("backup", "snapshot")
_NEVER = "0 0 30 2 *"
"""The schedule of that CronJob where backupSchedule is empty."""
_MAX_PERIODS = 2
"""A backup since which the schedule has asked for so many others needs a person."""


def lines(seen: Seen, now: datetime) -> Iterator[Line]:
    """The last backup, the last snapshots, and what failed since."""
    yield from _backups(seen, now)
    if (cron_job := seen.named("CronJob", SNAPSHOTS)) is not None:
        complete, failed = _ended(seen, SNAPSHOTS)
        last = complete[-1] if complete else None
        line = Line("snapshot", f"{_age(now - _time(last['status']['completionTime']))} old" if last else "none yet")
        yield _not_as_planned(seen, cron_job, last, line, now) or line
        yield from _failed_since(seen, "snapshot", complete, failed, now)


def _backups(seen: Seen, now: datetime) -> Iterator[Line]:
    cron_job = seen.named("CronJob", CRON_JOB)
    if cron_job is None:
        yield Line("backup", "no backups: there is no CronJob mongo-backup", "!", "pulumi up --refresh")
        return
    complete, failed = _ended(seen, CRON_JOB)
    yield _last(seen, cron_job, complete[-1] if complete else None, now)
    yield from _failed_since(seen, "backup", complete, failed, now)


def _ended(seen: Seen, cron_job: str) -> tuple[list[Object], list[Object]]:
    """The Jobs of a CronJob that are complete, and those that failed; the last one began last."""
    jobs = sorted((job for job in seen.of("Job") if owner(job) == ("CronJob", cron_job)), key=_began)
    complete, failed = ([job for job in jobs if end in conditions(job)] for end in ("Complete", "Failed"))
    return complete, failed


def _failed_since(seen: Seen, what: str, complete: list[Object], failed: list[Object], now: datetime) -> Iterator[Line]:
    """The line of the last Job, if it failed."""
    if failed and (not complete or _began(failed[-1]) > _began(complete[-1])):
        yield _failed(seen, what, failed[-1], now)


def _last(seen: Seen, cron_job: Object, job: Object | None, now: datetime) -> Line:
    """The line of the last backup, or of none."""
    text, verified = _told(seen, job, now)
    if cron_job["spec"].get("suspend") and cron_job["spec"]["schedule"] == _NEVER:
        enable = "pulumi config set backupSchedule '17 3 * * *' && pulumi up"
        return Line("backup", f"{text}; no schedule: backupSchedule is empty", "!", enable)
    line = Line("backup", text)
    if wrong := _not_as_planned(seen, cron_job, job, line, now):
        return wrong
    if job and verified is False:
        return replace(line, mark="!", helps=f"{seen.kubectl} logs job/{job['metadata']['name']}")
    return line


def _not_as_planned(seen: Seen, cron_job: Object, job: Object | None, line: Line, now: datetime) -> Line | None:
    """What becomes of a line if its CronJob is suspended, or has asked for more since the last Job; else None."""
    spec = cron_job["spec"]
    if spec.get("suspend"):
        # Without a schedule, somebody takes them by hand.
        if spec["schedule"] == _NEVER:
            return None
        return replace(line, text=f"{line.text}; the CronJob is suspended", mark="!", helps="pulumi up --refresh")
    since = _began(job) if job else _time(cron_job["metadata"]["creationTimestamp"])
    try:
        due = len(list(islice(runs(spec["schedule"], spec.get("timeZone", ""), since, now), _MAX_PERIODS)))
    except ValueError as problem:
        return replace(line, text=f"{line.text}; {problem}", mark="?")
    if due < _MAX_PERIODS:
        return None
    helps = f"{seen.kubectl} describe cronjob {cron_job['metadata']['name']}"
    text = f"{line.text}; {due} are due since, by the schedule {spec['schedule']}"
    return replace(line, text=text, mark="!", helps=helps)


def _told(seen: Seen, job: Object | None, now: datetime) -> tuple[str, bool | None]:
    """What to say of a backup, and whether it was verified, None if that is unknown."""
    if job is None:
        return "none yet", None
    age = f"{_age(now - _time(job['status']['completionTime']))} old"
    report = _report(seen, job)
    if report is None:
        return f"{age}, verification unknown: its pod is gone", None
    verified = report.get("verified") is True
    parts = [age, "verified" if verified else "not verified", size(report["bytes"]) if "bytes" in report else ""]
    return ", ".join(filter(None, parts)), verified


def _failed(seen: Seen, what: str, job: Object, now: datetime) -> Line:
    """The line of a Job that failed, with the reason unless its pod is gone."""
    name = job["metadata"]["name"]
    reasons = [why_it_ended(each) for each in _terminated(seen, job)]
    text = ": ".join((f"{name} of {_age(now - _began(job))} ago failed", *reasons[-1:]))
    return Line(what, text, "!", f"{seen.kubectl} logs job/{name}")


def _report(seen: Seen, job: Object) -> Object | None:
    """What a complete backup says about itself when it ends; None if its pod is gone."""
    ended = [each for each in _terminated(seen, job) if each["exitCode"] == 0]
    if not ended:
        return None
    try:
        report = json.loads(ended[-1].get("message", ""))
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def why_it_ended(terminated: Object) -> str:
    """Why a container of a backup or a restore failed: its own reason, or that of Kubernetes if it was killed."""
    last: str = (terminated.get("message", "").strip().splitlines() or [""])[-1]
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    # The last line of the log is of the work that it was doing then.
    reason = f"{terminated.get('reason', 'Error')}, exit code {terminated['exitCode']}"
    return f"{reason}, after: {last}" if last else reason


def _terminated(seen: Seen, job: Object) -> list[Object]:
    """How the containers of the Job's pods have ended."""
    pods = [pod for pod in seen.of("Pod") if owner(pod) == ("Job", job["metadata"]["name"])]
    containers = [each for pod in pods for each in pod["status"].get("containerStatuses") or []]
    ended = [each.get("state", {}).get("terminated") for each in containers if each["name"] in _CONTAINERS]
    return [each for each in ended if each]


def _began(job: Object) -> datetime:
    return _time(job["status"].get("startTime") or job["metadata"]["creationTimestamp"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _age(age: timedelta) -> str:
    minutes = max(0, age // timedelta(minutes=1))
    if minutes >= 2 * 24 * 60:
        return f"{minutes // (24 * 60)} days"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
