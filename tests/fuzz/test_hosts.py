"""DockerHosts that are deleted and made again, that are away or hang, and two on one engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from controller.api import DockerHost
from controller.engine.memory import MemoryEngine
from controller.engine.memory_host import MemoryHost
from controller.engine.protocol import Engine, EngineInfo
from controller.errors import CallTimeout, EngineError, HostUnreachable
from controller.health import Facts
from controller.kube import Gone, ObjectRef
from controller.observed import Container
from controller.scrape import State
from controller.settings import Settings
from tests.fuzz.world import HOST, HOST_SPEC, NAMESPACE, World, world

TLS = {"endpoint": "tcp://docker.example.com:2376", "tlsSecretRef": {"name": "tls"}}


def phase(made: World, name: str) -> str:
    found = made.get(name)
    assert found is not None
    return str(found["status"].get("phase"))


def vitals(made: World) -> tuple[Facts, State]:
    """What the health endpoints and the metrics are made of, now."""
    told: list[tuple[Facts, State]] = []
    known = made.controller.app.vitals
    made.loop.call_soon(lambda: told.append((known.facts(), known.state())))
    made.go(0.1)
    return told[0]


def only_container(made: World) -> str:
    (container,) = made.host.containers
    return container


def test_a_second_host_on_one_engine_does_not_take_the_containers_of_the_first_for_orphans() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        container = only_container(made)
        made.crash()
        made.api.create("DockerHost", "", "second", HOST_SPEC)
        made.start()
        assert made.controller is not None
        hosts: Any = made.controller.app.hosts
        connect = hosts._connect

        async def first_last(wanted: DockerHost) -> Engine:
            await asyncio.sleep(1.0 if wanted.metadata.name == HOST else 0.0)
            return await connect(wanted)

        hosts._connect = first_last
        made.go(60)
        assert [host.name for host in hosts] == ["second"]
        assert only_container(made) == container


def count_connects(made: World, fail: Exception | None = None) -> list[float]:
    """When the controller connects from now on; the first time fails with `fail`."""
    hosts: Any = made.controller.app.hosts
    connect, times = hosts._connect, []

    async def counted(wanted: DockerHost) -> Engine:
        times.append(made.loop.time())
        if fail is not None and len(times) == 1:
            raise fail
        engine: Engine = await connect(wanted)
        return engine

    hosts._connect = counted
    return times


@pytest.mark.parametrize("secret", [{}, TLS], ids=["socket", "TLS"])
def test_a_host_that_was_away_is_back_with_one_connection(secret: dict[str, Any]) -> None:
    with world(HOST_SPEC | secret) as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        made.host.faults.down = "away"
        made.go(30)
        assert phase(made, "a") == "Unknown"
        for kind in ("info", "list", "inspect"):
            made.host.faults.latency[kind] = 0.01
        connects = count_connects(made)
        made.host.faults.down = ""
        made.go(20)
        assert phase(made, "a") == "Running"
        assert len(connects) <= 1


@pytest.mark.parametrize("error", [HostUnreachable("away"), UnicodeError("not text")], ids=["expected", "unexpected"])
def test_a_failed_try_to_connect_is_not_the_last(error: Exception) -> None:
    with world() as made:
        connects = count_connects(made, error)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        assert len(connects) == 2
        assert phase(made, "a") == "Running"


def test_all_who_wait_for_a_host_that_hangs_say_so_within_ten_seconds() -> None:
    names = [f"w{number}" for number in range(200)]
    with world() as made:
        made.host.faults.latency["create"] = 5.0
        made.go(5)
        for name in names:
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(3)
        made.host.faults.freeze()
        made.go(10)
        assert {phase(made, name) for name in names} == {"Unknown"}
        made.host.faults.heal()
        made.go(60)
        assert {phase(made, name) for name in names} == {"Running"}
        assert len(made.host.containers) == len(names)


def test_a_dry_run_changes_nothing() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "orphan", {})
        made.go(5)
        made.crash()
        made.api.edit("Workspace", NAMESPACE, "orphan", lambda raw: raw["metadata"].update(finalizers=[]))
        made.api.delete("Workspace", NAMESPACE, "orphan")
        made.api.create("Workspace", NAMESPACE, "new", {})
        made.api.create("WorkspaceOperation", NAMESPACE, "stop", {"operation": "Stop", "selector": {}})
        made.calls.clear()
        made.api.writes.clear()
        made.start(Settings(dry_run=True))
        made.go(60)
        assert (made.calls, made.api.writes) == ([], [])
        assert only_container(made)


def test_a_host_that_was_deleted_and_made_again_is_connected_to_afresh() -> None:
    with world() as made:
        made.go(5)
        assert made.controller is not None
        hosts: Any = made.controller.app.hosts
        before = hosts.get(HOST)
        made.api.silent = True
        del made.api.objects[("DockerHost", "", HOST)]
        made.api.create("DockerHost", "", HOST, HOST_SPEC)
        made.go(25)
        assert hosts.get(HOST) not in (None, before)


def test_nothing_is_made_on_a_host_that_is_being_deleted() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "first", {})
        made.go(5)
        made.api.delete("DockerHost", "", HOST)
        made.api.create("Workspace", NAMESPACE, "second", {})
        made.go(5)
        assert only_container(made)
        found = made.get("second")
        assert found is not None
        assert found["status"]["conditions"][0]["reason"] == "HostTerminating"
        assert not found["metadata"].get("finalizers")
        made.api.delete("Workspace", NAMESPACE, "first")
        made.go(20)
        assert not [key for key in made.api.objects if key[0] == "DockerHost"]


def test_workspaces_hear_of_the_end_of_a_host_also_where_its_own_status_is_being_written() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        kube: Any = made.controller.app.kube
        write = kube.patch_status

        async def slow(ref: ObjectRef, changes: dict[str, Any]) -> Any:
            if ref.kind == "DockerHost":
                await asyncio.sleep(5)
            return await write(ref, changes)

        kube.patch_status = slow
        made.api.create("Workspace", NAMESPACE, "b", {})
        made.go(3)
        made.api.edit("DockerHost", "", HOST, lambda raw: raw["metadata"].update(finalizers=[]))
        made.api.delete("DockerHost", "", HOST)
        made.go(10)
        for name in ("a", "b"):
            found = made.get(name)
            assert found is not None
            assert found["status"]["conditions"][0]["reason"] == "HostNotFound"


def test_a_host_that_was_never_reached_is_told_as_one_that_cannot_be_reached() -> None:
    with world() as made:
        made.go(5)
        hosts: Any = made.controller.app.hosts

        async def fails(wanted: DockerHost) -> Engine:
            raise HostUnreachable("no route to it")

        hosts._connect = fails
        made.api.create("DockerHost", "", "far", HOST_SPEC)
        made.go(10)
        facts, state = vitals(made)
        assert facts.hosts["far"].problem == "no route to it"
        assert not state.hosts["far"].reachable
        assert state.hosts[HOST].reachable


def test_containers_that_another_host_shows_too_are_no_orphans() -> None:
    """The endpoint of the second host leads to the engine of the first from one moment to the next."""
    with world() as made:
        hosts: Any = made.controller.app.hosts
        connect, engines = hosts._connect, {}

        async def by_name(wanted: DockerHost) -> Engine:
            engine: Any = await connect(wanted)
            if wanted.metadata.name == "second":
                engine.host = MemoryHost(made.loop.wall)
            engines[wanted.metadata.name] = engine
            return cast(Engine, engine)

        hosts._connect = by_name
        made.api.create("DockerHost", "", "second", HOST_SPEC)
        for name in "abc":
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(30)
        before = set(made.host.containers)
        engines["second"].host = made.host
        made.go(60)
        assert set(made.host.containers) == before
        assert len(before) == 3


@pytest.mark.parametrize(("away", "fails"), [(60, 0), (5, 0), (60, 2)], ids=["long", "shortly", "and slow to say"])
def test_an_engine_that_is_back_is_asked_what_it_is_now(away: float, fails: int) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(30)
        hosts: Any = made.controller.app.hosts
        ask, asked = hosts.get(HOST).engine.info, []

        async def upgraded() -> EngineInfo:
            asked.append(made.loop.time())
            if len(asked) <= fails:
                raise CallTimeout("info: no answer within 4 s")
            return replace(await ask(), version="29.9", ignored_limits=frozenset({"memory_swap"}))

        hosts.get(HOST).engine.info = upgraded
        made.go(60)
        assert not asked, "nobody asks while it is there"
        made.host.cut("upgrade")
        made.go(away)
        made.host.come_back()
        made.go(60)
        assert len(asked) == 1 + fails
        assert hosts.get(HOST).info.ignored_limits == {"memory_swap"}
        assert made.api.objects[("DockerHost", "", HOST)]["status"]["engineVersion"] == "29.9"


def test_another_engine_at_the_same_endpoint_is_connected_to_afresh() -> None:
    with world() as made:
        made.go(10)
        hosts: Any = made.controller.app.hosts
        before, ask = hosts.get(HOST), hosts.get(HOST).engine.info

        async def another() -> EngineInfo:
            return replace(await ask(), engine_id="another")

        before.engine.info = another
        made.host.faults.down = "moved"
        made.go(30)
        made.host.faults.down = ""
        made.go(30)
        assert hosts.get(HOST) not in (None, before)


def change_the_limit(made: World) -> None:
    """Has the host connected to anew."""

    def change(raw: dict[str, Any]) -> None:
        raw["spec"]["maxConcurrentOperations"] = raw["spec"].get("maxConcurrentOperations", 2) + 1

    made.api.edit("DockerHost", "", HOST, change)


@pytest.mark.parametrize("ends", ["fails", "hangs"])
def test_a_connection_that_can_not_be_closed_does_not_keep_the_host_from_being_connected_to(ends: str) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        hosts: Any = made.controller.app.hosts

        async def close() -> None:
            if ends == "hangs":
                await asyncio.Event().wait()
            raise RuntimeError("a bug")

        hosts.get(HOST).engine.close = close
        change_the_limit(made)
        made.api.create("Workspace", NAMESPACE, "b", {})
        made.go(20)
        assert (phase(made, "a"), phase(made, "b")) == ("Running", "Running")


def test_a_host_that_is_connected_to_anew_is_no_news_to_who_is_at_rest() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(30)
        before = made.get("a")
        change_the_limit(made)
        made.go(30)
        assert made.get("a") == before


def test_workspaces_that_are_being_made_while_their_host_is_connected_to_anew_are_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = [f"w{number}" for number in range(30)]
    with world() as made:
        made.go(5)
        kube: Any = made.controller.app.kube
        write = kube.set_finalizers

        async def slow(*args: Any) -> Any:
            await asyncio.sleep(0.03)
            return await write(*args)

        kube.set_finalizers = slow
        for kind in ("info", "list", "inspect", "create", "start"):
            made.host.faults.latency[kind] = 0.05
        for name in names:
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(0.04)
        change_the_limit(made)
        made.go(20)
        assert {phase(made, name) for name in names} == {"Running"}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def begin_a_pull_of_a_minute(made: World) -> None:
    made.host.registry.push("slow:1")
    made.go(5)
    made.host.faults.latency["pull"] = 60
    made.api.create("Workspace", NAMESPACE, "a", {"image": "slow:1"})


def test_a_host_that_is_slow_to_list_goes_on_with_its_pull() -> None:
    """To connect anew would end it, and who is busy would be kept busy for ever."""
    with world(HOST_SPEC | TLS) as made:
        begin_a_pull_of_a_minute(made)
        for _ in range(3):
            made.host.faults.hang("list", 3)
            made.go(40)
        assert phase(made, "a") == "Running"
        assert made.host.faults.calls["pull"] == 1


def test_a_host_whose_lists_fail_goes_on_with_its_pull() -> None:
    with world(HOST_SPEC | TLS) as made:
        begin_a_pull_of_a_minute(made)
        made.go(2)
        made.host.faults.fail("list", EngineError("500"), 20)
        made.go(80)
        assert phase(made, "a") == "Running"
        assert made.host.faults.calls["pull"] == 1


def test_a_host_that_takes_calls_and_never_answers_is_connected_to_anew_after_a_while() -> None:
    with world(HOST_SPEC | TLS) as made:
        made.go(10)
        connects = count_connects(made)
        made.host.faults.freeze()
        made.go(25)
        assert not connects
        made.go(15)
        assert connects


def test_a_workspace_is_made_soon_after_its_host_was_made_again() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "b", {})
        made.go(5)
        made.api.delete("DockerHost", "", HOST)
        made.go(1)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(200)
        made.api.delete("Workspace", NAMESPACE, "b")
        made.go(20)
        made.api.create("DockerHost", "", HOST, HOST_SPEC)
        made.go(60)
        assert phase(made, "a") == "Running"


@pytest.mark.parametrize("trouble", ["refuses", "hangs", "hangs when it is listed"])
def test_a_host_that_is_away_for_long_is_told_once(trouble: str) -> None:
    """Though it is connected to anew again and again."""
    with world(HOST_SPEC | TLS) as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        if trouble == "refuses":
            made.host.faults.down = "connection refused"
        elif trouble == "hangs":
            made.host.faults.freeze()
        else:
            made.host.faults.hang("list", 10_000)
        made.api.writes.clear()
        connects = count_connects(made)
        made.go(600)
        assert connects
        assert len(made.api.writes) <= 4, made.api.writes


@pytest.mark.parametrize("begins", ["restart", "outage", "renewal"])
def test_a_container_that_is_never_answered_for_keeps_no_other_of_its_host_waiting(
    begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine may hold one container's lock for ever."""
    locked: set[str] = set()
    answer = MemoryEngine.inspect

    async def inspect(engine: MemoryEngine, container: str) -> Container:
        if container in locked:
            await asyncio.sleep(4.001)
            raise CallTimeout("inspect: no answer within 4 s")
        return await answer(engine, container)

    monkeypatch.setattr(MemoryEngine, "inspect", inspect)
    with world() as made:
        made.host.faults.latency.update({"list": 0.02, "inspect": 0.002})
        for name in "abc":
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(20)
        found = made.get("a")
        assert found is not None
        locked.add(found["status"]["containerID"])
        if begins == "restart":
            made.crash()
            made.start()
        elif begins == "outage":
            made.host.cut()
            made.go(20)
            made.host.come_back()
        else:
            change_the_limit(made)
        made.api.edit("Workspace", NAMESPACE, "b", lambda raw: raw["spec"].update(desiredState="Stopped"))
        made.api.delete("Workspace", NAMESPACE, "c")
        made.go(60)
        assert (phase(made, "a"), phase(made, "b"), made.get("c")) == ("Unknown", "Stopped", None)
        locked.clear()
        made.go(30)
        assert phase(made, "a") == "Running"


