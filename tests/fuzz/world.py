"""The whole controller in virtual time: the real App, without its watch thread and web server, on an API server and a
Docker host in memory. It can be crashed at any mutating call and started again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime, tzinfo
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from controller.api import DockerHost
from controller.app import App
from controller.engine.cache import HostCache
from controller.engine.memory import MemoryEngine
from controller.engine.protocol import Engine
from controller.engine.pulls import ImagePuller
from controller.lease import Onlooker
from controller.settings import Settings
from tests.fuzz.apiserver import CLUSTER, ApiServer, Client, Object
from tests.fuzz.truth import WatchedHost
from tests.virtual_time import VirtualLoop

HOST = "default"
NAMESPACE = "team"
OURS = "world"  # the name of tasks that aren't the controller's
READS = ("info", "list", "inspect", "image", "networks", "stats", "may_pull")
HOST_SPEC = {
    "endpoint": "unix:///run/memory.sock",
    "policy": {"namespaces": {"matchNames": ["*"]}, "images": ["*"], "ports": {"range": "20000-20009"}},
}


class World:
    """Everything of one run. `go(seconds)` lets virtual time pass."""

    def __init__(self, host_spec: Mapping[str, Any] = HOST_SPEC) -> None:
        self.loop = VirtualLoop()
        self._exits = ExitStack()
        self._exits.enter_context(_clocks(self.loop))
        self.api = ApiServer(self.loop.wall)
        self.host = WatchedHost(self.loop.wall, self.api, self.loop.time)
        self.calls: list[str] = []  # mutating ones, of all controllers
        self._fatal: tuple[int, bool] | None = None  # the number of a mutating call, and whether after it
        self.controller = Controller(self)
        self.api.create("DockerHost", "", HOST, host_spec)
        self._run(self.controller.begin(Settings()))

    def go(self, seconds: float) -> None:
        """Time passes; a controller that crashes meanwhile stays down."""
        self._run(asyncio.sleep(seconds))

    def start(self, settings: Settings | None = None) -> None:
        """Starts a controller unless one runs."""
        if self.controller.dead:
            self.controller = Controller(self)
            self._run(self.controller.begin(settings or Settings()))

    def crash(self) -> None:
        """The controller ends at once; what it remembers is lost."""
        self._run(self.controller.die())

    def crash_at(self, call: int, *, after: bool) -> None:
        """The controller ends before or after its next but `call` mutating call."""
        self._fatal = (len(self.calls) + call, after)

    def close(self) -> None:
        """Ends everything."""
        self.crash()
        self._exits.close()
        self.loop.close()

    def get(self, name: str) -> Object | None:
        """A Workspace as it is."""
        return self.api.objects.get(("Workspace", NAMESPACE, name))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(self.loop.create_task(work, name=OURS))

    async def around(self, controller: Controller, what: str, after: bool) -> None:
        """Told of each mutating call of a controller before and after it has taken effect."""
        controller.check_alive()
        if not after:
            self.calls.append(what)
        if self._fatal == (len(self.calls) - 1, after):
            self._fatal = None
            controller.dead = True
            self.loop.call_soon(lambda: self.loop.create_task(controller.die(), name=OURS))
            await asyncio.Event().wait()


class Controller:
    """One life of a controller."""

    def __init__(self, world: World) -> None:
        self._world, self.dead = world, False
        self._tasks: set[asyncio.Task[Any]] = set()

    async def begin(self, settings: Settings) -> None:
        world = self._world
        kube: Any = Client(world.api, functools.partial(world.around, self))

        async def connect(wanted: DockerHost) -> Engine:
            return _HookedEngine(self)

        self.app = App(settings, kube, lambda *_: connect, lambda _, on_change: Onlooker(on_change))
        self.app._build(CLUSTER)
        world.api.watcher = self._deliver
        for name, work in self.app._loops().items():
            self._tasks.add(asyncio.create_task(work, name=name))
        world.api.tell_all()

    async def die(self) -> None:
        """No task goes on, no timer rings any more."""
        self.dead = True
        self._world.api.watcher = lambda kind, event, raw: None
        for queue in self.app.queues.values():
            queue._closed = True
        mine = [task for task in asyncio.all_tasks() if task.get_name() != OURS]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    def check_alive(self) -> None:
        """Nothing goes out any more once the process is gone."""
        if self.dead:
            raise asyncio.CancelledError

    def _deliver(self, kind: str, event: str | None, raw: Object) -> None:
        if not self.dead:
            self._world.loop.call_soon(self._hand_over, kind, event, raw)

    def _hand_over(self, kind: str, event: str | None, raw: Object) -> None:
        if not self.dead:
            self.app._watch.last_event[kind] = self._world.loop.time()
            self.app._deliver(kind, event, raw)

    async def around(self, what: str, after: bool) -> None:
        await self._world.around(self, what, after)

    @property
    def world(self) -> World:
        return self._world


class _HookedEngine(MemoryEngine):
    """Tells of its mutating calls."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(CLUSTER, controller.world.host)
        self._controller = controller
        self._call = self._hooked

    @asynccontextmanager
    async def _hooked(self, kind: str) -> AsyncIterator[None]:
        changes = kind not in READS
        if changes:
            await self._controller.around(kind, False)
        self._controller.check_alive()
        async with self.host.faults.call(kind):
            yield
        if changes:
            await self._controller.around(kind, True)

    async def remove(self, container: str, uid: str) -> None:
        self._controller.world.host.judge_stop(container)
        await super().remove(container, uid)

    async def signal(self, container: str, signal: str) -> None:
        self._controller.world.host.judge_stop(container)
        await super().signal(container, signal)


@contextmanager
def _clocks(loop: VirtualLoop) -> Iterator[None]:
    """Every clock that the controller reads is the loop's."""

    class Virtual(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return loop.wall()

    clock = SimpleNamespace(monotonic=loop.time)
    with ExitStack() as stack:
        for module in ("reconcile", "dockerhosts", "events", "operations.reconciler"):
            stack.enter_context(patch(f"controller.{module}.datetime", Virtual))
        for module in ("hosts", "execute"):
            stack.enter_context(patch(f"controller.{module}.time", clock))
        stack.enter_context(patch("controller.hosts.HostCache", functools.partial(HostCache, clock=loop.time)))
        stack.enter_context(patch("controller.hosts.ImagePuller", functools.partial(ImagePuller, clock=loop.time)))
        yield


@contextmanager
def world(host_spec: Mapping[str, Any] = HOST_SPEC) -> Iterator[World]:
    """A world, closed at the end."""
    made = World(host_spec)
    try:
        yield made
    finally:
        made.close()


def settle(made: World, until: Callable[[], None], limit: float, step: float = 1.0) -> float:
    """Lets time pass until the check passes; gives the virtual seconds. Raises its AssertionError after `limit`."""
    began = made.loop.time()
    while True:
        try:
            until()
            return made.loop.time() - began
        except AssertionError:
            if made.loop.time() - began > limit:
                raise
        with suppress(RuntimeError):
            made.go(step)
