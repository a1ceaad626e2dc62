"""Keeps an operation small enough for etcd: messages are cut, and the more there are, the shorter. Pure.

Sizes are upper bounds in bytes: of the JSON that is stored, with everything escaped that could be.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from controller.api import WorkspaceOperation, WorkspaceOperationStatus, bounded

OBJECT_LIMIT = 1_400_000  # bytes; etcd refuses requests of 1.5 MiB, and the rest of the object is an estimate
MESSAGE_LIMIT = 256  # characters, by the CRD
SHORTEST = 8  # characters; a shorter message says nothing and is left out
_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def fit(operation: WorkspaceOperation, status: WorkspaceOperationStatus) -> dict[str, Any]:
    """The status as JSON, with messages that fit."""
    full = status.to_dict()
    left = OBJECT_LIMIT - _size_around(operation)
    if size(full) <= left:
        return full
    sizes = sorted(size(result.pop("message")) for result in full["results"] if "message" in result)
    limit = _longest(sizes, left - size(full))
    for written, result in zip(full["results"], status.results, strict=True):
        message = _cut(result.message or "", limit)
        if message:
            written["message"] = message
    return full


def is_too_big(operation: WorkspaceOperation, status: WorkspaceOperationStatus) -> bool:
    """Whether the results will not fit, once they all have their times and reasons, even without any message."""
    ended = {"message": None, "reason": "DeadlineExceeded", "start_time": _ANY_TIME, "completion_time": _ANY_TIME}
    results = tuple(result.model_copy(update=ended) for result in status.results)
    return size(status.model_copy(update={"results": results}).to_dict()) + _size_around(operation) > OBJECT_LIMIT


def size(value: Any) -> int:
    """Bytes of a value as JSON, at most. The API server also escapes <, > and &."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return len(text.encode()) + 5 * sum(text.count(char) for char in "<>&")


def _longest(sizes: list[int], left: int) -> int:
    """The bytes that each message may have, so that all of them fit: short ones leave their share to long ones."""
    overhead = len(',"message":')
    for index, message in enumerate(sizes):
        share = left // (len(sizes) - index) - overhead
        if message > share:
            return max(0, share)
        left -= message + overhead
    return MESSAGE_LIMIT


def _cut(message: str, limit: int) -> str:
    """Cut until its size is at most `limit` bytes."""
    while message and size(message) > limit:
        characters = min(len(message) - 1, max(limit * len(message) // size(message), 0))
        message = bounded(message, characters) if characters >= SHORTEST else ""
    return message


def _size_around(operation: WorkspaceOperation) -> int:
    """Spec and metadata. managedFields name each element of the set `names` once more."""
    spec = size(operation.spec.to_dict())
    names = sum(len(name) + 16 for name in operation.spec.names)
    return spec + names + size(operation.metadata.annotations) + size(operation.metadata.labels) + 10_000
