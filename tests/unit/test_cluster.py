"""What is read from a cluster's API, and what is written back to it, on an API of a few lines on this machine.

It answers as the API server does to these few requests. That a real one does, the engine tests show.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import cluster
from components.cluster import DEFAULT_BEFORE, DEFAULT_CLASS, Cluster, IngressClass, Node, RunningMongo, TakenHost

STORAGE = "/apis/storage.k8s.io/v1/storageclasses"
INGRESS = "/apis/networking.k8s.io/v1/ingressclasses"
NODES = "/api/v1/nodes"
ISSUERS = "/apis/cert-manager.io/v1/clusterissuers"
SNAPSHOT_CLASSES = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses"
SETS = "/apis/apps/v1/namespaces/games/statefulsets"
KUBE_SYSTEM = "/api/v1/namespaces/kube-system"
INGRESSES = "/apis/networking.k8s.io/v1/ingresses"
PACMAN = "/apis/networking.k8s.io/v1/namespaces/games/ingresses/pacman"
GAMES = "/api/v1/namespaces/games"
CLAIMS = f"{GAMES}/persistentvolumeclaims"
PODS = f"{GAMES}/pods"
JOBS = "/apis/batch/v1/namespaces/games/jobs"
SECRETS = f"{GAMES}/secrets?includeObject=None"
OURS = {"app.kubernetes.io/part-of": "pacman", "app.kubernetes.io/managed-by": "pulumi"}

NONE = frozenset[str]()
EMPTY = Cluster({}, {}, (), nodes=(), issuers=NONE, snapshot_classes=NONE, secrets=NONE, namespace={})


@dataclass
class Api:
    """What stands in the API, and the requests that came."""

    storage: dict[str, dict[str, str] | None] = field(default_factory=dict)
    """StorageClass to its annotations, None where it has none at all."""
    managers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """StorageClass to its managedFields."""
    ingress: dict[str, dict[str, str] | None] = field(default_factory=dict)
    """IngressClass to its annotations, all of a controller `nginx.example`."""
    nodes: list[dict[str, Any]] = field(default_factory=list)
    """What each node has besides its name."""
    issuers: list[str] | None = None
    """The ClusterIssuers, None where their kind is unknown."""
    snapshots: list[str] | None = None
    """The VolumeSnapshotClasses, None where their kind is unknown."""
    sets: list[dict[str, Any]] = field(default_factory=list)
    """The StatefulSets of the namespace `games`."""
    claims: list[dict[str, Any]] = field(default_factory=list)
    """The claims there."""
    jobs: list[dict[str, Any]] = field(default_factory=list)
    """The Jobs there."""
    pods: list[dict[str, Any]] = field(default_factory=list)
    """The pods there."""
    uid: str = ""
    """Of the namespace kube-system."""
    ingresses: list[dict[str, Any]] = field(default_factory=list)
    """The Ingresses of all namespaces."""
    address: dict[str, Any] | None = None
    """The status of the Ingress `games/pacman`, None where there is no such Ingress."""
    labels: dict[str, str] | None = None
    """Of the namespace `games`, None where it does not exist."""
    secrets: list[str] = field(default_factory=list)
    """The Secrets in it."""
    forbidden: set[str] = field(default_factory=set)
    """Paths that nobody may use."""
    patches: list[tuple[str, str, Any]] = field(default_factory=list)
    """Path, content type and body of every PATCH."""
    authorization: set[str | None] = field(default_factory=set)
    accepted: dict[str, str | None] = field(default_factory=dict)
    """Path of every GET to the kind of answer that was asked for."""

    def get(self, path: str) -> dict[str, Any] | None:
        """The answer to a GET, None where nothing is."""
        there: dict[str, dict[str, Any]] = {
            STORAGE: {"items": [self._storage_class(*each) for each in self.storage.items()]},
            INGRESS: {
                "items": [_item(*each) | {"spec": {"controller": "nginx.example"}} for each in self.ingress.items()]
            },
            NODES: {"items": [_item("node", None) | {"spec": {}} | node for node in self.nodes]},
            INGRESSES: {"items": self.ingresses},
            SETS: {"items": self.sets},
            CLAIMS: {"items": self.claims},
            JOBS: {"items": self.jobs},
            PODS: {"items": self.pods},
            **{f"{CLAIMS}/{_name(claim)}": claim for claim in self.claims},
            SECRETS: {"rows": [{"cells": [name, "Opaque", 2, "1d"]} for name in self.secrets] or None},
        }
        if self.uid:
            there[KUBE_SYSTEM] = {"metadata": {"name": "kube-system", "uid": self.uid}}
        if self.address is not None:
            there[PACMAN] = {"status": self.address}
        if self.labels is not None:
            there[GAMES] = {"metadata": {"name": "games"} | ({"labels": self.labels} if self.labels else {})}
        if self.issuers is not None:
            there[ISSUERS] = {"items": [_item(name, None) for name in self.issuers]}
        if self.snapshots is not None:
            there[SNAPSHOT_CLASSES] = {"items": [_item(name, None) for name in self.snapshots]}
        return there.get(path)

    def _storage_class(self, name: str, annotations: dict[str, str] | None) -> dict[str, Any]:
        item = _item(name, annotations)
        item["metadata"]["managedFields"] = self.managers.get(name)
        return item


def _item(name: str, annotations: dict[str, str] | None) -> dict[str, Any]:
    return {"metadata": {"name": name} | ({} if annotations is None else {"annotations": annotations})}


def _name(item: dict[str, Any]) -> str:
    return str(item["metadata"]["name"])


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    state = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.authorization.add(self.headers["Authorization"])
            state.accepted[self.path] = self.headers["Accept"]
            body = state.get(self.path)
            self.answer(403 if self.path in state.forbidden else 404 if body is None else 200, body)

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.patches.append((self.path, self.headers["Content-Type"], body))
            self.answer(403 if self.path in state.forbidden else 200, body)

        def answer(self, code: int, body: object) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        use(tmp_path, monkeypatch, server.server_port)
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def why(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """The reason that was logged; without it, a mistake in the program would pass for a cluster that is away."""
    caplog.set_level(logging.DEBUG, cluster.__name__)
    return lambda: "".join(record.getMessage() for record in caplog.records if record.name == cluster.__name__)


def use(folder: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Makes a kubeconfig whose current context leads nowhere, and whose context `arcade` leads to a port."""
    config = {
        "current-context": "elsewhere",
        "clusters": [
            {"name": "arcade", "cluster": {"server": f"http://127.0.0.1:{port}"}},
            {"name": "elsewhere", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "users": [{"name": "me", "user": {"token": "of-this-person"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ("arcade", "elsewhere")],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))


def test_the_client_reads_the_classes_and_their_default_marks(api: Api) -> None:
    api.storage = {
        "standard": {DEFAULT_CLASS: "true"},
        "slow": {DEFAULT_CLASS: "false"},
        "csi": {"x": "y"},
        "bare": None,
    }
    api.ingress = {"nginx": None, "traefik": {"x": "y"}}
    assert cluster.read("arcade", "games") == Cluster(
        {"standard": "true", "slow": "false", "csi": None, "bare": None},
        {"nginx": IngressClass("nginx.example"), "traefik": IngressClass("nginx.example")},
        hosts=(),
        nodes=(),
        issuers=frozenset(),
        snapshot_classes=frozenset(),
        secrets=frozenset(),
        namespace={},
    )
    assert api.authorization == {"Bearer of-this-person"}


def test_a_cluster_without_classes_is_known_to_have_none(api: Api) -> None:
    assert cluster.read("arcade", "games") == EMPTY


def test_an_ingress_class_belongs_to_the_helm_release_that_its_annotations_name(api: Api) -> None:
    api.ingress = {"nginx": {"meta.helm.sh/release-namespace": "web", "meta.helm.sh/release-name": "front"}}
    known = cluster.read("arcade", "games")
    assert known
    assert known.ingress_classes == {"nginx": IngressClass("nginx.example", "web/front")}


def test_a_node_is_read_with_what_decides_whether_a_pod_may_run_on_it(api: Api) -> None:
    def node(os: str, *taints: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        labels = {"kubernetes.io/os": os}
        return {"metadata": {"name": "node", "labels": labels}, "spec": {"taints": list(taints)} if taints else {}}

    games = {"key": "only", "value": "games", "effect": "NoSchedule"}
    preferred = {"key": "rather", "effect": "PreferNoSchedule"}
    # What a cordon and a lost node set: it takes pods again later.
    away = [{"key": f"node.kubernetes.io/{why}", "effect": "NoSchedule"} for why in ("unschedulable", "not-ready")]
    api.nodes = [{}, node("linux", games), node("windows"), node("linux", preferred, *away)]
    known = cluster.read("arcade", "games")
    assert known
    linux = {"kubernetes.io/os": "linux"}
    assert known.nodes == (Node({}, ()), Node(linux, (games,)), Node(linux, ()))


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "only", "value": "games", "effect": "NoSchedule"}, True),
        ({"key": "only", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "only", "value": "work"}, False),
        ({"key": "only"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "only", "value": "games", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_is_tolerated_as_kubernetes_has_it(toleration: dict[str, Any], tolerated: bool) -> None:
    node = Node({"pool": "games"}, ({"key": "only", "value": "games", "effect": "NoSchedule"},))
    assert node.takes({}, [toleration]) == tolerated
    assert node.takes({"pool": "games"}, [toleration]) == tolerated
    assert not node.takes({"pool": "other"}, [toleration])


def test_the_client_lists_the_issuers_of_cert_manager(api: Api) -> None:
    api.issuers = ["own", "letsencrypt"]
    known = cluster.read("arcade", "games")
    assert known
    assert known.issuers == frozenset({"own", "letsencrypt"})


def test_the_client_lists_the_snapshot_classes(api: Api) -> None:
    api.snapshots = ["csi-hostpath-snapclass"]
    known = cluster.read("arcade", "games")
    assert known
    assert known.snapshot_classes == frozenset({"csi-hostpath-snapclass"})


def running_mongo() -> dict[str, Any]:
    """A StatefulSet of this program, as the API shows it."""
    claim = {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}
    containers = [{"name": "metrics", "image": "x:1.0"}, {"name": "mongo", "image": "mongo:8.0.32"}]
    spec = {
        "replicas": 3,
        "volumeClaimTemplates": [{"spec": claim}],
        "template": {"spec": {"containers": containers}},
    }
    return {"metadata": {"name": "mongo", "labels": OURS}, "spec": spec}


def test_the_client_reads_what_the_running_database_was_created_with(api: Api) -> None:
    api.sets = [_item("other", None) | {"spec": {"replicas": 1}}, running_mongo()]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo == RunningMongo(3, "fast", "2Gi", "mongo:8.0.32", first_volume_size="2Gi")


def test_the_running_database_is_known_if_nothing_of_the_cluster_may_be_listed(api: Api) -> None:
    api.sets, api.labels = [running_mongo()], OURS
    api.forbidden = {STORAGE, INGRESS, INGRESSES, NODES, ISSUERS, SNAPSHOT_CLASSES, KUBE_SYSTEM, SECRETS}
    assert cluster.read("arcade", "games") == Cluster(
        mongo=RunningMongo(3, "fast", "2Gi", "mongo:8.0.32", first_volume_size="2Gi"),
        namespace={"name": "games", "labels": OURS},
    )


def at(minute: int, second: int = 0) -> str:
    return f"2026-11-26T10:{minute:02}:{second:02}Z"


def claim(ordinal: int, minute: int, storage: str = "2Gi", seconds: int = 0) -> dict[str, Any]:
    """The claim of a member, created at a minute."""
    name = f"data-mongo-{ordinal}"
    metadata = {"name": name, "uid": f"uid-{minute}", "creationTimestamp": at(minute, seconds)}
    return {"metadata": metadata, "spec": {"resources": {"requests": {"storage": storage}}, "volumeName": f"pv-{name}"}}


def job(minute: int, *, succeeded: bool = True, rotation: str = "", database: str = "mongo") -> dict[str, Any]:
    """A Job of this program that ended at a minute."""
    annotations = {"pacman/rotation": rotation} if rotation else {}
    status = {"succeeded": 1, "completionTime": at(minute)} if succeeded else {"failed": 1}
    labels = OURS | {"app.kubernetes.io/instance": database}
    return {"metadata": {"name": "mongo-x", "labels": labels, "annotations": annotations}, "status": status}


@pytest.mark.parametrize(
    ("claims", "jobs", "new_claim", "empty"),
    [
        ([claim(0, 0)], [job(1)], "", False),
        ([claim(0, 0, seconds=30)], [job(1)], "", False),
        ([claim(0, 0, seconds=31)], [job(1)], "uid-0", False),
        ([claim(0, 30)], [job(1)], "uid-30", True),
        ([claim(0, 30)], [job(1), job(31, succeeded=False)], "uid-30", True),
        ([claim(0, 30)], [job(31)], "uid-30", False),
        ([], [job(1)], "", False),
    ],
    ids=[
        "first volume",
        "late first volume",
        "too late",
        "new volume",
        "the Job failed",
        "new set in new volume",
        "no claim",
    ],
)
def test_a_lost_volume_is_known_by_a_claim_that_is_younger_than_its_stateful_set(
    api: Api, claims: list[dict[str, Any]], jobs: list[dict[str, Any]], new_claim: str, empty: bool
) -> None:
    mongo = running_mongo()
    mongo["spec"]["replicas"] = 1
    mongo["metadata"]["creationTimestamp"] = at(0)
    api.sets, api.claims, api.jobs = [mongo], claims, jobs
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert (known.mongo.new_claim, known.mongo.empty) == (new_claim, empty)


def test_a_member_that_lost_its_volume_beside_others_is_no_lost_database(api: Api) -> None:
    mongo = running_mongo()
    mongo["metadata"]["creationTimestamp"] = at(0)
    api.sets, api.claims = [mongo], [claim(0, 30), claim(1, 0), claim(2, 0)]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert (known.mongo.new_claim, known.mongo.empty) == ("", False)


def pod(ordinal: int, ready: str, placed: str = "True", waits: str = "", minutes: float = 0) -> dict[str, Any]:
    """The pod of a member, placed or not since some minutes."""
    since = datetime.fromtimestamp(time.time() - minutes * 60, UTC).isoformat()
    scheduled = {"type": "PodScheduled", "status": placed, "lastTransitionTime": since}
    conditions = [{"type": "Ready", "status": ready}, scheduled]
    state = {"waiting": {"reason": waits}} if waits else {"running": {}}
    status = {"conditions": conditions, "containerStatuses": [{"name": "mongo", "state": state}]}
    return {"metadata": {"name": f"mongo-{ordinal}"}, "status": status}


def test_a_database_whose_members_all_copied_from_each_other_after_new_volumes_is_not_lost(api: Api) -> None:
    mongo = running_mongo()
    mongo["metadata"]["creationTimestamp"] = at(0)
    api.sets, api.claims, api.jobs = [mongo], [claim(ordinal, 30) for ordinal in range(3)], [job(1)]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert known.mongo.empty
    # Another pod tells nothing of it, such as that of a Job.
    api.pods = [pod(0, "False"), pod(0, "True") | {"metadata": {"name": "mongo-init-1"}}]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert known.mongo.empty
    api.pods = [pod(0, "True"), pod(1, "False"), pod(2, "False")]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert not known.mongo.empty


@pytest.mark.parametrize(
    ("pods", "stuck"),
    [
        ([pod(0, "True"), pod(1, "False"), pod(2, "False", waits="PodInitializing")], set()),
        ([pod(0, "True"), pod(1, "False", placed="False", minutes=6)], {1}),
        ([pod(0, "True"), pod(1, "False", placed="False", minutes=1)], set()),
        ([pod(0, "True"), pod(1, "True"), pod(2, "False", waits="CrashLoopBackOff")], {2}),
        ([pod(0, "False", waits="ImagePullBackOff"), pod(1, "False", waits="ContainerCreating")], {0}),
    ],
)
def test_a_member_that_cannot_start_is_told_from_one_that_copies(
    api: Api, pods: list[dict[str, Any]], stuck: set[int]
) -> None:
    api.sets, api.pods = [running_mongo()], pods
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert known.mongo.stuck == stuck


def test_the_last_rotation_that_ended_is_read_from_its_job(api: Api) -> None:
    api.sets = [running_mongo()]
    api.jobs = [job(1, rotation="1"), job(2, rotation="2"), job(3, rotation="3", succeeded=False), job(4)]
    api.jobs.append(job(5, rotation="5", database="mongo-of-somebody-else"))
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert known.mongo.rotated == 2
    api.sets = [running_mongo() | {"status": {"currentRevision": "a", "updateRevision": "b"}}]
    restarting = cluster.read("arcade", "games")
    assert restarting
    assert restarting.mongo
    assert restarting.mongo.rotated == 0, "members restart"


def test_members_are_ready_whose_pods_are(api: Api) -> None:
    def pod(name: str, status: str) -> dict[str, Any]:
        conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": status}]
        return _item(name, None) | {"status": {"conditions": conditions}}

    api.sets = [running_mongo()]
    api.pods = [pod("mongo-0", "True"), pod("mongo-1", "False"), pod("mongo-2", "True"), pod("pacman-x", "True")]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo
    assert known.mongo.ready == {0, 2}


@pytest.mark.parametrize("path", [CLAIMS, JOBS, PODS])
def test_a_database_whose_claims_jobs_or_pods_may_not_be_listed_counts_as_not_known(api: Api, path: str) -> None:
    api.sets, api.forbidden = [running_mongo()], {path}
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo is None


def test_a_claim_that_asks_for_less_asks_for_more_and_no_other_changes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_BOUND_SECONDS", 0)
    api.claims = [claim(0, 0, "2Gi"), claim(1, 1, "4096Mi"), claim(2, 2, "5Gi"), claim(3, 3, "2Gi")]
    del api.claims[3]["spec"]["volumeName"]  # until it has a volume, it cannot change
    claims = [f"data-mongo-{ordinal}" for ordinal in range(4)]
    assert cluster.grow_claims("arcade", "games", claims, "4Gi") == ["uid-0", "uid-1", "uid-2"]
    change = {"spec": {"resources": {"requests": {"storage": "4Gi"}}}}
    assert api.patches == [(f"{CLAIMS}/data-mongo-0", "application/merge-patch+json", change)]


def test_the_volume_behind_a_claim_is_retained(api: Api) -> None:
    api.claims = [claim(0, 0)]
    cluster.retain_volumes("arcade", "games", ["data-mongo-0"])
    ((path, _, change),) = api.patches
    assert path == "/api/v1/persistentvolumes/pv-data-mongo-0"
    assert change == {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}


def test_a_claim_without_a_volume_is_passed_over_and_not_waited_for_again(api: Api) -> None:
    api.claims = [claim(0, 0), claim(1, 1)]
    del api.claims[0]["spec"]["volumeName"]
    cluster.retain_volumes("arcade", "games", ["data-mongo-0", "data-mongo-1"])
    ((path, _, _),) = api.patches
    assert path == "/api/v1/persistentvolumes/pv-data-mongo-1"


def test_a_stateful_set_of_somebody_else_is_not_taken_for_the_database(api: Api) -> None:
    api.sets = [_item("mongo", None) | {"spec": {"replicas": 1}}]
    known = cluster.read("arcade", "games")
    assert known
    assert known.mongo is None


def test_the_client_asks_for_the_names_of_secrets_and_not_for_their_contents(api: Api) -> None:
    api.secrets = ["cert", "other"]
    known = cluster.read("arcade", "games")
    assert known
    assert known.secrets == frozenset({"cert", "other"})
    assert api.accepted[SECRETS] == "application/json;as=Table;g=meta.k8s.io;v=v1"


def test_the_client_reads_the_metadata_of_the_namespace(api: Api) -> None:
    api.labels = OURS
    known = cluster.read("arcade", "games")
    assert known
    assert known.namespace == {"name": "games", "labels": OURS}


def test_a_namespace_that_does_not_exist_has_empty_metadata(api: Api) -> None:
    assert api.labels is None
    known = cluster.read("arcade", "games")
    assert known
    assert known.namespace == {}


def test_a_cluster_is_identified_by_the_uid_of_kube_system(api: Api) -> None:
    api.uid = "1-2-3"
    known = cluster.read("arcade", "games")
    assert known
    assert known.identity == "1-2-3"
    api.forbidden = {KUBE_SYSTEM}
    known = cluster.read("arcade", "games")
    assert known
    assert known.identity == ""


def test_the_client_lists_the_hosts_of_all_ingresses_with_class_and_paths(api: Api) -> None:
    def ingress(
        name: str, *rules: dict[str, Any], annotations: dict[str, str] | None = None, **spec: str
    ) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "web", "annotations": annotations}
        return {"metadata": metadata, "spec": {"rules": list(rules), **spec}}

    api.ingresses = [
        ingress("one", {"host": "a.example", "http": {"paths": [{"path": "/js"}, {}]}}, {}, ingressClassName="nginx"),
        ingress("two", {"host": "b.example"}),
        ingress("old", {"host": "c.example"}, annotations={"kubernetes.io/ingress.class": "nginx"}),
    ]
    known = cluster.read("arcade", "games")
    assert known
    assert known.hosts == (
        TakenHost("web/one", "nginx", "a.example", frozenset({"/js", "/"})),
        TakenHost("web/one", "nginx", "", frozenset()),
        TakenHost("web/two", "", "b.example", frozenset()),
        TakenHost("web/old", "nginx", "c.example", frozenset()),
    )


@pytest.mark.parametrize(
    ("entries", "address"),
    [
        ([{"ip": "192.0.2.1"}], ("192.0.2.1", "")),
        ([{"hostname": "lb.example"}], ("", "lb.example")),
        ([{}, {"ip": "2001:db8::1"}], ("2001:db8::1", "")),
        ([], ("", "")),
        (None, ("", "")),
    ],
)
def test_the_client_reads_the_address_that_a_controller_published(
    api: Api, entries: list[dict[str, str]] | None, address: tuple[str, str]
) -> None:
    api.address = {"loadBalancer": {"ingress": entries}}
    assert cluster.wait_for_ingress_address("arcade", "games", "pacman", 0) == address


def test_the_client_waits_until_the_controller_publishes_an_address(api: Api) -> None:
    api.address = {}
    threading.Timer(0.3, lambda: setattr(api, "address", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})).start()
    assert cluster.wait_for_ingress_address("arcade", "games", "pacman", 20) == ("192.0.2.1", "")


def test_a_context_that_the_kubeconfig_does_not_have_is_an_error(api: Api) -> None:
    with pytest.raises(cluster.UnknownContextError):
        cluster.read("unknown", "games")
    assert api.authorization == set()


def test_what_may_not_be_listed_is_unknown_and_the_rest_is_known(api: Api) -> None:
    api.forbidden = {STORAGE, INGRESSES, NODES, ISSUERS, SNAPSHOT_CLASSES, SETS, SECRETS}
    assert cluster.read("arcade", "games") == Cluster(ingress_classes={}, namespace={})


@pytest.mark.usefixtures("api")
def test_a_cluster_at_whose_address_nobody_listens_is_an_error_with_address_and_reason() -> None:
    for call in (
        lambda: cluster.read("elsewhere", "games"),
        lambda: cluster.save_default_marks("elsewhere", ["standard"]),
    ):
        with pytest.raises(cluster.NoAnswerError) as told:
            call()
        assert str(told.value) == "http://127.0.0.1:1 does not answer (Connection refused)"


def test_without_a_kubeconfig_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Callable[[], str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert cluster.read("arcade", "games") is None
    assert "No configuration found" in why()


def test_a_cluster_that_accepts_connections_and_answers_nothing_costs_a_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: Callable[[], str]
) -> None:
    monkeypatch.setattr(cluster, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use(tmp_path, monkeypatch, silent.getsockname()[1])
        began = time.monotonic()
        assert cluster.read("arcade", "games") is None
        assert time.monotonic() - began < 3 * cluster.SECONDS, "it must not try again"
    assert "timed out" in why()


def marks_of(api: Api) -> dict[str, dict[str, str | None]]:
    return {path.removeprefix(f"{STORAGE}/"): body["metadata"]["annotations"] for path, _, body in api.patches}


def test_the_first_stack_reads_the_default_marks_and_notes_them_down_on_the_classes(api: Api) -> None:
    api.storage = {"standard": {DEFAULT_CLASS: "true"}, "bare": None, "other": {DEFAULT_CLASS: "false"}}
    assert cluster.save_default_marks("arcade", ["standard", "bare", "new"]) == {
        "standard": "true",
        "bare": "",
        "new": "",
    }
    assert marks_of(api) == {"standard": {DEFAULT_BEFORE: "true"}, "bare": {DEFAULT_BEFORE: ""}}
    assert {kind for _, kind, _ in api.patches} == {"application/merge-patch+json"}


def test_a_second_stack_reads_the_default_marks_of_before_the_first_one(api: Api) -> None:
    api.storage = {"standard": {DEFAULT_CLASS: "false", DEFAULT_BEFORE: "true"}, "csi": {DEFAULT_BEFORE: ""}}
    assert cluster.save_default_marks("arcade", ["standard", "csi"]) == {"standard": "true", "csi": ""}
    assert api.patches == []


def test_default_marks_that_may_not_be_read_are_an_error(api: Api) -> None:
    api.forbidden = {STORAGE}
    with pytest.raises(Exception, match="403"):
        cluster.save_default_marks("arcade", ["standard"])


def test_a_class_without_a_default_mark_gets_back_the_one_that_it_had(api: Api) -> None:
    api.storage = {"standard": {"x": "y", DEFAULT_BEFORE: "true"}, "csi": None, "bare": {DEFAULT_BEFORE: ""}}
    cluster.restore_default_marks("arcade", {"standard": "true", "csi": "false", "bare": ""})
    assert marks_of(api) == {
        "standard": {DEFAULT_CLASS: "true", DEFAULT_BEFORE: None},
        "csi": {DEFAULT_CLASS: "false"},
        "bare": {DEFAULT_BEFORE: None},
    }


def test_a_class_that_is_gone_or_that_somebody_has_marked_since_gets_no_default_mark_back(api: Api) -> None:
    api.storage = {"csi": None, "standard": {DEFAULT_CLASS: "false"}}
    cluster.restore_default_marks("arcade", {"csi": "", "gone": "true", "standard": "true"})
    assert api.patches == []


def test_a_default_mark_that_another_stack_still_holds_is_left_to_it(api: Api) -> None:
    fields: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{DEFAULT_CLASS}": {}}}}
    api.storage = {"standard": {DEFAULT_CLASS: "false", DEFAULT_BEFORE: "true"}}
    api.managers = {"standard": [{"manager": "pulumi-kubernetes-1a2b3c4d", "fieldsV1": fields}]}
    cluster.restore_default_marks("arcade", {"standard": "true"})
    assert api.patches == []


def test_a_default_mark_that_may_not_be_restored_is_an_error(api: Api) -> None:
    api.forbidden = {STORAGE}
    with pytest.raises(Exception, match="403"):
        cluster.restore_default_marks("arcade", {"standard": "true"})
