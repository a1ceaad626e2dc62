"""Who may act: one leader among the replicas, by a Kubernetes Lease, or by a file lock on a single machine.

A leader stops acting 10 s after its last renewal, on its own clock; the others wait 15 s after the last one that they
saw, on theirs. Wall clocks are never compared, and the margin holds for a process that was stopped in between, because
`may_act()` looks at the clock each time. What was sent before is fenced by deterministic names and resourceVersions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from lightkube.core.exceptions import ApiError
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease as LeaseObject

logger = logging.getLogger(__name__)
NAME = "workspace-controller"
REQUEST_TIMEOUT = 4.0  # seconds; two tries fit into the renew deadline
RELEASE_TIMEOUT = 2.0  # seconds; a stop must not wait for an API server that is gone


@dataclass(frozen=True, slots=True)
class Timings:
    """In seconds: how long others wait for us, how long we act without a renewal, and how often we try."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0


class Leases(Protocol):
    """The part of lightkube's AsyncClient that is used. Give it connections of its own: renewals must not queue."""

    async def get(self, res: type[LeaseObject], name: str, *, namespace: str) -> LeaseObject: ...

    async def create(self, obj: LeaseObject) -> LeaseObject: ...

    async def replace(self, obj: LeaseObject) -> LeaseObject: ...


class Leadership(Protocol):
    """What the rest of the controller knows of it."""

    leading: asyncio.Event

    def may_act(self) -> bool:
        """Whether we lead at this moment. To be asked right before whatever changes something."""

    async def run(self) -> None:
        """Tries to become the leader, and to stay it, until cancelled or released. Raises nothing."""

    async def release(self) -> None:
        """Lets go, so that another one can take over at once. Call it when nothing acts any more."""


