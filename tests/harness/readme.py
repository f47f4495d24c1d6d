"""The parts of a README: its sections and their blocks of code."""

import re
from pathlib import Path

from tools.recorder import ROOT

README = ROOT / "README.md"


def section(file: Path, title: str) -> str:
    """The text under a title of the second level."""
    parts = re.split(r"^## (.*)\n", file.read_text(), flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert title in bodies, f"{file.name} has no section {title}: {', '.join(bodies)}"
    return bodies[title]


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """The blocks of code, of one language or of any."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
