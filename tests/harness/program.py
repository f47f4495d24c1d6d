"""The checkout's program in a stack of its own, and what a person sees of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.kubectl import Kubectl
from tests.harness.mongo import mongosh, secret
from tools.game import Game
from tools.own_stack import OwnStack
from tools.recorder import ROOT, stack_config

# The committed stack whose config the tests take: `dev`, on minikube with the official images, in real.yml.
STACK = os.environ.get("TEST_STACK", "sandbox")
CONFIG = stack_config(STACK)
CONTEXT = CONFIG["pacman:context"]
# The address that the node's controller publishes, as minikube's docker driver has it.
NODE = os.environ.get("TEST_NODE", "192.168.49.2")


class Program(OwnStack):
    """The checkout's project with a stack of its own; configured as the committed stack, beside what runs there."""

    def __init__(self, config: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None) -> None:
        super().__init__(STACK, "engine-test", config or {}, env)
        self.kubectl = Kubectl(CONTEXT, self.namespace)

    @contextmanager
    def using(self, **changes: object) -> Iterator[None]:
        """The config with changes, for as long as that."""
        self.use(**changes)
        try:
            yield
        finally:
            self.use()

    @contextmanager
    def changed(self, file: str, old: str, new: str) -> Iterator[None]:
        """The program with a piece of one file replaced, which must be there, for as long as that."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old}"
        path.write_text(text.replace(old, new))
        try:
            yield
        finally:
            path.write_text(text)

    @property
    def game(self) -> Game:
        """The game behind this stack's Ingress."""
        return Game(NODE, self.host)

    def pods(self, app: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """The pods of `mongo` or `pacman`; those on their way out only where that is asked for."""
        text = self.kubectl("get", "pods", "-l", f"app.kubernetes.io/name={app}", "--output", "json")
        return [pod for pod in json.loads(text)["items"] if leaving or "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, app: str) -> int:
        """How many of them are ready."""
        conditions = [pod["status"].get("conditions") or [] for pod in self.pods(app)]
        return sum({"type": "Ready", "status": "True"}.items() <= each.items() for some in conditions for each in some)

    def init_jobs(self) -> list[str]:
        """The Jobs that initiate the set, `job.batch/name`; backups of other tests are Jobs, too."""
        return self.kubectl("get", "job", "-l", "app.kubernetes.io/component=init", "--output", "name").split()

    def secret(self, name: str) -> dict[str, str]:
        """The values of a Secret."""
        return secret(self.kubectl, name)

    def mongosh(self, script: str, *, as_root: bool = False, member: str = "mongo-0") -> Any:  # noqa: ANN401
        """Runs a script in a pod of the database with `db`, the game's database; gives back what it prints, as JSON."""
        return mongosh(self.kubectl, script, as_root=as_root, member=member)

    def scores(self) -> set[str]:
        """The names of all scores in the database."""
        return set(self.mongosh("print(JSON.stringify(db.highscore.distinct('name')))"))


def clone_checkout(folder: Path) -> None:
    """Clones what is committed, and lends the clone the Python packages of the checkout."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    (folder / ".venv").symlink_to(sys.prefix)