def there(made: World) -> bool:
    return ("DockerHost", "", HOST) in made.api.objects


def test_a_host_that_is_deleted_goes_once_a_workspace_that_others_hold_has_nothing_on_it() -> None:
    """The Workspace loses our finalizer in a write of ours, which tells nobody, and stays."""
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {}, finalizers=["example.com/other"])
        made.go(10)
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState="Stopped"))
        made.go(20)
        made.host.by_hand = True
        made.host.remove(only_container(made))
        made.host.by_hand = False
        made.go(20)
        made.api.delete("DockerHost", "", HOST)
        made.go(10)
        assert there(made)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(30)
        found = made.get("a")
        assert found is not None
        assert found["metadata"]["finalizers"] == ["example.com/other"]
        assert not there(made)


def test_a_host_that_is_deleted_while_a_workspace_begins_on_it_stays_until_that_is_gone() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "first", {})
        made.go(10)
        made.api.delete("Workspace", NAMESPACE, "first")
        made.go(30)
        kube: Any = made.controller.app.kube
        write = kube.set_finalizers

        async def slow(ref: ObjectRef, finalizers: list[str]) -> Any:
            if ref.kind == "Workspace":
                made.api.delete("DockerHost", "", HOST)
                await asyncio.sleep(0.2)
            return await write(ref, finalizers)

        kube.set_finalizers = slow
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(30)
        assert there(made)
        kube.set_finalizers = write
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60)
        assert (made.get("a"), there(made)) == (None, False)


