"""An `up` that does not come to its end: by Ctrl-C, or because it was killed. The next one goes on from there.

test_not_ready.py has the signals again, for an `up` that waits for what never becomes ready.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sandbox.engine import LocalStack
from sandbox.progress import Progress
from tests.harness.kubectl import left_in_cluster
from tests.harness.program import Program
from tests.harness.waiting import eventually
from tools.engine import Running, alive
from tools.measuring import until

_UP = ("up", "--yes", "--skip-preview")


def being_made(program: Program, kind: str, name: str) -> None:
    """Waits until an object exists; it is not ready then."""
    look = ("get", kind, name, "--ignore-not-found", "--output", "name")
    until(f"{kind} {name} is being made", lambda: program.kubectl(*look), seconds=180)  # it does not last


def objects(program: Program) -> set[str]:
    """The objects of the cluster that the state has."""
    return {each["id"] for each in program.resources().values() if each["type"].startswith("kubernetes:")}


def local_stack(program: Program) -> LocalStack:
    """The stack as `python -m sandbox up` sees its own."""
    return LocalStack(program.folder, program.backend, "pacman", "test", program.env)


def is_complete(program: Program) -> None:
    """Everything is there once, works, and is what the state says; a further `up` has nothing to do."""
    assert program.up("--refresh", "--expect-no-changes").ok().exit_code == 0
    deployment = program.state()["deployment"]
    urns = Counter(each["urn"] for each in deployment["resources"])
    assert [urn for urn, count in urns.items() if count > 1] == []
    assert not deployment.get("pending_operations")
    assert (program.ready_pods("mongo"), program.ready_pods("pacman")) == (1, 1)
    assert len(program.kubectl("get", "job,statefulset,deployment", "--output", "name").split()) == 3
    assert program.game.save("after", 1)
    assert program.game.listed("after")


@contextmanager
def killed(running: Running) -> Iterator[None]:
    """What the kernel does to a command when memory is short: its plugins have to notice by themselves.

    Those that the sandbox has built do so at once. A Kubernetes provider that Pulumi has built does not, or minutes
    later (`make test PROVIDER=`). The next command has to work beside that one; it is ended here at the end.
    """
    processes = running.processes()
    provider = {pid for pid in processes if "pulumi-resource-kubernetes" in Path(f"/proc/{pid}/cmdline").read_text()}
    assert provider
    if not os.environ.get("SANDBOX_PROVIDER"):
        provider = set()
    running.signal(signal.SIGKILL)
    assert running.finish().exit_code == -signal.SIGKILL
    try:
        eventually("the other plugins have ended", lambda: not alive(processes - provider))
        yield
    finally:
        for pid in alive(provider):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def destroy_returns_when_the_namespace_is_gone(program: Program) -> None:
    """Also where something in it, that is not the stack's, holds the namespace back for a while."""
    hold = json.dumps({"metadata": {"finalizers": ["engine-test.invalid/hold"]}})
    program.kubectl("create", "configmap", "held")
    program.kubectl("patch", "configmap", "held", "--type=merge", "--patch", hold)
    destroy = program.start("destroy", "--yes", "--skip-preview")
    waiting = ("--for=condition=NamespaceFinalizersRemaining", "--timeout=110s")
    program.kubectl("wait", f"namespace/{program.namespace}", *waiting)
    assert not destroy.ended
    program.kubectl("patch", "configmap", "held", "--type=merge", "--patch", '{"metadata": {"finalizers": null}}')
    destroy.finish().ok()
    assert program.kubectl.get("namespace", program.namespace) is None


def locks(stack: LocalStack) -> list[Path]:
    """The locks of a stack."""
    return list((stack.backend / ".pulumi/locks").glob("**/*.json"))


def test_whatever_ends_an_up_the_next_one_goes_on_and_destroy_leaves_nothing() -> None:
    """Killed first: the engine has noted down then that creations began, and not how they ended. Then Ctrl-C."""
    with Program() as program:
        stack = local_stack(program)
        up = program.start(*_UP)
        being_made(program, "statefulset", "mongo")
        # Somebody runs `make up` meanwhile: what is alive is left alone.
        stack.recover(Progress())
        assert len(locks(stack)) == 1
        with killed(up):
            assert len(locks(stack)) == 1
            assert program.state()["deployment"]["pending_operations"]
            passwords = program.secret("mongo-users"), program.secret("mongo-root")

            stack.recover(Progress())
            assert locks(stack) == []
            assert not program.state()["deployment"].get("pending_operations")
            assert f"{program.namespace}/mongo" in objects(program)

            up = program.start(*_UP)
            being_made(program, "deployment", "pacman")
            up.signal(signal.SIGINT)
            stopped = up.finish()
            assert stopped.exit_code != 0
            assert "Traceback" not in stopped.printed
            assert not program.kubectl("get", "ingress", "--output", "name"), "it went no further"
            assert locks(stack) == []

            program.up().ok()
            assert (program.secret("mongo-users"), program.secret("mongo-root")) == passwords
            is_complete(program)
        # Else the next change of it would be a conflict with the manager of the `up` that was killed.
        fields = program.kubectl.live("statefulset", "mongo")["metadata"]["managedFields"]
        assert len({each["manager"] for each in fields if each["manager"].startswith("pulumi-")}) == 1

        destroy_returns_when_the_namespace_is_gone(program)
        assert not program.state()["deployment"].get("resources")
        eventually("nothing mentions the namespace", lambda: not left_in_cluster(program.kubectl, program.namespace))
