"""Runs the pack for the engine: `pulumi preview --policy-pack policy`."""

import sys
from pathlib import Path

from pulumi_policy import EnforcementLevel, PolicyPack

# The engine runs this folder as a program, so Python does not look for modules in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from policy.rules import POLICIES

PolicyPack("pacman", policies=POLICIES, enforcement_level=EnforcementLevel.MANDATORY)
