"""Runs the policy pack on a recorded run, without an engine."""

from collections.abc import Sequence
from typing import Any

from pulumi_policy import (
    Policy,
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError, unknown_checking_proxy

from policy.rules import POLICIES
from tools.recorder import Recorded, Resource

OPTIONS = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


NOT_RUN = "not run: a value is not known yet"
"""What stands here for the note of the engine, which goes on: a policy that gives up on such a value checks nothing."""


def violations(run: Recorded, policies: Sequence[Policy] = POLICIES) -> list[tuple[str, str]]:
    """What the policies report on a run: the name of the policy, and the message."""
    found: list[tuple[str, str]] = []
    seen = [
        PolicyResource(r.type, _props(r), r.urn, r.name, OPTIONS, _provider(r), None, [], {}) for r in run.resources
    ]
    for policy in policies:

        def report(message: str, urn: str | None = None, name: str = policy.name) -> None:
            found.append((name, message))

        if isinstance(policy, ResourceValidationPolicy):
            for r in seen:
                args = ResourceValidationArgs(r.resource_type, r.props, r.urn, r.name, OPTIONS, r.provider)
                try:
                    policy.validate(args, report)
                except UnknownValueError:
                    report(f"{r.name}: {NOT_RUN}")
        elif isinstance(policy, StackValidationPolicy):
            try:
                policy.validate(StackValidationArgs(seen), report)
            except UnknownValueError:
                report(NOT_RUN)
    return found


def _props(r: Resource) -> Any:  # noqa: ANN401 - any JSON
    """Inputs as the engine passes them: with secrets in plain text, and with the one output that a rule reads."""
    generated = {"result": f"generated-for-{r.name}"} if r.kind == "RandomPassword" else {}
    return unknown_checking_proxy(generated | r.manifest)


def _provider(r: Resource) -> PolicyProviderResource | None:
    urn, _, _ = r.provider.rpartition("::")
    return PolicyProviderResource("", {}, urn, urn.rpartition("::")[2]) if urn else None
