"""When a Workspace is looked at again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from controller import reconciler as module
from controller.clock import mono
from controller.kube import ApiUnavailable, Conflict
from controller.reconciler import Reconciler
from tests.virtual_time import virtual_time


@virtual_time
async def test_after_a_conflict_the_pause_begins_once_the_newer_object_was_read() -> None:
    class Slow:
        async def get(self, *_: Any) -> dict[str, Any]:
            await asyncio.sleep(15)
            raise ApiUnavailable("no answer")

    class Stale:
        def __init__(self, *_: Any) -> None: ...

        async def run(self, keep: Any) -> None:
            raise Conflict("stale")

    meta = SimpleNamespace(deletion_timestamp=None, generation=1, finalizers=())
    entry = SimpleNamespace(object=SimpleNamespace(metadata=meta), ref=SimpleNamespace(uid="u"))
    metrics = SimpleNamespace(reconciled=lambda *_: None)
    store = SimpleNamespace(kind="Workspace", get=lambda key: entry, apply=None)
    world: Any = SimpleNamespace(workspaces=store, may_act=lambda: True, kube=Slow(), metrics=metrics)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "Reconciliation", Stale)
        again = await Reconciler(world).reconcile(("n", "a"))
    assert again == pytest.approx(mono() + 2.0)
