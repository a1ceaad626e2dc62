"""Calls in threads, awaited: what becomes of them when nobody waits any more."""

import asyncio
import gc
import threading
import time
from typing import Any

import pytest

from controller.engine.transport import Transport
from controller.errors import HostUnreachable

STEPS = 12  # of the event loop; from the end of a thread's work to who waits for it are fewer


def transport() -> Transport:
    return Transport("unix:///nowhere", None, None, {"look": 1})


async def cancelled_after(steps: int, error: Exception | None) -> bool:
    """Cancels a call so many steps of the loop after its work was done. Whether it was not too late for that."""
    go = threading.Event()

    def work(call: Any) -> str:
        go.wait()
        if error is not None:
            raise error
        return "answer"

    calls = transport()
    call = asyncio.create_task(calls.run("look", "inspect", work))
    await asyncio.sleep(0.01)
    go.set()
    time.sleep(0.01)  # noqa: ASYNC251 - the loop must not hear of it meanwhile
    for _ in range(steps):
        await asyncio.sleep(0)
    in_time = call.cancel()
    if in_time:
        with pytest.raises(asyncio.CancelledError):
            await call
    else:
        assert call.exception() is None if error is None else isinstance(call.exception(), HostUnreachable)
    await calls.close()
    return in_time


@pytest.mark.parametrize("error", [None, ConnectionError("cut off")])
async def test_a_call_that_is_cancelled_just_when_it_is_answered_is_cancelled(error: Exception | None) -> None:
    """Else the loop that made it would go on, and whoever waits for the loop's end would wait for ever."""
    assert [await cancelled_after(steps, error) for steps in range(STEPS)].count(True) in range(1, STEPS)


async def test_a_call_that_fails_when_nobody_waits_any_more_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    for steps in range(STEPS):
        await cancelled_after(steps, ConnectionError("cut off"))
    gc.collect()
    assert not caplog.records
