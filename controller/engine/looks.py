"""What images a host has, asked of it a moment ago: Workspaces of one image that are made together share a look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.engine.protocol import Engine, Image

_LAST = 1.0  # seconds from its beginning that a look is good for; a create may wait longer than that for its turn


class Looks:
    """Looks at the images of one host. `clock` is monotonic, in seconds."""

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine, self._clock = engine, clock
        self._recent: dict[str, tuple[float, asyncio.Task[Image | None]]] = {}

    def begin(self, name: str) -> asyncio.Task[Image | None]:
        """A look at `name` (normalized): one that began a moment ago, or a new one. It ends as the engine's call does,
        whoever waits for it."""
        now = self._clock()
        self._recent = {image: look for image, look in self._recent.items() if now - look[0] < _LAST}
        if name not in self._recent:
            task = asyncio.create_task(self._engine.image(name), name=f"look at {name}")
            self._recent[name] = now, task
            task.add_done_callback(lambda ended: self._keep_what_was_found(name, ended))
        return self._recent[name][1]

    async def image(self, name: str) -> Image | None:
        """None where the host hasn't got it. Raises what the engine raises."""
        task = self.begin(name)
        await asyncio.wait([task])  # one who is cancelled cancels it for no one else
        return task.result()

    def forget(self) -> None:
        """Images have changed: who asks from now on is told what is there now."""
        self._recent.clear()

    def _keep_what_was_found(self, name: str, ended: asyncio.Task[Image | None]) -> None:
        found = not ended.cancelled() and ended.exception() is None and ended.result() is not None
        if not found and self._recent.get(name, (0.0, None))[1] is ended:
            del self._recent[name]
