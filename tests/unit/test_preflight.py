"""The settings held against the classes of a cluster, before anything is declared.

The classes are given here; that they are read from a cluster as they are, `test_cluster.py` shows on an API of its own.
"""

import pulumi
import pytest

import preflight
import settings
from cluster import Classes
from tests.harness.recorder import defaults, record_program, stack_config

MINIKUBE = Classes({"standard": "true", "csi-hostpath-sc": None}, frozenset({"nginx"}))


def config(**given: str) -> settings.Settings:
    return settings.load(defaults() | {f"pacman:{key}": value for key, value in given.items()})


def problems(known: Classes, **given: str) -> list[str]:
    with pytest.raises(pulumi.RunError) as raised:
        preflight.check(config(**given), known)
    return str(raised.value).split("\n")


def test_a_cluster_with_all_classes_passes() -> None:
    assert preflight.check(config(), MINIKUBE) == ("standard",)


def test_a_demoted_class_that_does_not_exist_is_left_out() -> None:
    assert preflight.check(config(demoteStorageClasses='["gp2","standard"]'), MINIKUBE) == ("standard",)
    assert preflight.check(config(demoteStorageClasses='["gp2"]'), MINIKUBE) == ()


def test_a_cluster_that_cannot_be_read_is_left_to_the_provider() -> None:
    assert preflight.check(config(demoteStorageClasses='["gp2","standard"]'), None) == ("gp2", "standard")


def test_a_missing_default_class_is_named_once_with_the_way_to_list_them_and_the_mend() -> None:
    known = Classes({"standard": "true"}, frozenset({"nginx"}))
    assert problems(known) == [
        'pacman:defaultStorageClass is "csi-hostpath-sc": no such StorageClass in context minikube;'
        " `kubectl --context minikube get storageclass` lists those that exist;"
        " `minikube -p minikube addons enable csi-hostpath-driver` brings it"
    ]


def test_a_missing_class_of_the_volumes() -> None:
    (line,) = problems(MINIKUBE, mongoStorageClass="fast")
    assert line.startswith('pacman:mongoStorageClass is "fast": no such StorageClass in context minikube; `kubectl')


def test_a_missing_ingress_class() -> None:
    (line,) = problems(Classes(MINIKUBE.storage, frozenset()))
    assert line == (
        'pacman:ingressClass is "nginx": no such IngressClass in context minikube;'
        " `kubectl --context minikube get ingressclass` lists those that exist;"
        " `minikube -p minikube addons enable ingress` brings it"
    )


def test_another_kind_of_cluster_gets_no_advice_about_minikube() -> None:
    told = problems(Classes({}, frozenset()), target="generic", context="arcade", mongoStorageClass="fast")
    assert len(told) == 2
    assert not any("minikube" in line for line in told)
    assert all("kubectl --context arcade get " in line for line in told)


def test_all_that_is_missing_is_told_at_once() -> None:
    told = problems(Classes({}, frozenset()), mongoStorageClass="fast")
    assert [line.split(" ")[0] for line in told] == [
        "pacman:defaultStorageClass",
        "pacman:mongoStorageClass",
        "pacman:ingressClass",
    ]


def test_the_program_demotes_what_exists_and_no_more() -> None:
    given = stack_config("dev") | {"pacman:demoteStorageClasses": '["gp2","standard"]'}
    run = record_program(given, MINIKUBE)
    assert [patch.manifest["metadata"]["name"] for patch in run.of("StorageClassPatch")] == [
        "standard",
        "csi-hostpath-sc",
    ]


def test_the_program_stops_before_it_declares_anything() -> None:
    with pytest.raises(SystemExit) as ended:
        record_program(stack_config("dev"), Classes(MINIKUBE.storage, frozenset()))
    assert ended.value.code == 32
