"""A stand-in for the official random provider, for RandomPassword only.

A value is made once. When something that it was made from changes, the resource is replaced, as the official provider
does. The output bcryptHash is missing, because nothing in Python's library can make it.
"""

# ruff: noqa: N802 - the protocol names the methods
import importlib.metadata
import secrets
import string
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from grpc import ServicerContext, StatusCode
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc
from pulumi.runtime.proto.plugin_pb2 import PluginInfo

from sandbox.plugins.serving import serve

_CHARACTERS: Final = {
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "numeric": string.digits,
    "special": "!@#$%&*()-_=+[]{}<>:?",
}
_MINIMUM: Final = {kind: f"min{kind.title()}" for kind in _CHARACTERS}
_DEFAULTS: Final = {
    **{kind: PropertyValue(True) for kind in _CHARACTERS},
    **{minimum: PropertyValue(0.0) for minimum in _MINIMUM.values()},
}


def random_string(inputs: Mapping[str, Any]) -> str:
    """A string of the wanted length and characters; ValueError if no such string exists."""
    characters = _CHARACTERS | {"special": inputs.get("overrideSpecial") or _CHARACTERS["special"]}
    minimum = {kind: int(inputs[key]) for kind, key in _MINIMUM.items()}
    allowed = "".join(each for kind, each in characters.items() if inputs[kind])
    length, needed = int(inputs["length"]), sum(minimum.values())
    if length < 1 or length < needed:
        raise ValueError(f"length is {length}, but must be at least {max(needed, 1)}")
    if not allowed and length > needed:
        raise ValueError("every kind of character is turned off")
    chosen = [secrets.choice(characters[kind]) for kind, count in minimum.items() for _ in range(count)]
    chosen += [secrets.choice(allowed) for _ in range(length - needed)]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


class RandomProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Everything that it makes is in the state only. The engine does without the calls that are not here."""

    def GetPluginInfo(self, request: Empty, context: ServicerContext) -> PluginInfo:
        """The version of the official provider that this one stands in for."""
        return PluginInfo(version=importlib.metadata.version("pulumi-random"))

    def Configure(self, request: proto.ConfigureRequest, context: ServicerContext) -> proto.ConfigureResponse:
        """There is nothing to configure."""
        return proto.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: proto.CheckRequest, context: ServicerContext) -> proto.CheckResponse:
        """Completes the inputs with their defaults, and refuses what no string can satisfy."""
        if not request.urn.split("::")[2].endswith(":RandomPassword"):
            context.abort(StatusCode.UNIMPLEMENTED, "this stand-in has RandomPassword only")
        inputs = {**_DEFAULTS, **PropertyValue.unmarshal_map(request.news)}
        failures = []
        known = _plain(inputs)
        if "length" in known and len(known) == len(inputs):
            try:
                random_string(known)
            except ValueError as problem:
                failures.append(proto.CheckFailure(property="length", reason=str(problem)))
        return proto.CheckResponse(inputs=PropertyValue.marshal_map(inputs), failures=failures)

    def Diff(self, request: proto.DiffRequest, context: ServicerContext) -> proto.DiffResponse:
        """Any change makes a new value."""
        old, new = (_plain(PropertyValue.unmarshal_map(each)) for each in (request.old_inputs, request.news))
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        changes = proto.DiffResponse.DIFF_SOME if changed else proto.DiffResponse.DIFF_NONE
        return proto.DiffResponse(changes=changes, replaces=changed, diffs=changed)

    def Create(self, request: proto.CreateRequest, context: ServicerContext) -> proto.CreateResponse:
        """Makes the value. The id is not the value, because a state shows ids in plain."""
        inputs = PropertyValue.unmarshal_map(request.properties)
        result = PropertyValue(rpc.UNKNOWN if request.preview else random_string(_plain(inputs)))
        outputs = PropertyValue.marshal_map({**inputs, "result": result.with_secret(True)})
        return proto.CreateResponse(id="" if request.preview else "none", properties=outputs)

    def Read(self, request: proto.ReadRequest, context: ServicerContext) -> proto.ReadResponse:
        """The state is all there is."""
        return proto.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request: proto.DeleteRequest, context: ServicerContext) -> Empty:
        """There is nothing outside the state."""
        return Empty()


def main() -> None:
    """Serves the provider until the engine is done with it."""
    serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(RandomProvider(), server))


def _plain(properties: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """The values that are known, without secret marks; a map, such as `keepers`, as text that can be compared."""
    known = {key: each.value for key, each in properties.items() if each.value != rpc.UNKNOWN}
    return {key: repr(value) if isinstance(value, Mapping) else value for key, value in known.items()}
