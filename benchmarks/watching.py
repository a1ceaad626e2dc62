"""Sees Workspaces change, as any client of the API server would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from lightkube import AsyncClient


@dataclass(slots=True)
class Seen:
    """A Workspace's last version; `ready_at` is when its current generation became Ready, on the monotonic clock."""

    raw: Mapping[str, Any]
    ready_at: float | None = None

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as it was written."""
        return self.raw.get("status") or {}


@dataclass(slots=True)
class Watcher:
    """Follows the Workspaces of one kind in one namespace."""

    client: AsyncClient
    kind: Any  # lightkube's resource
    namespace: str
    seen: dict[str, Seen] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Watches until cancelled."""
        while True:
            try:
                await self._drop_deleted()
                async for event, workspace in self.client.watch(self.kind, namespace=self.namespace):
                    await self._take(event, dict(workspace))
            except httpx2.HTTPError:  # also after 120 s in which nothing changed
                await asyncio.sleep(0.1)

    async def until(self, check: Callable[[dict[str, Seen]], bool], seconds: float = 300.0) -> float:
        """Waits until `check` holds; gives the monotonic time at which it was found to."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: check(self.seen))
        return time.monotonic()

    async def until_ready(self, names: list[str], seconds: float = 300.0) -> float:
        """Waits until all are Ready at their current generation; gives the time of the last."""
        await self.until(lambda seen: all(n in seen and seen[n].ready_at is not None for n in names), seconds)
        return max(self.seen[name].ready_at or 0.0 for name in names)

    async def quiet(self, seconds: float) -> None:
        """Waits until nothing has changed for so long."""
        while True:
            try:
                async with asyncio.timeout(seconds), self._changed:
                    await self._changed.wait()
            except TimeoutError:
                return

    async def until_gone(self, seconds: float = 300.0) -> float:
        """Waits until there is none."""
        return await self.until(lambda seen: not seen, seconds)

    async def _drop_deleted(self) -> None:
        """A watch begins with what is there; it doesn't tell what went while there was none."""
        there = {each.metadata.name async for each in self.client.list(self.kind, namespace=self.namespace)}
        async with self._changed:
            for name in self.seen.keys() - there:
                del self.seen[name]
            self._changed.notify_all()

    async def _take(self, event: str, raw: dict[str, Any]) -> None:
        name = raw["metadata"]["name"]
        async with self._changed:
            if event == "DELETED":
                self.seen.pop(name, None)
            else:
                before = self.seen.get(name)
                ready_at = (before and before.ready_at) or time.monotonic()
                self.seen[name] = Seen(raw, ready_at if _is_ready(raw) else None)
            self._changed.notify_all()


def _is_ready(raw: Mapping[str, Any]) -> bool:
    status = raw.get("status") or {}
    if status.get("observedGeneration") != raw["metadata"]["generation"]:
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
