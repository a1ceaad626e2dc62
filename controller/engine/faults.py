"""What goes wrong on the in-memory engine's host, on purpose: failures, hanging calls, latency, a host that is down."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from controller.engine.deadlines import CALL_DEADLINES
from controller.errors import CallTimeout, HostUnreachable, WorkspaceError


@dataclass(frozen=True, slots=True)
class _Failure:
    error: WorkspaceError | None  # None: no answer until the deadline
    took_effect: bool


class Faults:
    """Consulted by each call. Calls are counted by kind in `calls`, so that tests can tell what was asked."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.latency: defaultdict[str, float] = defaultdict(float)  # seconds by kind
        self.down = ""  # why the host can't be reached, "" when it can
        self._failures: defaultdict[str, deque[_Failure]] = defaultdict(deque)
        self._frozen: asyncio.Event | None = None  # set again by thaw

    def fail(self, kind: str, error: WorkspaceError, times: int = 1, *, took_effect: bool = False) -> None:
        """The next `times` calls of the kind raise `error`, before or (`took_effect`) after they changed something."""
        self._failures[kind].extend([_Failure(error, took_effect)] * times)

    def hang(self, kind: str, times: int = 1, *, took_effect: bool = False) -> None:
        """The next `times` calls of the kind get no answer: CallTimeout at their deadline."""
        self._failures[kind].extend([_Failure(None, took_effect)] * times)

    def freeze(self) -> None:
        """No call gets an answer (SIGSTOP of the engine) until `thaw`."""
        self._frozen = asyncio.Event()

    def thaw(self) -> None:
        """Calls that wait are answered now."""
        if self._frozen:
            self._frozen.set()
        self._frozen = None

    def heal(self) -> None:
        """No fault any more."""
        self.thaw()
        self.down = ""
        self.latency.clear()
        self._failures.clear()

    @asynccontextmanager
    async def call(self, kind: str) -> AsyncIterator[None]:
        """Around one call: what is due before it happens here first, what is due after it at the end."""
        self.calls[kind] += 1
        self.in_flight[kind] += 1
        try:
            await self._before(kind)
            failure = self._failures[kind].popleft() if self._failures[kind] else None
            if failure and not failure.took_effect:
                await self._raise(kind, failure)
            yield
            if failure and failure.took_effect:
                await self._raise(kind, failure)
        finally:
            self.in_flight[kind] -= 1

    async def _before(self, kind: str) -> None:
        if self.latency[kind]:
            await asyncio.sleep(self.latency[kind])
        if self._frozen:
            try:
                async with asyncio.timeout(CALL_DEADLINES[kind]):
                    await self._frozen.wait()
            except TimeoutError:
                raise self._timeout(kind) from None
        if self.down:
            raise HostUnreachable(self.down)

    async def _raise(self, kind: str, failure: _Failure) -> None:
        if failure.error is None:
            await asyncio.sleep(CALL_DEADLINES[kind])
            raise self._timeout(kind)
        raise failure.error

    @staticmethod
    def _timeout(kind: str) -> CallTimeout:
        return CallTimeout(f"{kind}: no answer within {CALL_DEADLINES[kind]:g} s")
