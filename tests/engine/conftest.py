"""Both engines behind one fixture: whatever `host.engine` is, the contract holds."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.engine import transport
from controller.engine.dockerd import DockerdEngine
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.engine.protocol import Engine
from devcluster import Engine as Dockerd
from tests.engine.hands import DockerdHands, Hands, MemoryHands
from tests.engine.specs import CLUSTER
from tests.waiting import eventually


@dataclass
class Host:
    """An engine under test, a person at its host, and a directory there whose parents are missing."""

    engine: Engine
    hands: Hands
    projects: Path

    def other(self, cluster: str) -> Engine:
        """The same host as another cluster sees it; its user closes it."""
        if isinstance(self.engine, MemoryEngine):
            return MemoryEngine(cluster, self.engine.host)
        assert isinstance(self.hands, DockerdHands)
        return DockerdEngine(cluster, self.hands.endpoint)


DOCKERDS = {"dockerd": "engine", "dockerd29": "engine29", "dockerd29.0": "engine29_0"}


@pytest.fixture(params=["memory", *DOCKERDS])
async def host(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Host]:
    """Each engine in turn, without containers."""
    projects = tmp_path / "projects" / "team-a"
    if request.param == "memory":
        memory = MemoryHost()
        memory.missing_paths.add(str(projects / "shop"))
        yield Host(MemoryEngine(CLUSTER, memory), MemoryHands(memory), projects)
        return
    dockerd: Dockerd = request.getfixturevalue(DOCKERDS[request.param])
    hands = DockerdHands(dockerd)
    engine = DockerdEngine(CLUSTER, dockerd.endpoint)
    try:
        yield Host(engine, hands, projects)
    finally:
        await engine.close()
        hands.clean()


@pytest.fixture
async def dockerd(engine: Dockerd) -> AsyncIterator[DockerdEngine]:
    """Debian's engine alone, for what the in-memory one doesn't have."""
    connected = DockerdEngine(CLUSTER, engine.endpoint)
    try:
        yield connected
    finally:
        await connected.close()
        engine.remove_containers()


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Threads that are at work for an engine that is closed fail the test."""
    yield
    leaked = [thread.name for thread in threading.enumerate() if thread.name.startswith("docker")]
    assert not leaked
    eventually(lambda: transport._THREADS.busy == 0, timeout=5)
