"""What a host's containers last looked like, and which of them must be looked at again. No I/O.

Everything that tells about a container gets the next number of one sequence when it *begins*: an inspect that began
before an event can't vouch for what the event says, and one that began before another never replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.engine.protocol import EngineEvent, Summary
from controller.observed import Container, ContainerState

UNKNOWN_AFTER = 8.0  # seconds without a list of the host (two intervals), or an answer about one container
_SAME_RUN = 5.0  # seconds between a snapshot's time and an event's that may be the same start or end
_STATE_AFTER = {"pause": ContainerState.PAUSED, "unpause": ContainerState.RUNNING}


@dataclass(slots=True)
class Entry:
    """One container."""

    id: str
    uid: str = ""  # of the Workspace, once something told
    shown: Container | None = None  # None until the first inspect
    stored: int = -1  # when the inspect of `shown` began
    doubted: int = 0  # when something last said that `shown` may be outdated
    doubted_since: float = 0.0  # monotonic, of the first doubt that is still open
    inspecting: int = -1  # when the inspect that is under way began
    row: Summary | None = None  # the list's row that `shown` is known to go with
    last_event: float = float("-inf")  # monotonic
    lost: bool = False  # the engine answers lists, but hasn't for long about this container
    asked: bool = False  # in vain, since the last doubt
    unread: bool = False  # we have changed it, or its host was away, and we weren't told what it is like since

    @property
    def is_current(self) -> bool:
        """Whether `shown` began after the last doubt."""
        return self.stored > self.doubted

    @property
    def is_due(self) -> bool:
        """Whether an inspect is needed that isn't under way."""
        return not self.is_current and self.inspecting <= self.doubted

    @property
    def is_known(self) -> bool:
        """Whether `shown` can be decided on."""
        return self.shown is not None and not self.lost and not self.unread


