"""A stack stays on the cluster that it was deployed to.

There is only one cluster here. So the state is made to say that the stack was deployed to another one.
"""

import json
import subprocess

from tests.harness.program import CONTEXT, Program


def deployed_to(program: Program, cluster: str) -> None:
    """Makes the state say on which cluster the stack is."""
    state = program.state()
    for each in state["deployment"]["resources"]:
        if each["type"] == "pulumi-python:dynamic/pacman:Namespace":
            each["inputs"]["cluster"] = each["outputs"]["cluster"] = cluster
    command = ["pulumi", "stack", "import", "--stack", "test", "--force"]
    subprocess.run(command, cwd=program.folder, env=program.env, input=json.dumps(state), text=True, check=True)


def test_another_cluster_behind_the_context_is_refused_also_with_refresh() -> None:
    with Program() as program:
        program.up().ok()
        (place,) = [
            each for each in program.state()["deployment"]["resources"] if "dynamic/pacman:Namespace" in each["type"]
        ]
        here = program.kubectl.live("namespace", "kube-system")["metadata"]["uid"]
        assert place["inputs"]["cluster"] == here

        deployed_to(program, "0-0-0")
        for refused in (program.preview(), program.up(), program.up("--refresh")):
            assert refused.exit_code != 0
            (line,) = refused.causes()
            assert f'pacman:context is "{CONTEXT}": leads to another cluster than the one that this stack was' in line
        assert program.game.save("still-there", 1)

        deployed_to(program, here)
        program.up("--expect-no-changes").ok()


def test_the_context_may_get_another_name() -> None:
    with Program() as program:
        program.up().ok()
        config = json.loads(program.kubectl("config", "view", "--raw", "--flatten", "--output", "json"))
        (context,) = [each for each in config["contexts"] if each["name"] == CONTEXT]
        config["contexts"].append({**context, "name": "renamed"})
        kubeconfig = program.folder / "kubeconfig"
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(json.dumps(config))
        program.env["KUBECONFIG"] = str(kubeconfig)
        program.use(context="renamed")
        moved = program.up().ok()
        assert {step.op for step in moved.steps} <= {"same", "update"}
        assert program.game.save("same-cluster", 1)
        program.use()
