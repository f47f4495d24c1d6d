"""The labels and annotations of the config, on everything that the program declares.

Mocks show the objects as they are declared. What a Helm chart makes of its values, they cannot prove.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from components.metadata import OURS, STACK, TAKE_OVER, add_to_every_object
from components.restricted_namespace import RestrictedNamespace
from tools.recorder import Recorded, Resource, record, record_program, stack_config

GIVEN = {"team": "games", "example.com/cost-centre": "42"}
CONFIG = {"pacman:labels": json.dumps(GIVEN), "pacman:annotations": json.dumps({"note": "made by: pacman"})}
# What the stacks of the clouds declare on top: a class of their own, a controller, an autoscaler, a certificate.
STACKS = ("dev", "eks")


@cache
def run(stack: str, *, given: bool = True) -> Recorded:
    return record_program(stack_config(stack) | (CONFIG if given else {}))


def objects(stack: str) -> Iterator[Resource]:
    """Every object that the program creates, without what only changes somebody else's, and without Helm's release."""
    return (r for r in run(stack).kubernetes() if not r.kind.endswith(("Patch", "Release")))


@pytest.mark.parametrize("stack", STACKS)
def test_every_object_has_the_labels_and_annotations_of_the_config(stack: str) -> None:
    for each in objects(stack):
        metadata = each.manifest["metadata"]
        assert GIVEN.items() <= metadata["labels"].items(), each.urn
        assert metadata["annotations"]["note"] == "made by: pacman", each.urn


@pytest.mark.parametrize("stack", STACKS)
def test_every_pod_has_them_too(stack: str) -> None:
    for kind in ("StatefulSet", "Job", "Deployment"):
        metadata = run(stack).one(kind).manifest["spec"]["template"]["metadata"]
        assert GIVEN.items() <= metadata["labels"].items(), kind
        assert metadata["annotations"] == {"note": "made by: pacman"}, kind
    job = run(stack).one("CronJob", "mongo-backup").manifest["spec"]["jobTemplate"]
    for metadata in (job["metadata"], job["spec"]["template"]["metadata"]):
        assert GIVEN.items() <= metadata["labels"].items()


@pytest.mark.parametrize("stack", STACKS)
def test_they_change_nothing_else_such_as_selectors_claim_templates_and_patches(stack: str) -> None:
    """Kubernetes allows no change to a selector or a claim template."""

    def bare(found: Any) -> Any:  # noqa: ANN401 - any JSON
        """Without the metadata of objects and pods."""
        if not isinstance(found, dict):
            return found
        return {
            key: bare(value) if key in ("spec", "template", "jobTemplate") else value
            for key, value in found.items()
            if key != "metadata"
        }

    def declared(recorded: Recorded) -> dict[str, Any]:
        return {
            r.urn: r.manifest if r.kind.endswith(("Patch", "Release")) else bare(r.manifest) for r in recorded.resources
        }

    assert declared(run(stack)) == declared(run(stack, given=False))


@pytest.mark.parametrize("stack", STACKS)
def test_the_labels_and_annotations_of_the_program_stay_as_they_are(stack: str) -> None:
    plain = {r.urn: r.manifest["metadata"] for r in run(stack, given=False).kubernetes() if "metadata" in r.manifest}
    for each in objects(stack):
        metadata = each.manifest["metadata"]
        for field in ("labels", "annotations"):
            assert plain[each.urn][field].items() <= metadata[field].items(), each.urn
        assert OURS.items() <= metadata["labels"].items(), each.urn


def test_of_two_values_for_one_name_the_one_of_the_program_wins() -> None:
    def program() -> None:
        add_to_every_object(dict.fromkeys(OURS, "mine"), {STACK: "mine", **dict.fromkeys(TAKE_OVER, "false")})
        RestrictedNamespace("arcade")

    for each in record(program).kubernetes():
        metadata = each.manifest["metadata"]
        assert OURS.items() <= metadata["labels"].items(), each.urn
        assert TAKE_OVER.items() <= metadata["annotations"].items(), each.urn
    assert record(program).one("Namespace").manifest["metadata"]["annotations"][STACK] == "pacman/test"
