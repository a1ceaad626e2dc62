"""The host cache: events wake it sooner, lists are the truth, inspect decides. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from controller.engine.cache import HostCache
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.errors import CallTimeout, EngineError, HostUnreachable
from controller.observed import Container, ContainerState, Observed
from tests.engine.specs import CLUSTER, labels, policy, spec
from tests.virtual_time import VirtualLoop, virtual_time

UID = "uid-1"


@dataclass
class Scene:
    """A host, its engine, and the cache that runs on it."""

    host: MemoryHost
    engine: MemoryEngine
    cache: HostCache
    changes: list[str] = field(default_factory=list)

    async def runs(self, uid: str = UID, name: str = "ws-1") -> str:
        """A container made as the controller makes it."""
        container = await self.engine.create(name, spec(uid=uid), {}, policy())
        self.cache.made(container, uid)
        with self.cache.changing(container):
            await self.engine.start(container)
        await self.cache.refresh(container)
        return container

    async def another_makes(self) -> str:
        """A container of UID that is not started, and of which nobody tells the cache."""
        return await self.engine.create("ws-1", spec(uid=UID), {}, policy())

    def observed(self, uid: str = UID) -> Observed:
        return self.cache.observed(uid)

    def one(self, uid: str = UID) -> Container:
        (container,) = self.observed(uid).containers
        return container

    @property
    def inspects(self) -> int:
        return self.host.faults.calls["inspect"]


@asynccontextmanager
async def scene(containers: int = 0) -> AsyncIterator[Scene]:
    """The cache runs, on a host with so many containers already."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    host = MemoryHost(loop.wall)
    engine = MemoryEngine(CLUSTER, host)
    changes: list[str] = []
    it = Scene(host, engine, HostCache(engine, loop.time, changes.append), changes)
    for number in range(containers):
        host.run(f"ws-{number}", dict(labels(uid=f"uid-{number}")))
    running = asyncio.create_task(it.cache.run())
    await asyncio.sleep(0.01)
    try:
        yield it
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@virtual_time
async def test_nothing_is_known_before_the_first_complete_list() -> None:
    cache = HostCache(MemoryEngine(CLUSTER), asyncio.get_running_loop().time)
    observed = cache.observed(UID)
    assert not observed.known
    assert observed.unknown_because


@virtual_time
async def test_slow_inspects_keep_the_host_unknown_at_first() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    host = MemoryHost(loop.wall)
    host.run("ws-0", dict(labels()))
    host.faults.latency["inspect"] = 1.0
    cache = HostCache(MemoryEngine(CLUSTER, host), loop.time)
    running = asyncio.create_task(cache.run())
    await asyncio.sleep(0.5)
    assert not cache.observed(UID).known
    await asyncio.sleep(1)
    assert cache.observed(UID).known
    assert len(cache.observed(UID).containers) == 1
    running.cancel()


@virtual_time
async def test_a_thousand_containers_cost_one_list_and_one_inspect_each() -> None:
    async with scene(containers=1000) as it:
        await asyncio.sleep(3)
        assert len(it.cache.all()) == 1000
        assert it.host.faults.calls == {"info": 1, "list": 1, "inspect": 1000}
        assert sorted(set(it.changes)) == sorted(["", *(f"uid-{n}" for n in range(1000))])


@virtual_time
async def test_a_first_look_that_takes_longer_than_a_host_may_be_silent_comes_to_its_end() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    host = MemoryHost(loop.wall)
    host.faults.latency["inspect"] = 0.2
    for number in range(1600):
        host.run(f"ws-{number}", dict(labels(uid=f"uid-{number}")))
    cache = HostCache(MemoryEngine(CLUSTER, host), loop.time)
    running = asyncio.create_task(cache.run())
    await asyncio.sleep(19)
    assert not cache.is_known()
    await asyncio.sleep(6)
    assert cache.is_known()
    assert host.faults.calls["inspect"] == 1600
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@virtual_time
async def test_at_rest_only_lists_are_made() -> None:
    async with scene(containers=100) as it:
        await asyncio.sleep(10)
        before, changes = it.host.faults.calls.copy(), len(it.changes)
        await asyncio.sleep(60)
        assert it.host.faults.calls - before == {"list": 15}
        assert len(it.changes) == changes


