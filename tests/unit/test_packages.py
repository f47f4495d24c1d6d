"""How the code is divided: which package imports which (docs/architecture.md), and how long a function may be.

The imports are those that a file names. What one file starts as a program of its own, such as a test that runs a tool,
is none of them.
"""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.recorder import ROOT

# Package -> the packages that it imports from, besides itself: exactly these, so that the table says what is so.
ARROWS = {
    "__main__": {"components", "stack"},
    "stack": {"components"},
    "components": set(),
    "policy": {"components"},
    "review": set(),
    "tools": {"components", "stack"},
    # They measure and break the sandbox.
    "tools.bench": {"sandbox", "tools"},
    "tools.chaos": {"components", "sandbox", "tools"},
    "sandbox": set(),
    "examples": {"components"},
}
PACKAGES = {*ARROWS, "tests"}


def _files() -> dict[str, Path]:
    """The Python files of the checkout, by dotted name."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.py"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    paths = [Path(line) for line in listed if (ROOT / line).exists()]
    return {".".join(path.with_suffix("").parts): ROOT / path for path in paths}


FILES = _files()


def package_of(module: str) -> str:
    """The package of a module; "" where that is not of this project."""
    return max((name for name in PACKAGES if f"{module}.".startswith(f"{name}.")), key=len, default="")


def imported_by(file: Path) -> Iterator[str]:
    """The modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: an import must name its package"
            yield from (f"{node.module}.{each.name}" for each in node.names)


def test_every_file_belongs_to_a_package() -> None:
    assert [name for name in FILES if not package_of(name)] == []
    assert {package_of(name) for name in FILES} == PACKAGES


@pytest.mark.parametrize("package", ARROWS)
def test_a_package_imports_from_exactly_the_packages_that_it_may(package: str) -> None:
    own = [path for name, path in FILES.items() if package_of(name) == package]
    found = {package_of(module) for path in own for module in imported_by(path)}
    assert found - {"", package} == ARROWS[package]


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")))
def test_a_folder_of_tests_imports_no_other_folder_of_tests_but_the_harness(folder: str) -> None:
    """So that each can be read, run and deleted by itself."""
    own = (f"tests.{folder}.", "tests.harness.")
    of_the_folder = [path for name, path in FILES.items() if name.startswith(f"tests.{folder}.")]
    found = {(path.name, module) for path in of_the_folder for module in imported_by(path)}
    assert {(file, module) for file, module in found if module.startswith("tests.") and not module.startswith(own)} == (
        set()
    )


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Each function with the number of its lines, docstring and comments too."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("package", ARROWS)
def test_no_function_has_more_than_50_lines_and_no_constructor_more_than_60(package: str) -> None:
    long = [
        f"{name}: {function} has {lines} lines"
        for name, path in FILES.items()
        if package_of(name) == package
        for function, lines in functions(path)
        if lines > (60 if function == "__init__" else 50)
    ]
    assert long == []
