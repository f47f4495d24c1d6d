"""The plugins' smaller parts: kubeconfigs, field managers, random values, the list of plugins, the installation."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.plugins import install, random
from sandbox.plugins.kubernetes import managers
from sandbox.plugins.kubernetes.client import ApiError, ConfigError, is_namespaced, resolve
from sandbox.plugins.kubernetes.values import Object
from sandbox.plugins.language_python import required_plugins


def _kubeconfig(path: Path, name: str, current: str = "", namespace: str = "") -> Path:
    context = {"cluster": name, "user": name} | ({"namespace": namespace} if namespace else {})
    config = {
        "current-context": current,
        "contexts": [{"name": name, "context": context}],
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}.invalid", "certificate-authority": "ca.crt"}}
        ],
        "users": [{"name": name, "user": {}}],
    }
    path.write_text(json.dumps(config))
    return path


def test_the_persons_own_kubeconfigs_are_merged_as_kubectl_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = _kubeconfig(tmp_path / "one", "one"), _kubeconfig(tmp_path / "two", "two", "two", "games")
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'absent'}:{two}")
    found = resolve("", "", "", "")
    assert (found.context, found.server, found.namespace) == ("two", "https://two.invalid", "games")
    assert found.config["clusters"][0]["cluster"]["certificate-authority"] == str(tmp_path / "ca.crt")
    assert resolve("", "one", "", "mine").namespace == "mine"
    assert resolve("", "one", "two", "").server == "https://two.invalid"


def test_a_kubeconfig_can_be_given_as_path_or_text(tmp_path: Path) -> None:
    path = _kubeconfig(tmp_path / "one", "one", "one")
    assert resolve(str(path), "", "", "").server == resolve(path.read_text(), "", "", "").server
    assert resolve(str(path), "", "", "").namespace == "default"


@pytest.mark.parametrize(
    ("kubeconfig", "context", "said"),
    [
        ("config", "absent", 'context "absent" does not exist in'),
        ("config", "", "has no current context"),
        ("nothing", "one", "does not exist"),
        ("broken", "one", "is not a kubeconfig"),
    ],
)
def test_a_kubeconfig_that_leads_nowhere_is_one_clear_line(
    tmp_path: Path, kubeconfig: str, context: str, said: str
) -> None:
    _kubeconfig(tmp_path / "config", "one")
    (tmp_path / "broken").write_text("- just\n- a list\n")
    with pytest.raises(ConfigError) as problem:
        resolve(str(tmp_path / kubeconfig), context, "", "")
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)


def test_which_kinds_live_in_a_namespace() -> None:
    assert is_namespaced({"apiVersion": "apps/v1", "kind": "Deployment"})
    assert not is_namespaced({"apiVersion": "v1", "kind": "Namespace"})
    assert not is_namespaced({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"})
    assert is_namespaced({"apiVersion": "example.com/v1", "kind": "Node"}), "somebody's own kind is not known"


def _entry(manager: str, operation: str, fields: Object, **more: str) -> Object:
    return {"manager": manager, "operation": operation, "fieldsV1": fields, **more}


def _live(*entries: Object) -> Object:
    return {
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "7", "managedFields": list(entries)},
        "spec": {"a": 1, "b": 2},
    }


def test_fields_of_kubectl_and_of_the_creation_become_the_resources_own() -> None:
    status = _entry("kubectl-edit", "Update", {"f:status": {}}, subresource="status")
    other = _entry("operator", "Update", {"f:spec": {"f:c": {}}})
    created = _entry("pulumi-kubernetes-1", "Update", {"f:spec": {"f:a": {}}})
    edited = _entry("kubectl-edit", "Update", {"f:spec": {"f:b": {}}})
    patch = managers.adoption(_live(created, edited, status, other), "pulumi-kubernetes-1")
    assert patch is not None
    own, *kept = patch[0]["value"]
    assert (own["manager"], own["operation"]) == ("pulumi-kubernetes-1", "Apply")
    assert own["fieldsV1"] == {"f:spec": {"f:a": {}, "f:b": {}}}
    assert kept == [status, other]
    assert patch[1] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert managers.adoption(_live(status, other), "pulumi-kubernetes-1") is None


def test_a_conflict_with_adopted_managers_only_is_none() -> None:
    def conflict(*names: str) -> ApiError:
        causes = [{"message": f'conflict with "{name}" using v1: .spec.a'} for name in names]
        return ApiError(409, {"details": {"causes": causes}})

    live = _live(_entry("kubectl-edit", "Update", {}), _entry("operator", "Update", {}))
    assert managers.only_adopted(conflict("kubectl-edit"), live)
    assert not managers.only_adopted(conflict("kubectl-edit", "operator"), live)


def test_ignored_fields_are_left_to_their_owner_or_kept_as_they_are() -> None:
    live = _live(_entry("me", "Apply", {"f:spec": {"f:b": {}}}), _entry("them", "Apply", {"f:spec": {"f:a": {}}}))
    applied = managers.without_ignored({"spec": {"a": 5, "b": 5, "c": 5}}, live, "me", ["spec.a", "spec.b"])
    assert applied == {"spec": {"b": 2, "c": 5}}


def _wanted(**changes: object) -> dict[str, Any]:
    return {
        "length": 40, "lower": True, "upper": True, "numeric": True, "special": True,
        "minLower": 0, "minUpper": 0, "minNumeric": 0, "minSpecial": 0, **changes,
    }  # fmt: skip


def test_a_random_string_has_what_is_wanted_and_nothing_else() -> None:
    assert random.random_string(_wanted(special=False)).isalnum()
    only = random.random_string(_wanted(lower=False, upper=False, numeric=False, overrideSpecial="_"))
    assert only == "_" * 40
    mixed = random.random_string(_wanted(length=5, minNumeric=2, minUpper=3))
    assert (len(mixed), sum(map(str.isdigit, mixed)), sum(map(str.isupper, mixed))) == (5, 2, 3)
    assert random.random_string(_wanted()) != random.random_string(_wanted())


@pytest.mark.parametrize(
    "changes",
    [{"length": 0}, {"length": 3, "minNumeric": 4}, dict.fromkeys(("lower", "upper", "numeric", "special"), False)],
)
def test_an_impossible_random_string_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"length|kind"):
        random.random_string(_wanted(**changes))


def test_a_random_id_is_one_number_in_several_notations() -> None:
    ident, made = random.random_id(8, "p-")
    assert made["b64Url"] == f"p-{ident}"
    assert int(made["hex"].removeprefix("p-"), 16) == int(made["dec"].removeprefix("p-"))


def test_the_plugins_of_a_program_are_those_of_its_packages(tmp_path: Path) -> None:
    for name, about in (
        ("pulumi_one", {"resource": True, "name": "one", "version": "1.2.3", "server": "https://plugins.invalid"}),
        ("pulumi_two", {"resource": True}),
        ("pulumi_tool", {"resource": False}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pulumi-plugin.json").write_text(json.dumps(about))
    (tmp_path / "pulumi_two-4.5.6.dist-info").mkdir()
    found = [(each.name, each.version, each.server) for each in required_plugins([tmp_path])]
    assert found == [("one", "1.2.3", "https://plugins.invalid"), ("two", "4.5.6", "")]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """A `pulumi` that unpacks what it is told to install, and counts how often."""
    script = tmp_path / "bin of engine" / "pulumi"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\nfolder="$PULUMI_HOME/plugins/resource-$4-v$5"\nmkdir -p "$folder"\n'
        'tar -xzf "$7" -C "$folder"\necho "$4" >> "$0.log"\n'
    )
    script.chmod(0o755)
    return script


def test_the_installation_is_done_once_and_leaves_official_plugins_alone(tmp_path: Path, engine: Path) -> None:
    home, python = tmp_path / "the home", Path(sys.executable)

    def again() -> list[str]:
        install.install(pulumi=engine, home=home, python=python, language_dir=engine.parent)
        log = Path(f"{engine}.log")
        return log.read_text().split() if log.exists() else []

    assert again() == ["kubernetes", "random"]
    assert again() == ["kubernetes", "random"], "nothing is installed twice"
    [launcher] = home.glob("plugins/resource-kubernetes-v*/pulumi-resource-kubernetes")
    assert launcher.stat().st_mode & 0o111
    assert str(tmp_path) not in launcher.read_text(), "a launcher holds no path of a checkout"

    launcher.write_text(launcher.read_text() + "# from an older checkout\n")
    assert again() == ["kubernetes", "random", "kubernetes"], "a launcher of ours is renewed"
    launcher.write_bytes(b"\x7fELF official")
    host = engine.parent / "pulumi-language-python"
    host.write_bytes(b"\x7fELF official")
    assert again() == ["kubernetes", "random", "kubernetes"]
    assert launcher.read_bytes() == host.read_bytes() == b"\x7fELF official"


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, None], ids=["SIGINT", "SIGTERM", "engine-killed"])
def test_a_plugin_ends_with_the_engine(ending: signal.Signals | None) -> None:
    launch = Path(install.__file__).with_name("launch.py")
    with subprocess.Popen([sys.executable, "-P", launch, "random"], stdout=subprocess.PIPE) as plugin:
        try:
            assert plugin.stdout is not None
            assert int(plugin.stdout.readline()) > 0, "the first line is the port"
            if ending:
                plugin.send_signal(ending)
            else:
                plugin.stdout.close()  # what is left of an engine that was killed
            assert plugin.wait(5) == 0
        finally:
            plugin.kill()
