"""Ready is said of the spec that the container was made from, and what failed for another spec holds nothing up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.errors import EngineError, HostUnreachable, WorkspaceError
from controller.kube import ObjectRef
from tests.fuzz.apiserver import Object
from tests.fuzz.world import NAMESPACE, World, settle, world

SOON = 30.0  # virtual seconds


def told(made: World) -> tuple[int, str]:
    """Of which generation the status speaks, and whether that is Ready."""
    found = made.get("a")
    assert found is not None
    status = found["status"]
    return status["observedGeneration"], next(c["status"] for c in status["conditions"] if c["type"] == "Ready")


def edit(made: World, **spec: Any) -> None:
    made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(spec))


def edit_before_the_answer(made: World, write: str, marker: str, **spec: Any) -> None:
    """The user edits the Workspace once `write` has left `marker` in it, and before we hear the answer to that."""
    kube = made.controller.app.kube
    at_once = getattr(kube, write)

    async def late(ref: ObjectRef, changes: Any) -> Object:
        raw: Object = await at_once(ref, changes)
        if ref.kind == "Workspace" and marker in str(raw):
            setattr(kube, write, at_once)
            edit(made, **spec)
            await asyncio.sleep(0.05)
        return raw

    setattr(kube, write, late)


def test_the_image_is_looked_at_while_the_finalizer_is_written() -> None:
    with world() as made:
        made.go(5)
        kube: Any = made.controller.app.kube
        write = kube.set_finalizers

        async def slow(ref: ObjectRef, finalizers: list[str]) -> Object:
            await asyncio.sleep(0.5 if ref.kind == "Workspace" else 0)
            raw: Object = await write(ref, finalizers)
            return raw

        kube.set_finalizers = slow
        made.host.faults.latency["image"] = 0.5
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(0.7)
        assert told(made) == (1, "True")
        assert made.host.faults.calls["image"] == 1


@pytest.mark.parametrize(
    "error", [EngineError("500"), HostUnreachable("connection reset")], ids=["HTTP 500", "cut off"]
)
@pytest.mark.parametrize("call", ["image", "create"])
def test_a_new_spec_is_not_ready_while_the_making_of_its_container_is_tried_again(
    call: str, error: WorkspaceError
) -> None:
    with world() as made:
        made.host.add_image("other:1")
        made.api.create("Workspace", NAMESPACE, "a", {})
        settle(made, made.host.check_converged, SOON)
        made.host.faults.fail(call, error, 2)
        edit(made, image="other:1")
        made.go(2)
        assert told(made) == (2, "False")
        settle(made, made.host.check_converged, SOON)
        assert not made.host.violations


@pytest.mark.parametrize(
    ("write", "marker"),
    [("patch_status", "'phase': 'Failed'"), ("set_finalizers", "finalizers")],
    ids=["that has failed", "that is about to fail"],
)
def test_a_spec_is_tried_at_once_though_it_came_while_we_wrote_of_another(write: str, marker: str) -> None:
    with world() as made:
        made.go(5)
        edit_before_the_answer(made, write, marker, image="alpine:latest")
        made.api.create("Workspace", NAMESPACE, "a", {"image": "nowhere:1", "imagePullPolicy": "Never"})
        made.go(2)
        assert told(made) == (2, "True")
