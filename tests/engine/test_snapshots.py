"""VolumeSnapshots of a running database, on a cluster whose CSI driver is this test.

The API server has the two kinds, in a minimal form, and the Job that the stack declares creates and deletes real
objects of them. The test says what a driver would say: that a snapshot is ready, or why not. So it shows what the Job
asks for, when it waits, what it deletes, and what its account may do.

It cannot prove that a driver accepts these objects, or that its snapshots are consistent, complete, or ready in time.
Where the cluster has the kinds already, the tests are skipped: a real controller would answer as well. The restore is
tests/long/test_snapshot_restore.py.
"""

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.engine.conftest import FirstUp
from tests.harness.kubectl import Kubectl
from tests.harness.program import Program
from tests.harness.waiting import eventually

GROUP = "snapshot.storage.k8s.io"
SOURCE = {"persistentVolumeClaimName": "data-mongo-0"}
KEEP = 2


def _kind(kind: str, scope: str) -> dict[str, Any]:
    """A CustomResourceDefinition that accepts any fields."""
    plural = f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            # The API server wants it for a group of Kubernetes' own.
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
        },
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


KINDS = [_kind("VolumeSnapshot", "Namespaced"), _kind("VolumeSnapshotClass", "Cluster")]


def _listed(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


@dataclass(frozen=True)
class Driver:
    """What a CSI driver and the snapshot controller would do, and what they would see."""

    kubectl: Kubectl
    snapshot_class: str

    def snapshots(self) -> dict[str, dict[str, Any]]:
        """The snapshots in the namespace, by name."""
        items = json.loads(self.kubectl("get", "volumesnapshots", "--output", "json"))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def answer(self, name: str, **status: object) -> None:
        """Sets the status of a snapshot."""
        patch = json.dumps({"status": status})
        self.kubectl("patch", "volumesnapshot", name, "--subresource=status", "--type=merge", f"--patch={patch}")

    def create(self, name: str, labels: dict[str, str], claim: str = "data-mongo-0", **status: object) -> None:
        """Makes a snapshot of a member's volume, as somebody else or an older Job did."""
        metadata = {"name": name, "labels": labels}
        source = {"persistentVolumeClaimName": claim}
        spec = {"volumeSnapshotClassName": self.snapshot_class, "source": source}
        body = {"apiVersion": f"{GROUP}/v1", "kind": "VolumeSnapshot", "metadata": metadata, "spec": spec}
        self.kubectl("create", "--filename=-", stdin=json.dumps(body))
        if status:
            self.answer(name, **status)

    def next(self, known: set[str]) -> str:
        """Waits for the snapshot that a Job creates; its name."""
        eventually("the Job creates a snapshot", lambda: self.snapshots().keys() - known, 60)
        (name,) = self.snapshots().keys() - known
        return name

    def start(self, **env: str) -> str:
        """Starts a Job by hand, with other values of some variables; its name."""
        job = f"snapshot-{secrets.token_hex(3)}"
        create = ("create", "job", job, "--from=cronjob/mongo-snapshot", "--dry-run=client", "--output=json")
        body = json.loads(self.kubectl(*create))
        (container,) = body["spec"]["template"]["spec"]["containers"]
        for each in container["env"]:
            each["value"] = env.get(each["name"], each["value"])
        self.kubectl("create", "--filename=-", stdin=json.dumps(body))
        return job

    def end(self, job: str, condition: str = "Complete") -> str:
        """Waits for the end of a Job; its last line."""
        self.kubectl("wait", f"job/{job}", f"--for=condition={condition}", "--timeout=60s")
        return self.kubectl("logs", f"job/{job}").splitlines()[-1]

    def is_waiting(self, job: str) -> bool:
        """Whether the Job runs, and has created what it waits for."""
        status = self.kubectl.live("job", job)["status"]
        return status.get("active") == 1 and "created" in self.kubectl("logs", f"job/{job}")


@pytest.fixture(scope="module")
def driver(first_up: FirstUp) -> Iterator[Driver]:
    """The kinds in the cluster, a class, and the stack with snapshots."""
    program = first_up.program
    kubectl = program.kubectl
    names = [each["metadata"]["name"] for each in KINDS]
    there = json.loads(kubectl("get", "crd", *names, "--ignore-not-found", "--output=json") or "{}").get("items", [])
    if any(each["metadata"]["annotations"] != KINDS[0]["metadata"]["annotations"] for each in there):
        pytest.skip("the cluster has snapshots of its own")
    # A run of this test that was killed has left them.
    kubectl("delete", "--ignore-not-found", "--filename=-", "--timeout=60s", stdin=_listed(KINDS))
    made = Driver(kubectl, program.namespace)
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "VolumeSnapshotClass",
        "metadata": {"name": made.snapshot_class},
        "driver": "engine-test.invalid",
        "deletionPolicy": "Delete",
    }
    try:
        kubectl("create", "--filename=-", stdin=_listed(KINDS))
        kubectl("wait", "--for=condition=Established", "--filename=-", "--timeout=30s", stdin=_listed(KINDS))
        kubectl("create", "--filename=-", stdin=json.dumps(body))
        with program.using(backupSnapshotClass=made.snapshot_class, backupKeep=KEEP, backupSchedule=""):
            program.up().ok()
            yield made
        program.up().ok()
    finally:
        kubectl("delete", "--ignore-not-found", "--filename=-", "--timeout=60s", stdin=_listed(KINDS))


