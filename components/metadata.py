"""Labels and annotations that the program gives to everything it creates, and by which it recognises it."""

from collections.abc import Mapping
from typing import Any

import pulumi

OURS = {"app.kubernetes.io/part-of": "pacman", "app.kubernetes.io/managed-by": "pulumi"}
"""The labels of every object."""
STACK = "pacman/stack"
"""Annotation of a namespace and of an Ingress: project and stack that created it. A label may be too short for it."""
MEMBERS = "pacman/members"
"""Annotation of the StatefulSet: how many members its replica set was last deployed with."""
ROTATION = "pacman/rotation"
"""Annotation of pods and Jobs: the rotation of the passwords with which they were deployed."""
TAKE_OVER = {"pulumi.com/patchForce": "true"}
"""Annotation of every object: patchForce resolves server-side-apply conflicts in favour of this program.

Without it a preview fails on any field that another manager owns, such as cert-manager or a person with kubectl. So
`pulumi preview --refresh` would fail on the very drift that it must show, and `pulumi up --refresh` previews first.
"""


def is_ours(metadata: Mapping[str, Any]) -> bool:
    """Whether an object has the labels that this program gives to what it creates."""
    return OURS.items() <= (metadata.get("labels") or {}).items()


def this_stack() -> str:
    """Project and stack that run now."""
    return f"{pulumi.get_project()}/{pulumi.get_stack()}"


def add_to_every_object(labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
    """Gives labels and annotations to every object and pod that is declared from now on.

    Selectors and claim templates stay as they are, since Kubernetes allows no change to them. What a Helm chart creates
    gets none: its values are the chart's own.
    """

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("kubernetes:") or args.type_.endswith("Patch"):
            return None
        spec = args.props.get("spec")
        job = getattr(spec, "job_template", None)
        templates = (getattr(spec, "template", None), job, getattr(getattr(job, "spec", None), "template", None))
        each: Any
        for each in (args.props.get("metadata"), *(getattr(template, "metadata", None) for template in templates)):
            if each is not None:
                each.labels = {**labels, **(each.labels or {})}
                each.annotations = {**annotations, **(each.annotations or {})}
        return pulumi.ResourceTransformationResult(args.props, args.opts)

    if labels or annotations:
        pulumi.runtime.register_stack_transformation(transform)
