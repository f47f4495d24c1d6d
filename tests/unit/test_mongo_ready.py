"""The scripts of a member, against a server that gives what mongod answered in each of these states.

The real mongod, and what Kubernetes does with their answers, is in tests/engine/test_readiness.py.
"""

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.mongo.pod import LEAVE_SCRIPT, READY_SCRIPT

TOPOLOGY = {"topologyVersion": {"processId": "12 bytes", "counter": 6}}
MEMBER: dict[str, Any] = {
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
def server(*replies: bytes, hang_up: bool = False, port: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Gives each connection, on the port that it yields, the next reply, the last one again and again.

    It collects what was asked.
    """
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", port)) as listener, ExitStack() as connections:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # shut down
                    return
                connections.enter_context(connection)
                asked.append(connection.recv(1000))
                connection.sendall(replies[min(len(asked), len(replies)) - 1])
                if hang_up:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def probe(port: int) -> subprocess.CompletedProcess[str]:
    """Runs the probe, and no longer than the kubelet lets it."""
    command = ["bash", "-c", READY_SCRIPT.read_text(), "ready", "127.0.0.1", str(port)]
    return subprocess.run(command, env={}, capture_output=True, text=True, timeout=2, check=False)


@pytest.mark.parametrize("state", [PRIMARY, SECONDARY], ids=["primary", "secondary"])
def test_a_primary_and_a_secondary_are_ready(state: Mapping[str, Any]) -> None:
    with server(message(state)) as (port, _):
        done = probe(port)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_prints_the_members_of_the_set_and_no_other_host() -> None:
    """Also not the one after a number, `setVersion`, in whose bytes the name of an element of an array can be read."""
    passive = "mongo-2.mongo." + "a" * 240 + ".cluster.local:27017"  # longer than one byte can say
    members = {"hosts": MEMBER["hosts"], "passives": [passive]}
    version = {"setVersion": int.from_bytes(b"\x020\0\0", "little"), "primary": "other-0.mongo:27017"}
    state = TOPOLOGY | members | {"setName": "rs0"} | version | {"me": "other-1.mongo:27017"} | PRIMARY
    with server(message(state)) as (port, _):
        assert probe(port).stdout.split() == [*MEMBER["hosts"], passive]


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
    command = ["/bin/bash", "-c", READY_SCRIPT.read_text(), "ready", "127.0.0.1"]
    with server(message(SECONDARY)) as (port, _):
        done = subprocess.run([*command, str(port)], env={"PATH": "/nowhere"}, check=False, timeout=2)
    assert done.returncode == 0


@contextmanager
def others(*replies: list[bytes]) -> Iterator[list[str]]:
    """Other members of the set, each with what it answers one time after the other; yields where they listen."""
    with ExitStack() as servers:
        yield [f"localhost:{servers.enter_context(server(*each))[0]}" for each in replies]


def leave(own: Mapping[str, Any], members: list[str], folder: Path, limit: int = 10) -> list[str]:
    """Runs what the kubelet runs before it stops a member, whose `hello` is `own`; returns how long it slept each time.

    A `sleep` that only takes notes stands in for the real one. That the pauses are long enough for a set of several
    members is shown in tests/engine/test_readiness.py.
    """
    slept = folder / "slept"
    (sleep := folder / "sleep").write_text(f'#!/bin/sh\necho "$1" >>{slept}\n')
    sleep.chmod(0o755)
    slept.touch()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    state = {**own, "hosts": [f"127.0.0.1:{port}", *members]} if "hosts" in own else own
    with server(message(state), port=port):
        command = ["bash", "-c", LEAVE_SCRIPT.read_text(), "leave", str(port), READY_SCRIPT.read_text(), str(limit)]
        variables = {"HOSTNAME": "127", "PATH": f"{folder}:{os.environ['PATH']}"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return slept.read_text().split()


def test_a_member_leaves_when_all_others_have_all_data_and_answers_until_they_have_asked_it(tmp_path: Path) -> None:
    with others([message(PRIMARY)], [message(SECONDARY)]) as members:
        assert leave(SECONDARY, members, tmp_path) == ["2"]


@pytest.mark.parametrize("away", [NEITHER, SHUTTING_DOWN], ids=["copies the data", "shuts down"])
def test_a_member_waits_until_the_others_are_a_majority_with_all_data(away: Mapping[str, Any], tmp_path: Path) -> None:
    with others([message(PRIMARY)], [message(away), message(away), message(SECONDARY)]) as members:
        assert leave(SECONDARY, members, tmp_path) == ["1", "1", "2"]


def test_two_of_four_others_are_too_few_and_three_are_enough(tmp_path: Path) -> None:
    copies, secondary = message(NEITHER), message(SECONDARY)
    with others([secondary], [secondary], [copies, secondary], [copies]) as members:
        assert leave(PRIMARY, members, tmp_path) == ["1", "2"]


def test_of_two_members_one_leaves_when_the_other_has_all_data(tmp_path: Path) -> None:
    with others([message(SECONDARY)]) as members:
        assert leave(PRIMARY, members, tmp_path) == ["2"]


def test_a_member_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    with others([message(PRIMARY)], [message(NEITHER)]) as members:
        assert leave(SECONDARY, members, tmp_path, limit=1)[-1] == "2"


def test_a_member_whose_node_is_lost_is_asked_no_longer_than_the_member_may_wait(tmp_path: Path) -> None:
    """A full queue of connections stands for such a node: the kernel answers no more of them."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as lost, ExitStack() as queue:
        for _ in range(2):
            queue.enter_context(waiting := socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(lost.getsockname())
        with others([message(PRIMARY)]) as members:
            lost_member = f"localhost:{lost.getsockname()[1]}"
            assert leave(SECONDARY, [*members, lost_member], tmp_path, limit=1) == ["1", "2"]


@pytest.mark.parametrize("own", [NEITHER, UNINITIATED, STANDALONE, SHUTTING_DOWN])
def test_a_member_without_all_data_leaves_at_once(own: Mapping[str, Any], tmp_path: Path) -> None:
    with others([message(NEITHER)]) as members:
        assert leave(own, members, tmp_path) == []


def test_the_only_member_leaves_at_once(tmp_path: Path) -> None:
    assert leave(PRIMARY, [], tmp_path) == []
