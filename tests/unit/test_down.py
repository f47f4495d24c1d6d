"""What `make down` may delete while `pulumi destroy` works, and how `make up` goes on after one that was interrupted.

Scripts stand for pulumi and kubectl. That the stack is gone at the end, and sooner, only `make down` itself shows.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tools import down

URN = "urn:pulumi:sandbox::pacman::"
PROVIDER = {"urn": f"{URN}pulumi:providers:kubernetes::kubernetes", "inputs": {"context": "sandbox"}}
NAMESPACE: dict[str, Any] = {
    "urn": f"{URN}pacman:index:RestrictedNamespace$kubernetes:core/v1:Namespace::pacman",
    "id": "pacman",
    "provider": f"{PROVIDER['urn']}::4f1c",
}
CONTROLLERS = NAMESPACE | {
    "urn": f"{URN}pacman:index:IngressController$kubernetes:core/v1:Namespace::pacman-ingress",
    "id": "pacman-ingress",
}
EVENT = {"sequence": 1, "timestamp": 1}
PRELUDE = json.dumps(EVENT | {"preludeEvent": {"config": {}}})
REFUSAL = json.dumps(EVENT | {"diagnosticEvent": {"message": "locked", "color": "never", "severity": "error"}})
# Stands for the engine: writes its event log, the last argument, and waits for the deletion of the namespace.
DESTROY = """#!/bin/bash
for log; do :; done
echo {event} >"$log"
for ((i = 0; i < {tries}; i++)); do [ -e {folder}/calls ] && break; read -rt 0.05 <> <(:); done
[ -e {folder}/calls ] && echo deleted >{folder}/seen
exit 7
"""


def state(*resources: dict[str, Any], provider: dict[str, Any] = PROVIDER) -> dict[str, Any]:
    """What `pulumi stack export` prints."""
    return {"deployment": {"resources": [{"urn": f"{URN}pulumi:pulumi:Stack::pacman-sandbox"}, provider, *resources]}}


def script(folder: Path, name: str, text: str) -> None:
    """Puts a program into a folder of PATH."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of PATH: kubectl notes its arguments down in `calls`, and prints what is in `phase`."""
    script(tmp_path, "kubectl", f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\ncat {tmp_path}/phase\n')
    (tmp_path / "phase").touch()
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def calls(folder: Path) -> list[str]:
    """What kubectl was called with."""
    return (folder / "calls").read_text().splitlines()


def test_the_namespace_of_the_game_is_deleted_and_no_other() -> None:
    assert down.own_namespace(state(CONTROLLERS, NAMESPACE)) == "pacman"
    assert down.own_namespace(state(CONTROLLERS)) == "", "createNamespace is false"


def test_nothing_is_deleted_early_where_any_resource_is_protected() -> None:
    claim = {"urn": f"{URN}kubernetes:core/v1:PersistentVolumeClaim::mongo-backup", "protect": True}
    assert down.own_namespace(state(NAMESPACE, claim)) == ""


@pytest.mark.parametrize("mark", ["protect", "retainOnDelete"])
def test_a_namespace_that_the_engine_would_keep_is_kept(mark: str) -> None:
    assert down.own_namespace(state(NAMESPACE | {mark: True})) == ""


def test_a_namespace_of_another_cluster_is_kept() -> None:
    assert down.own_namespace(state(NAMESPACE, provider=PROVIDER | {"inputs": {"context": "prod"}})) == ""


@pytest.mark.parametrize("nothing", [{}, {"deployment": None}, {"deployment": {"manifest": {}}}])
def test_a_stack_that_was_never_deployed_has_no_namespace(nothing: dict[str, Any]) -> None:
    assert down.own_namespace(nothing) == ""


def test_the_namespace_is_deleted_while_the_engine_is_at_work(folder: Path) -> None:
    script(folder, "pulumi", DESTROY.format(event=f"'{PRELUDE}'", tries=200, folder=folder))
    assert down.destroy("pacman") == 7, "the exit code of pulumi"
    assert (folder / "seen").exists()
    namespace, rest = calls(folder)
    assert namespace.startswith("--context sandbox delete namespace pacman ")
    assert rest.startswith("--context sandbox delete pods,persistentvolumeclaims --all --namespace pacman ")


def test_nothing_is_deleted_where_the_engine_refuses_to(folder: Path) -> None:
    script(folder, "pulumi", DESTROY.format(event=f"'{REFUSAL}'", tries=4, folder=folder))
    assert down.destroy("pacman") == 7
    assert not (folder / "calls").exists()


def test_make_up_refreshes_where_the_namespace_is_gone(folder: Path) -> None:
    assert down.option_of_up("pacman") == "--refresh"
    assert len(calls(folder)) == 1


def test_make_up_waits_for_a_namespace_that_is_being_deleted(folder: Path) -> None:
    (folder / "phase").write_text("Terminating")
    assert down.option_of_up("pacman") == "--refresh"
    assert calls(folder)[-1].startswith("--context sandbox wait --for=delete namespace/pacman ")


def test_make_up_says_that_a_deletion_does_not_end(folder: Path) -> None:
    (folder / "phase").write_text("Terminating")
    script(folder, "kubectl", f'#!/bin/sh\ncat {folder}/phase\n[ "$3" = get ]\n')
    with pytest.raises(SystemExit, match="error: after 120 s, the namespace pacman is still being deleted"):
        down.option_of_up("pacman")


def test_make_up_does_not_refresh_where_the_namespace_is_there(folder: Path) -> None:
    (folder / "phase").write_text("Active")
    assert down.option_of_up("pacman") == ""


def test_make_up_does_not_refresh_where_the_cluster_does_not_answer(folder: Path) -> None:
    script(folder, "kubectl", "#!/bin/sh\nexit 1\n")
    assert down.option_of_up("pacman") == ""


def test_the_namespace_is_the_one_of_the_sandbox_in_the_files_of_the_project() -> None:
    assert down.configured_namespace() == "pacman"
