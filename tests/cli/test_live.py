"""The live table where the connection to the API server breaks."""

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from controller.cli import live
from controller.cli.cluster import Object
from controller.cli.failure import Failure


def named(name: str) -> Object:
    """A Workspace."""
    return {"metadata": {"uid": name, "name": name, "namespace": "team"}, "spec": {}}


class Enough(Exception):
    """Ends the thread that reads."""


class Restarted:
    """An API server whose watch breaks; by the next one `gone` is deleted."""

    def __init__(self) -> None:
        self.watches = 0

    def select(self, *_: object) -> list[Object]:
        """What is there after the break."""
        return [named("kept")]

    def watch(self, *_: object) -> Iterator[tuple[str, Object]]:
        """What is there, then the end."""
        self.watches += 1
        yield "ADDED", named("kept")
        if self.watches > 1:
            raise Enough
        yield "ADDED", named("gone")
        raise Failure("the API server can't be reached")


def test_what_was_deleted_while_the_watch_was_broken_is_shown_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RETRY", 0.0)
    changes: queue.Queue[live.Change] = queue.Queue()
    server: Any = Restarted()
    with pytest.raises(Enough):
        live._read(server, "team", None, changes)
    shown: dict[str, Object] = {}
    live._take_in(changes, shown)
    assert list(shown) == ["kept"]
