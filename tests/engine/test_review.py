"""A pull request as a reviewer sees it: a scratch clone, a change, and the comment of the preview script.

Everything is real but GitHub: the clone, the commits, the engine, the cluster. tests/unit/test_review.py has a stand-in
for GitHub's API.
"""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from tests.harness.kubectl import Kubectl
from tests.harness.program import clone_checkout
from tools.engine import Engine
from tools.own_stack import delete_what_is_left
from tools.recorder import ROOT, stack_config

STACK = "sandbox"


class Clone(Engine):
    """A clone of the checkout in which the sandbox's stack is up, in a namespace of its own."""

    def __init__(self) -> None:
        super().__init__(ROOT, stack=STACK)
        self.namespace = f"review-{secrets.token_hex(4)}"

    def _write_project(self) -> None:
        clone_checkout(self.folder)
        config = stack_config(STACK) | {
            "pacman:namespace": self.namespace,
            "pacman:ingressHost": f"{self.namespace}.example",
            "pacman:defaultStorageClass": "none",
        }
        (self.folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": config}))

    def commit(self, branch: str) -> None:
        """Commits all changes to a branch, with newly rendered manifests, as `make golden` writes them."""
        golden = self.folder / "tests/golden"
        for file in golden.glob("*.yaml"):
            file.write_text(self.python("tools.render", file.stem))
        self.git("checkout", "--quiet", "-B", branch)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", branch)

    def git(self, *arguments: str) -> None:
        """Runs git in the clone, under a made-up name."""
        who = ["-c", "user.name=reviewer", "-c", "user.email=reviewer@pacman.example"]
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)

    def python(self, *arguments: str) -> str:
        """Runs a module of the clone; returns what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.env | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def change(self, file: str, old: str, new: str) -> None:
        """Replaces a piece of a file, which must be there."""
        path = self.folder / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def configure_stack(self, **values: object) -> None:
        """Sets keys of the committed stack file."""
        path = self.folder / f"Pulumi.{STACK}.yaml"
        known = yaml.safe_load(path.read_text())
        known["config"] |= {f"pacman:{key}": value for key, value in values.items()}
        path.write_text(yaml.safe_dump(known))

    def comment(self, branch: str, *, may_fail: bool = False) -> str:
        """The comment that the workflow would put on the pull request of that branch."""
        self.commit(branch)
        out = f"{self.folder}.previews/{branch}.json"
        done = self.preview_to(out)
        assert may_fail or done.returncode == 0, done.stdout + done.stderr
        return self.python("review", "comment", out, "--base", "base")

    def preview_to(self, out: str) -> subprocess.CompletedProcess[str]:
        """Runs the preview of the workflow."""
        return self.review("preview", STACK, "--out", out)

    def review(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the preview script."""
        command = [sys.executable, "-m", "review", *arguments]
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def up() -> Iterator[Clone]:
    """The clone with its stack up, committed as the base of every pull request."""
    with Clone() as clone:
        try:
            clone.commit("base")
            clone.up().ok()
            yield clone
        finally:
            clone.git("checkout", "--quiet", "--force", "base")
            clone.destroy()
            delete_what_is_left("sandbox", clone.namespace)


@pytest.fixture
def clone(up: Clone) -> Clone:
    """The clone at the base, for one pull request."""
    up.git("checkout", "--quiet", "--force", "base")
    return up


