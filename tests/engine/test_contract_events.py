"""The event stream of every engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from controller.engine.protocol import EngineEvent
from tests.engine.conftest import Host
from tests.engine.specs import labels, policy, spec
from tests.waiting import eventually_async

NAME = "ws-team-a-shop-uid1"


@asynccontextmanager
async def hearing(host: Host) -> AsyncIterator[list[EngineEvent]]:
    """Subscribed: what is heard meanwhile."""
    heard: list[EngineEvent] = []
    subscribed = asyncio.Event()

    async def listen() -> None:
        async for event in host.engine.events():
            if event.container_id:
                heard.append(event)
            else:
                subscribed.set()

    listener = asyncio.create_task(listen())
    await asyncio.wait_for(subscribed.wait(), 10)
    try:
        yield heard
    finally:
        listener.cancel()
        await asyncio.wait([listener])


async def test_a_containers_life_is_heard_in_order(host: Host) -> None:
    async with hearing(host) as heard:
        container = await host.engine.create(NAME, spec(), {}, policy())
        await host.engine.start(container)
        await host.engine.pause(container)
        await host.engine.unpause(container)
        await host.engine.rename(container, "other")
        host.hands.kill(container)
        await eventually_async(lambda: "die" in [event.action for event in heard], timeout=10)
        await host.engine.remove(container, "uid-1")
        await eventually_async(lambda: "destroy" in [event.action for event in heard], timeout=10)
    life = [e.action for e in heard if e.action in ("create", "start", "pause", "unpause", "rename", "die", "destroy")]
    # dockerd 20.10 tells of a pause and its end once more where containerd's own news of them come after both.
    assert list(dict.fromkeys(life)) == ["create", "start", "pause", "unpause", "rename", "die", "destroy"]
    assert {event.container_id for event in heard} == {container}
    assert {event.uid for event in heard} == {"uid-1"}
    assert next(event.name for event in heard if event.action == "rename") == "other"
    assert all(abs(event.time - datetime.now(UTC)) < timedelta(minutes=1) for event in heard)


async def test_other_clusters_containers_are_not_heard(host: Host) -> None:
    async with hearing(host) as heard:
        host.hands.run("theirs", dict(labels(cluster="cluster-b")))
        ours = host.hands.run("ours", dict(labels()))
        await eventually_async(lambda: "start" in [event.action for event in heard], timeout=10)
    assert {event.container_id for event in heard} == {ours}


async def test_two_can_listen_and_one_can_stop(host: Host) -> None:
    async with hearing(host) as first:
        async with hearing(host) as second:
            pass
        ours = host.hands.run("ours", dict(labels()))
        await eventually_async(lambda: [e for e in first if (e.container_id, e.action) == (ours, "start")], timeout=10)
    assert not second
