"""Where everything lies: what is built, in one cache outside the checkout; what runs, in the checkout's .sandbox."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
FILES = Path(__file__).resolve().parent
STATE = CHECKOUT / ".sandbox"
"""Of this checkout: the node's disk, the kubeconfig, the stacks. Ignored by git; deleting it deletes the volumes."""
_CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("PACMAN_CACHE") or _CACHES / "pacman-sandbox").absolute()
"""Of all checkouts: what was built. May be deleted while no node runs; it is built again then."""
CONTEXT = "sandbox"
"""The kubeconfig context."""


class SandboxError(Exception):
    """Something that the person can fix: one line that says what is wrong and what to do."""
