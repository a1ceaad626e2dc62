"""Work on each host by itself: one that is slow holds up neither the others nor who begins the work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class PerHost:
    """At most one task a host. `what`: the tasks' name."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, host: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begins `work`, unless the last that was begun for the host is still under way: it misses this time."""
        self._tasks = {name: task for name, task in self._tasks.items() if not task.done()}
        if host not in self._tasks:
            self._tasks[host] = asyncio.create_task(work(), name=f"{self._what} {host}")

    async def cancel(self) -> None:
        """Ends what is under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
