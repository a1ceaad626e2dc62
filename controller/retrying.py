"""When a request to the API server that was refused, or not answered, is made again. In seconds."""

from __future__ import annotations

from typing import Any

from controller.clock import mono
from controller.kube import ApiUnavailable, Gone, Kube
from controller.store import Key, Store

CONFLICT_RETRY = 0.05  # the newer object is here
API_RETRY = 2.0  # it did not answer
GONE_RETRY = 5.0  # the watch tells of a deletion long before, or it was none


async def catch_up(kube: Kube, store: Store[Any], key: Key) -> float:
    """Reads what is newer than what is held: the watch may be late, and each try without it would be refused. Gives the
    time of the next try (monotonic), from the end of the read on: it may have taken long."""
    before = store.get(key)
    try:
        store.apply(await kube.get(store.kind, *key))
    except (ApiUnavailable, Gone):
        return mono() + API_RETRY
    return mono() + (API_RETRY if store.get(key) is before else CONFLICT_RETRY)