@pytest.mark.parametrize(
    ("change", "silent", "most"),
    [({"maxConcurrentOperations": 7}, True, 3), ({"endpoint": 7}, False, 35)],
    ids=["the watch is late", "it can't be read"],
)
def test_a_host_of_which_a_newer_version_is_not_held_is_not_written_in_a_storm(
    change: dict[str, Any], silent: bool, most: int
) -> None:
    with world() as made:
        made.go(30)
        made.api.silent = silent
        made.api.edit("DockerHost", "", HOST, lambda raw: raw["spec"].update(change))
        kube: Any = made.controller.app.kube
        write, tries = kube.patch_status, []

        async def counted(ref: ObjectRef, changes: dict[str, Any]) -> Any:
            tries.append(made.loop.time())
            return await write(ref, changes)

        kube.patch_status = counted
        made.host.cut()
        made.go(60)
        assert 1 <= len(tries) <= most


def test_one_answer_that_a_host_is_gone_is_not_believed_for_ever() -> None:
    with world() as made:
        made.go(30)
        kube: Any = made.controller.app.kube
        write = kube.patch_status

        async def refuse(ref: ObjectRef, changes: dict[str, Any]) -> Any:
            raise Gone("404")

        kube.patch_status = refuse
        made.host.cut()
        made.go(15)
        kube.patch_status = write
        made.go(30)
        ready = made.api.objects[("DockerHost", "", HOST)]["status"]["conditions"][0]
        assert (ready["type"], ready["status"]) == ("Ready", "False")


