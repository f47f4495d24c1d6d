"""Runs the program, or one component, against the SDK's mock monitor and gives back plain data.

What it shows is what the program *declares*: every input, every output, every resource option, which of them are
secret. What it cannot show is what an engine, a provider or a cluster makes of that: no default that the API server
sets, no diff, no await, no order of calls. Those are the engine tests' to prove.
"""

import asyncio
import json
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import yaml
from google.protobuf import json_format
from pulumi.runtime import mocks, stack
from pulumi.runtime.settings import reset_options, set_root_resource

from components import cluster
from components.cluster import Cluster
from stack import preflight

ROOT = Path(__file__).parents[1]
# The SDK's mark of a secret on the wire (pulumi/sdk, proto "special signature").
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


@dataclass(frozen=True)
class SecretValue:
    """A value that the program marked as secret; its repr does not show it."""

    value: Any = field(repr=False)


@dataclass
class Resource:
    """One resource as it was registered."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    """The parent's URN; the stack's own where the program gave none."""
    provider: str
    """The provider's `URN::id`, "" for the default one."""
    providers: dict[str, str]
    """What a component hands to its children, by package."""
    depends_on: frozenset[str]
    """URNs of what `depends_on` alone names: no output that goes in would say the same."""
    options: dict[str, Any]
    """Every other option that was given, by its name in the protocol: protect, retainOnDelete, ignoreChanges, hooks."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """What a component gave to register_outputs."""
    outputs_registered: bool = False

    @property
    def kind(self) -> str:
        """The last part of the type: `Service`, `MongoStatefulSet`."""
        return self.type.split(":")[-1]

    @property
    def manifest(self) -> dict[str, Any]:
        """The inputs with secrets taken out of their envelopes."""
        manifest = unwrap(self.inputs)
        assert isinstance(manifest, dict)
        return manifest


@dataclass(frozen=True)
class Recorded:
    """Everything that a run declared."""

    resources: tuple[Resource, ...]
    exports: dict[str, Any]

    def one(self, kind: str, name: str | None = None) -> Resource:
        """The only resource of a kind (the last part of its type), or the one of that logical name."""
        found = [r for r in self.of(kind) if name is None or r.name == name]
        assert len(found) == 1, f"{kind} {name or ''}: found {[r.name for r in found]}"
        return found[0]

    def of(self, kind: str) -> list[Resource]:
        """All resources of a kind, by logical name."""
        return sorted((r for r in self.resources if r.kind == kind), key=lambda r: r.name)

    def kubernetes(self) -> list[Resource]:
        """All Kubernetes objects and patches."""
        return [r for r in self.resources if r.type.startswith("kubernetes:")]

    def components(self) -> list[Resource]:
        """All component resources of this project."""
        return [r for r in self.resources if r.type.startswith("pacman:index:")]


def record(
    program: Callable[[], object],
    config: Mapping[str, str] | None = None,
    *,
    name: str = "test",
    address: tuple[str, str] | Callable[..., tuple[str, str]] = ("192.168.49.2", ""),
) -> Recorded:
    """Runs `program` afresh and waits until all that it declared is registered.

    Args:
        program: What to run; a component's constructor call, say.
        config: The stack's config by full key, values as the engine hands them over.
        name: The stack's name.
        address: Address and host name that a controller publishes for an Ingress; by default as minikube's addon
            does; or what is called for them.
    """
    echo = _Echo()
    monitor = _Monitor(echo)
    reset_options()
    set_root_resource(None)  # type: ignore[arg-type]  # the SDK's own way to say: no stack is running

    async def run() -> None:
        # In the loop that runs the program: set_mocks declares a stack of its own, which another loop would never end.
        mocks.set_mocks(echo, project="pacman", stack=name, preview=False, monitor=monitor)
        await stack.wait_for_rpcs()
        set_root_resource(None)  # type: ignore[arg-type]
        pulumi.runtime.set_all_config(dict(config or {}), ["pacman:imagePullConfig"])
        await stack.run_in_stack(lambda: (program(), None)[1])

    with mock.patch.object(cluster, "wait_for_ingress_address", address if callable(address) else lambda *_: address):
        asyncio.run(run())
    return monitor.recorded()


def record_program(
    config: Mapping[str, str],
    known: Cluster | None = None,
    **options: Any,  # noqa: ANN401 - those of record
) -> Recorded:
    """Runs `__main__.py` with Pulumi.yaml's defaults and `config` over them, on a cluster of which this is known."""
    with mock.patch.object(preflight, "read_cluster", lambda config: known):
        return record(lambda: runpy.run_path(str(ROOT / "__main__.py")), {**defaults(), **config}, **options)