def row(comment: str) -> list[str]:
    """The stack's row of the table: create, update, replace, delete, same, verdict."""
    (line,) = re.findall(rf"^\| `{STACK}` \|(.*)\|$", comment, flags=re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def test_a_pull_request_that_changes_no_resource_has_no_change_in_its_comment(clone: Clone) -> None:
    clone.change("README.md", "# Pacman", "# Pac-Man")
    comment = clone.comment("nothing")
    create, update, replace, delete, same, verdict = row(comment)
    assert [create, update, replace, delete, verdict] == ["", "", "", "", "ok"]
    assert int(same) > 25
    assert "The manifests are the same for every stack." in comment
    assert "CAUTION" not in comment


def test_a_change_of_the_replicas_is_one_update(clone: Clone) -> None:
    clone.configure_stack(pacmanReplicas=3)
    comment = clone.comment("replicas")
    assert row(comment)[:4] == ["", "1", "", ""]
    assert "! update Deployment pacman\n      spec.replicas: 1 → 3\n" in comment
    assert "+  replicas: 3" in comment
    assert "CAUTION" not in comment


def test_a_change_of_the_image_shows_the_old_and_the_new_one(clone: Clone) -> None:
    clone.configure_stack(pacmanImage="sandbox/pacman:1.0.1")
    comment = clone.comment("image")
    assert row(comment)[:4] == ["", "1", "", ""]
    changed = 'spec.template.spec.containers[0].image: "sandbox/pacman:1.0.0" → "sandbox/pacman:1.0.1"'
    assert changed in comment
    assert "+        image: sandbox/pacman:1.0.1" in comment


def test_a_change_that_replaces_the_database_gets_a_caution(clone: Clone) -> None:
    """Also where the preview fails: before 4.29 the provider asks whether the old object could take the change."""
    clone.change(
        "components/mongo/stateful_set.py", 'pod_management_policy="Parallel"', 'pod_management_policy="OrderedReady"'
    )
    comment = clone.comment("force-new", may_fail=True)
    assert row(comment)[2] == "1"
    assert (
        "> [!CAUTION]\n> `sandbox`: **`StatefulSet mongo` is replaced** (`spec.podManagementPolicy`): MongoDB stops"
        " and starts again on the same volumes, and the scores stay.\n"
    ) in comment
    # The component changes, so every stack does.
    assert comment.count("+  podManagementPolicy: OrderedReady") == len(list((ROOT / "tests/golden").glob("*.yaml")))


def test_a_replaced_password_fails_until_a_commit_intends_it_and_its_approved_preview_holds(clone: Clone) -> None:
    length = "generated(role, PASSWORD_LENGTH)"
    clone.change("components/mongo/credentials.py", length, length[:-1] + ' + (role == "app"))')
    clone.commit("longer")
    out = f"{clone.folder}.previews/longer.json"
    refused = clone.preview_to(out)
    assert refused.returncode == 1
    loss = "replaces or deletes data: replace RandomPassword mongo-app"
    assert refused.stderr.startswith(f"error: {STACK}: the change {loss}; if that is intended, add the line")
    comment = clone.python("review", "comment", out, "--base", "base")
    assert row(comment)[-1] == "**replaces or deletes data**"
    assert "**`RandomPassword mongo-app` is replaced** (`length`): MongoDB keeps the old password" in comment
    clone.git("commit", "--quiet", "--allow-empty", "--message", f"Deletes-Data: {STACK}")
    intended = clone.preview_to(out)
    assert intended.returncode == 0, intended.stdout + intended.stderr
    assert row(clone.python("review", "comment", out, "--base", "base"))[-1] == "ok"
    deployed = clone.review("preview", STACK, "--approved", out)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr


def test_a_change_that_the_policy_forbids_fails_with_its_message(clone: Clone) -> None:
    clone.change("components/pacman_deployment.py", 'type="ClusterIP"', 'type="LoadBalancer"')
    clone.commit("public")
    out = f"{clone.folder}.previews/public.json"
    assert clone.preview_to(out).returncode == 1
    comment = clone.python("review", "comment", out, "--base", "base")
    assert row(comment)[-1] == "**policy violated**"
    assert "> `sandbox`: `Service pacman: spec.type: must be ClusterIP, is LoadBalancer" in comment


def test_an_approved_preview_holds_until_the_stack_changes_otherwise(clone: Clone) -> None:
    clone.configure_stack(pacmanReplicas=3)
    clone.commit("approved")
    out = f"{clone.folder}.previews/approved.json"
    assert clone.preview_to(out).returncode == 0
    again = clone.review("preview", STACK, "--approved", out)
    assert again.returncode == 0, again.stdout + again.stderr
    clone.configure_stack(pacmanReplicas=4)
    other = clone.review("preview", STACK, "--approved", out)
    assert other.returncode == 1
    assert other.stderr.startswith(f"error: {STACK} has changed since its preview was approved: update Deployment")


def test_a_change_by_kubectl_is_reported_as_drift(clone: Clone) -> None:
    clean = clone.review("drift", STACK)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    kubectl = Kubectl("sandbox", clone.namespace)
    kubectl("scale", "deployment", "pacman", "--replicas=3")
    try:
        drifted = clone.review("drift", STACK)
        assert drifted.returncode == 1
        assert "spec.replicas: 3 → 1" in drifted.stdout
    finally:
        kubectl("scale", "deployment", "pacman", "--replicas=1")
