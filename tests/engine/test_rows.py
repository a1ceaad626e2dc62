"""Rows of a list: read once, and again as soon as anything in them differs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from controller import naming
from controller.engine.rows import Rows

ROW: dict[str, Any] = {
    "Id": "a" * 64,
    "Names": ["/other/alias", "/ws-1"],
    "Labels": {naming.LABEL_UID: "uid-1"},
    "State": "running",
    "Status": "Up 5 minutes (healthy)",
    "NetworkSettings": {"Networks": {"ws": {"EndpointID": "e1"}}},
}


def _read(rows: Rows, *written: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(r.uid, r.name, r.state, r.detail) for r in rows.read(json.dumps(written).encode())]


def test_a_row_tells_what_inspect_would() -> None:
    assert _read(Rows(), ROW) == [("uid-1", "ws-1", "running", "healthy e1")]


@pytest.mark.parametrize(
    "change",
    [
        {"State": "exited", "Status": "Exited (137) 1 second ago"},
        {"Status": "Up 5 minutes (unhealthy)"},
        {"Names": ["/renamed"]},
        {"NetworkSettings": {"Networks": {"ws": {"EndpointID": "e2"}}}},
    ],
    ids=["state", "health", "name", "started again"],
)
def test_a_changed_row_is_read_again(change: dict[str, Any]) -> None:
    rows = Rows()
    before = _read(rows, ROW)
    assert _read(rows, ROW | change) != before
    assert _read(rows, ROW) == before


def test_time_that_passes_is_no_change() -> None:
    rows = Rows()
    assert _read(rows, ROW) == _read(rows, ROW | {"Status": "Up 6 minutes (healthy)"})


def test_a_list_that_says_the_same_is_the_same_list_though_minutes_have_passed() -> None:
    rows = Rows()
    first = rows.read(json.dumps([ROW]).encode())
    assert rows.read(json.dumps([ROW | {"Status": "Up 6 minutes (healthy)"}]).encode()) is first


def test_what_is_listed_no_more_is_forgotten() -> None:
    rows = Rows()
    _read(rows, ROW, ROW | {"Id": "b" * 64})
    assert len(_read(rows, ROW)) == 1
    assert _read(rows) == []
    assert rows.read(b"null") == []


def test_the_same_answer_gives_the_same_list() -> None:
    rows = Rows()
    first = rows.read(json.dumps([ROW]).encode())
    assert rows.read(json.dumps([ROW]).encode()) is first
    assert rows.read(json.dumps([ROW | {"State": "exited"}]).encode()) is not first


def test_an_answer_without_a_word_is_no_empty_list() -> None:
    with pytest.raises(msgspec.DecodeError):
        Rows().read(b"")