def gone_after_it_was_refused(made: World) -> None:
    """The host, once the last Workspace that it had has gone."""
    made.api.create("Workspace", NAMESPACE, "b", {})
    made.go(10)
    made.api.delete("DockerHost", "", HOST)
    made.api.create("Workspace", NAMESPACE, "a", {})
    made.go(3)
    made.api.delete("Workspace", NAMESPACE, "b")


def away_after_a_failed_removal(made: World) -> None:
    made.api.create("Workspace", NAMESPACE, "a", {})
    made.go(10)
    made.host.stick(only_container(made))
    made.api.delete("Workspace", NAMESPACE, "a")
    made.go(60)
    made.host.cut()


@pytest.mark.parametrize("make", [gone_after_it_was_refused, away_after_a_failed_removal])
def test_who_waits_for_a_host_is_not_written_again_and_again(make: Callable[[World], None]) -> None:
    with world() as made:
        make(made)
        made.go(90)
        assert phase(made, "a") in ("Failed", "Terminating")
        made.api.writes.clear()
        made.go(300)
        assert not made.api.writes


def test_an_engine_is_asked_who_it_is_by_one_at_a_time() -> None:
    async def hangs() -> EngineInfo:
        await asyncio.sleep(5)
        raise CallTimeout("info: no answer within 4 s")

    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        (host,) = made.controller.app.hosts
        host.engine.info = hangs  # type: ignore[method-assign]
        for _ in range(30):
            made.host.end_streams()
            made.go(60)
        assert len([t for t in host.tasks if t.get_name().startswith("ask ") and not t.done()]) == 1


