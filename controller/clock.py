"""The event loop's clock: what time it is, and waiting for something no longer than so many seconds."""

from __future__ import annotations

import asyncio


def mono() -> float:
    """The running loop's time, in seconds: what `wake_at` counts in."""
    return asyncio.get_running_loop().time()


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event is set; after so many seconds (None: never) the clock sets it. Not by a timeout, which is three
    exceptions each time."""
    alarm = asyncio.get_running_loop().call_later(seconds, event.set) if seconds is not None else None
    try:
        await event.wait()
    finally:
        if alarm is not None:
            alarm.cancel()
