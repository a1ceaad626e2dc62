"""The keyed queue: one worker at a time for each key, and a bounded number of workers for each group of keys.

A key that is added while it is worked on is worked on once more afterwards (the dirty set); a key has one timer, and
the earlier time wins. Nothing is lost: a worker that raises is logged by its caller and the key is tried again.
Groups don't wait for each other: what is slow in one delays nothing in another. Keys of a minor group have little to be
done, but may come by the thousand (a host that is lost, of which all is told): one worker, which counts for no share.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)
RETRY_AFTER_BUG = (5.0, 30.0)  # seconds, doubled each time; rights that are missing for now are among the unexpected
WORKERS = 16  # for each group at most: as much as a host gains from, few enough for its neighbours when thousands come
WORKERS_OF_ALL = 128  # shared out evenly among groups that are busy: what each needs for a moment adds up
FEWEST = 2  # for each group, however many others are busy
MINOR = 1  # for a minor group: with two the slowest of the neighbours' creates took half as long again, with four twice


class KeyedQueue(Generic[Key]):
    """Runs `worker(key)` for keys that were added. Lives on one event loop. `group_of` says whom a key may wait for."""

    def __init__(
        self,
        worker: Callable[[Key], Awaitable[None]],
        group_of: Callable[[Key], Hashable] = lambda key: None,
        is_minor: Callable[[Any], bool] = lambda group: False,
    ) -> None:
        self._worker, self._group_of, self._is_minor = worker, group_of, is_minor
        self._dirty: dict[Key, float] = {}  # key -> when it was added, on the loop's clock
        self._waiting: dict[Hashable, dict[Key, None]] = {}  # by group: dirty keys that aren't worked on, in order
        self._lined_up: dict[Key, Hashable] = {}  # key -> the group in which it waits
        self._busy: dict[Hashable, int] = {}  # by group: how many workers
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failed: dict[Key, int] = {}  # how often in a row
        self._closed = False
        self.on_wait: Callable[[float], None] = lambda seconds: None  # told how long each key waited

    def __len__(self) -> int:
        """How many keys wait for their worker."""
        return len(self._dirty)

    @property
    def working(self) -> int:
        """How many keys are worked on."""
        return len(self._tasks)

    def add(self, key: Key) -> None:
        """Has the key worked on soon, and again if it is being worked on now."""
        if self._closed:
            return
        if key in self._dirty:
            self._move(key)
            return
        self._dirty[key] = asyncio.get_running_loop().time()
        if key not in self._tasks:
            self._line_up(key)

    def wake_at(self, key: Key, when: float | None) -> None:
        """Adds the key at `when` (the loop's clock); replaces the key's timer. None: no timer."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if when is not None and not self._closed:
            self._timers[key] = asyncio.get_running_loop().call_at(when, self._ring, key)

    def forget(self, key: Key) -> None:
        """Drops the key's timer; the object is gone."""
        self.wake_at(key, None)
        self._failed.pop(key, None)

    async def close(self, grace: float) -> None:
        """Takes no more keys; gives workers `grace` seconds to end, then cancels them."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._dirty.clear()
        self._waiting.clear()
        self._lined_up.clear()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ring(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _line_up(self, key: Key) -> None:
        group = self._group_of(key)
        self._waiting.setdefault(group, {})[key] = None
        self._lined_up[key] = group
        self._start_waiting(group)

    def _move(self, key: Key) -> None:
        """A key that waits may belong elsewhere by now."""
        before = self._lined_up.get(key)
        if key in self._lined_up and self._group_of(key) != before:
            del self._waiting[before][key]
            self._start_waiting(before)
            self._line_up(key)

    def _start_waiting(self, group: Hashable) -> None:
        """As many as the group may have now: its share grows when others are done."""
        waiting = self._waiting.get(group, {})
        while waiting and not self._closed and self._busy.get(group, 0) < self._share_of(group):
            key = next(iter(waiting))
            del waiting[key], self._lined_up[key]
            self._start(key, group)
        if not waiting:
            self._waiting.pop(group, None)

    def _share_of(self, group: Hashable) -> int:
        return MINOR if self._is_minor(group) else self._share()

    def _share(self) -> int:
        sharing = sum(not self._is_minor(group) for group in self._busy)
        return max(FEWEST, min(WORKERS, WORKERS_OF_ALL // max(1, sharing)))

    def _start(self, key: Key, group: Hashable) -> None:
        self._busy[group] = self._busy.get(group, 0) + 1
        self.on_wait(asyncio.get_running_loop().time() - self._dirty.pop(key))
        self._tasks[key] = asyncio.get_running_loop().create_task(self._work(key, group), name=f"worker {key}")

    async def _work(self, key: Key, group: Hashable) -> None:
        try:
            await self._worker(key)
            self._failed.pop(key, None)
        except Exception:
            logger.exception("the worker failed; it is tried again", extra={"key": str(key)})
            self._retry(key)
        finally:
            del self._tasks[key]
            self._leave(group)
            if key in self._dirty:
                self._line_up(key)
            self._start_waiting(group)

    def _retry(self, key: Key) -> None:
        first, longest = RETRY_AFTER_BUG
        self._failed[key] = self._failed.get(key, 0) + 1
        wait = min(first * 2 ** min(self._failed[key] - 1, 10), longest)
        self.wake_at(key, asyncio.get_running_loop().time() + wait)

    def _leave(self, group: Hashable) -> None:
        self._busy[group] -= 1
        if not self._busy[group]:
            before = self._share()
            del self._busy[group]
            for other in list(self._waiting) if self._share() > before else ():
                self._start_waiting(other)
