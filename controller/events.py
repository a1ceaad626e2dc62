"""Events on a Workspace or WorkspaceOperation: what happened to it, for people (`kubectl describe`), not programs.

Aggregated as by client-go: the same thing again (Workspace, reason, message) only counts up the Event that is there.
Each Workspace has a small allowance of writes, so a crash loop costs a few a minute, and telling must never hold up or
break the work it tells of: recording only notes, a task of its own writes, and what is too much is dropped and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event

from controller import actions as act
from controller.api import API_VERSION, Workspace, WorkspaceOperation, WorkspaceOperationStatus, WorkspaceStatus
from controller.clock import wait_for_event
from controller.errors import WorkspaceError, printable
from controller.happenings import Happening, of_action, of_error, of_operation, of_status
from controller.kube import ApiUnavailable, Conflict, Gone, Kube

logger = logging.getLogger(__name__)
COMPONENT = "workspace-controller"
BURST = 10  # writes of one Workspace at once
REFILL = 30.0  # seconds until a Workspace may be written about once more
REPEAT = 30.0  # seconds between two writes of the same Event
LATEST = 600.0  # seconds; what could only be told later than this is dropped
PATIENT_LIMIT = 1000  # Events that may wait for the work; what is more is written beside it
QUEUE_LIMIT = 5000  # Events waiting to be written, the rest is dropped
MEMORY_LIMIT = 4096  # as client-go: Events (and Workspaces' allowances) remembered, the least recent are forgotten
LINGER = 0.5  # seconds that an Event waits at least: the work it tells of, often still under way, needs the CPU first
GAP = 0.01  # seconds between two writes
BUSY_GAP = 1.0  # the same while much is under way: to make a Workspace comes before telling that it was made
SAME_PASS = timedelta(seconds=5)  # from a failed step to the status that shows it
API_RETRY = 5.0  # seconds until an unanswered write is tried again
CLOSE_GRACE = 2.0  # seconds for what is due when the process ends


@dataclass(slots=True, eq=False)
class Series:
    """One Event: the same thing, once or many times."""

    involved: ObjectReference
    happening: Happening
    count: int = 0  # since the Event was made, as far as we know
    first: datetime = field(default_factory=lambda: datetime.now(UTC))
    last: datetime = field(default_factory=lambda: datetime.now(UTC))
    made: bool = False  # whether the API server has it
    may_be_made: bool = False  # by us, who had no answer
    queued: bool = False
    not_before: float = 0.0  # the loop's clock

    @property
    def name(self) -> str:
        """Follows from the content, so that a new controller process counts the same Event up."""
        text = f"{self.involved.uid}\0{self.happening.reason}\0{self.happening.message}"
        return f"{str(self.involved.name)[:230]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Allowance:
    """A token bucket: BURST writes at once, then one each REFILL seconds. Seconds on the loop's clock."""

    def __init__(self) -> None:
        self._full_at = 0.0

    def reserve(self, now: float) -> float:
        """When the next write may be made; each call is for one write."""
        self._full_at = max(self._full_at, now) + REFILL
        return max(now, self._full_at - BURST * REFILL)

    def give_back(self) -> None:
        """A reserved write isn't made."""
        self._full_at -= REFILL


