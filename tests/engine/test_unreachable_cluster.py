"""A cluster that does not answer, for a while or for good."""

import pytest

from tests.engine.conftest import NOBODY
from tests.harness.kubectl import storage_class
from tests.harness.program import CONTEXT, Program


@pytest.mark.parametrize("command", ["preview", "up"])
def test_a_cluster_that_does_not_answer_is_one_line_and_nothing_is_made(away: str, command: str) -> None:
    with Program(env={"KUBECONFIG": away}) as program:
        refused = program.preview() if command == "preview" else program.up()
        assert refused.exit_code != 0
        assert refused.causes() == [
            f'pacman:context is "{CONTEXT}": its cluster at {NOBODY} does not answer (Connection refused);'
            " start it, or name another context"
        ]
        assert refused.warnings() == ""
        assert list(program.resources()) == []


def test_a_stack_whose_cluster_is_gone_is_destroyed_only_when_the_person_says_so(away: str) -> None:
    """Without the variable a cluster that is away for a moment would be forgotten, with all that is on it.

    With a default StorageClass, whose mark nobody can give back then.
    """
    with Program() as program, storage_class(program.kubectl, program.namespace, "false"):
        program.use(defaultStorageClass=program.namespace, demoteStorageClasses=[])
        program.up().ok()
        kubeconfig = program.env["KUBECONFIG"]
        program.env["KUBECONFIG"] = away
        refused = program.destroy()
        assert refused.exit_code != 0
        assert "PULUMI_K8S_DELETE_UNREACHABLE" in refused.errors()
        assert "kubernetes:apps/v1:StatefulSet" in {each["type"] for each in program.state()["deployment"]["resources"]}

        program.env["PULUMI_K8S_DELETE_UNREACHABLE"] = "true"
        program.destroy().ok()
        assert program.resources() == {}
        program.env["KUBECONFIG"] = kubeconfig
