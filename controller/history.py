"""What happened before: what the status remembers, and what this process remembers. An input of plan and status.

The status is the memory that survives a restart of the controller. What only makes us quicker or gentler (when a stop
signal was sent, which step failed) is kept in the process and may be lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controller.api import WorkspaceStatus
from controller.errors import WorkspaceError
from controller.observed import Container

NEVER = float("-inf")
RESTARTS_AT_ONCE, RESTARTS_PERIOD = 10, 60.0  # so many restarts of a Workspace in so many seconds, whatever it asks for
HEARS_AFTER = 2.0  # seconds after its start until a container surely hears a signal
REASON_RESTARTING = "Restarting"
REASON_RETRIES_EXHAUSTED = "RetriesExhausted"


@dataclass(frozen=True, slots=True)
class Now:
    """The present: `wall` is what people read (UTC); `mono` counts seconds and never jumps. Decisions use `mono`."""

    wall: datetime
    mono: float

    def wall_at(self, mono: float) -> datetime:
        """The wall clock's time at a point of the monotonic clock."""
        return self.wall + timedelta(seconds=mono - self.mono)


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of one kind of step, and when it may be tried again (monotonic seconds)."""

    error: WorkspaceError
    count: int
    due: float


@dataclass(frozen=True, slots=True)
class Sent:
    """A stop signal that we sent to one run: when (monotonic seconds), and whether the exit was asked for."""

    at: float
    asked: bool
    started_at: datetime | None
    early: bool = False  # right after the start, when the init process may not have been there to hear it


@dataclass(frozen=True, slots=True)
class ExitSeen:
    """The exit of a container that this process noticed: which one, and when its restart is due (monotonic seconds)."""

    finished_at: datetime
    due: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What this process remembers of one Workspace. Everything in it can be lost."""

    failures: Mapping[str, Failure] = field(default_factory=dict)  # by kind of action
    signalled: Mapping[str, Sent] = field(default_factory=dict)  # by container ID
    exit_seen: ExitSeen | None = None
    restarts: tuple[float, ...] = ()  # when the last RESTARTS_AT_ONCE restarts were due (monotonic seconds)
    pulling: str = ""  # progress in words while an image is pulled
    unwritten: tuple[WorkspaceStatus, History] | None = None  # what was done since this status was written
    references: Mapping[str, str] | None = None  # "Kind/name" -> "uid:resourceVersion" as last read; None: not read yet
    usage_of: datetime | None = None  # when the sample was taken that the status told last (the engine's clock)
    in_vain: int = 0  # how often in a row all that was done left as much to do
    let_go: float = NEVER  # until when (monotonic) nothing is left to do: our finalizer went, which no watch has told


def for_another_spec(memory: Memory) -> Memory:
    """What failed belongs to what was asked for then: a change of the spec is tried at once."""
    return replace(memory, failures={}, pulling="", exit_seen=None)


@dataclass(frozen=True, slots=True)
class History:
    """The status' memory, parsed, beside the process' own."""

    observed_generation: int = -1
    phase: str = ""
    retries: int = 0
    restart_count: int = 0
    next_retry_at: datetime | None = None
    last_exit_at: datetime | None = None  # the exit that was counted (or not) last
    last_restart_request: str | None = None  # None: never looked at
    started_at: datetime | None = None
    restarting: bool = False  # a recorded restart request is under way
    exhausted: bool = False  # the retries are spent
    ended: Container | None = None  # the last ended run that was seen since the status was read
    memory: Memory = field(default_factory=Memory)

    def with_memory(self, memory: Memory) -> History:
        """The same status memory beside another process memory."""
        return replace(self, memory=memory)


def sent_now(container: Container, memory: Memory, asked: bool, now: Now) -> Sent:
    """What to remember of a stop signal that was just sent. A second one to the same run ends no grace period later."""
    before = memory.signalled.get(container.id)
    if before is not None and before.started_at == container.started_at:
        return replace(before, early=False)
    age = (now.wall - container.started_at).total_seconds() if container.started_at else HEARS_AFTER
    return Sent(now.mono, asked, container.started_at, early=0 <= age < HEARS_AFTER)


def still_meant(memory: Memory, live: Collection[str], stopping: Collection[str], before: float) -> Memory:
    """Without the stop signals sent until `before` to what was spared since: its next stop begins with a signal again.

    `live`: the containers that run; `stopping`: those that are still meant to end.
    """
    spared = {i for i, sent in memory.signalled.items() if i in live and i not in stopping and sent.at <= before}
    return replace(memory, signalled={i: sent for i, sent in memory.signalled.items() if i not in spared})


def recall(status: WorkspaceStatus, memory: Memory) -> History:
    """The history that a status tells, or what this process did after it and couldn't write yet: else restarts would
    not count, nor wait, while the API server is down."""
    if memory.unwritten is not None and memory.unwritten[0] == status:
        return memory.unwritten[1].with_memory(memory)
    return from_status(status, memory)


def from_status(status: WorkspaceStatus, memory: Memory) -> History:
    """The history that a status tells."""
    reasons = {condition.type: condition.reason for condition in status.conditions}
    first_sight = status.observed_generation < 0
    termination = status.last_termination
    return History(
        observed_generation=status.observed_generation,
        phase=status.phase or "",
        retries=status.retries,
        restart_count=status.restart_count,
        next_retry_at=status.next_retry_at,
        last_exit_at=termination.finished_at if termination else None,
        last_restart_request=None if first_sight else status.last_restart_request or "",
        started_at=status.started_at,
        restarting=reasons.get("Reconciling") == REASON_RESTARTING,
        exhausted=reasons.get("Stalled") == REASON_RETRIES_EXHAUSTED,
        memory=memory,
    )
