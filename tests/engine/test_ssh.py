"""A Docker host over SSH: with the key and the known host that were given, and with nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import paramiko
import pytest

from controller.engine.connection import SshAccess
from controller.engine.dockerd import DockerdEngine
from controller.engine.ssh import private_key
from controller.errors import ConfigurationError, HostUnreachable
from devcluster import Engine as Dockerd
from tests.engine.specs import CLUSTER, policy, spec
from tests.engine.ssh_server import SshServer, key_text
from tests.waiting import eventually_async


@pytest.fixture
def server(engine: Dockerd) -> Iterator[SshServer]:
    with SshServer(engine.socket) as started:
        yield started
    engine.remove_containers()


async def test_everything_works_over_ssh(server: SshServer) -> None:
    engine = DockerdEngine(CLUSTER, server.endpoint, ssh=SshAccess(server.private_key, server.known_hosts))
    try:
        stream = engine.events()
        await anext(stream)
        container = await engine.create("ws-1", spec(), {}, policy())
        await engine.start(container)
        assert (await anext(stream)).container_id == container
        assert [row.id for row in await engine.list()] == [container]
        await engine.remove(container, "uid-1")
    finally:
        await engine.close()


async def test_many_calls_keep_to_the_sessions_that_a_login_may_have(server: SshServer) -> None:
    access = SshAccess(server.private_key, server.known_hosts)
    engine = DockerdEngine(CLUSTER, server.endpoint, ssh=access, max_operations=16)
    try:
        made = await asyncio.gather(*(engine.create(f"ws-{n}", spec(), {}, policy()) for n in range(24)))
        shown = await asyncio.gather(*(engine.inspect(container) for container in made), engine.list(), engine.info())
        assert len(shown) == len(made) + 2
        await asyncio.gather(*map(engine.start, made))
    finally:
        await engine.close()


async def test_lost_login_is_made_again(server: SshServer) -> None:
    engine = DockerdEngine(CLUSTER, server.endpoint, ssh=SshAccess(server.private_key, server.known_hosts))
    try:
        assert await engine.list() == []
        server.hang_up()

        async def listed() -> bool:
            try:
                return await engine.list() == []
            except HostUnreachable:
                return False

        await eventually_async(listed, timeout=10)
    finally:
        await engine.close()


async def test_unknown_host_key_is_refused(server: SshServer) -> None:
    other = paramiko.ECDSAKey.generate()
    forged = f"[127.0.0.1]:{server.port} {other.get_name()} {other.get_base64()}\n"
    for known_hosts in ("", forged):
        engine = DockerdEngine(CLUSTER, server.endpoint, ssh=SshAccess(server.private_key, known_hosts))
        with pytest.raises(HostUnreachable):
            await engine.info()
        await engine.close()


async def test_wrong_key_is_refused(server: SshServer) -> None:
    wrong = key_text(paramiko.ECDSAKey.generate())
    engine = DockerdEngine(CLUSTER, server.endpoint, ssh=SshAccess(wrong, server.known_hosts))
    with pytest.raises(HostUnreachable, match=r"(?i)auth"):
        await engine.info()
    await engine.close()


def test_what_is_no_key_is_not_shown() -> None:
    with pytest.raises(ConfigurationError) as raised:
        private_key("canary")
    assert "canary" not in str(raised.value)


class DeafWay:
    """A way to the server, until it is `deaf`: then nothing comes through any more, and nobody is told."""

    def __init__(self, server: SshServer) -> None:
        self._server, self.deaf = server, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.endpoint = f"ssh://docker@127.0.0.1:{self._listener.getsockname()[1]}"
        port = self._listener.getsockname()[1]
        self.access = SshAccess(server.private_key, server.known_hosts.replace(f":{server.port} ", f":{port} "))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ends = (self._listener.accept()[0], socket.create_connection(("127.0.0.1", self._server.port)))
                self._ends += ends
                for source, target in (ends, ends[::-1]):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.deaf:
                    target.sendall(data)


async def test_a_way_that_falls_silent_does_not_hold_up_the_end_of_a_connection(server: SshServer) -> None:
    """Else the host would not be connected to anew before TCP gives up, which may be never."""
    way = DeafWay(server)
    engine = DockerdEngine(CLUSTER, way.endpoint, ssh=way.access)
    try:
        stream = engine.events()
        await anext(stream)
        assert await engine.list() == []
        way.deaf = True
        asking = asyncio.create_task(engine.list())
        await asyncio.sleep(0.2)
        async with asyncio.timeout(3):
            await engine.close()
        with pytest.raises(HostUnreachable):
            await asking
    finally:
        way.close()
