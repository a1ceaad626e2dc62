"""A Docker host over SSH: with the key and the known host that were given, and with nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

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
