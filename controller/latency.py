"""How long Workspaces took to become Ready and to run again, told from how their objects change. Pure.

Times to Ready are on our monotonic clock, from when a generation was first seen. Times of repair are on the engine's
own clock, from the end of one run to the start of the next, so they hold everything in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from controller.api import Workspace


@dataclass(frozen=True, slots=True)
class BecameReady:
    """A generation's spec is met, so many seconds after it was first seen; `new`: of a Workspace that is new."""

    seconds: float
    new: bool


@dataclass(frozen=True, slots=True)
class Restarted:
    """Runs ended that nobody asked to end; `reason` as in status.lastTermination."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Repaired:
    """It runs again; `first`: the restart that waits for no back-off."""

    seconds: float
    first: bool


Observation = BecameReady | Restarted | Repaired


@dataclass(slots=True)
class _Seen:
    generation: int
    began: float | None  # monotonic; None once it is Ready
    new: bool
    restarts: int
    ended: datetime | None = None  # the end of a run that no start has followed yet


class Latencies:
    """Remembers a little of each Workspace. What was there when we started is taken as it is."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}  # by uid

    def see(self, workspace: Workspace, now: float) -> Iterator[Observation]:
        """What a new version of the object tells; `now` is monotonic seconds."""
        seen = self._seen.get(workspace.metadata.uid)
        if seen is None:
            seen = self._first_sight(workspace, now)
        elif seen.generation != workspace.metadata.generation:
            seen.generation, seen.began, seen.new = workspace.metadata.generation, now, False
            seen.ended = None  # what follows was asked for anew: no repair
        yield from _restarts(workspace, seen)
        if seen.began is not None and _is_ready(workspace):
            yield BecameReady(now - seen.began, seen.new)
            seen.began = None

    def forget(self, uid: str) -> None:
        """The Workspace is gone."""
        self._seen.pop(uid, None)

    def _first_sight(self, workspace: Workspace, now: float) -> _Seen:
        status = workspace.status
        asked_lately = status.observed_generation != workspace.metadata.generation  # else it waits for something else
        began = now if asked_lately else None
        seen = _Seen(workspace.metadata.generation, began, status.observed_generation < 0, status.restart_count)
        self._seen[workspace.metadata.uid] = seen
        return seen


def _restarts(workspace: Workspace, seen: _Seen) -> Iterator[Observation]:
    status = workspace.status
    ended = status.last_termination
    if status.restart_count > seen.restarts:
        yield Restarted(status.restart_count - seen.restarts, (ended and ended.reason) or "Unknown")
        seen.restarts = status.restart_count
        seen.ended = ended.finished_at if ended else None
    if seen.ended is not None and status.started_at is not None and status.started_at > seen.ended:
        yield Repaired((status.started_at - seen.ended).total_seconds(), status.retries <= 1)
        seen.ended = None


def _is_ready(workspace: Workspace) -> bool:
    return workspace.status.is_ready and workspace.status.observed_generation == workspace.metadata.generation
