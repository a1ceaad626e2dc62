"""Calls in threads, awaited: what becomes of them when nobody waits any more."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import urllib3.exceptions

from controller.engine import transport as module
from controller.engine.threads import Threads
from controller.engine.transport import Transport
from controller.errors import CallTimeout, EngineError, HostUnreachable, WorkspaceError
from tests.waiting import eventually_async

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


class Heard:
    """Notes what an engine's calls came to (`CallObserver`)."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []

    def began(self, operation: str) -> None:
        pass

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        self.outcomes.append((operation, outcome))


READ_TIMED_OUT = requests.exceptions.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "/", "late"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(None, "ok"), (requests.exceptions.ReadTimeout(), "timeout"), (READ_TIMED_OUT, "timeout"), (OSError(), "error")],
    ids=["answered", "late", "late in the middle of the answer", "cut off"],
)
async def test_a_call_is_told_as_what_it_came_to(error: Exception | None, outcome: str) -> None:
    def work(call: Any) -> None:
        if error is not None:
            raise error

    heard = Heard()
    calls = Transport("unix:///nowhere", None, None, {"look": 1}, heard)
    with suppress(WorkspaceError):
        await calls.run("look", "inspect", work)
    await calls.close()
    await eventually_async(lambda: heard.outcomes == [("inspect", outcome)], timeout=5)


@pytest.mark.parametrize(
    ("error", "outcome"), [(None, "ok"), (CallTimeout("late"), "timeout"), (HostUnreachable("cut off"), "error")]
)
async def test_a_pull_is_told_as_one_call(error: WorkspaceError | None, outcome: str) -> None:
    async def progress() -> AsyncIterator[str]:
        yield "1 of 2 MB"
        if error is not None:
            raise error

    heard = Heard()
    calls = Transport("unix:///nowhere", None, None, {"look": 1}, heard)
    with suppress(WorkspaceError):
        assert [words async for words in calls.counted("pull", progress())] == ["1 of 2 MB"]
    await calls.close()
    assert heard.outcomes == [("pull", outcome)]


async def test_a_call_for_which_no_thread_can_be_had_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    made: list[str] = []
    monkeypatch.setattr(module, "_THREADS", Threads("engine-call"))
    calls = transport()
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        with pytest.raises(EngineError, match="can't start new thread"):
            await calls.run("look", "inspect", lambda call: made.append("the one that failed"))
    await calls.run("look", "inspect", lambda call: made.append("the next"))
    await asyncio.sleep(0.1)
    assert made == ["the next"]
    assert (module._THREADS.started, module._THREADS.busy) == (1, 0)


async def test_a_thread_that_hangs_at_the_end_of_a_connection_keeps_no_name_from_being_looked_up() -> None:
    release = threading.Event()
    calls = [transport() for _ in range(40)]  # more than the event loop's own pool has threads

    def hang(call: Any) -> None:
        release.wait(30)

    for each in calls:
        task = asyncio.create_task(each.run("look", "inspect", hang))
        await asyncio.sleep(0.01)
        task.cancel()
    closing = [asyncio.create_task(each.close()) for each in calls]
    await asyncio.sleep(0.1)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo("localhost", 443), 5)
    finally:
        release.set()
        await asyncio.gather(*closing)


async def test_a_stream_for_which_no_thread_can_be_had_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    calls = transport()
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse)
        with pytest.raises(EngineError, match="can't start new thread"):
            await anext(calls.stream(lambda connection: iter(()), lambda error: EngineError(str(error))))
    await calls.close()