class Recorder:
    """Notes what happened; `run` writes it. The methods that note never wait and never raise."""

    def __init__(self, kube: Kube, busy: Callable[[], bool] = lambda: False) -> None:
        """`busy`: whether the CPU is better used for other things now."""
        self._kube, self._busy = kube, busy
        self._series: OrderedDict[tuple[str, str, str], Series] = OrderedDict()
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()
        self._warnings: list[tuple[float, int, Series]] = []
        self._normal: list[tuple[float, int, Series]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self.dropped = 0  # Events that were never written

    def acted(self, workspace: Workspace, action: act.Action) -> None:
        """A step was carried out."""
        for happening in of_action(workspace.status, action):
            self._note(workspace, happening)

    def failed(self, workspace: Workspace, error: WorkspaceError) -> None:
        """A step failed."""
        self._note(workspace, of_error(error))

    def status_changed(self, workspace: Workspace, previous: WorkspaceStatus, new: WorkspaceStatus) -> None:
        """A new status was written: tells what no step of ours did."""
        for happening in of_status(workspace.spec.image, previous, new):
            if not self._just_told(workspace, happening):
                self._note(workspace, happening)

    def operation_changed(
        self, operation: WorkspaceOperation, previous: WorkspaceOperationStatus, new: WorkspaceOperationStatus
    ) -> None:
        """A new status of an operation was written."""
        for happening in of_operation(operation, previous, new):
            self._note(operation, happening)

    async def run(self) -> None:
        """Writes what was noted, until cancelled."""
        while True:
            queue = await self._wait_for_next()
            await self._write_next(queue)
            waits = queue is self._normal and len(queue) < PATIENT_LIMIT and self._busy()
            await asyncio.sleep(BUSY_GAP if waits else GAP)

    async def close(self) -> None:
        """Writes what is due still, for CLOSE_GRACE seconds at most; after `run` was cancelled."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE):
                while queue := self._due(LINGER):
                    await self._write_next(queue)
        self.dropped += len(self._warnings) + len(self._normal)

    def _note(self, about: Workspace | WorkspaceOperation, happening: Happening) -> None:
        series = self._series_of(about, happening)
        series.count += 1
        series.last = datetime.now(UTC)
        if series.queued:
            return
        now = asyncio.get_running_loop().time()
        allowance = self._allowance_of(about.metadata.uid)
        due = max(allowance.reserve(now), series.not_before, now + LINGER)
        if due > now + LATEST or len(self._warnings) + len(self._normal) >= QUEUE_LIMIT:
            allowance.give_back()
            self.dropped += 1
            return
        self._enqueue(series, due)

    def _just_told(self, workspace: Workspace, happening: Happening) -> bool:
        """Whether the failed step that the status now shows was noted when it failed, a moment ago."""
        series = self._series.get((workspace.metadata.uid, happening.reason, happening.message))
        return happening.may_be_told and series is not None and datetime.now(UTC) - series.last < SAME_PASS

    def _series_of(self, about: Workspace | WorkspaceOperation, happening: Happening) -> Series:
        meta = about.metadata
        key = (meta.uid, happening.reason, happening.message)
        series = self._series.get(key)
        if series is None:
            involved = ObjectReference(
                apiVersion=API_VERSION, kind=about.kind, namespace=meta.namespace, name=meta.name, uid=meta.uid
            )
            series = self._series[key] = Series(involved, happening)
        self._series.move_to_end(key)
        if len(self._series) > MEMORY_LIMIT:
            self._series.popitem(last=False)
        return series

    def _allowance_of(self, uid: str) -> Allowance:
        allowance = self._allowances.setdefault(uid, Allowance())
        self._allowances.move_to_end(uid)
        if len(self._allowances) > MEMORY_LIMIT:
            self._allowances.popitem(last=False)
        return allowance

    def _enqueue(self, series: Series, due: float) -> None:
        series.queued = True
        queue = self._warnings if series.happening.warning else self._normal
        heapq.heappush(queue, (due, next(self._order), series))
        self._wake.set()

    def _due(self, within: float = GAP) -> list[tuple[float, int, Series]]:
        """The queue of which something is due `within` so many seconds, warnings first; else empty. Within a GAP is
        now: a timer may ring a moment too early, and would ring again and again."""
        now = asyncio.get_running_loop().time() + within
        return next((queue for queue in (self._warnings, self._normal) if queue and queue[0][0] <= now), [])

    async def _wait_for_next(self) -> list[tuple[float, int, Series]]:
        while not (queue := self._due()):
            self._wake.clear()
            first = min((queue[0][0] for queue in (self._warnings, self._normal) if queue), default=None)
            wait = first - asyncio.get_running_loop().time() if first is not None else None
            await wait_for_event(self._wake, wait)
        return queue

    async def _write_next(self, queue: list[tuple[float, int, Series]]) -> None:
        _, _, series = heapq.heappop(queue)
        series.queued = False
        await self._try_to_write(series)

    async def _try_to_write(self, series: Series) -> None:
        now = asyncio.get_running_loop().time
        try:
            await self._write(series)
            series.not_before = now() + REPEAT
        except ApiUnavailable as error:
            logger.debug("an event waits for the API server", extra={"error": str(error)})
            series.may_be_made = not series.made
            self._enqueue(series, now() + API_RETRY)
        except Exception as error:  # such as 403 in a namespace that is being deleted
            self.dropped += 1
            logger.debug("an event was refused", extra={"error": printable(str(error))})

    async def _write(self, series: Series) -> None:
        try:
            await self._kube.write_event(self._event(series), first=not series.made)
        except Conflict:  # made by an earlier process: go on from its count; or by us, and the answer was lost
            made = await self._kube.event_count(str(series.involved.namespace), series.name)
            series.count = max(series.count, made) if series.may_be_made else series.count + made
            series.made = True
            await self._kube.write_event(self._event(series), first=False)
        except Gone:  # expired meanwhile: a new one, that counts from here
            if not series.made:
                raise
            series.made, series.count, series.first = False, 1, series.last
            await self._kube.write_event(self._event(series), first=True)
        series.made = True

    def _event(self, series: Series) -> Event:
        happening, involved = series.happening, series.involved
        return Event(
            metadata=ObjectMeta(name=series.name, namespace=involved.namespace),
            involvedObject=involved,
            type="Warning" if happening.warning else "Normal",
            reason=happening.reason,
            message=happening.message,
            count=series.count,
            firstTimestamp=series.first.replace(microsecond=0),
            lastTimestamp=series.last.replace(microsecond=0),
            source=EventSource(component=COMPONENT),
            reportingComponent=COMPONENT,
        )
