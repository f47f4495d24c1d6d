"""How every plugin here is served: a gRPC server on a free port, which the engine reads from the first line."""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from concurrent import futures

import grpc


def serve(register: Callable[[grpc.Server], None]) -> None:
    """Serves what `register` adds, until the engine sends SIGINT or has ended."""
    # A program and each policy pack keep a thread for as long as they run.
    server = grpc.server(futures.ThreadPoolExecutor(64), options=[("grpc.so_reuseport", 0)])
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
    print(port, flush=True)
    # An engine that was killed says nothing, but nobody reads what this writes any more: that is an error of the pipe,
    # which is reported without being asked for.
    ended = select.poll()
    ended.register(wake, select.POLLIN)
    ended.register(sys.stdout, 0)
    ended.poll()
    server.stop(grace=0.2).wait(0.5)
    os._exit(0)  # the engine must not wait for threads that still wait for a program
