"""The rows of a list. One that the engine writes as it did before is not read again: at rest a list costs little."""

from __future__ import annotations

import re
from sys import intern

import msgspec

from controller import naming
from controller.engine.protocol import Summary

_WORDS_IN_BRACKETS = re.compile(r"\(([^)]*)\)")


class _Endpoint(msgspec.Struct):
    EndpointID: str | None = None


class _Settings(msgspec.Struct):
    Networks: dict[str, _Endpoint | None] | None = None


class _Row(msgspec.Struct):
    """What is read of a row."""

    Id: str
    State: str
    Status: str = ""
    Names: list[str] | None = None
    Labels: dict[str, str] | None = None
    NetworkSettings: _Settings | None = None


_ROWS = msgspec.json.Decoder(list[msgspec.Raw] | None)
_ROW = msgspec.json.Decoder(_Row)


class Rows:
    """Remembers the rows of the last list, by what was written of them."""

    def __init__(self) -> None:
        self._known: dict[int, Summary] = {}
        self._hash: int | None = None  # of the last answer, which may be megabytes long
        self._rows: list[Summary] = []

    def read(self, answer: bytes) -> list[Summary]:
        """What the JSON of GET /containers/json says: the same list as before where it says the same, though minutes
        have passed.

        Raises msgspec.DecodeError.
        """
        now = hash(answer)  # keyed with this process's own secret: nobody can make two answers with the same one
        if now == self._hash:
            return self._rows
        known = self._known
        written = {hash(row): row for row in map(bytes, _ROWS.decode(answer) or ())}
        self._known = {key: known.get(key) or summary(_ROW.decode(row)) for key, row in written.items()}
        self._hash, rows = now, list(self._known.values())
        if rows != self._rows:
            self._rows = rows
        return self._rows


def summary(row: _Row) -> Summary:
    """The status' "Up 5 minutes (healthy)" is cut to what doesn't change by itself. Each start gives new endpoints."""
    networks = (row.NetworkSettings.Networks if row.NetworkSettings else None) or {}
    detail = [
        *_WORDS_IN_BRACKETS.findall(row.Status),
        *(str(endpoint.EndpointID if endpoint else None) for endpoint in networks.values()),
    ]
    uid = (row.Labels or {}).get(naming.LABEL_UID, "")
    names = sorted(row.Names or ("",), key=lambda name: name.count("/"))  # links add names with two slashes
    return Summary(intern(row.Id), intern(uid), intern(names[0].lstrip("/")), intern(row.State), " ".join(detail))