@pytest.fixture
def labels(driver: Driver) -> dict[str, str]:
    """The labels of the snapshots that the stack's Jobs take."""
    job = driver.kubectl.live("cronjob", "mongo-snapshot")["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    (text,) = (each["value"] for each in container["env"] if each["name"] == "LABELS")
    found: dict[str, str] = json.loads(text)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(driver: Driver) -> Iterator[None]:
    """Each test begins without snapshots."""
    yield
    driver.kubectl("delete", "volumesnapshots", "--all")


def test_a_job_creates_a_snapshot_of_the_class_and_ends_when_the_driver_says_that_it_is_ready(driver: Driver) -> None:
    job = driver.start()
    name = driver.next(set())
    assert re.fullmatch(r"data-mongo-0-\d{8}t\d{6}z", name)
    spec = driver.snapshots()[name]["spec"]
    assert spec == {"volumeSnapshotClassName": driver.snapshot_class, "source": SOURCE}
    eventually("the Job waits", lambda: driver.is_waiting(job))
    driver.answer(name, readyToUse=False, error={"message": "the object has been modified"})
    driver.kubectl("wait", f"job/{job}", "--for=condition=Complete", "--timeout=5s", check=False)
    assert driver.is_waiting(job), "the controller tries again after an error"
    driver.answer(name, readyToUse=True, error=None)
    result = json.loads(driver.end(job))
    assert result["snapshots"] == [name]
    assert result["deleted"] == []


def test_each_member_gets_a_snapshot_and_the_job_waits_for_all_of_them(driver: Driver) -> None:
    job = driver.start(CLAIMS="data-mongo-0,data-mongo-1")
    eventually("both are there", lambda: len(driver.snapshots()) == 2, 60)
    first, second = sorted(driver.snapshots())
    driver.answer(first, readyToUse=True)
    driver.kubectl("wait", f"job/{job}", "--for=condition=Complete", "--timeout=5s", check=False)
    assert driver.is_waiting(job)
    driver.answer(second, readyToUse=True)
    assert json.loads(driver.end(job))["snapshots"] == [first, second]


def test_the_newest_ready_snapshots_are_kept_and_others_are_left_alone(driver: Driver, labels: dict[str, str]) -> None:
    driver.create("somebody-elses", {}, readyToUse=True)
    driver.create("failed", labels, readyToUse=False, error={"message": "disk quota"})
    driver.create("oldest", labels, readyToUse=True)
    taken: list[str] = []
    for deleted in ([], ["oldest"]):
        job = driver.start()
        taken.append(driver.next({*driver.snapshots()}))
        driver.answer(taken[-1], readyToUse=True)
        assert json.loads(driver.end(job))["deleted"] == deleted
    assert len(taken) == KEEP
    assert driver.snapshots().keys() == {"somebody-elses", "failed", *taken}


def test_snapshots_of_a_member_that_was_removed_are_counted_for_themselves(
    driver: Driver, labels: dict[str, str]
) -> None:
    driver.create("removed-oldest", labels, claim="data-mongo-1", readyToUse=True)
    for deleted in ([], ["removed-oldest"]):
        job = driver.start()
        driver.answer(driver.next({*driver.snapshots()}), readyToUse=True)
        assert json.loads(driver.end(job))["deleted"] == deleted
        for number in range(KEEP):
            driver.create(f"removed-{number}-after-{job}", labels, claim="data-mongo-1", readyToUse=True)


def test_a_failed_snapshot_ends_the_job_with_its_reason_and_nothing_is_deleted(
    driver: Driver, labels: dict[str, str]
) -> None:
    older = {f"older-{number}" for number in range(KEEP + 1)}
    for name in older:
        driver.create(name, labels, readyToUse=True)
    job = driver.start(ERROR_SECONDS="1")
    name = driver.next(older)
    driver.answer(name, readyToUse=False, error={"message": "failed to take snapshot:\ndisk quota exceeded"})
    last = driver.end(job, "Failed")
    reason = "failed to take snapshot: disk quota exceeded"
    assert last == f"error: VolumeSnapshot {name} failed, so nothing was deleted: {reason}"
    assert driver.snapshots().keys() == {*older, name}
    pods = json.loads(driver.kubectl("get", "pods", f"--selector=job-name={job}", "--output=json"))["items"]
    assert len(pods) == 1, "another try would end the same way"


def test_a_driver_that_never_answers_ends_the_job_and_nothing_is_deleted(
    driver: Driver, labels: dict[str, str]
) -> None:
    older = {f"older-{number}" for number in range(KEEP + 1)}
    for name in older:
        driver.create(name, labels, readyToUse=True)
    last = driver.end(driver.start(READY_SECONDS="4"), "Failed")
    assert last.startswith("error: not ready after 4 s, so nothing was deleted: data-mongo-0-")
    assert older < driver.snapshots().keys()


def test_the_account_may_only_create_list_and_delete_snapshots_of_the_namespace(driver: Driver) -> None:
    def rules(account: str, namespace: str) -> list[str]:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        user = f"--as=system:serviceaccount:{driver.kubectl.namespace}:{account}"
        # This user may not read the schemas with which kubectl validates.
        options = ("--validate=false", "--filename=-", "--output=json")
        text = driver.kubectl("create", user, *options, stdin=json.dumps(review))
        return [json.dumps(rule, sort_keys=True) for rule in json.loads(text)["status"]["resourceRules"]]

    everybody = rules("default", driver.kubectl.namespace)
    (own,) = [rule for rule in rules("mongo-snapshot", driver.kubectl.namespace) if rule not in everybody]
    assert json.loads(own) == {
        "apiGroups": [GROUP],
        "resources": ["volumesnapshots"],
        "verbs": ["create", "list", "delete"],
    }
    assert sorted(rules("mongo-snapshot", "default")) == sorted(rules("default", "default"))


def test_a_class_that_does_not_exist_is_refused_before_anything_changes(driver: Driver, program: Program) -> None:
    with program.using(backupSnapshotClass="monday"):
        refused = program.preview()
    program.use(backupSnapshotClass=driver.snapshot_class, backupKeep=KEEP, backupSchedule="")
    assert refused.exit_code != 0
    (line,) = refused.causes()
    assert 'pacman:backupSnapshotClass is "monday": no such VolumeSnapshotClass in context' in line
