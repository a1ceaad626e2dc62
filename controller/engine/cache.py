"""What a host has, kept up to date without polling each container.

Subscribes to events, then lists, and again every 4 s; inspects only what an event or a list says has changed. Events
make us look sooner, lists are the truth, and inspect decides: a list lags behind by some milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from controller.clock import wait_for_event
from controller.engine.asking import Asking
from controller.engine.cache_stats import CacheStats
from controller.engine.hearing import SETTLE, Unheard, wait_before_look
from controller.engine.inspects import INSPECTS_AT_ONCE, Inspects
from controller.engine.protocol import Engine, EngineEvent
from controller.engine.snapshots import UNKNOWN_AFTER, Snapshots
from controller.errors import HostUnreachable, WorkspaceError
from controller.observed import Container, Observed

LIST_INTERVAL = 4.0  # seconds
SESSIONS_AGAIN = 60.0  # seconds after which containers with exec sessions are inspected again
_RETRY_LIST = 1.0  # seconds after one that failed
_RESUBSCRIBE_FIRST = 0.25  # seconds; doubled each time
_RESUBSCRIBE_LONGEST = 4.0  # seconds

log = logging.getLogger(__name__)


class HostCache:
    """The containers of our cluster on one host.

    `on_change(uid)` is called when a Workspace's snapshot changed or became known or unknown, and with "" when the
    host's known-ness did, which concerns every Workspace that names the host. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[str], None] = lambda uid: None,
    ) -> None:
        self.stats = CacheStats()
        self.problem = "no answer from the host yet"  # why the last list failed, "" when it didn't
        self.hangs = False  # whether it failed although the host could be reached: too late, or with an error
        self._engine = engine
        self._clock = clock
        self._on_change = on_change
        self.on_subscribed: Callable[[], None] = lambda: None  # told of each new event stream
        self._snapshots = Snapshots()
        self._inspects = Inspects(engine, self._snapshots, self.stats, clock, self._changed)
        self._last_list: float | None = None  # monotonic, of the last answer
        self._complete = False  # whether all that a first list showed was inspected since we lost contact
        self._announced = False  # the known-ness that was last told
        self._unheard = Unheard(LIST_INTERVAL, self._last_event)
        self._list_now = asyncio.Event()
        self._sessions_doubted = clock()
        self._asking = Asking()
        self._listener: asyncio.Task[None] | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    # What others read

    def observed(self, uid: str) -> Observed:
        """Every container of the Workspace. Unknown before the first complete list, and after 8 s without one."""
        entries = self._snapshots.entries_of(uid)
        containers = tuple(entry.shown for entry in entries if entry.shown)
        why, settled = "", True
        if not self.is_known():
            why = self.problem or "the host's containers are being looked at"
        elif self._snapshots.is_unsure_of(uid) or not all(entry.is_known for entry in entries):
            why = "the engine doesn't answer about the container"
            settled = any(entry.lost for entry in entries)  # else the next list or inspect may tell
        return Observed(containers, known=not why, settled=settled, age=self.contact_age(), unknown_because=why)

    def all(self) -> tuple[Container, ...]:
        """Every container of our cluster, as last seen."""
        return self._snapshots.all()

    def has(self, container: str) -> bool:
        """Whether anything told of this container, inspected or not."""
        return self._snapshots.get(container) is not None

    def is_known(self) -> bool:
        """Whether the host answered lately, and everything that it listed was looked at."""
        return self._complete and self.contact_age() < UNKNOWN_AFTER

    def contact_age(self) -> float:
        """Seconds since the last complete list; infinite before the first."""
        return float("inf") if self._last_list is None else max(0.0, self._clock() - self._last_list)

    # What others do

    async def refresh(self, container: str) -> None:
        """Inspects now and keeps the answer: read your own writes. Raises WorkspaceError, but never ContainerGone."""
        self._snapshots.doubt(container, self._clock())
        await self._inspects.look_at(container)

    def changing(self, container: str) -> AbstractContextManager[None]:
        """While a call on the container is under way. Who makes it refreshes afterwards: nobody else looks meanwhile,
        however long a busy engine takes."""
        return self._inspects.held(container)

    @asynccontextmanager
    async def while_known(self) -> AsyncIterator[None]:
        """For calls, and the wait for their turn: nobody waits for a host that has become unknown, however many wait
        and however long their deadlines. Raises HostUnreachable; what became of a call that was sent is unknown."""
        if not self.is_known():
            raise HostUnreachable(self.problem or "the host did not answer in time")
        async with self._asking.until_ended():
            yield

    def made(self, container: str, uid: str) -> None:
        """A container was made for the Workspace: until it was inspected, what the Workspace has is unknown."""
        self._snapshots.expect(container, uid, self._clock())

    def unread(self, container: str) -> None:
        """It was changed, and can't be inspected: until it was, what it is like is unknown."""
        entry = self._snapshots.get(container)
        if entry is not None and not entry.is_current:  # current: a later inspect was answered sooner
            entry.unread = True
        self.request_list()

    def may_have_made(self, uid: str) -> None:
        """A container may have been made for the Workspace: what it has is unknown until a list that begins from now
        on tells."""
        self._snapshots.unsure_of(uid)
        self.request_list()

    def forget(self, container: str) -> None:
        """The engine said that it's gone."""
        self._changed(self._snapshots.drop(container))

    def request_list(self) -> None:
        """Lists now instead of at the next interval."""
        self._list_now.set()

    async def run(self) -> None:
        """Keeps the cache up to date until cancelled."""
        subscribed = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen_forever(subscribed), name="cache-events")
                tasks.create_task(self._list_forever(subscribed), name="cache-lists")
                for number in range(INSPECTS_AT_ONCE):
                    tasks.create_task(self._inspects.run(), name=f"cache-inspects-{number}")
        finally:
            if self._watchdog:
                self._watchdog.cancel()

    # Events

    async def _listen_forever(self, tried: asyncio.Event) -> None:
        wait = _RESUBSCRIBE_FIRST
        while True:
            began = self._clock()
            await self._listen_once(tried)
            tried.set()
            self.request_list()
            wait = _RESUBSCRIBE_FIRST if self._clock() - began > wait else min(2 * wait, _RESUBSCRIBE_LONGEST)
            await asyncio.sleep(wait)

    async def _listen_once(self, tried: asyncio.Event) -> None:
        """Until the stream ends, or is given up because it's silent."""
        self._listener = asyncio.create_task(self._listen(tried), name="cache-event-stream")
        try:
            await asyncio.wait([self._listener])
        finally:
            self._listener.cancel()
            await asyncio.wait([self._listener])
        if not self._listener.cancelled():
            self._listener.result()

    async def _listen(self, tried: asyncio.Event) -> None:
        try:
            async for event in self._engine.events():
                if event.container_id:
                    self._hear(event)
                else:
                    self._subscribed()
                    tried.set()
        except WorkspaceError as error:
            log.debug("event stream: %s", error)

    def _subscribed(self) -> None:
        self.stats.subscriptions += 1
        self._snapshots.doubt_all(self._clock())  # whatever happened while no stream was open
        self.on_subscribed()
        self.request_list()

    def _hear(self, event: EngineEvent) -> None:
        self.stats.events += 1
        entry = self._snapshots.get(event.container_id)
        if entry is not None:
            entry.last_event = self._clock()
        if event.action == "destroy":
            self.forget(event.container_id)  # proof enough: an ID never comes back
            return
        if entry is None:  # whoever takes over now must not think that the Workspace has none
            self._snapshots.expect(event.container_id, event.uid, self._clock())
        wait = wait_before_look(event.action)
        if wait is None or self._snapshots.explains(event):
            return
        if wait:
            self._settle(event, self._snapshots.begin(), wait)
        else:
            self._look_at(event)

    def _settle(self, event: EngineEvent, heard: int, wait: float) -> None:
        asyncio.get_running_loop().call_later(wait, self._settled, event, heard, wait)

    def _settled(self, event: EngineEvent, heard: int, wait: float) -> None:
        entry = self._snapshots.get(event.container_id)
        if self._inspects.is_held(event.container_id) or (entry is not None and entry.inspecting >= 0):
            self._settle(event, heard, wait)  # what is being learnt may settle it
        elif (entry is None or entry.stored < heard) and not self._snapshots.explains(event):
            self._look_at(event)

    def _look_at(self, event: EngineEvent) -> None:
        if entry := self._snapshots.doubt(event.container_id, self._clock()):
            entry.last_event = self._clock()
            self._inspects.enqueue(entry.id)

    # Lists

    async def _list_forever(self, subscribed: asyncio.Event) -> None:
        await subscribed.wait()
        while True:
            self._list_now.clear()
            wait = LIST_INTERVAL if await self._list() else _RETRY_LIST
            self._announce()
            await wait_for_event(self._list_now, wait)

    async def _list(self) -> bool:
        began, started = self._snapshots.begin(), self._clock()
        try:
            rows = await self._engine.list()
        except WorkspaceError as error:
            self.stats.failed_lists += 1
            self.problem, self.hangs = str(error), not isinstance(error, HostUnreachable)
            return False
        self.stats.lists += 1
        if self.contact_age() >= UNKNOWN_AFTER:
            self._complete = False
            self._snapshots.doubt_all(self._clock(), unread=True)
            if self._last_list is not None and self._listener:
                self._listener.cancel()  # a stream from before the outage may be dead without a word
        first = not self._complete
        differing = self._snapshots.compare(rows, began, self._clock())
        for uid in self._snapshots.sure_again(began):
            self._on_change(uid)
        self._doubt_sessions()
        for entry in self._snapshots.due():
            if first and entry.asked:
                continue  # one that isn't answered keeps the others from nothing
            if first or entry.shown:
                self._inspects.enqueue(entry.id)
            else:  # new: who made it may be about to inspect it
                asyncio.get_running_loop().call_later(SETTLE, self._inspects.enqueue, entry.id)
        self._answered()
        if first:
            await self._look_at_all()
        if self._unheard.stream_is_dead(differing, started) and self._listener:
            log.warning("changes on the host come without events: subscribing again")
            self._listener.cancel()
        return True

    def _doubt_sessions(self) -> None:
        """No list shows exec sessions: where the event of an end was lost, it would never be known."""
        if self._clock() < self._sessions_doubted + SESSIONS_AGAIN:
            return
        self._sessions_doubted = self._clock()
        for container in self._snapshots.all():
            if container.active_tasks:
                self._snapshots.doubt(container.id, self._clock())

    async def _look_at_all(self) -> None:
        """A thousand inspects may take longer than a host may be silent: then lists go on, and the rest follows."""
        try:
            async with asyncio.timeout(LIST_INTERVAL):
                await self._inspects.all_done()
            self._complete = True
        except TimeoutError:
            self.request_list()

    def _answered(self) -> None:
        self._last_list, self.problem, self.hangs = self._clock(), "", False
        if self._watchdog:
            self._watchdog.cancel()
        self._watchdog = asyncio.get_running_loop().call_later(UNKNOWN_AFTER + 0.01, self._announce)

    def _announce(self) -> None:
        """Tells everyone when the host has become known or unknown."""
        if self.is_known() != self._announced:
            self._announced = not self._announced
            if not self._announced:
                self._asking.end(self.problem or "the host does not answer any more")
            for uid in (*self._snapshots.uids(), ""):
                self._on_change(uid)

    def _last_event(self, container: str) -> float | None:
        entry = self._snapshots.get(container)
        return entry.last_event if entry is not None else None

    def _changed(self, uid: str | None) -> None:
        if uid:
            self._on_change(uid)
