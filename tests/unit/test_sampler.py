"""Sampling on in-memory hosts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from controller import naming
from controller.engine.cache import HostCache
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.sampler import Sampler
from controller.usage import Stats
from tests.waiting import eventually_async

START = datetime(2026, 1, 1, tzinfo=UTC)
INTERVAL = 0.02


@dataclass
class Host:
    """One host in memory."""

    name: str
    engine: MemoryEngine
    cache: HostCache

    def run(self, uid: str) -> str:
        labels = {
            naming.LABEL_CLUSTER: "c", naming.LABEL_UID: uid, naming.LABEL_NAMESPACE: "team-a", naming.LABEL_NAME: uid
        }  # fmt: skip
        return self.engine.host.run(f"ws-{uid}", labels)


@pytest.fixture
async def hosts() -> AsyncIterator[list[Host]]:
    made = []
    for name in ("a", "b"):
        engine = MemoryEngine("c", MemoryHost())
        made.append(Host(name, engine, HostCache(engine)))
    tasks = [asyncio.create_task(host.cache.run()) for host in made]
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def sampler(hosts: list[Host]) -> AsyncIterator[Sampler]:
    sampler = Sampler(lambda: hosts, INTERVAL, lambda uid: None)
    task = asyncio.create_task(sampler.run())
    yield sampler
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_each_running_container_is_sampled_with_its_cpus(hosts: list[Host], sampler: Sampler) -> None:
    container = hosts[0].run("one")
    made = hosts[0].engine.host.find(container)
    made.stats = Stats(START, 10.0, 5, 2, 0, 0)
    await eventually_async(lambda: sampler.of(hosts[0].engine.host.find(container).shown) is not None, timeout=10)
    rates = []
    sampler._on_sample = lambda uid: rates.append(sampler.of(made.shown))
    made.stats = Stats(START + timedelta(seconds=10), 15.0, 5, 2, 0, 0)
    await eventually_async(lambda: 0.5 in [sample and sample.cpus for sample in rates], timeout=10)
    assert [(u.namespace, u.workspace, u.cpu_seconds) for u in sampler.now()] == [("team-a", "one", 15.0)]


async def test_a_stopped_container_has_no_sample_any_more(hosts: list[Host], sampler: Sampler) -> None:
    container = hosts[0].run("one")
    await eventually_async(lambda: sampler.of(hosts[0].engine.host.find(container).shown) is not None, timeout=10)
    hosts[0].engine.host.kill(container, "SIGKILL")
    await eventually_async(lambda: not sampler.now(), timeout=10)


async def test_a_host_that_hangs_does_not_delay_another(hosts: list[Host], sampler: Sampler) -> None:
    hosts[0].run("slow")
    hosts[1].engine.host.new_id()  # in memory, IDs are the same on each host
    hosts[1].run("quick")
    hosts[0].engine.host.faults.hang("stats", times=1)
    await eventually_async(lambda: [usage.workspace for usage in sampler.now()] == ["quick"], timeout=5)