class Snapshots:
    """All containers of our cluster on one host."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._of_uid: dict[str, set[str]] = {}
        self._gone: dict[str, int] = {}  # IDs never come back, but an older list or inspect may still name them
        self._unsure: dict[str, int] = {}  # by uid of a Workspace that may have a container no list has shown
        self._sequence = 0
        self._at_rest: tuple[Sequence[Summary], int] | None = None  # the last rows that told nothing new, and when

    def begin(self) -> int:
        """The number of what begins now."""
        self._sequence += 1
        return self._sequence

    def get(self, container: str) -> Entry | None:
        """The entry, if there is one."""
        return self._entries.get(container)

    def entries_of(self, uid: str) -> Sequence[Entry]:
        """Of one Workspace, in a stable order."""
        return [self._entries[container] for container in sorted(self._of_uid.get(uid, ()))]

    def uids(self) -> Iterable[str]:
        """Of all Workspaces that have a container here."""
        return list(self._of_uid)

    def all(self) -> tuple[Container, ...]:
        """Every container that was inspected."""
        return tuple(entry.shown for entry in self._entries.values() if entry.shown)

    def due(self) -> Iterable[Entry]:
        """What must be inspected."""
        if self._at_rest is not None and self._sequence == self._at_rest[1]:
            return ()  # nothing has been doubted since the list that told nothing new
        return (entry for entry in list(self._entries.values()) if entry.is_due)

    def doubt(self, container: str, now: float) -> Entry | None:
        """What is known of the container may be outdated from now on. None for one that is gone for good."""
        if container in self._gone:
            return None
        entry = self._entries.setdefault(container, Entry(container))
        if entry.is_current or entry.doubted == 0:
            entry.doubted_since = now
        entry.doubted = self.begin()
        entry.row, entry.asked = None, False
        return entry

    def expect(self, container: str, uid: str, now: float) -> None:
        """It is this Workspace's, and wasn't looked at yet."""
        entry = self.doubt(container, now)
        if entry is not None:
            self._belongs_to(entry, uid)

    def unsure_of(self, uid: str) -> None:
        """The Workspace may have a container that isn't known."""
        self._unsure[uid] = self.begin()

    def is_unsure_of(self, uid: str) -> bool:
        """Whether no list that has begun since was taken in."""
        return uid in self._unsure

    def sure_again(self, began: int) -> list[str]:
        """The Workspaces of which a list that began at `began` has told what they have."""
        sure = [uid for uid, since in self._unsure.items() if since < began]
        for uid in sure:
            del self._unsure[uid]
        return sure

    def doubt_all(self, now: float, *, unread: bool = False) -> None:
        """Anything may have changed; `unread`: so much that nothing is decided on before it was looked at again."""
        for container in list(self._entries):
            entry = self.doubt(container, now)
            if entry is not None and unread:
                entry.unread = True

    def store(self, shown: Container, began: int) -> str | None:
        """Keeps the snapshot unless a newer one is there. Gives the uid if that changed what is known."""
        if shown.id in self._gone:
            return None
        entry = self._entries.setdefault(shown.id, Entry(shown.id))
        if began <= entry.stored:
            return None
        self._at_rest = None
        changed = shown != entry.shown or not entry.is_known
        entry.shown, entry.stored, entry.lost, entry.unread = shown, began, False, False
        self._belongs_to(entry, shown.uid)
        return shown.uid if changed else None

    def unanswered(self, container: str, now: float) -> str | None:
        """The engine doesn't answer about it. Gives the uid once that has gone on for too long to be known."""
        entry = self._entries.get(container)
        if entry is None or entry.is_current:  # current: a later inspect was answered sooner
            return None
        entry.asked = True
        if entry.lost or now - entry.doubted_since <= UNKNOWN_AFTER:
            return None
        entry.lost = True
        return entry.uid

    def drop(self, container: str) -> str | None:
        """It is gone. Gives the uid if it was known."""
        self._gone[container] = self.begin()
        entry = self._entries.pop(container, None)
        if entry is None or not entry.uid:
            return None
        self._of_uid[entry.uid].discard(container)
        if not self._of_uid[entry.uid]:
            del self._of_uid[entry.uid]
        return entry.uid

    def compare(self, rows: Sequence[Summary], began: int, now: float) -> list[str]:
        """Doubts what a complete list that began at `began` shows otherwise. Gives the known that it differs on."""
        if self._at_rest is not None and rows is self._at_rest[0] and self._sequence == self._at_rest[1] + 1:
            self._at_rest = (rows, self._sequence)  # nothing but this list has begun since
            return []
        before = self._sequence
        differing = self._differing(rows, began, now)
        known = self._entries.keys() == {row.id for row in rows} and all(
            entry.is_current and entry.stored < began for entry in self._entries.values()
        )
        self._at_rest = (rows, self._sequence) if known and self._sequence == before else None
        return differing

    def _differing(self, rows: Sequence[Summary], began: int, now: float) -> list[str]:
        differing = []
        for row in rows:
            entry = self._entries.get(row.id)
            if entry is None:
                self.expect(row.id, row.uid, now)
            elif entry.shown is None:
                self._belongs_to(entry, row.uid)
            elif entry.stored > began:
                continue  # an older list says nothing about a newer snapshot
            elif not self._goes_with(row, entry):
                differing.append(row.id)
                self.doubt(row.id, now)
                entry.row = row  # should list and inspect go on to differ, then once is enough
            elif entry.is_current:
                entry.row = row
        listed = {row.id for row in rows}
        for entry in list(self._entries.values()):
            if entry.id not in listed and entry.stored < began:
                self.doubt(entry.id, now)  # inspect decides
        self._gone = {container: at for container, at in self._gone.items() if at > began}
        return differing

    def explains(self, event: EngineEvent) -> bool:
        """Whether the snapshot provably shows what the event tells, so that no inspect is needed."""
        entry = self._entries.get(event.container_id)
        if entry is None or entry.shown is None or not entry.is_current:
            return False
        shown = entry.shown
        match event.action:
            case "start":
                return shown.state is ContainerState.RUNNING and _same_moment(shown.started_at, event.time)
            case "die":
                return shown.state is ContainerState.EXITED and _same_moment(shown.finished_at, event.time)
            case "pause" | "unpause":
                return shown.state is _STATE_AFTER[event.action]
            case "rename":
                return shown.name == event.name
            case _:
                return False

    def _belongs_to(self, entry: Entry, uid: str) -> None:
        if entry.uid != uid:
            entry.uid = uid
            self._of_uid.setdefault(uid, set()).add(entry.id)

    @staticmethod
    def _goes_with(row: Summary, entry: Entry) -> bool:
        """Against the row that was seen with the snapshot; else, what row and snapshot both show."""
        if entry.row is not None:
            return row == entry.row
        return entry.shown is not None and (row.name, row.state) == (entry.shown.name, entry.shown.state)


def _same_moment(shown: datetime | None, event: datetime) -> bool:
    return shown is not None and abs((event - shown).total_seconds()) < _SAME_RUN
