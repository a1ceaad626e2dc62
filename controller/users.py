"""Who uses which host: an index over the Workspaces, by host and by uid."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from controller.api import Workspace
from controller.store import Entry, Key, Store


@dataclass(frozen=True, slots=True)
class User:
    """A Workspace as it was when it was last seen."""

    uid: str
    host: str


class Users:
    """Kept by whoever hears of changed Workspaces."""

    def __init__(self, workspaces: Store[Workspace]) -> None:
        self._workspaces = workspaces
        self._users: dict[Key, User] = {}
        self._by_host: dict[str, set[Key]] = defaultdict(set)
        self._by_uid: dict[str, Key] = {}

    def came(self, key: Key, entry: Entry[Workspace]) -> bool:
        """Takes in a Workspace; True where it is new to its host."""
        user = User(entry.ref.uid, entry.object.spec.host)
        if self._users.get(key) == user:
            return False
        self.gone(key)
        self._users[key] = user
        self._by_host[user.host].add(key)
        self._by_uid[user.uid] = key
        return True

    def gone(self, key: Key) -> User | None:
        """Drops a Workspace; gives what it was."""
        user = self._users.pop(key, None)
        if user is not None:
            self._by_host[user.host].discard(key)
            if not self._by_host[user.host]:
                del self._by_host[user.host]
            self._by_uid.pop(user.uid, None)
        return user

    def key_of(self, uid: str) -> Key | None:
        """The key of the Workspace with this uid."""
        return self._by_uid.get(uid)

    def uids(self) -> set[str]:
        """The uids of all Workspaces."""
        return set(self._by_uid)

    def hosts(self) -> list[str]:
        """The names of the hosts that Workspaces name."""
        return list(self._by_host)

    def keys_on(self, host: str) -> list[Key]:
        """The keys of the Workspaces that name this host."""
        return list(self._by_host.get(host, ()))

    def of(self, host: str) -> list[Workspace]:
        """The Workspaces that name this host."""
        entries = [self._workspaces.get(key) for key in self.keys_on(host)]
        return [entry.object for entry in entries if entry is not None]