@virtual_time
async def test_a_create_through_us_needs_no_more_than_one_inspect() -> None:
    async with scene() as it:
        await asyncio.sleep(5)
        await it.runs()
        await asyncio.sleep(20)
        calls = it.host.faults.calls
        assert (calls["create"], calls["start"], calls["inspect"]) == (1, 1, 1)


@virtual_time
async def test_what_another_one_makes_is_never_taken_for_nothing() -> None:
    """Who takes over while a container is made and started must not let go of a Workspace that is deleted meanwhile."""
    async with scene() as it:
        assert it.observed().known
        container = await it.another_makes()
        await asyncio.sleep(0.01)
        assert not it.observed().known
        await asyncio.sleep(0.3)  # the start takes long
        await it.engine.start(container)
        await asyncio.sleep(0.01)
        assert not it.observed().known
        await asyncio.sleep(0.6)
        assert it.observed().known
        assert it.one().state is ContainerState.RUNNING


@virtual_time
async def test_what_another_one_made_and_never_starts_is_known_after_the_next_list() -> None:
    async with scene() as it:
        await it.another_makes()
        await asyncio.sleep(5)
        assert it.observed().known
        assert it.one().state is ContainerState.CREATED


@virtual_time
async def test_what_another_one_makes_unheard_is_not_taken_for_nothing_either() -> None:
    """A stream that lags: the list comes first, and shows it created."""
    async with scene() as it:
        it.host.deaf = True
        await it.another_makes()
        it.cache.request_list()
        await asyncio.sleep(0.01)
        assert not it.observed().known
        await asyncio.sleep(0.6)
        assert it.one().state is ContainerState.CREATED


@virtual_time
async def test_a_slow_create_through_us_needs_no_more_than_one_inspect() -> None:
    async with scene() as it:
        it.host.faults.latency["start"] = 3.0  # a list in between shows it created
        await asyncio.sleep(2)
        await it.runs()
        await asyncio.sleep(20)
        assert it.inspects == 1


@virtual_time
async def test_a_start_whose_answer_is_late_needs_no_more_than_one_inspect() -> None:
    async with scene() as it:
        container = await it.engine.create("ws-1", spec(uid=UID), {}, policy())
        with it.cache.changing(container):
            await asyncio.sleep(9)  # a busy engine: two lists show it created
            await it.engine.start(container)
            await asyncio.sleep(9)  # its event is heard, its answer isn't
        await it.cache.refresh(container)
        await asyncio.sleep(20)
        assert it.inspects == 1
        assert it.one().state is ContainerState.RUNNING


@virtual_time
async def test_an_end_during_a_change_is_seen_although_the_first_look_after_it_fails() -> None:
    async with scene() as it:
        container = await it.runs()
        with it.cache.changing(container):
            it.host.exit(container, 1)
            await asyncio.sleep(1)
            assert it.one().state is ContainerState.RUNNING
        it.host.faults.fail("inspect", EngineError("busy"))
        with suppress(EngineError):
            await it.cache.refresh(container)
        it.cache.request_list()
        await asyncio.sleep(1)
        assert it.one().state is ContainerState.EXITED


@virtual_time
async def test_changes_through_us_need_one_inspect_each() -> None:
    async with scene() as it:
        container = await it.runs()
        await asyncio.sleep(5)
        changes = (
            lambda: it.engine.pause(container),
            lambda: it.engine.unpause(container),
            lambda: it.engine.rename(container, "ws-other"),
        )
        for number, change in enumerate(changes, start=2):
            await change()
            await it.cache.refresh(container)
            await asyncio.sleep(9)
            assert it.inspects == number


@virtual_time
async def test_an_exit_is_seen_at_once() -> None:
    async with scene() as it:
        container = await it.runs()
        it.changes.clear()
        it.host.exit(container, 1)
        await asyncio.sleep(0.01)
        assert (it.one().state, it.one().exit_code) == (ContainerState.EXITED, 1)
        assert it.changes == [UID]


@virtual_time
async def test_what_people_do_by_hand_is_seen() -> None:
    async with scene() as it:
        container = await it.runs()
        it.host.pause(container)
        await asyncio.sleep(0.6)
        assert it.one().state is ContainerState.PAUSED
        it.host.unpause(container)
        it.host.rename(container, "theirs")
        await asyncio.sleep(0.6)
        assert (it.one().state, it.one().name) == (ContainerState.RUNNING, "theirs")
        it.host.update(container, restart_policy="always")
        await asyncio.sleep(0.6)
        assert it.one().restart_policy == "always"
        it.host.remove(container)
        await asyncio.sleep(0.01)
        assert it.observed() == Observed((), known=True, age=it.observed().age)


