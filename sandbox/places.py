"""Where everything lies: what is built, in one cache outside the checkout; what runs, in the checkout's .sandbox."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = Path(__file__).resolve().parent
STATE = CHECKOUT / ".sandbox"
"""Of this checkout: the node's disk, the kubeconfig, the stacks. Ignored by git; deleting it deletes the volumes."""
CACHE = Path(
    os.environ.get("PACMAN_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pacman-sandbox")
)
"""Of all checkouts: what was built. May be deleted while no node runs; it is built again then."""
CONTEXT = "sandbox"
"""The kubeconfig context."""


class SandboxError(Exception):
    """Something that the person can fix: one line that says what is wrong and what to do."""


@dataclass(frozen=True)
class Environment:
    """The variables of a shell in which `pulumi` and `kubectl` work on the sandbox, and on nothing of the person's."""

    path: tuple[Path, ...]
    """Folders to look for programs in first."""

    @property
    def provider(self) -> Path | None:
        """The Kubernetes provider to use instead of the one that was built: `make test PROVIDER=`."""
        asked = os.environ.get("SANDBOX_PROVIDER")
        return Path(asked) if asked else None

    @property
    def home(self) -> Path:
        """The engine's home; one of this checkout's own where it has a provider of its own."""
        return (STATE if self.provider else CACHE) / "pulumi-home"

    def variables(self) -> dict[str, str]:
        """What to set."""
        return {
            "PATH": os.pathsep.join([*map(str, self.path), os.environ.get("PATH", "")]),
            "KUBECONFIG": str(STATE / "kubeconfig"),
            "KUBECACHEDIR": str(STATE / "kubectl-cache"),
            "PULUMI_HOME": str(self.home),
            # Without metadata files. A `pulumi` that is killed while it writes one leaves a state that cannot be read.
            "PULUMI_BACKEND_URL": f"file://{STATE / 'stacks'}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(STATE / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "SANDBOX_PYTHON": sys.executable,
            "SANDBOX_ROOT": str(CHECKOUT),
        }

    @staticmethod
    def foreign() -> list[str]:
        """What to unset: the person's own settings for stacks of their own."""
        names = [f"PULUMI_{name}" for name in ("ACCESS_TOKEN", "CONFIG", "CONFIG_PASSPHRASE", "ORGANIZATION", "STACK")]
        return sorted(name for name in os.environ if name in names or name.startswith("PULUMI_K8S_"))

    def complete(self) -> dict[str, str]:
        """This process's environment with all of that done."""
        kept = {name: value for name, value in os.environ.items() if name not in self.foreign()}
        return kept | self.variables()
