"""The pages for people, and the parts of a page: its sections and their blocks of code."""

import re
from collections.abc import Mapping
from pathlib import Path

from tools.recorder import ROOT

README = ROOT / "README.md"
PAGES = (README, ROOT / "sandbox/README.md", *sorted((ROOT / "docs").glob("*.md")))


def name(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))


def sections(page: Path) -> Mapping[str, str]:
    """The titles of the second level, each with the text under it."""
    parts = re.split(r"^## (.*)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def section(page: Path, title: str) -> str:
    """The text under a title of the second level."""
    found = sections(page)
    assert title in found, f"{name(page)} has no section {title}: {', '.join(found)}"
    return found[title]


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """The blocks of code, of one language or of any."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
