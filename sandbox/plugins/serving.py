"""How every plugin here is served: a gRPC server on a free port, which the engine reads from the first line."""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from concurrent import futures

import grpc

# The engine's own limit. A resource may wait for minutes, so there must be a thread for each that does.
_MESSAGE_BYTES = 400 << 20
_THREADS = 256


def serve(register: Callable[[grpc.Server], None]) -> None:
    """Serves until the engine is done with the plugin, which it says by SIGINT, or until the engine is dead.

    Args:
        register: Adds the plugin's service to the server.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ],
    )
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # A signal may be delivered to any of the server's threads, and this one would sleep on: so it waits for the byte
    # that Python writes whichever thread it was.
    wake, alarm = socket.socketpair()
    alarm.setblocking(False)
    signal.set_wakeup_fd(alarm.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # An engine that was killed says nothing, but nobody reads what this writes any more: that is an error of the pipe,
    # which is reported without being asked for.
    ended = select.poll()
    ended.register(wake, select.POLLIN)
    ended.register(sys.stdout, 0)
    ended.poll()
    server.stop(grace=0.2).wait(0.5)
    os._exit(0)  # threads that wait for a cluster must not keep the engine waiting for them
