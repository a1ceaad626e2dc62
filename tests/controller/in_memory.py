"""The whole controller in this process, on a real API server, with a Docker host in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from controller.api import DockerHost
from controller.app import App
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.engine.protocol import Engine
from controller.errors import HostUnreachable
from controller.hosts import Connect
from controller.kube import ApiUnavailable, Kube, kubeconfig
from controller.lease import Onlooker
from controller.metrics import Metrics
from controller.settings import Settings
from tests.waiting import eventually_async

NAME = "memory"
"""The DockerHost that is in memory."""


def _connect_to(host: MemoryHost) -> Callable[[str, Kube, Metrics], Connect]:
    def make(cluster: str, kube: Kube, metrics: Metrics) -> Connect:
        async def connect(wanted: DockerHost) -> Engine:
            if wanted.metadata.name != NAME:  # another test's, on the same control plane
                raise HostUnreachable(f"{wanted.metadata.name} is not in memory")
            return MemoryEngine(cluster, host)

        return connect

    return make


@asynccontextmanager
async def running(host: MemoryHost, writes: list[tuple[str, str, float]] | None = None) -> AsyncIterator[App]:
    """A controller that acts, until the end; KUBECONFIG must name the API server.

    `writes` gets the kind, the verb and the loop's time of each write to the API server.
    """
    kube = Kube(kubeconfig())
    app = App(Settings(listen="127.0.0.1:0"), kube, _connect_to(host), lambda _, on_change: Onlooker(on_change))
    task = asyncio.create_task(app.run())
    try:
        await eventually_async(lambda: _may_act(app, task))
        if writes is not None:
            _record(kube, writes)
        yield app
    finally:
        app.stop()
        await task


async def crash(app: App) -> None:
    """From now on nothing that the controller does reaches anything; then it ends. As a kill, seen from outside."""

    async def lost(call: Any) -> Any:
        call.close()
        raise ApiUnavailable("the controller has crashed")

    app.kube._call = lost  # type: ignore[method-assign]
    for host in app.hosts:
        await host.engine.close()


def _may_act(app: App, task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
    return hasattr(app, "leadership") and app.may_act()


def _record(kube: Kube, writes: list[tuple[str, str, float]]) -> None:
    inner: Any = kube.on_write

    def note(kind: str, verb: str) -> None:
        writes.append((kind, verb, asyncio.get_running_loop().time()))
        inner(kind, verb)

    kube.on_write = note
