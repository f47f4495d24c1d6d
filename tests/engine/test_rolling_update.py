"""Changes while people play: nobody is refused, and what was acknowledged is kept."""

import secrets

from tests.engine.conftest import Load, Program


def test_no_request_fails_and_no_score_is_lost_while_pods_come_and_go(program: Program) -> None:
    """Fewer pods, then a change of all pods: the ClusterRole goes, and with it the token that is mounted into them.

    Both are rolled out by `pulumi up`; the load ends with the second one, and not before all pods are new.
    """
    program.use(pacmanReplicas=3)
    program.up().ok()
    before = {pod["metadata"]["uid"] for pod in program.pods("pacman")}
    with Load(program.game, f"load-{secrets.token_hex(4)}") as load:
        program.use(pacmanReplicas=1)
        assert program.up().ok().changes["update"] == 1
        program.use(pacmanReplicas=1, pacmanLocation=False)
        assert program.up().ok().changes["update"] == 1
    assert load.failed == []
    assert load.ran_to_the_end
    assert load.answered > 500
    assert len(load.saved) > 200
    assert program.ready_pods("pacman") == 1
    assert not before & {pod["metadata"]["uid"] for pod in program.pods("pacman")}
    assert load.saved <= program.scores()
