"""The objects as we know them: what kopf's watches and our own lists delivered, newest version only.

kopf's watch can miss a deletion (a 410 makes it list again without telling what vanished) and can die without a word.
So a metadata-only list is compared with the store now and then: what is missing there is dropped here, what is newer
there is fetched. An older version of an object never replaces a newer one, whichever way it came.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from controller.kube import ObjectRef

logger = logging.getLogger(__name__)
Parsed = TypeVar("Parsed")
Key = tuple[str, str]  # namespace, name


@dataclass(slots=True)
class Entry(Generic[Parsed]):
    """One object: parsed, and which version it is."""

    ref: ObjectRef
    object: Parsed


class Store(Generic[Parsed]):
    """All objects of one kind. `on_change` is called with the key of what came, changed or went."""

    def __init__(self, kind: str, parse: Callable[[Mapping[str, Any]], Parsed], on_change: Callable[[Key], None]):
        self.kind = kind
        self.synced = False  # whether a complete list was taken in
        self._parse, self._on_change = parse, on_change
        self.on_any_change: Callable[[Key], None] = lambda key: None  # told also of what is taken in quietly
        self._entries: dict[Key, Entry[Parsed]] = {}
        self._unreadable: dict[Key, ObjectRef] = {}  # what came and could not be parsed

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._entries))

    def get(self, key: Key) -> Entry[Parsed] | None:
        """The object under this name, if it is there."""
        return self._entries.get(key)

    def knows(self, key: Key) -> bool:
        """Whether the object came, readable or not."""
        return key in self._entries or key in self._unreadable

    def was_taken_back(self, key: Key) -> bool:
        """Whether an older version than the one held is about to be taken in, which the watch can't bring."""
        known = self._entries.get(key)
        return known is not None and known.ref.resource_version == "0"

    def refs(self) -> dict[Key, ObjectRef]:
        """Which version of each object is held."""
        return {key: entry.ref for key, entry in self._entries.items()}

    def values(self) -> list[Parsed]:
        """All objects, in no order."""
        return [entry.object for entry in self._entries.values()]

    def apply(self, raw: Mapping[str, Any], *, deleted: bool = False, quietly: bool = False) -> None:
        """Takes in an object from a watch, a list or (`quietly`: its worker knows) the answer to our own write."""
        meta = raw["metadata"]
        ref = ObjectRef(self.kind, meta.get("namespace", ""), meta["name"], meta["uid"], meta["resourceVersion"])
        key = (ref.namespace, ref.name)
        known = self._entries.get(key)
        if (known is not None and _is_older(ref, known.ref)) or (known is None and quietly):  # it was deleted meanwhile
            return
        if deleted:
            self._unreadable.pop(key, None)
            if known is None or known.ref.uid == ref.uid:
                self._drop(key)
            return
        if known is not None and known.ref == ref:
            return
        if known is not None and known.ref.uid != ref.uid:  # deleted and made again; we did not hear of the deletion
            self._drop(key)
        try:
            parsed = self._parse(raw)
        except Exception as error:  # let in by another version of the CRD; the others must not suffer from it
            logger.error("an object can't be read", extra={"kind": self.kind, "object": key, "error": str(error)})
            self._unreadable[key] = ref
            return
        self._unreadable.pop(key, None)
        self._entries[key] = Entry(ref, parsed)
        if not quietly:
            self._on_change(key)
        self.on_any_change(key)

    def compare(self, versions: Mapping[Key, tuple[str, str]], known_before: Mapping[Key, ObjectRef]) -> list[Key]:
        """Drops what a complete list doesn't have; gives the keys that the list has newer than the store.

        `known_before`: the store's `refs` before the list was asked for; what came since may be too new for the list.
        """
        for key in known_before.keys() - versions.keys():
            known = self._entries.get(key)
            if known is not None and known.ref.uid == known_before[key].uid:
                self._drop(key)
        self._unreadable = {key: ref for key, ref in self._unreadable.items() if key in versions}
        stale = []
        for key, (uid, version) in versions.items():
            known = self._entries.get(key)
            listed = ObjectRef(self.kind, *key, uid, version)
            if self._unreadable.get(key) == listed:
                continue
            if known is not None and known.ref == known_before.get(key) and _was_taken_back(listed, known.ref):
                known.ref = replace(known.ref, resource_version="0")  # what was restored is taken in, old as it is
            if known is None or (known.ref != listed and not _is_older(listed, known.ref)):
                stale.append(key)
        self.synced = True
        return stale

    def _drop(self, key: Key) -> None:
        if self._entries.pop(key, None) is not None:
            self._on_change(key)
            self.on_any_change(key)


def _was_taken_back(listed: ObjectRef, known: ObjectRef) -> bool:
    """Whether a list that was asked for after `known` came has an older version of it, or an older object of its name:
    etcd was restored."""
    if not _is_older(listed, known):
        return False
    logger.warning("an object has gone back to an older version", extra={"kind": known.kind, "object": known.name})
    return True


def _is_older(ref: ObjectRef, known: ObjectRef) -> bool:
    """resourceVersions of one resource can be compared as numbers (since Kubernetes 1.35 by contract)."""
    return int(ref.resource_version) < int(known.resource_version)
