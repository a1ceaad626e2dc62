"""Carries operations out: resolves their targets, makes the changes that `plan` decides, writes how far they are.

The targets are written to the status before the first change, so that a selector selects once. After that the status
only reports: what was done stands on the Workspaces themselves, so it may lag behind, and is written once a second at
most (more rarely where it is large). One operation is worked on by one worker at a time, as the queue sees to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from lightkube.core.exceptions import ApiError

from controller.api import ObjectMeta, Workspace, WorkspaceOperation, WorkspaceOperationStatus
from controller.api.operation import MAX_TARGETS
from controller.clock import mono
from controller.errors import printable
from controller.history import Now
from controller.kube import ApiUnavailable, Conflict, Gone, Kube, ObjectRef, merge_patch
from controller.operations.fit import fit, is_too_big, size
from controller.operations.plan import FINAL, Progress, fail_target, note_changed, resolve, step
from controller.operations.summary import refuse
from controller.operations.targets import Change
from controller.retrying import API_RETRY, GONE_RETRY
from controller.store import Entry, Key, Store

logger = logging.getLogger(__name__)
FIELD_MANAGER = "workspace-operation"
WRITE_INTERVAL = 1.0  # seconds between two writes of one status, at least
BYTES_PER_SECOND = 100_000  # of one status on average: etcd keeps every version for minutes
LOOK_INTERVAL = 0.2  # seconds between two looks at one operation: its Workspaces change many at a time
ACTIVE_AT_ONCE = 5  # operations of one namespace; each may have 5,000 targets, which take memory and time
WAIT = 2.0  # seconds until one that waits for others looks again
CHANGES_AT_ONCE = 16  # requests in flight for one operation
UNAUTHORIZED = 401
CONFLICT_RETRY = 0.5  # seconds; the newer version is on its way to us
Tell = Callable[[WorkspaceOperation, WorkspaceOperationStatus, WorkspaceOperationStatus], None]


@dataclass(slots=True)
class _Run:
    """What this process remembers of one operation. Lost with it, and found again from the status."""

    ref: ObjectRef
    progress: Progress
    written: WorkspaceOperationStatus
    base: WorkspaceOperationStatus | None = None  # what `ref` has, where that isn't `written`
    begins: bool = False  # its targets are being resolved
    next_look: float = 0.0  # the loop's clock, as all times here
    next_write: float = 0.0

    @property
    def is_active(self) -> bool:
        status = self.progress.status
        return self.begins or (status.start_time is not None and status.completion_time is None)

    @property
    def unfinished(self) -> frozenset[str]:
        return frozenset(result.name for result in self.progress.status.results if result.state not in FINAL)


class OperationReconciler:
    """Reconciles WorkspaceOperations by key."""

    def __init__(
        self,
        kube: Kube,
        operations: Store[WorkspaceOperation],
        workspaces: Store[Workspace],
        may_act: Callable[[], bool],
        tell: Tell,
    ) -> None:
        """`tell` hears of each status that was written, with the one before it."""
        self._tell = tell
        self._kube, self._operations, self._workspaces, self._may_act = kube, operations, workspaces, may_act
        self._runs: dict[Key, _Run] = {}
        self._targets: dict[str, dict[Key, frozenset[str]]] = {}  # by namespace and operation: unfinished names
        self._taken_up = False  # whether those that an earlier leader has begun are counted

    def forget_all(self) -> None:
        """Another process may go on from here: what it writes is newer than what we remember."""
        self._runs.clear()
        self._targets.clear()
        self._taken_up = False

    def concerned(self, workspace: Key) -> list[Key]:
        """The operations that wait for this Workspace: to be reconciled when it changes or goes."""
        namespace, name = workspace
        return [key for key, names in self._targets.get(namespace, {}).items() if name in names]

    async def reconcile(self, key: Key) -> float | None:
        """Brings one operation further. Gives the time to look again (the loop's clock)."""
        entry = self._operations.get(key)
        if entry is None or entry.object.metadata.deletion_timestamp is not None:
            self._forget(key)
            return None
        if not self._may_act():
            return None  # all operations are looked at once we may
        self._take_up()
        run = self._run(key, entry)
        if run.next_look > mono():
            return run.next_look
        try:
            return await self._advance(key, run, entry.object)
        except Conflict:
            return mono() + CONFLICT_RETRY
        except Gone:
            return mono() + GONE_RETRY
        except ApiUnavailable as error:
            logger.warning("the API server did not answer", extra={"operation": "/".join(key), "error": str(error)})
            return mono() + API_RETRY
        finally:
            run.next_look = mono() + LOOK_INTERVAL
            self._note_targets(key, run)

    async def _advance(self, key: Key, run: _Run, operation: WorkspaceOperation) -> float | None:
        waits = run.progress.status.start_time is None and not operation.spec.suspend
        if waits and not self._is_full(key[0]):
            waits, run.begins = False, True
            try:
                await self._begin(run, operation)
            finally:
                run.begins = False
        decided = step(operation, self._lookup(key[0]), run.progress, _now())
        if decided.expired and run.written.completion_time is not None:  # people see how it ended before it goes
            await self._kube.delete(run.ref)
            return None
        run.progress = decided.progress
        self._note_targets(key, run)  # before anything is waited for: no change of theirs may slip by
        retry = await self._make_all(run, operation, decided.changes)
        due = await self._write_if_due(run, operation)
        if run.written.completion_time is not None:
            self._runs.pop(key, None)  # from here on the store has all there is to know
        again = mono() + WAIT if waits else None
        if decided.expired and run.written.completion_time is not None:
            again = mono() + LOOK_INTERVAL  # a write that changed nothing (it was made before) wakes nobody
        return min((time for time in (decided.wake_at, retry, due, again) if time is not None), default=None)

    # the beginning

    def _is_full(self, namespace: str) -> bool:
        """Whether as many operations of the namespace are under way as may be."""
        return sum(run.is_active for run in self._runs.values() if run.ref.namespace == namespace) >= ACTIVE_AT_ONCE

    async def _begin(self, run: _Run, operation: WorkspaceOperation) -> None:
        """Resolves the targets from a list of our own, since our watch may lag behind, and writes them down."""
        namespace = operation.metadata.namespace
        listed = [ObjectMeta.model_validate(meta) for meta in await self._kube.list_metadata("Workspace", namespace)]
        progress = resolve(operation, listed, _now())
        status = progress.status
        if len(status.results) > MAX_TARGETS or is_too_big(operation, status):
            message = f"{len(status.results)} Workspaces are too many for one operation, at most {MAX_TARGETS} fit: "
            message += "select fewer of them"
            progress = Progress(refuse(operation, message, _now()))
        for result in progress.status.results:
            if result.uid is not None:
                await self._know(namespace, result.name, result.uid)
        await self._write(run, operation, progress.status)
        run.progress = progress
        extra = {"operation": f"{namespace}/{operation.metadata.name}", "total": progress.status.total}
        logger.info("an operation begins", extra=extra)

    async def _know(self, namespace: str, name: str, uid: str) -> None:
        """From here on, a target that isn't in the store is gone."""
        entry = self._workspaces.get((namespace, name))
        if entry is not None and entry.ref.uid == uid:
            return
        try:
            self._workspaces.apply(await self._kube.get("Workspace", namespace, name))
        except Gone:
            return

    # changes

    async def _make_all(self, run: _Run, operation: WorkspaceOperation, changes: tuple[Change, ...]) -> float | None:
        """Makes the changes; gives the time for another try where one is needed."""
        limit = asyncio.Semaphore(CHANGES_AT_ONCE)
        made: set[str] = set()

        async def make(change: Change) -> float:
            async with limit:
                return await self._make(run, operation, change, made)

        retries = await asyncio.gather(*(make(change) for change in changes))
        run.progress = note_changed(run.progress, made)
        return min(retries, default=None)

    async def _make(self, run: _Run, operation: WorkspaceOperation, change: Change, made: set[str]) -> float:
        namespace = operation.metadata.namespace
        entry = self._workspaces.get((namespace, change.name))
        if entry is None or entry.ref.uid != change.uid or not self._may_act():
            return mono() + CONFLICT_RETRY
        began = mono()
        try:
            if change.patch:
                self._workspaces.apply(await self._kube.patch(entry.ref, change.patch, manager=FIELD_MANAGER))
            else:
                await self._kube.delete(entry.ref)
            made.add(change.name)
            self._say(run, operation, change, mono() - began)
        except (Conflict, Gone):
            return mono() + CONFLICT_RETRY
        except ApiUnavailable:
            return mono() + API_RETRY
        except ApiError as error:
            if error.status.code == UNAUTHORIZED:  # credentials that are being renewed
                return mono() + API_RETRY
            message = printable(str(error))
            run.progress = fail_target(operation, run.progress, change.name, "Refused", message, _now())
        return mono() + LOOK_INTERVAL

    @staticmethod
    def _say(run: _Run, operation: WorkspaceOperation, change: Change, seconds: float) -> None:
        workspace = f"{run.ref.namespace}/{change.name}"
        said = {"reason": f"asked for by the WorkspaceOperation {run.ref.name}", "seconds": round(seconds, 3)}
        logger.info(str(operation.spec.operation), extra={"workspace": workspace} | said)

    # the status

    async def _write_if_due(self, run: _Run, operation: WorkspaceOperation) -> float | None:
        """Writes what differs; gives the time for a write that isn't due yet."""
        status = run.progress.status
        if status == run.written:
            return None
        if mono() < run.next_write:
            return run.next_write
        await self._write(run, operation, status)
        if status.completion_time is not None:
            extra = {"operation": "/".join((operation.metadata.namespace, operation.metadata.name))}
            logger.info("an operation has ended", extra=extra | {"phase": status.phase, "failed": status.failed})
        return None

    async def _write(self, run: _Run, operation: WorkspaceOperation, status: WorkspaceOperationStatus) -> None:
        new = fit(operation, status)
        changes = merge_patch((run.base or run.written).to_dict(), new)
        interval = max(WRITE_INTERVAL, size(changes) / BYTES_PER_SECOND)
        run.next_write = mono() + interval  # also where it fails
        raw = await self._kube.patch_status(run.ref, changes)
        run.next_write = mono() + interval
        run.ref = replace(run.ref, resource_version=raw["metadata"]["resourceVersion"])
        before, run.written, run.base = run.written, status, None
        self._operations.apply(raw)
        self._tell(operation, before, status)

    # memory

    def _take_up(self) -> None:
        if self._taken_up:
            return
        self._taken_up = True
        for key in self._operations:
            entry = self._operations.get(key)
            if entry is not None and entry.object.status.start_time and not entry.object.status.completion_time:
                self._run(key, entry)

    def _run(self, key: Key, entry: Entry[WorkspaceOperation]) -> _Run:
        run, status = self._runs.get(key), entry.object.status
        if run is not None and run.written.start_time is None and status.start_time is not None:
            run = None  # we have begun it, and never heard that it was written
        if run is None or run.ref.uid != entry.ref.uid:
            run = self._runs[key] = _Run(entry.ref, Progress(status), status)
        if run.ref != entry.ref:  # written by others, or by us without an answer
            run.ref, run.base = entry.ref, status
        return run

    def _forget(self, key: Key) -> None:
        self._runs.pop(key, None)
        self._waits_for(key, frozenset())

    def _note_targets(self, key: Key, run: _Run) -> None:
        self._waits_for(key, run.unfinished if key in self._runs else frozenset())

    def _waits_for(self, key: Key, names: frozenset[str]) -> None:
        of_namespace = self._targets.setdefault(key[0], {})
        of_namespace.pop(key, None)
        if names:
            of_namespace[key] = names
        if not of_namespace:
            del self._targets[key[0]]

    def _lookup(self, namespace: str) -> Callable[[str], Workspace | None]:
        def look_up(name: str) -> Workspace | None:
            entry = self._workspaces.get((namespace, name))
            return entry.object if entry is not None else None

        return look_up


def _now() -> Now:
    return Now(datetime.now(UTC), mono())
