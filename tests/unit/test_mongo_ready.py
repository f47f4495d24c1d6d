"""The readiness probe of a member, against a server that gives what mongod answered in each of these states.

The real mongod is asked in tests/engine/test_readiness.py.
"""

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from components.mongo.pod import READY_SCRIPT

TOPOLOGY = {"topologyVersion": {"processId": "12 bytes", "counter": 6}}
MEMBER = {
    "hosts": ["mongo-0.mongo.arcade.svc.cluster.local:27017", "mongo-1.mongo.arcade.svc.cluster.local:27017"],
    "setName": "rs0",
    "setVersion": 3,
}
LIMITS = {"maxBsonObjectSize": 16777216, "minWireVersion": 0, "maxWireVersion": 17}
END = {"ok": 1.0, "$clusterTime": {"signature": {"keyId": 1}}}
PRIMARY = TOPOLOGY | MEMBER | {"isWritablePrimary": True, "secondary": False} | LIMITS | {"readOnly": False} | END
SECONDARY = TOPOLOGY | MEMBER | {"isWritablePrimary": False, "secondary": True} | LIMITS | {"readOnly": False} | END
NEITHER = TOPOLOGY | MEMBER | {"isWritablePrimary": False, "secondary": False} | LIMITS | {"readOnly": False} | END
UNINITIATED = (
    TOPOLOGY
    | {"isWritablePrimary": False, "secondary": False, "info": "Does not have a valid replica set config"}
    | {"isreplicaset": True}
    | LIMITS
    | {"readOnly": False, "ok": 1.0}
)
STANDALONE = {"isWritablePrimary": True} | TOPOLOGY | LIMITS | {"readOnly": False, "ok": 1.0}
SHUTTING_DOWN = {"ok": 0.0, "errmsg": "The server is in quiesce mode and will shut down", "code": 91}


def bson(document: Mapping[str, Any]) -> bytes:
    """A document in MongoDB's binary form."""
    body = b"".join(bson_element(name.encode() + b"\0", value) for name, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def bson_element(name: bytes, value: object) -> bytes:
    if isinstance(value, bool):
        return b"\x08" + name + bytes([value])
    if isinstance(value, int):
        return b"\x10" + name + struct.pack("<i", value)
    if isinstance(value, float):
        return b"\x01" + name + struct.pack("<d", value)
    if isinstance(value, str):
        return b"\x02" + name + struct.pack("<i", len(value) + 1) + value.encode() + b"\0"
    if isinstance(value, list):
        return b"\x04" + name + bson({str(index): each for index, each in enumerate(value)})
    assert isinstance(value, dict)
    return b"\x03" + name + bson(value)


def message(document: Mapping[str, Any], ident: int = 7, response_to: int = 1) -> bytes:
    """An OP_MSG with one document."""
    body = bson(document)
    return struct.pack("<iiii", 21 + len(body), ident, response_to, 2013) + struct.pack("<iB", 0, 0) + body


@contextmanager
def server(reply: bytes, *, hang_up: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """Answers one connection on the port that it gives, and collects what was asked."""
    asked: list[bytes] = []
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(1000))
                connection.sendall(reply)
                if not hang_up:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            done.set()
            thread.join()


def probe(port: int) -> subprocess.CompletedProcess[str]:
    """Runs the probe, and no longer than the kubelet lets it."""
    command = ["bash", "-c", READY_SCRIPT.read_text(), "ready", str(port)]
    return subprocess.run(command, env={}, capture_output=True, text=True, timeout=2, check=False)


@pytest.mark.parametrize("state", [PRIMARY, SECONDARY], ids=["primary", "secondary"])
def test_a_primary_and_a_secondary_are_ready(state: Mapping[str, Any]) -> None:
    with server(message(state)) as (port, _):
        done = probe(port)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "state",
    [NEITHER, UNINITIATED, STANDALONE, SHUTTING_DOWN],
    ids=["copies the data", "uninitiated", "first boot", "shuts down"],
)
def test_a_member_that_is_neither_primary_nor_secondary_is_not_ready(state: Mapping[str, Any]) -> None:
    with server(message(state)) as (port, _):
        done = probe(port)
    assert (done.returncode, done.stdout, done.stderr) == (1, "neither primary nor secondary\n", "")


@pytest.mark.parametrize("name", ["hosts", "me", "info"])
def test_a_name_of_an_element_inside_of_a_text_does_not_count(name: str) -> None:
    text = NEITHER | {name: "setName isWritablePrimary secondary"}
    with server(message(text)) as (port, _):
        assert probe(port).returncode == 1


@pytest.mark.parametrize(
    "reply",
    [b"", b"\0", message(PRIMARY)[:60], b"HTTP/1.0 400 Bad Request\r\n\r\n", bytes(range(256)) * 8],
    ids=["nothing", "one byte", "a part of a reply", "text", "garbage"],
)
@pytest.mark.parametrize("hang_up", [True, False], ids=["and hangs up", "and stays silent"])
def test_what_is_no_reply_to_hello_is_not_ready_within_the_time_of_the_probe(reply: bytes, hang_up: bool) -> None:
    with server(reply, hang_up=hang_up) as (port, _):
        assert probe(port).returncode == 1


def test_a_closed_port_is_not_ready_and_the_message_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = probe(port)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_it_asks_hello_without_a_login() -> None:
    with server(message(PRIMARY)) as (port, asked):
        probe(port)
    assert asked == [message({"hello": 1, "$db": "admin"}, ident=1, response_to=0)]


def test_it_starts_no_process_so_that_it_is_cheap() -> None:
    """The image's programs are out of reach here, and the probe does not miss them."""
    command = ["/bin/bash", "-c", READY_SCRIPT.read_text(), "ready"]
    with server(message(SECONDARY)) as (port, _):
        done = subprocess.run([*command, str(port)], env={"PATH": "/nowhere"}, check=False, timeout=2)
    assert done.returncode == 0
