"""The checkout's program in a stack, a namespace and under a host name of its own, beside what runs on the cluster.

It leaves the default StorageClass alone unless its config says otherwise. What it made is gone at the end: a destroy
deletes it, with the namespace begun first, which takes a third of the time.
"""

import secrets
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import yaml

from tools import down
from tools.engine import Engine
from tools.recorder import ROOT, stack_config

VOLUME_CLASS: Final = "csi-hostpath-sc"
"""The StorageClass of the sandbox and of minikube's addon."""
_DELETE_SECONDS: Final = 90.0


class OwnStack(Engine):
    """The checkout's project with a stack of its own, configured as a committed one.

    Args:
        committed: The committed stack, by name.
        prefix: What the name of the namespace begins with.
        config: Values that differ from those of the committed stack.
        env: Environment variables to set on top of this process's own.
    """

    def __init__(
        self, committed: str, prefix: str, config: Mapping[str, object], env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(ROOT, env=env)
        self.namespace = f"{prefix}-{secrets.token_hex(4)}"
        self.host = f"{self.namespace}.example"
        self.config: dict[str, object] = {
            **{key.removeprefix("pacman:"): value for key, value in stack_config(committed).items()},
            "namespace": self.namespace,
            "ingressHost": self.host,
            "defaultStorageClass": "none",
            "mongoStorageClass": VOLUME_CLASS,
            **config,
        }
        self.context = str(self.config["context"])

    def __enter__(self) -> Self:
        super().__enter__()
        self.use()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.use()  # what was set meanwhile may be what the program refuses
            super().__exit__(kind, error, traceback)
        finally:
            delete_what_is_left(self.context, self.namespace)

    def _destroy(self, *options: str) -> str:
        down.begin(self.context, self.namespace)
        return super()._destroy(*options)

    def use(self, **changes: object) -> None:
        """The stack's whole config: as it was made, with changes, as a person writes it into the stack's file."""
        file = self.folder / "Pulumi.test.yaml"
        known = yaml.safe_load(file.read_text()) or {}
        keys = {key if ":" in key else f"pacman:{key}": value for key, value in (self.config | changes).items()}
        file.write_text(yaml.safe_dump(known | {"config": keys}))


def delete_what_is_left(context: str, namespace: str) -> None:
    """Deletes what a stack has in the cluster, where its own destroy did not."""
    reader = f"{namespace}:pacman-node-reader"
    for each in (f"namespace/{namespace}", f"clusterrole/{reader}", f"clusterrolebinding/{reader}"):
        command = ["kubectl", "--context", context, "delete", each, "--ignore-not-found", "--timeout=60s"]
        subprocess.run(command, capture_output=True, check=False, timeout=_DELETE_SECONDS)
