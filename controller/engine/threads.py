"""Threads for calls that block: one for each call that is under way, kept for the next one.

Not concurrent.futures' pool: where no thread can be started (a limit of processes) that keeps the work, does it later
although the caller was told that it failed, and from then on takes threads for idle that aren't there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]


class Threads:
    """As many threads as there ever were calls at a time. They end with the process, which doesn't wait for them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[SimpleQueue[_Job]] = []  # of each idle thread, what it is given next
        self.started = 0

    @property
    def busy(self) -> int:
        """How many are at work."""
        return self.started - len(self._idle)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Does the work in a thread, at once. Raises RuntimeError where none can be started: then it is never done."""
        future: Future[T] = Future()
        try:
            self._idle.pop().put((future, work))
        except IndexError:
            self._start((future, work))
        return future

    def _start(self, job: _Job) -> None:
        jobs: SimpleQueue[_Job] = SimpleQueue()
        jobs.put(job)
        threading.Thread(target=self._work, args=(jobs,), name=self._name, daemon=True).start()
        self.started += 1

    def _work(self, jobs: SimpleQueue[_Job]) -> None:
        while True:
            self._do(jobs, *jobs.get())  # which are held no longer than that: they lead to answers of megabytes

    def _do(self, jobs: SimpleQueue[_Job], future: Future[Any], work: Callable[[], Any]) -> None:
        """It is idle again before anybody hears of the result, who may have the next call to make."""
        if not future.set_running_or_notify_cancel():
            self._idle.append(jobs)
            return
        try:
            result = work()
        except BaseException as error:
            self._idle.append(jobs)
            future.set_exception(error)
        else:
            self._idle.append(jobs)
            future.set_result(result)
