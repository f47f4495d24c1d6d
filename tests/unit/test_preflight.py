"""The settings held against the classes of a cluster, before anything is declared.

The classes are given here; that they are read from a cluster as they are, `test_cluster.py` shows on an API of its own.
"""

from pathlib import Path

import pulumi
import pytest

from components import cluster
from components.cluster import Cluster, IngressClass, Node, RunningMongo, TakenHost
from components.metadata import OURS, STACK
from stack import preflight, settings
from tools.recorder import defaults, record, record_program, stack_config

NGINX = {"nginx": IngressClass("k8s.io/ingress-nginx")}
MINIKUBE = Cluster({"standard": "true", "csi-hostpath-sc": None}, NGINX)

PLAIN = Node({}, ())
GAMES = Node({"pool": "games"}, ({"key": "only", "value": "games", "effect": "NoSchedule"},))


def config(**given: str) -> settings.Settings:
    return settings.load(defaults() | {f"pacman:{key}": value for key, value in given.items()})


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is warned of."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    return said


def problems(known: Cluster, **given: str) -> list[str]:
    with pytest.raises(pulumi.RunError) as raised:
        preflight.check(config(**given), known)
    return str(raised.value).split("\n")


def test_a_cluster_with_all_classes_passes() -> None:
    assert preflight.check(config(), MINIKUBE) == ("standard",)


def test_a_demoted_class_that_does_not_exist_is_left_out() -> None:
    assert preflight.check(config(demoteStorageClasses='["gp2","standard"]'), MINIKUBE) == ("standard",)
    assert preflight.check(config(demoteStorageClasses='["gp2"]'), MINIKUBE) == ()


def test_without_knowledge_of_the_cluster_all_classes_of_the_config_are_demoted() -> None:
    assert preflight.check(config(demoteStorageClasses='["gp2","standard"]'), None) == ("gp2", "standard")


def test_a_cluster_that_does_not_answer_stops_a_preview_and_an_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(context: str, namespace: str) -> Cluster:
        raise cluster.NoAnswerError("https://192.0.2.1:8443 does not answer (No route to host)")

    monkeypatch.setattr(cluster, "read", read)
    with pytest.raises(pulumi.RunError) as told:
        preflight.read_cluster(config())
    assert str(told.value) == (
        'pacman:context is "minikube": its cluster at https://192.0.2.1:8443 does not answer (No route to host);'
        " start it, or name another context"
    )


def test_a_missing_default_class_is_reported_once_with_the_commands_that_list_and_install_it() -> None:
    known = Cluster({"standard": "true"}, NGINX)
    assert problems(known) == [
        'pacman:defaultStorageClass is "csi-hostpath-sc": no such StorageClass in context minikube;'
        " `kubectl --context minikube get storageclass` lists those that exist;"
        " `minikube -p minikube addons enable csi-hostpath-driver` brings it"
    ]


def test_a_missing_class_of_the_volumes_is_reported() -> None:
    (line,) = problems(MINIKUBE, mongoStorageClass="fast")
    assert line.startswith('pacman:mongoStorageClass is "fast": no such StorageClass in context minikube; `kubectl')


def test_a_missing_ingress_class_is_reported_with_the_commands_that_list_and_install_it() -> None:
    (line,) = problems(Cluster(MINIKUBE.storage_classes, {}))
    assert line == (
        'pacman:ingressClass is "nginx": no such IngressClass in context minikube;'
        " `kubectl --context minikube get ingressclass` lists those that exist;"
        " `minikube -p minikube addons enable ingress` brings it"
    )


def test_another_kind_of_cluster_gets_no_advice_about_minikube() -> None:
    told = problems(Cluster({}, {}), target="generic", context="arcade", mongoStorageClass="fast")
    assert len(told) == 2
    assert not any("minikube" in line for line in told)
    assert all("kubectl --context arcade get " in line for line in told)


def test_everything_that_is_missing_is_reported_at_once() -> None:
    told = problems(Cluster({}, {}), mongoStorageClass="fast")
    assert [line.split(" ")[0] for line in told] == [
        "pacman:defaultStorageClass",
        "pacman:mongoStorageClass",
        "pacman:ingressClass",
    ]


EKS = {"target": "eks", "context": "arcade", "ingressChart": "oci://charts.example/nginx-ingress"}


def test_a_class_that_the_program_creates_need_not_exist() -> None:
    assert preflight.check(config(**EKS), Cluster({}, {})) == ()


def test_another_class_for_the_volumes_must_exist_on_a_target_that_creates_one() -> None:
    (line,) = problems(Cluster({}, {}), **EKS, mongoStorageClass="fast")
    assert line.startswith('pacman:mongoStorageClass is "fast": no such StorageClass in context arcade')


