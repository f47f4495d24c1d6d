"""A stand-in for the official random provider, for RandomPassword only.

A value is made once. When something that it was made from changes, the resource is replaced, as the official provider
does. The output bcryptHash is missing, because nothing in Python's library can make it.
"""

import secrets
import string
from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime import rpc
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from sandbox.plugins.serving import sdk_version, serve

_SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"
_DEFAULTS: Final[Mapping[str, Any]] = {
    "lower": True,
    "upper": True,
    "numeric": True,
    "special": True,
    "minLower": 0,
    "minUpper": 0,
    "minNumeric": 0,
    "minSpecial": 0,
}
_Changed = provider_pb2.DiffResponse


def random_string(inputs: Mapping[str, Any]) -> str:
    """A string of the wanted length and characters.

    Raises:
        ValueError: No such string exists.
    """
    special = inputs.get("overrideSpecial") or _SPECIAL
    classes = [
        (inputs["lower"], inputs["minLower"], string.ascii_lowercase),
        (inputs["upper"], inputs["minUpper"], string.ascii_uppercase),
        (inputs["numeric"], inputs["minNumeric"], string.digits),
        (inputs["special"], inputs["minSpecial"], special),
    ]
    length = int(inputs["length"])
    needed = sum(int(least) for _, least, _ in classes)
    allowed = "".join(characters for wanted, _, characters in classes if wanted)
    if length < 1 or length < needed:
        raise ValueError(f"length is {length}, but must be at least {max(needed, 1)}")
    if not allowed and length > needed:
        raise ValueError("every kind of character is turned off")
    chosen = [secrets.choice(characters) for _, least, characters in classes for _ in range(int(least))]
    chosen += [secrets.choice(allowed) for _ in range(length - needed)]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


class RandomProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Everything it makes lives in the state alone."""

    def Handshake(  # noqa: N802 - the protocol's name
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Tells the engine what this provider can do."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """The version of the official provider that this one stands in for."""
        return plugin_pb2.PluginInfo(version=sdk_version("pulumi_random"))

    def CheckConfig(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """There is nothing to configure."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """There is nothing that could differ."""
        return _Changed(changes=_Changed.DIFF_NONE)

    def Configure(  # noqa: N802
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """There is nothing to configure."""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(  # noqa: N802
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Completes the inputs with their defaults, and refuses what no string can satisfy."""
        inputs = dict(PropertyValue.unmarshal_map(request.news))
        if not request.urn.split("::")[2].endswith(":RandomPassword"):
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this stand-in has RandomPassword only")
        for key, value in _DEFAULTS.items():
            inputs.setdefault(key, PropertyValue(float(value) if type(value) is int else value))
        failures = []
        known = _plain(inputs)
        if "length" in known and len(known) == len(inputs):
            try:
                random_string(known)
            except ValueError as problem:
                failures.append(provider_pb2.CheckFailure(property="length", reason=str(problem)))
        return provider_pb2.CheckResponse(inputs=PropertyValue.marshal_map(inputs), failures=failures)

    def Diff(  # noqa: N802
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Any change makes a new value."""
        old, new = (_plain(PropertyValue.unmarshal_map(each)) for each in (request.old_inputs, request.news))
        changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        return _Changed(changes=_Changed.DIFF_SOME if changed else _Changed.DIFF_NONE, replaces=changed, diffs=changed)

    def Create(  # noqa: N802
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Makes the value. The id is not the value, since a state shows ids in plain."""
        inputs = PropertyValue.unmarshal_map(request.properties)
        result = PropertyValue(rpc.UNKNOWN if request.preview else random_string(_plain(inputs)))
        outputs = PropertyValue.marshal_map({**inputs, "result": result.with_secret(True)})
        return provider_pb2.CreateResponse(id="" if request.preview else "none", properties=outputs)

    def Read(  # noqa: N802
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        """What the state says is all there is."""
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """There is nothing outside the state."""
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Nothing here takes long enough to be ended."""
        return empty_pb2.Empty()


def main() -> None:
    """Serves the provider until the engine is done with it."""
    serve(lambda server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(RandomProvider(), server))


def _plain(properties: Mapping[str, PropertyValue]) -> dict[str, Any]:
    """The values that are known, without secret marks; a map, such as `keepers`, as text that can be compared."""
    known = {key: each.value for key, each in properties.items() if each.value != rpc.UNKNOWN}
    return {key: repr(value) if isinstance(value, Mapping) else value for key, value in known.items()}
