"""Tests of what takes seconds, in no time: the clock of the loop jumps to the next timer when nothing is left to do."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual, in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self.threads = 0  # at work: no time passes meanwhile, however long they really take
        super().__init__(_Selector(self))

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        self.threads += 1
        done: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        done.add_done_callback(self._thread_ended)
        return done

    def _thread_ended(self, done: asyncio.Future[Any]) -> None:
        self.threads -= 1

    def time(self) -> float:
        return self.now

    def wall(self) -> datetime:
        """The virtual time as a wall clock's."""
        return EPOCH + timedelta(seconds=self.now)


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if self._loop.threads and timeout != 0 else 0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is left that could ever wake the test: it waits for ever")
        self._loop.now += max(timeout, 0.0)
        return []


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs the coroutine in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """An async test in virtual time."""

    @functools.wraps(test)
    def run_test(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    return run_test
