"""Letting go of hosts."""

import asyncio

import pytest

from controller.api import DockerHost
from controller.engine.cache import HostCache
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.engine.protocol import Engine
from controller.hosts import Hosts
from tests.unit.api.objects import docker_host
from tests.waiting import eventually_async


async def test_a_host_whose_cache_fails_while_it_ends_is_let_go_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of tasks that is cancelled, and one of which fails then, tells of the failure alone."""

    async def run(cache: HostCache) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("a bug")

    async def connect(wanted: DockerHost) -> Engine:
        return MemoryEngine("cluster", MemoryHost())

    monkeypatch.setattr(HostCache, "run", run)
    hosts = Hosts(connect, lambda host, uid: None, lambda waiters: None)
    hosts.apply(DockerHost.model_validate(docker_host(endpoint="unix:///run/docker.sock")))
    await eventually_async(lambda: hosts.get("case") is not None)
    async with asyncio.timeout(10):
        await hosts.remove("case")
    assert hosts.get("case") is None