def defaults() -> dict[str, str]:
    """The defaults of Pulumi.yaml, which the CLI adds to a stack's config, as it hands them over."""
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    return {f"pacman:{key}": _wire(spec["default"]) for key, spec in declared.items() if "default" in spec}


def stacks() -> list[str]:
    """The committed stacks, by name."""
    return sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))


def stack_config(name: str) -> dict[str, str]:
    """The config of a committed stack file."""
    return {
        key: _wire(value) for key, value in yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())["config"].items()
    }


def unwrap(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """`value` with every secret replaced by what it holds."""
    if isinstance(value, SecretValue):
        return unwrap(value.value)
    if isinstance(value, dict):
        return {key: unwrap(item) for key, item in value.items()}
    return [unwrap(item) for item in value] if isinstance(value, list) else value


def _wire(value: Any) -> str:  # noqa: ANN401
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return SecretValue(_plain(value["value"]))
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


# What a Resource has a field for, and what says only where in the source it was declared, or what the SDK can do.
_NO_OPTION = {
    *("type", "name", "object", "parent", "provider", "providers", "dependencies", "propertyDependencies", "custom"),
    *("sourcePosition", "stackTrace", "version", "hooks", "acceptSecrets", "acceptResources", "supportsPartialValues"),
    *("supportsResultReporting", "remote"),
}


def _resource(urn: str, request: Any, outputs: dict[str, Any] | None) -> Resource:  # noqa: ANN401
    implied = {urn for names in request.propertyDependencies.values() for urn in names.urns}
    options = {key: value for key, value in json_format.MessageToDict(request).items() if key not in _NO_OPTION}
    if request.HasField("hooks") and request.hooks.ByteSize():
        options["hooks"] = json_format.MessageToDict(request.hooks)
    return Resource(
        urn,
        request.type,
        request.name,
        _plain(json_format.MessageToDict(request.object)),
        request.parent,
        request.provider,
        dict(request.providers),
        frozenset(request.dependencies) - implied,
        options,
        outputs or {},
        outputs is not None,
    )


class _Echo(pulumi.runtime.Mocks):
    """Answers each registration with its own inputs, and what a provider would add that the program reads."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        state = dict(args.inputs)
        if args.typ.endswith(":RandomPassword"):
            # On the wire, since an Output made here would belong to a thread whose loop runs no longer.
            state["result"] = {_SIGNATURE: _SECRET, "value": f"generated-for-{args.name}"}
        return f"{args.name}-id", state

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program called {args.token}, and this project calls no functions of providers")


class _Monitor(mocks.MockMonitor):
    """Keeps each registration with all its options, which the SDK's mocks do not hand on."""

    def __init__(self, echo: _Echo) -> None:
        super().__init__(echo)
        self._registered: dict[str, Any] = {}
        self._outputs: dict[str, dict[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - the protocol's name
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self._registered[response.urn] = request
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: ANN401, N802
        self._outputs[request.urn] = _plain(json_format.MessageToDict(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def recorded(self) -> Recorded:
        """What was registered; the stack itself only lends its outputs."""
        exports: dict[str, Any] = {}
        resources = []
        for urn, request in self._registered.items():
            if request.type == "pulumi:pulumi:Stack":
                exports = self._outputs.get(urn, {})
                continue
            resources.append(_resource(urn, request, self._outputs.get(urn)))
        return Recorded(tuple(sorted(resources, key=lambda r: r.urn)), exports)
