"""What a preview of the program asks the cluster, and that it changes nothing there."""

from tests.harness.kubectl import storage_class
from tests.harness.program import Program


def test_a_preview_of_a_new_stack_shows_all_of_it_and_makes_nothing() -> None:
    """Its namespace does not exist, so the API server cannot check what goes into it; the preview goes on without."""
    with Program() as program, storage_class(program.kubectl, program.namespace, "false"):
        program.use(defaultStorageClass=program.namespace, demoteStorageClasses=[])
        shown = program.preview("--diff").ok()
        assert set(shown.changes) == {"create"}
        assert shown.changes["create"] > 25
        assert program.kubectl.get("namespace", program.namespace) is None
        assert program.kubectl.get("clusterrole", f"{program.namespace}:pacman-node-reader") is None
        marks = program.kubectl.live("storageclass", program.namespace)["metadata"]["annotations"]
        assert list(marks.values()) == ["false"]
        assert not program.state()["deployment"].get("resources")


def test_a_preview_fails_where_the_api_server_would_refuse_a_new_object() -> None:
    with Program() as program, program.changed("components/pacman_deployment.py", 'verbs=["get"]', "verbs=[]"):
        failed = program.preview()
    assert failed.exit_code != 0
    assert "rules[0].verbs" in failed.errors("pacman-node-reader")


def test_a_preview_fails_where_the_api_server_would_refuse_a_change(program: Program) -> None:
    program.use()
    program.up().ok()
    port = 'ServicePortArgs(name="{}", port=SERVICE_PORT'
    with program.changed("components/pacman_deployment.py", port.format("http"), port.format("not_a_name")):
        failed = program.preview()
    assert failed.exit_code != 0
    assert "spec.ports[0].name" in failed.errors("pacman")