class TestClassOfAnInstalledController:
    OURS = "pacman-ingress/pacman-ingress"

    @pytest.mark.parametrize(
        ("owner", "named"),
        [
            (IngressClass("k8s.io/ingress-nginx"), "the controller k8s.io/ingress-nginx"),
            (IngressClass("nginx.org/ingress-controller"), "the controller nginx.org/ingress-controller"),
            (IngressClass("nginx.org/ingress-controller", "web/front"), "the Helm release web/front"),
            (IngressClass("k8s.io/ingress-nginx", OURS), f"the Helm release {OURS}"),
        ],
    )
    def test_an_ingress_class_of_somebody_else_is_refused(self, owner: IngressClass, named: str) -> None:
        (line,) = problems(Cluster({}, {"nginx": owner}), **EKS, ingressClass="nginx")
        assert line == (
            f'pacman:ingressClass is "nginx": belongs to {named} in context arcade; name another class to install'
            " a controller beside it, or use it with ingressController existing"
        )

    def test_an_ingress_class_that_this_stack_created_is_accepted(self) -> None:
        known = Cluster({}, {"pacman-nginx": IngressClass("nginx.org/ingress-controller", self.OURS)})
        assert preflight.check(config(**EKS), known) == ()

    def test_an_ingress_class_that_does_not_exist_is_accepted(self) -> None:
        assert preflight.check(config(**EKS), Cluster({}, NGINX)) == ()


class TestNodes:
    def test_too_few_nodes_for_members_that_must_not_share_one_are_refused(self) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, nodes=(PLAIN, PLAIN))
        assert problems(known, mongoMembers="3", mongoSpread="require") == [
            'pacman:mongoSpread is "require": 3 members need as many nodes that take their pods, context minikube has'
            " 2; add nodes, or set it to prefer"
        ]

    @pytest.mark.parametrize(("nodes", "spread"), [((PLAIN,) * 3, "require"), ((PLAIN,), "prefer"), (None, "require")])
    def test_nodes_that_are_enough_or_not_needed_or_unknown_are_accepted(
        self, nodes: tuple[Node, ...] | None, spread: str
    ) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, nodes=nodes)
        assert preflight.check(config(mongoMembers="3", mongoSpread=spread), known) == ("standard",)

    def test_nodes_count_that_the_selector_and_the_tolerations_let_the_members_run_on(self) -> None:
        wanted = {"mongoMembers": "3", "mongoSpread": "require"}
        pool = {"nodeSelector": '{"pool": "games"}', "tolerations": '[{"key": "only", "value": "games"}]'}
        known = Cluster(MINIKUBE.storage_classes, NGINX, nodes=(GAMES, GAMES, GAMES, PLAIN))
        assert preflight.check(config(**wanted, **pool), known) == ("standard",)
        (problem,) = problems(known, **wanted)
        assert "has 1;" in problem
        (problem,) = problems(known, **wanted, nodeSelector='{"pool": "games"}')
        assert "has 0;" in problem

    def test_too_few_nodes_are_a_warning_on_a_cloud_that_may_add_some(self, warned: list[str]) -> None:
        assert preflight.check(config(**EKS), Cluster({}, {}, nodes=(PLAIN,))) == ()
        assert warned == [
            "3 members need as many nodes that take their pods, context arcade has 1: the cluster has to add some,"
            " or a member stays pending"
        ]


class TestIngressOfSomebodyElse:
    """A controller serves one Ingress for each host and path: it refuses a second one, or serves the older."""

    @staticmethod
    def known(ingress: str = "web/front", ingress_class: str = "nginx", host: str = "", path: str = "/") -> Cluster:
        return Cluster(MINIKUBE.storage_classes, NGINX, (TakenHost(ingress, ingress_class, host, frozenset({path})),))

    def test_an_ingress_without_a_host_on_the_same_class_and_path_is_refused(self) -> None:
        assert problems(self.known()) == [
            'pacman:ingressHost is "": the Ingress web/front in context minikube serves every host name of class nginx'
            " already; set another ingressHost, such as pacman.example"
        ]

    def test_an_ingress_with_the_same_host_is_refused(self) -> None:
        assert problems(self.known(host="games.example", path="/js"), ingressHost="games.example") == [
            'pacman:ingressHost is "games.example": the Ingress web/front in context minikube serves that host name of'
            " class nginx already; set another ingressHost, such as pacman.example"
        ]

    @pytest.mark.parametrize(
        "other",
        [
            {"ingress": "pacman/pacman"},
            {"ingress_class": "traefik"},
            {"ingress_class": ""},
            {"host": "front.example"},
            {"path": "/shop"},
        ],
        ids=["ours", "other-class", "no-class", "other-host", "other-path"],
    )
    def test_an_ingress_that_is_ours_or_differs_in_class_host_or_path_is_accepted(self, other: dict[str, str]) -> None:
        assert preflight.check(config(), self.known(**other)) == ("standard",)

    def test_ingresses_that_may_not_be_listed_are_no_error(self) -> None:
        assert preflight.check(config(), Cluster(MINIKUBE.storage_classes, NGINX, hosts=None)) == ("standard",)


