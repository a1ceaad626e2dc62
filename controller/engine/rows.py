"""The rows of a list. One that the engine writes as it did before is not read again: at rest a list costs little."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import blake2b
from sys import intern
from typing import Any

import msgspec

from controller import naming
from controller.engine.protocol import Summary

_ROWS = msgspec.json.Decoder(list[msgspec.Raw] | None)
_WORDS_IN_BRACKETS = re.compile(r"\(([^)]*)\)")


class Rows:
    """Remembers the rows of the last list, by what was written of them."""

    def __init__(self) -> None:
        self._known: dict[bytes, Summary] = {}
        self._hash: int | None = None  # of the last answer, which may be megabytes long
        self._rows: list[Summary] = []

    def read(self, answer: bytes) -> list[Summary]:
        """What the JSON of GET /containers/json says: the same list as before where the answer is the same.

        Raises msgspec.DecodeError, KeyError.
        """
        now = hash(answer)  # keyed with this process's own secret: nobody can make two answers with the same one
        if now == self._hash:
            return self._rows
        known = self._known
        written = {blake2b(raw, digest_size=16).digest(): raw for raw in _ROWS.decode(answer) or ()}
        self._known = {key: known.get(key) or summary(json.loads(bytes(raw))) for key, raw in written.items()}
        self._hash, self._rows = now, list(self._known.values())
        return self._rows


def summary(row: Mapping[str, Any]) -> Summary:
    """The status' "Up 5 minutes (healthy)" is cut to what doesn't change by itself. Each start gives new endpoints."""
    endpoints = ((row.get("NetworkSettings") or {}).get("Networks") or {}).values()
    detail = [
        *_WORDS_IN_BRACKETS.findall(row.get("Status", "")),
        *(str((e or {}).get("EndpointID")) for e in endpoints),
    ]
    uid = (row.get("Labels") or {}).get(naming.LABEL_UID, "")
    names = sorted(row.get("Names") or ("",), key=lambda name: name.count("/"))  # links add names with two slashes
    return Summary(intern(row["Id"]), intern(uid), intern(names[0].lstrip("/")), intern(row["State"]), " ".join(detail))
