"""Folders of tests share code through tests.harness, so that each can be read, run and deleted by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.recorder import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "tests").glob("*/__init__.py"))


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_of_tests_imports_no_other_folder_of_tests(folder: Path) -> None:
    own = (f"tests.{folder.name}.", "tests.harness.")
    found = {(file.name, module) for file in folder.glob("*.py") for module in imported(file)}
    assert {
        (file, module) for file, module in found if module.startswith("tests.") and not module.startswith(own)
    } == set()