class TestNamespaceOfSomebodyElse:
    def test_a_namespace_that_the_program_does_not_create_must_exist(self) -> None:
        assert problems(Cluster(MINIKUBE.storage_classes, NGINX, namespace={}), createNamespace="false") == [
            'pacman:namespace is "pacman": no such namespace in context minikube, or you may not see it; with'
            " createNamespace false it must exist"
        ]

    @pytest.mark.parametrize("metadata", [{"name": "pacman", "labels": {"team": "games"}}, None])
    def test_a_namespace_that_exists_or_may_not_be_read_is_accepted(self, metadata: dict[str, object] | None) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, namespace=metadata)
        assert preflight.check(config(createNamespace="false"), known) == ("standard",)

    def test_a_given_namespace_is_free_unless_another_stack_of_this_program_created_it(self) -> None:
        found = {"name": "pacman", "labels": dict(OURS)}
        assert preflight.namespace_owner(config(createNamespace="false"), Cluster(namespace={"name": "pacman"})) == ""
        assert preflight.namespace_owner(config(createNamespace="false"), Cluster(namespace=found)) == ""
        assert preflight.namespace_owner(config(), Cluster(namespace={"name": "pacman"})) == "somebody else"
        found["annotations"] = {STACK: "pacman/other"}
        owner = preflight.namespace_owner(config(createNamespace="false"), Cluster(namespace=found))
        assert owner == "the stack pacman/other"

    def test_a_namespace_that_the_program_creates_need_not_exist(self) -> None:
        assert preflight.check(config(), Cluster(MINIKUBE.storage_classes, NGINX, namespace={})) == ("standard",)


class TestRunning:
    @staticmethod
    def known(*, empty: bool) -> Cluster:
        runs = RunningMongo(1, "csi-hostpath-sc", "2Gi", "mongo:8.0.32", new_claim="1-2", empty=empty)
        return Cluster(MINIKUBE.storage_classes, NGINX, mongo=runs)

    def test_lost_volumes_are_a_warning_that_says_where_a_backup_is_restored(self, warned: list[str]) -> None:
        preflight.check(config(), self.known(empty=True))
        (line,) = warned
        assert line.startswith("the volumes of the database in namespace pacman are new: the old ones were deleted")
        assert "docs/backup.md" in line

    def test_once_a_set_is_in_the_new_claims_nothing_is_told_any_more(self, warned: list[str]) -> None:
        preflight.check(config(), self.known(empty=False))
        assert warned == []


class TestCertificate:
    TLS = {"ingressHost": "pacman.example", "ingressTlsSecret": "cert"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("secrets", "issuer", "told"),
        [
            (frozenset({"other"}), "", True),
            (frozenset({"cert"}), "", False),
            (None, "", False),
            (frozenset(), "own", False),
        ],
    )
    def test_a_certificate_that_does_not_exist_is_a_warning_unless_an_issuer_makes_it(
        self, warned: list[str], secrets: frozenset[str] | None, issuer: str, *, told: bool
    ) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, issuers=frozenset({"own"}), secrets=secrets)
        assert preflight.check(config(**self.TLS, ingressTlsIssuer=issuer), known) == ("standard",)
        line = (
            'pacman:ingressTlsSecret is "cert": no such Secret in namespace pacman; until `kubectl create secret tls'
            " cert --cert=tls.crt --key=tls.key -n pacman` makes it, the controller serves another certificate"
        )
        assert warned == ([line] if told else [])


class TestLook:
    @pytest.fixture(autouse=True)
    def cluster_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def read(context: str, namespace: str) -> Cluster | None:
            if context == "nowhere":
                raise cluster.UnknownContextError(context)
            return None if context == "away" else Cluster({}, {})

        monkeypatch.setattr(cluster, "read", read)

    def test_a_chart_that_does_not_exist_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        given = EKS | {"ingressChart": "./chart"}
        with pytest.raises(pulumi.RunError) as raised:
            preflight.read_cluster(config(**given))
        assert str(raised.value) == ('pacman:ingressChart is "./chart": no such file or folder; `helm pull` makes one')
        (tmp_path / "chart").mkdir()
        assert preflight.read_cluster(config(**given)) == Cluster({}, {})

    def test_a_context_that_the_kubeconfig_does_not_have_is_refused(self) -> None:
        with pytest.raises(pulumi.RunError) as raised:
            preflight.read_cluster(config(context="nowhere"))
        assert str(raised.value) == (
            'pacman:context is "nowhere": no such context in your kubeconfig;'
            " `kubectl config get-contexts` lists those that exist"
        )

    def test_a_cluster_that_cannot_be_read_is_a_warning(self, warned: list[str]) -> None:
        assert preflight.read_cluster(config(context="away")) is None
        assert warned == [
            "cannot read the cluster of context away, so the classes, nodes and issuers in the config are not checked"
        ]


