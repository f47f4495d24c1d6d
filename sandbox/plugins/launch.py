"""Starts a plugin by its name: what the launchers that the engine runs come to.

It is a script, not a module to import, and is started with `python -P`: neither the folder that the engine happens to
run in nor this one may shadow what a plugin imports.
"""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # After what is installed, so that no file of the checkout takes a package's name.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    importlib.import_module(f"sandbox.plugins.{sys.argv.pop(1)}").main()
