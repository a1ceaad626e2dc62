"""Looks at the containers of a host that something was told about: each of them once, a few at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from controller.engine.cache_stats import CacheStats
from controller.engine.protocol import Engine
from controller.engine.snapshots import Snapshots
from controller.errors import ContainerGone, WorkspaceError

INSPECTS_AT_ONCE = 16  # after a start, a thousand on a host 20 ms away take 2 s; with half as many it would be 3

log = logging.getLogger(__name__)


class Inspects:
    """Asks the engine about containers and keeps the answers in `snapshots`.

    `changed(uid)` is called where an answer changed what is known of a Workspace. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        snapshots: Snapshots,
        stats: CacheStats,
        clock: Callable[[], float],
        changed: Callable[[str | None], None],
    ) -> None:
        self._engine, self._snapshots, self._stats, self._clock = engine, snapshots, stats, clock
        self._changed = changed
        self._todo: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._changing: set[str] = set()  # containers on which a call of ours is under way

    @contextmanager
    def held(self, container: str) -> Iterator[None]:
        """Nobody looks at the container meanwhile."""
        self._changing.add(container)
        try:
            yield
        finally:
            self._changing.discard(container)

    def is_held(self, container: str) -> bool:
        """Whether a call of ours on it is under way."""
        return container in self._changing

    def enqueue(self, container: str) -> None:
        """Has it looked at soon, if that is due."""
        if self._is_due(container) and container not in self._queued:
            self._queued.add(container)
            self._todo.put_nowait(container)

    async def all_done(self) -> None:
        """Returns when nothing is left to look at."""
        await self._todo.join()

    async def run(self) -> None:
        """Looks at one after the other, for ever. INSPECTS_AT_ONCE of these run at the same time."""
        while True:
            container = await self._todo.get()
            self._queued.discard(container)
            try:
                if self._is_due(container):
                    await self.look_at(container)
            except WorkspaceError as error:
                log.debug("inspect %s: %s", container[:12], error)
                self._changed(self._snapshots.unanswered(container, self._clock()))  # the next list enqueues it again
            finally:
                self._todo.task_done()

    async def look_at(self, container: str) -> None:
        """Inspects it now. Raises WorkspaceError, but never ContainerGone."""
        began = self._snapshots.begin()
        entry = self._snapshots.get(container)
        if entry is not None:
            entry.inspecting = began
        self._stats.inspects += 1
        try:
            shown = await self._engine.inspect(container)
        except ContainerGone:
            self._changed(self._snapshots.drop(container))
        else:
            self._changed(self._snapshots.store(shown, began))
        finally:
            if entry is not None and entry.inspecting == began:
                entry.inspecting = -1
        if entry is not None and entry.is_due:
            self.enqueue(container)  # doubted meanwhile

    def _is_due(self, container: str) -> bool:
        entry = self._snapshots.get(container)
        return entry is not None and entry.is_due and container not in self._changing
