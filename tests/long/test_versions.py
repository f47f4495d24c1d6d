"""MongoDB 5.0 becomes 6.0 and goes back while people play, until its featureCompatibilityVersion is raised.

On the official images, MongoDB supports no way back: so this is for the sandbox, which has older versions.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.harness.game import LONGEST_GAP
from tests.harness.members import MEMBERS
from tests.harness.program import Program
from tools.game import Writer
from tools.recorder import ROOT

OLD, NEW, PATCH = "sandbox/mongo:5.0.4", "sandbox/mongo:6.0.5", "sandbox/mongo:6.0.27"
VERSIONS = """
const { featureCompatibilityVersion } = db.adminCommand({ getParameter: 1, featureCompatibilityVersion: 1 });
print(JSON.stringify([db.version(), featureCompatibilityVersion.version]));
"""


@pytest.fixture
def program() -> Iterator[Program]:
    """A stack with three members of the older version."""
    images = [option for version in ("5.0.4", "6.0.27") for option in ("--image", f"mongo-{version}")]
    subprocess.run([sys.executable, "-m", "sandbox", "up", *images], cwd=ROOT, check=True)
    with Program({"mongoMembers": 3, "mongoImage": OLD}) as program:
        program.up().ok()
        yield program


def test_a_major_version_of_mongodb_goes_up_and_back_until_its_feature_compatibility_is_raised(
    program: Program,
) -> None:
    skipped = 'mongoImage is "mongo:7.0.43": must be at most one major version after 5.0'
    too_early = 'mongoFeatureCompatibility is "6.0": must stay 5.0 until MongoDB 6.0 has been deployed'
    assert_versions(program, OLD, "5.0")
    refuse(program, skipped, mongoImage="mongo:7.0.43")
    refuse(program, too_early, mongoImage=NEW, mongoFeatureCompatibility="6.0")
    for image in (NEW, OLD, NEW):
        deploy_while_people_play(program, image)
        assert_versions(program, image, "5.0")

    program.config |= {"mongoImage": NEW}
    refuse(program, skipped, mongoImage="mongo:7.0.43")
    program.config |= {"mongoFeatureCompatibility": "6.0"}
    program.use()
    program.up().ok()
    assert_versions(program, NEW, "6.0")
    refuse(program, f'mongoImage is "{OLD}": must be MongoDB 6.0 or newer', mongoImage=OLD)
    refuse(program, 'mongoFeatureCompatibility is "5.0": must be 6.0, or empty', mongoFeatureCompatibility="5.0")
    deploy_while_people_play(program, PATCH)
    assert_versions(program, PATCH, "6.0")


def deploy_while_people_play(program: Program, image: str) -> None:
    """Deploys another image, which restarts one member after the other; no score is lost."""
    program.use(mongoImage=image)
    with Writer(program.game) as writer:
        assert program.up().ok().op("mongo") == "update"
        # `up` may end before the last pod is new: providers before 4.26 do not wait for it.
        program.kubectl("rollout", "status", "statefulset/mongo", "--timeout=110s")
    assert writer.longest_gap < LONGEST_GAP
    assert writer.saved
    assert writer.saved <= program.scores()


def assert_versions(program: Program, image: str, compatible: str) -> None:
    """Each member runs the version of an image, and its data has a featureCompatibilityVersion."""
    found = [program.mongosh(VERSIONS, as_root=True, member=member) for member in MEMBERS]
    assert found == [[image.rpartition(":")[2], compatible]] * len(MEMBERS)


def refuse(program: Program, reason: str, **changes: str) -> None:
    """A config is refused for a reason, and nothing has happened."""
    with program.using(**changes):
        refused = program.up()
    assert refused.exit_code != 0
    assert f"pacman:{reason}" in refused.errors()
    changed = [step for step in refused.steps if step.op in ("create", "update", "delete", "replace")]
    assert not [step for step in changed if "::pulumi:providers:" not in step.urn]