def test_a_conflict_about_the_host_is_settled_by_reading_the_host() -> None:
    with world() as made:
        made.go(6)
        made.api.silent = True  # the watch of DockerHosts stands still
        made.api.edit("DockerHost", "", HOST, lambda raw: raw["metadata"].update(annotations={"a": "b"}))
        made.api.silent = False
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(4)
        assert made.host.containers


def test_an_engine_that_does_not_say_who_it_is_is_asked_now_and_then() -> None:
    asked: list[float] = []

    async def refuses() -> EngineInfo:
        asked.append(made.loop.time())
        raise HostUnreachable("connection refused")

    with world() as made:
        made.go(5)
        (host,) = made.controller.app.hosts
        host.engine.info = refuses  # type: ignore[method-assign]
        host.cache.stats.subscriptions = 0  # its event stream has never been opened
        made.loop.call_soon(made.controller.app.hosts._ask, host)
        made.go(120)
        assert 0 < len(asked) < 15


def test_a_workspace_that_is_deleted_while_its_host_comes_back_is_stopped_as_it_asked_for() -> None:
    """Its namespace's labels are read meanwhile, which takes long: what it has was not known before, and is after."""
    chosen = HOST_SPEC | {"policy": HOST_SPEC["policy"] | {"namespaces": {"selector": {"matchLabels": {"team": "a"}}}}}
    reading = [0.0]

    async def labels(namespace: str) -> dict[str, str]:
        await asyncio.sleep(reading[0])
        return {"team": "a"}

    with world(chosen) as made:
        made.controller.app.kube.namespace_labels = labels  # type: ignore[method-assign]
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        assert phase(made, "a") == "Running"
        made.crash()
        made.host.faults.down, reading[0] = "no route to host", 25.0
        made.start()
        made.controller.app.kube.namespace_labels = labels  # type: ignore[method-assign]
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(12)
        made.host.faults.down = ""
        made.host.faults.calls.clear()
        made.go(60)
        assert made.get("a") is None
        assert not made.host.containers
        assert made.host.faults.calls["signal"] == 1
