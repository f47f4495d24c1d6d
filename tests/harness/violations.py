"""The policy pack on a recorded run, without an engine."""

import contextlib
from typing import Any

from pulumi_policy import (
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
from tests.harness.recorder import Recorded, Resource

OPTIONS = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])


def violations(run: Recorded) -> list[tuple[str, str]]:
    """What the pack reports on a run: the name of the policy, and the message."""
    found: list[tuple[str, str]] = []
    for policy in POLICIES:

        def report(message: str, urn: str | None = None, name: str = policy.name) -> None:
            found.append((name, message))

        if isinstance(policy, ResourceValidationPolicy):
            for r in run.resources:
                args = ResourceValidationArgs(r.type, _props(r), r.urn, r.name, OPTIONS, _provider(r))
                with contextlib.suppress(UnknownValueError):  # of which the engine makes a note, and goes on
                    policy.validate(args, report)
        elif isinstance(policy, StackValidationPolicy):
            seen = [
                PolicyResource(r.type, _props(r), r.urn, r.name, OPTIONS, _provider(r), None, [], {})
                for r in run.resources
            ]
            policy.validate(StackValidationArgs(seen), report)
    return found


def _props(r: Resource) -> Any:  # noqa: ANN401 - any JSON
    """Inputs as the engine hands them over: secrets open, and what an output would add that a rule reads."""
    generated = {"result": f"generated-for-{r.name}"} if r.kind == "RandomPassword" else {}
    return unknown_checking_proxy(r.manifest | generated)


def _provider(r: Resource) -> PolicyProviderResource | None:
    urn, _, _ = r.provider.rpartition("::")
    return PolicyProviderResource("", {}, urn, urn.rpartition("::")[2]) if urn else None
