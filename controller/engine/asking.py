"""Calls to a host, and the wait for their turn, that end when the host becomes unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controller.errors import HostUnreachable


class Asking:
    """All calls of one host that are under way or wait."""

    def __init__(self) -> None:
        self._deadlines: set[asyncio.Timeout] = set()
        self._why = ""

    @asynccontextmanager
    async def until_ended(self) -> AsyncIterator[None]:
        """Raises HostUnreachable where `end` is called meanwhile; what became of a call that was sent is unknown."""
        deadline = asyncio.timeout(None)
        try:
            async with deadline:
                self._deadlines.add(deadline)
                yield
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise HostUnreachable(self._why) from error
        finally:
            self._deadlines.discard(deadline)

    def end(self, why: str) -> None:
        """Ends them all, now."""
        self._why = why
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())
        self._deadlines.clear()