@virtual_time
async def test_two_exits_in_a_row_are_told_apart() -> None:
    async with scene() as it:
        container = await it.runs()
        for code in (1, 2, 3):
            it.host.exit(container, code)
            await asyncio.sleep(0.01)
            assert it.one().exit_code == code
            it.host.start(container)
            it.host.exit(container, code + 10)
            await asyncio.sleep(0.6)
            assert it.one().exit_code == code + 10
            await it.engine.start(container)
            await it.cache.refresh(container)


@virtual_time
async def test_a_silent_event_stream_delays_but_hides_nothing() -> None:
    async with scene(containers=3) as it:
        await asyncio.sleep(10)
        it.host.deaf = True
        it.host.kill("ws-0")
        it.host.remove("ws-1")
        it.host.rename("ws-2", "theirs")
        made = it.host.run("ws-9", dict(labels(uid="uid-9")))
        await asyncio.sleep(4.6)
        assert it.one("uid-0").state is ContainerState.EXITED
        assert it.observed("uid-1").containers == ()
        assert it.one("uid-2").name == "theirs"
        assert it.one("uid-9").id == made


@virtual_time
async def test_a_silent_event_stream_is_opened_anew() -> None:
    async with scene(containers=2) as it:
        await asyncio.sleep(10)
        it.host.deafen()
        it.host.update("ws-1", restart_policy="always")  # no list shows that
        it.host.kill("ws-0")
        await asyncio.sleep(10)
        assert it.cache.stats.subscriptions == 2
        assert it.one("uid-1").restart_policy == "always"


@virtual_time
async def test_after_an_ended_stream_everything_is_looked_at_again() -> None:
    async with scene(containers=1) as it:
        await asyncio.sleep(10)
        it.host.deaf = True
        it.host.update("ws-0", restart_policy="always")  # no list shows that
        await asyncio.sleep(10)
        assert it.one("uid-0").restart_policy == "no"
        it.host.end_streams()
        await asyncio.sleep(1)
        assert it.one("uid-0").restart_policy == "always"


@virtual_time
async def test_unreachable_host_is_unknown_after_eight_seconds_and_keeps_its_containers() -> None:
    async with scene(containers=2) as it:
        await asyncio.sleep(4.5)  # the second list was just made
        it.changes.clear()
        it.host.cut("connection refused")
        await asyncio.sleep(7)
        assert it.observed("uid-0").known
        await asyncio.sleep(1)
        observed = it.observed("uid-0")
        assert not observed.known
        assert observed.unknown_because == "connection refused"
        assert len(observed.containers) == 1
        assert sorted(it.changes) == ["", "uid-0", "uid-1"]


@virtual_time
async def test_frozen_engine_is_unknown_within_ten_seconds() -> None:
    async with scene(containers=1) as it:
        await asyncio.sleep(3)
        it.host.faults.freeze()
        await asyncio.sleep(10)
        assert not it.observed("uid-0").known
        it.host.faults.thaw()
        await asyncio.sleep(5)
        assert it.observed("uid-0").known


@virtual_time
async def test_host_that_is_back_is_known_only_with_fresh_snapshots() -> None:
    async with scene(containers=1) as it:
        it.host.cut()
        await asyncio.sleep(60)
        it.host.kill("ws-0")
        it.host.faults.latency["inspect"] = 2.0
        it.host.come_back()
        seen = []
        for _ in range(60):
            await asyncio.sleep(0.1)
            if it.observed("uid-0").known:
                seen.append(it.one("uid-0").state)
        assert seen
        assert set(seen) == {ContainerState.EXITED}


@virtual_time
async def test_short_outage_changes_nothing_for_anyone() -> None:
    async with scene(containers=3) as it:
        await asyncio.sleep(4.5)
        it.changes.clear()
        it.host.cut()
        await asyncio.sleep(3)
        it.host.come_back()
        await asyncio.sleep(20)
        assert it.changes == []
        assert it.observed("uid-0").known


@virtual_time
async def test_failing_lists_do_not_hide_events() -> None:
    async with scene(containers=1) as it:
        it.host.faults.fail("list", EngineError("HTTP 500"), times=1)
        it.host.kill("ws-0")
        await asyncio.sleep(0.01)
        assert it.one("uid-0").state is ContainerState.EXITED