class TestIssuer:
    TLS = {"ingressHost": "pacman.example", "ingressTlsIssuer": "letsencrypt"}  # noqa: RUF012

    def test_an_issuer_that_does_not_exist_is_refused(self) -> None:
        (line,) = problems(Cluster(MINIKUBE.storage_classes, NGINX, issuers=frozenset({"own"})), **self.TLS)
        assert line == (
            'pacman:ingressTlsIssuer is "letsencrypt": no such ClusterIssuer in context minikube;'
            " `kubectl --context minikube get clusterissuer` lists those that exist"
        )

    def test_an_issuer_on_a_cluster_without_cert_manager_is_refused(self) -> None:
        (line,) = problems(Cluster(MINIKUBE.storage_classes, NGINX, issuers=frozenset()), **self.TLS)
        assert line.startswith(
            'pacman:ingressTlsIssuer is "letsencrypt": there is no ClusterIssuer in context minikube;'
        )

    @pytest.mark.parametrize("issuers", [frozenset({"letsencrypt"}), None])
    def test_an_issuer_that_exists_or_may_not_be_read_is_accepted(self, issuers: frozenset[str] | None) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, issuers=issuers)
        assert preflight.check(config(**self.TLS), known) == ("standard",)


class TestSnapshotClass:
    NAME = "csi-hostpath-snapclass"

    def test_a_snapshot_class_that_does_not_exist_is_refused(self) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, snapshot_classes=frozenset({"other"}))
        assert problems(known, backupSnapshotClass="fast") == [
            'pacman:backupSnapshotClass is "fast": no such VolumeSnapshotClass in context minikube;'
            " `kubectl --context minikube get volumesnapshotclass` lists those that exist"
        ]

    def test_on_a_minikube_without_snapshots_the_error_names_the_addon(self) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, snapshot_classes=frozenset())
        assert problems(known, backupSnapshotClass=self.NAME) == [
            f'pacman:backupSnapshotClass is "{self.NAME}": there is no VolumeSnapshotClass in context minikube;'
            " `minikube -p minikube addons enable volumesnapshots` brings it"
        ]

    def test_on_another_cluster_without_snapshots_the_error_says_what_to_install(self) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, snapshot_classes=frozenset())
        (line,) = problems(known, backupSnapshotClass="fast")
        assert line.endswith("install a CSI driver with snapshots and the snapshot controller, or leave it empty")

    @pytest.mark.parametrize("classes", [frozenset({NAME}), None])
    def test_a_snapshot_class_that_exists_or_may_not_be_read_is_accepted(self, classes: frozenset[str] | None) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, snapshot_classes=classes)
        assert preflight.check(config(backupSnapshotClass=self.NAME), known) == ("standard",)

    def test_without_snapshots_in_the_config_the_cluster_need_not_know_them(self) -> None:
        known = Cluster(MINIKUBE.storage_classes, NGINX, snapshot_classes=frozenset())
        assert preflight.check(config(), known) == ("standard",)


def test_the_program_demotes_only_classes_that_exist() -> None:
    given = stack_config("dev") | {"pacman:demoteStorageClasses": '["gp2","standard"]'}
    run = record_program(given, MINIKUBE)
    assert [patch.manifest["metadata"]["name"] for patch in run.of("StorageClassPatch")] == [
        "standard",
        "csi-hostpath-sc",
    ]


def test_the_program_stops_before_it_declares_anything_if_a_class_is_missing() -> None:
    with pytest.raises(SystemExit) as ended:
        record_program(stack_config("dev"), Cluster(MINIKUBE.storage_classes, {}))
    assert ended.value.code == 32


def test_the_ingress_of_this_stack_in_another_namespace_is_no_conflict_since_the_move_itself_is_refused() -> None:
    taken = cluster.TakenHost("elsewhere/pacman", "nginx", "", frozenset({"/"}), "pacman/dev")
    known = Cluster({"standard": "true", "csi-hostpath-sc": None}, NGINX, (taken,))
    found: list[tuple[str, ...]] = []
    record(lambda: found.append(preflight.check(config(), known)), name="dev")
    assert found == [("standard",)]
    with pytest.raises(pulumi.RunError, match="serves every host name of class nginx already"):
        record(lambda: preflight.check(config(), known), name="prod")
