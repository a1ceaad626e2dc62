"""What a container uses, and what calls to an engine tell those who measure them."""

from __future__ import annotations

import pytest

from controller.engine.dockerd import DockerdEngine
from controller.errors import ContainerGone
from devcluster import Engine as Dockerd
from tests.engine.conftest import Host
from tests.engine.specs import CLUSTER, policy, spec
from tests.waiting import eventually_async

NAME = "ws-team-a-shop-uid1"


async def test_stats_of_a_running_container_are_plausible(host: Host) -> None:
    container = await host.engine.create(NAME, spec(), {}, policy())
    await host.engine.start(container)
    stats = await host.engine.stats(container)
    assert stats.pids >= 1
    assert 0 <= stats.memory_bytes < 100 * 1024**2
    assert 0 <= stats.cpu_seconds < 60


async def test_a_container_that_does_not_run_has_no_stats(host: Host) -> None:
    container = await host.engine.create(NAME, spec(), {}, policy())
    with pytest.raises(ContainerGone):
        await host.engine.stats(container)
    with pytest.raises(ContainerGone):
        await host.engine.stats("0" * 64)


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.calls: list[tuple[str, str]] = []

    def began(self, operation: str) -> None:
        self.in_flight += 1

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        self.in_flight -= 1
        self.calls.append((operation, outcome))


async def test_an_observer_hears_of_each_call_and_how_it_ended(engine: Dockerd) -> None:
    heard = Heard()
    connected = DockerdEngine(CLUSTER, engine.endpoint, observer=heard)
    try:
        await connected.list()
        with pytest.raises(ContainerGone):
            await connected.inspect("0" * 64)
        await eventually_async(lambda: len(heard.calls) == 2, timeout=5)
    finally:
        await connected.close()
    assert heard.calls == [("list", "ok"), ("inspect", "error")]
    assert heard.in_flight == 0
