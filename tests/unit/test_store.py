"""The store: versions in order, whichever way they come, and who is told of what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.store import Key, Store

KEY = ("team-a", "shop")


class Told:
    """A store of plain objects, and what was told of it: the uid that was there at that moment, "" for none."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.all_changes: list[str] = []
        self.store: Store[Mapping[str, Any]] = Store(
            "Workspace", lambda raw: raw, lambda key: self._told(self.changes, key)
        )
        self.store.on_any_change = lambda key: self._told(self.all_changes, key)

    def _told(self, where: list[str], key: Key) -> None:
        entry = self.store.get(key)
        where.append(entry.ref.uid if entry is not None else "")


def _object(version: int, uid: str = "uid-1") -> dict[str, Any]:
    namespace, name = KEY
    return {"metadata": {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version)}}


def test_an_older_version_never_replaces_a_newer_one() -> None:
    told = Told()
    for version in (10, 9, 10, 12):
        told.store.apply(_object(version))
    assert told.changes == ["uid-1", "uid-1"]
    assert told.store.refs()[KEY].resource_version == "12"


def test_the_answer_to_our_own_write_wakes_nobody_and_its_event_is_no_news() -> None:
    told = Told()
    told.store.apply(_object(1))
    told.store.apply(_object(2), quietly=True)
    told.store.apply(_object(2))
    assert told.changes == ["uid-1"]
    assert told.all_changes == ["uid-1", "uid-1"]


def test_the_answer_to_our_own_write_brings_nothing_back_that_is_gone() -> None:
    told = Told()
    told.store.apply(_object(1))
    told.store.apply(_object(2), deleted=True)
    told.store.apply(_object(2), quietly=True)
    assert not told.store
    assert told.all_changes == ["uid-1", ""]


def test_another_object_of_the_same_name_means_that_the_one_before_is_gone() -> None:
    told = Told()
    told.store.apply(_object(1))
    told.store.apply(_object(5, uid="uid-2"))
    assert told.changes == ["uid-1", "", "uid-2"]


def test_the_end_of_an_earlier_object_of_that_name_is_no_end_of_this_one() -> None:
    told = Told()
    told.store.apply(_object(5, uid="uid-2"))
    told.store.apply(_object(6), deleted=True)
    assert told.changes == ["uid-2"]
    told.store.apply(_object(7, uid="uid-2"), deleted=True)
    assert told.changes == ["uid-2", ""]


def test_what_a_list_shows_in_an_older_version_than_before_it_is_taken_in_again() -> None:
    """etcd was restored from a snapshot."""
    told = Told()
    told.store.apply(_object(50))
    assert told.store.compare({KEY: ("uid-1", "7")}, told.store.refs()) == [KEY]
    told.store.apply(_object(7))
    told.store.apply(_object(8))
    assert told.store.refs()[KEY].resource_version == "8"


def test_an_earlier_object_of_the_same_name_is_taken_in_again() -> None:
    """etcd was restored from a snapshot; since that was made the object had been deleted and made again."""
    told = Told()
    told.store.apply(_object(50, uid="uid-2"))
    assert told.store.compare({KEY: ("uid-1", "7")}, told.store.refs()) == [KEY]
    told.store.apply(_object(7))
    assert told.changes == ["uid-2", "", "uid-1"]


def test_it_tells_what_the_watch_could_not_bring_until_it_is_taken_in() -> None:
    told = Told()
    told.store.apply(_object(50))
    assert not told.store.was_taken_back(KEY)
    told.store.compare({KEY: ("uid-1", "7")}, told.store.refs())
    assert told.store.was_taken_back(KEY)
    told.store.apply(_object(7))
    assert not told.store.was_taken_back(KEY)


def test_a_list_that_is_older_than_what_came_meanwhile_takes_nothing_back() -> None:
    told = Told()
    told.store.apply(_object(5))
    before = told.store.refs()
    told.store.apply(_object(50))
    assert told.store.compare({KEY: ("uid-1", "7")}, before) == []
    assert told.store.refs()[KEY].resource_version == "50"
