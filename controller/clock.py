"""The event loop's clock: what time it is, and waiting for something no longer than so many seconds."""

from __future__ import annotations

import asyncio
from contextlib import suppress


def mono() -> float:
    """The running loop's time, in seconds: what `wake_at` counts in."""
    return asyncio.get_running_loop().time()


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event is set, or so many seconds have passed (None: however many)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