def identity() -> str:
    """A name for this process that no other one has had: a restarted controller isn't the one that led."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Onlooker:
    """Acts beside whoever leads and asks for nothing: for a dry run, which changes nothing. `on_change` hears of it."""

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        self.leading = asyncio.Event()
        self._on_change = on_change

    def may_act(self) -> bool:
        """Whether it has begun."""
        return self.leading.is_set()

    async def run(self) -> None:
        """Begins at once."""
        self.leading.set()
        self._on_change(True)

    async def release(self) -> None:
        """There is nothing to let go of."""
        self.leading.clear()


class Lease:
    """Leadership by a `coordination.k8s.io/v1` Lease. `on_change(leading)` hears of each change."""

    def __init__(
        self,
        leases: Leases,
        namespace: str,
        on_change: Callable[[bool], None] = lambda leading: None,
        *,
        name: str = NAME,
        holder: str | None = None,
        timings: Timings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leading = asyncio.Event()
        self.holder = holder or identity()
        self._leases, self._namespace, self._name, self._on_change = leases, namespace, name, on_change
        self._timings, self._clock = timings or Timings(), clock
        self._renewed: float | None = None  # when the last successful renewal was sent off; None: we don't lead
        self._seen: LeaseObject | None = None  # as it was last read or written
        self._seen_at = 0.0  # when this version of it was first seen
        self._problem = ""
        self._one_at_a_time = asyncio.Lock()
        self._released = False

    def may_act(self) -> bool:
        """Whether the last renewal is younger than the renew deadline, at this very moment.

        Who was told no must hear when that changes: so from the first no on we don't lead, until a renewal says so.
        """
        if not self._is_renewed() and self._renewed is not None:
            logger.warning("the lease was not renewed in time", extra={"seconds": self._timings.renew_deadline})
            self._set_leading(None)
        return self._is_renewed()

    def _is_renewed(self) -> bool:
        return self._renewed is not None and self._clock() < self._renewed + self._timings.renew_deadline

    async def run(self) -> None:
        """Acquires and renews until released or cancelled. Outages of the API server are logged and waited out."""
        watch = asyncio.create_task(self._stop_in_time(), name="lease deadline")
        try:
            while not self._released:
                async with self._one_at_a_time:
                    await self._try()
                await asyncio.sleep(self._timings.retry_period)
        finally:
            watch.cancel()

    async def release(self) -> None:
        """Stops leading, then empties the Lease's holder; gives up after 2 s."""
        self._released = True
        held = self._renewed is not None
        self._set_leading(None)
        if not held:
            return
        with contextlib.suppress(Exception):  # the others then wait for the Lease to expire
            async with asyncio.timeout(RELEASE_TIMEOUT), self._one_at_a_time:
                current = await self._leases.get(LeaseObject, self._name, namespace=self._namespace)
                if _holder_of(current) == self.holder:
                    await self._write(current, holder="")
                    logger.info("the lease was released")

    async def _try(self) -> None:
        if self._released:
            return
        began = self._clock()
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                held = await self._acquire_or_renew()
        except Exception as error:  # refused, cut, 5xx, pages of proxies: an election never ends by an error
            self._report(f"the lease {self._namespace}/{self._name} can't be read or renewed: {error or repr(error)}")
            return
        self._report("")
        if not self._released:
            self._set_leading(began if held else None)

    async def _acquire_or_renew(self) -> bool:
        """Whether we hold the Lease now."""
        try:
            if self._seen is not None and _holder_of(self._seen) == self.holder:
                self._saw(await self._write(self._seen, self.holder))
                return True
        except ApiError as error:
            if error.status.code not in (404, 409):
                raise
            # Taken by another, or the answer to a write of ours was lost: what is there now tells.
        return await self._acquire()

    async def _acquire(self) -> bool:
        try:
            self._saw(await self._leases.get(LeaseObject, self._name, namespace=self._namespace))
            if not self._is_free():
                return False
            assert self._seen is not None
            self._saw(await self._write(self._seen, self.holder))
        except ApiError as error:
            if error.status.code == 409:
                return False  # another was quicker
            if error.status.code != 404:
                raise
            self._saw(await self._leases.create(self._new()))
        return True

    def _is_free(self) -> bool:
        """Ours, nobody's, or not touched for as long as its holder said."""
        assert self._seen is not None
        holder = _holder_of(self._seen)
        if holder in ("", self.holder):
            return True
        spec = self._seen.spec
        duration = (spec and spec.leaseDurationSeconds) or self._timings.duration
        return self._clock() >= self._seen_at + duration

    def _saw(self, lease: LeaseObject) -> None:
        """Any write counts as a sign of life: the version is compared, not the times written in it."""
        if self._seen is None or _version(lease) != _version(self._seen):
            self._seen_at = self._clock()
        self._seen = lease

    async def _write(self, lease: LeaseObject, holder: str) -> LeaseObject:
        """Writes our holder (or none) with the resourceVersion that was read: 409 where another was quicker."""
        old, now = lease.spec or LeaseSpec(), _now()
        taken = _holder_of(lease) != holder
        spec = LeaseSpec(
            holderIdentity=holder,
            leaseDurationSeconds=self._whole_duration(),
            acquireTime=now if taken else old.acquireTime,
            renewTime=now,
            leaseTransitions=(old.leaseTransitions or 0) + (1 if taken and holder else 0),
        )
        return await self._leases.replace(LeaseObject(metadata=lease.metadata, spec=spec))

    def _new(self) -> LeaseObject:
        metadata = ObjectMeta(name=self._name, namespace=self._namespace)
        spec = LeaseSpec(holderIdentity=self.holder, leaseDurationSeconds=self._whole_duration(), leaseTransitions=0)
        spec.acquireTime = spec.renewTime = _now()
        return LeaseObject(metadata=metadata, spec=spec)

    def _whole_duration(self) -> int:
        return max(1, math.ceil(self._timings.duration))

    async def _stop_in_time(self) -> None:
        """Says that we stopped when the renew deadline has passed, even while a request hangs."""
        while True:
            await asyncio.sleep(self._timings.retry_period)
            self.may_act()

    def _set_leading(self, renewed: float | None) -> None:
        self._renewed = renewed
        leads = self._is_renewed()
        if leads == self.leading.is_set():
            return
        if leads:
            self.leading.set()
        else:
            self.leading.clear()
        self._on_change(leads)

    def _report(self, problem: str) -> None:
        if problem and problem != self._problem:
            logger.warning(problem)
        self._problem = problem


def _holder_of(lease: LeaseObject) -> str:
    return (lease.spec and lease.spec.holderIdentity) or ""


def _version(lease: LeaseObject) -> str | None:
    return lease.metadata.resourceVersion if lease.metadata else None


def _now() -> datetime:
    """The wall clock, for people who read the Lease. Never on a whole second: its fraction must be written."""
    now = datetime.now(UTC)
    return now.replace(microsecond=max(now.microsecond, 1))
