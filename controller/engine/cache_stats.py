"""What a host's cache has done so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CacheStats:
    """Counters since the start, for metrics."""

    lists: int = 0
    failed_lists: int = 0
    inspects: int = 0
    events: int = 0
    subscriptions: int = 0