@virtual_time
async def test_failing_inspect_is_tried_again() -> None:
    async with scene(containers=1) as it:
        it.host.faults.fail("inspect", EngineError("HTTP 500"), times=2)
        it.host.kill("ws-0")
        await asyncio.sleep(9)
        assert it.one("uid-0").state is ContainerState.EXITED


@virtual_time
async def test_a_container_that_can_not_be_inspected_is_unknown_and_others_are_not() -> None:
    async with scene(containers=2) as it:
        it.host.faults.fail("inspect", CallTimeout("no answer"), times=4)
        it.host.kill("ws-0")
        await asyncio.sleep(12.5)
        assert not it.observed("uid-0").known
        assert it.observed("uid-1").known
        it.changes.clear()
        await asyncio.sleep(8)
        assert it.observed("uid-0").known
        assert it.changes == ["uid-0"]


@virtual_time
async def test_an_older_inspect_never_replaces_a_newer_one() -> None:
    async with scene() as it:
        container = await it.runs()
        shown = it.one()
        answers: list[asyncio.Future[Container]] = []

        async def inspect(container: str) -> Container:
            answers.append(asyncio.get_running_loop().create_future())
            return await answers[-1]

        it.engine.inspect = inspect  # type: ignore[method-assign]
        older = asyncio.create_task(it.cache.refresh(container))
        await asyncio.sleep(0)
        newer = asyncio.create_task(it.cache.refresh(container))
        await asyncio.sleep(0)
        it.host.kill(container)
        answers[1].set_result(it.host.find(container).shown)
        await newer
        answers[0].set_result(shown)
        await older
        assert it.one().state is ContainerState.EXITED


@virtual_time
async def test_a_removed_container_does_not_come_back_with_an_older_answer() -> None:
    async with scene() as it:
        container = await it.runs()
        it.host.faults.latency["inspect"] = 1.0
        it.host.faults.latency["list"] = 1.0
        it.cache.request_list()
        older = asyncio.create_task(it.cache.refresh(container))
        await asyncio.sleep(0.5)
        await it.engine.remove(container, UID)
        it.cache.forget(container)
        with suppress(HostUnreachable):
            await older
        assert it.observed().containers == ()
        await asyncio.sleep(10)
        assert it.observed().containers == ()


@virtual_time
async def test_refresh_of_what_is_gone_forgets_it() -> None:
    async with scene() as it:
        container = await it.runs()
        it.host.deaf = True
        it.host.remove(container)
        await it.cache.refresh(container)
        assert it.observed().containers == ()
        assert it.observed().known


@virtual_time
async def test_dead_container_is_seen_and_not_inspected_for_ever() -> None:
    async with scene(containers=1) as it:
        it.host.stick("ws-0", dead=True)
        await asyncio.sleep(9)
        assert it.one("uid-0").is_dead
        before = it.inspects
        await asyncio.sleep(40)
        assert it.inspects == before


@virtual_time
async def test_swarms_of_exec_sessions_are_counted_in_few_inspects() -> None:
    async with scene(containers=1) as it:
        await asyncio.sleep(5)
        before = it.inspects
        for count in range(1, 51):
            it.host.set_tasks("ws-0", count)
            await asyncio.sleep(0.01)
        await asyncio.sleep(2)
        assert it.one("uid-0").active_tasks == 50
        assert it.inspects - before <= 3


@virtual_time
async def test_the_end_of_a_session_that_no_event_told_is_seen_within_a_minute() -> None:
    async with scene(containers=3) as it:
        await asyncio.sleep(5)
        it.host.set_tasks("ws-0", 1)
        await asyncio.sleep(2)
        assert it.one("uid-0").active_tasks == 1
        it.host.deafen()
        it.host.set_tasks("ws-0", 0)
        before = it.inspects
        await asyncio.sleep(65)
        assert it.one("uid-0").active_tasks == 0
        await asyncio.sleep(300)
        assert it.inspects - before == 1


@virtual_time
async def test_other_clusters_containers_are_not_cached() -> None:
    async with scene() as it:
        it.host.run("theirs", dict(labels(cluster="cluster-b")))
        await asyncio.sleep(10)
        assert it.cache.all() == ()
        assert it.inspects == 0


@virtual_time
async def test_cache_leaves_no_task_behind() -> None:
    async with scene(containers=2):
        await asyncio.sleep(10)
    assert asyncio.all_tasks() == {asyncio.current_task()}
