"""Property values to objects and back: what is secret or unknown stays so."""

import json
from typing import Any

from google.protobuf import json_format, struct_pb2
from pulumi.runtime import rpc

from sandbox.plugins.kubernetes.values import UNKNOWN, has_unknown, marshal, plain, unmarshal

_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


def _struct(value: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.Parse(json.dumps(value), struct_pb2.Struct())


def _back(message: struct_pb2.Struct) -> dict[str, Any]:
    value: dict[str, Any] = json_format.MessageToDict(message)
    return value


def _secret(value: object) -> dict[str, object]:
    return {_SIGNATURE: _SECRET, "value": value}


def test_whole_numbers_are_integers_and_nulls_are_left_out() -> None:
    read = plain(unmarshal(_struct({"replicas": 3, "ratio": 0.5, "on": True, "nothing": None, "list": [1, {"a": 2}]})))
    assert read == {"replicas": 3, "ratio": 0.5, "on": True, "list": [1, {"a": 2}]}
    assert isinstance(read["replicas"], int)
    assert read["on"] is True


def test_an_unknown_value_is_unknown_both_ways() -> None:
    message = _struct({"spec": {"name": rpc.UNKNOWN}})
    read = plain(unmarshal(message))
    assert read["spec"]["name"] is UNKNOWN
    assert has_unknown(read)
    assert not has_unknown({"spec": [{"name": "known"}]})
    assert _back(marshal(read)) == {"spec": {"name": rpc.UNKNOWN}}


def test_a_secret_is_secret_again_at_its_place() -> None:
    properties = unmarshal(_struct({"data": {"open": "1", "hidden": _secret("2")}}))
    live = {"data": {"open": "1", "hidden": "2", "more": "3"}, "metadata": {"name": "x"}}
    assert _back(marshal(live, properties)) == {
        "data": {"open": "1", "hidden": _secret("2"), "more": "3"},
        "metadata": {"name": "x"},
    }


def test_a_list_with_a_secret_is_secret_as_a_whole() -> None:
    properties = unmarshal(_struct({"env": [{"name": "a"}, {"value": _secret("2")}]}))
    assert _back(marshal({"env": [{"value": "2"}]}, properties)) == {"env": _secret([{"value": "2"}])}


def test_the_data_of_a_secret_is_secret_without_being_marked() -> None:
    secret = {"kind": "Secret", "data": {"key": "x"}, "metadata": {"name": "n"}}
    marked = {**secret, "data": _secret({"key": "x"})}
    assert _back(marshal({**secret, "__inputs": secret})) == {**marked, "__inputs": marked}


def test_fields_with_dashes_have_underscores_for_the_sdk() -> None:
    message = _struct({"x_kubernetes_preserve_unknown_fields": True})
    assert plain(unmarshal(message)) == {"x-kubernetes-preserve-unknown-fields": True}
    assert _back(marshal({"x-kubernetes-preserve-unknown-fields": True})) == _back(message)
