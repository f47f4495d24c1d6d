"""Writes the tables of docs/configuration.md from Pulumi.yaml: `python -m tools.docs`."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tools.recorder import ROOT

PAGE = ROOT / "docs/configuration.md"
_BEGIN = "<!-- `make docs` writes what follows, from Pulumi.yaml. -->\n"
_END = "<!-- Here ends what `make docs` writes. -->\n"
# The first key of each table, and its title. Pulumi.yaml has the order.
_TITLES = {
    "target": "Cluster and namespace",
    "imagePullSecrets": "All pods",
    "defaultStorageClass": "The cluster's default StorageClass",
    "mongoImage": "MongoDB",
    "backupSchedule": "Backups",
    "pacmanImage": "Pacman",
    "ingressHost": "Ingress",
}


def with_tables(page: str) -> str:
    """The page with the tables that Pulumi.yaml gives now."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return f"{before}{_BEGIN}{''.join(_lines(declared))}\n{_END}{after}"


def _lines(declared: dict[str, dict[str, Any]]) -> Iterator[str]:
    for key, spec in declared.items():
        if key.startswith("pulumi:"):
            continue
        if title := _TITLES.get(key):
            yield f"\n### {title}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n"
        yield f"| `{key}` | {spec['type']} | {_shown(spec['default'])} | {spec['description']} |\n"


def _shown(default: Any) -> str:  # noqa: ANN401 - any YAML
    """A default as a person sets it. A digest would make its column wider than the screen, so it is cut."""
    if default == "":
        return "empty"
    text = default if isinstance(default, str) else json.dumps(default)
    short = re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]+", r"\1…", text)
    return f"`{short}`"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
