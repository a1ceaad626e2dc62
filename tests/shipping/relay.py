"""Lets what runs in an engine's network namespace reach a server on this machine's own loopback."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from devcluster import Engine

_CLONE_NEWNET = 0x40000000


@contextmanager
def relay(engine: Engine, port: int) -> Iterator[None]:
    """Listen on 127.0.0.1:`port` inside, and pass each connection on to the same port outside."""
    listener = _listen_inside(engine.namespace, port)
    threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _listen_inside(namespace: str, port: int) -> socket.socket:
    """A socket belongs to the namespace of the thread that made it, wherever it is used later."""
    made: list[socket.socket] = []

    def make() -> None:
        target = os.open(Path("/run/netns") / namespace, os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(target, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(target)
        made.append(socket.create_server(("127.0.0.1", port)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def _accept(listener: socket.socket, port: int) -> None:
    while True:
        try:
            inside, _ = listener.accept()
        except OSError:
            return
        try:
            outside = socket.create_connection(("127.0.0.1", port))
        except OSError:
            inside.close()
            continue
        for source, sink in ((inside, outside), (outside, inside)):
            threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
