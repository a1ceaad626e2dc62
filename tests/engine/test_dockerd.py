"""What only a real dockerd has: hanging, going away, health checks, other people's networks, stuck files."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors
import pytest

from controller import naming
from controller.container_spec import BindMount, NetworkSpec, Probe
from controller.engine.cache import HostCache
from controller.engine.connection import Connection, TlsFiles
from controller.engine.direct import DirectEngine
from controller.engine.dockerd import DockerdEngine
from controller.engine.protocol import EngineEvent
from controller.errors import CallTimeout, ConfigurationError, EngineConflict, HostUnreachable, NetworkUnavailable
from controller.observed import ContainerState
from devcluster import Engine as Dockerd
from tests.engine.specs import CLUSTER, MIB, limits, policy, spec
from tests.waiting import eventually_async


def network_of(namespace: str, base: str = "10.210.0.0/16", size: int = 24) -> NetworkSpec:
    return NetworkSpec(naming.network_name(CLUSTER, namespace, "Isolated"), namespace, "Isolated", base, size)


async def running(engine: DockerdEngine, name: str = "ws-1", **changes: object) -> str:
    container = await engine.create(name, spec(**changes), {}, policy())  # type: ignore[arg-type]
    await engine.start(container)
    return container


async def test_the_engine_keeps_the_body_as_it_was_meant(
    dockerd: DockerdEngine, engine: Dockerd, tmp_path: Path
) -> None:
    project = tmp_path / "team-a" / "shop"
    project.mkdir(parents=True)
    allowed = policy(projectPaths=[f"{tmp_path}/{{namespace}}/*"])
    wanted = spec(
        binds=(BindMount(str(project), "/workspace"),), tty=True, user="1000:1000", network=network_of("team-a")
    )
    container = await dockerd.create("ws-1", wanted, {"A": "b"}, allowed)
    found = engine.client().inspect_container(container)
    host_config, config = found["HostConfig"], found["Config"]
    assert host_config["Init"] is True
    assert host_config["RestartPolicy"]["Name"] == "no"
    assert host_config["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert host_config["SecurityOpt"] == ["no-new-privileges"]
    assert set(host_config["CapDrop"]) == {"AUDIT_WRITE", "MKNOD", "NET_RAW"}
    assert not host_config["Privileged"]
    assert host_config["IpcMode"] == "private"
    assert not host_config["Devices"]
    assert (host_config["PidsLimit"], host_config["Memory"], host_config["MemorySwap"]) == (64, 64 * MIB, 64 * MIB)
    (mount,) = found["Mounts"]
    assert (mount["Source"], mount["Destination"], mount["Propagation"]) == (str(project), "/workspace", "rprivate")
    assert config["Healthcheck"] == {"Test": ["NONE"]}
    assert (config["Tty"], config["OpenStdin"], config["User"]) == (True, True, "1000:1000")
    assert config["Hostname"] == "shop"
    assert "A=b" in config["Env"]


async def test_health_checks_are_neither_events_nor_tasks(dockerd: DockerdEngine, engine: Dockerd) -> None:
    container = await running(dockerd, probe=Probe(("sleep", "0.3"), 1, 2, 3))
    await dockerd.inspect(container)  # as the cache does, and so the health check is known
    heard: list[EngineEvent] = []

    async def listen() -> None:
        async for event in dockerd.events():
            heard.append(event)  # noqa: PERF401 - read while it grows

    listener = asyncio.create_task(listen())
    await eventually_async(lambda: heard, timeout=10)
    session = await asyncio.create_subprocess_exec("docker", "-H", engine.endpoint, "exec", container, "sleep", "3")

    async def one_task() -> None:
        assert (await dockerd.inspect(container)).active_tasks == 1

    await eventually_async(one_task, timeout=10)
    await session.wait()
    await eventually_async(lambda: "exec_die" in [event.action for event in heard], timeout=10)
    assert (await dockerd.inspect(container)).active_tasks == 0
    listener.cancel()
    await asyncio.wait([listener])
    actions = [event.action for event in heard]
    assert actions.count("exec_start") == 1
    assert len([a for a in actions if a.startswith("exec_")]) <= 4  # one check may have begun before


async def test_a_create_through_us_costs_one_inspect(dockerd: DockerdEngine) -> None:
    cache = HostCache(dockerd)
    keeping = asyncio.create_task(cache.run())
    await eventually_async(cache.is_known, timeout=10)
    container = await running(dockerd)
    await cache.refresh(container)
    await asyncio.sleep(5)  # whatever events and the next list would cause
    assert cache.stats.inspects == 1
    assert cache.stats.events >= 2
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_containers_share_connections(dockerd: DockerdEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    track = Connection.track
    monkeypatch.setattr(Connection, "track", lambda self, sock: (opened.append(sock), track(self, sock)))
    containers = [await dockerd.create(f"ws-{number}", spec(), {}, policy()) for number in range(5)]
    for container in containers:
        await dockerd.inspect(container)
    assert len(opened) <= 1


async def test_memory_below_what_is_used_is_refused(dockerd: DockerdEngine) -> None:
    hog = ("sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; sleep infinity")
    container = await running(dockerd, entrypoint=hog)

    async def refused() -> None:
        lower = limits(memory=8 * MIB, memory_swap=8 * MIB, memory_reservation=8 * MIB)
        with pytest.raises(EngineConflict, match="limits"):
            await dockerd.update(container, lower)
        assert (await dockerd.inspect(container)).limits == limits()

    await asyncio.sleep(1)  # the hog eats
    await refused()


async def test_container_whose_files_are_stuck_is_dead_until_they_can_go(
    dockerd: DockerdEngine, engine: Dockerd
) -> None:
    container = await running(dockerd)
    stuck = engine.directory / "data" / "containers" / container / "stuck"
    stuck.touch()
    await asyncio.to_thread(subprocess.run, ["chattr", "+i", str(stuck)], check=True)
    try:
        with pytest.raises(EngineConflict):
            await dockerd.remove(container, "uid-1")
        assert (await dockerd.inspect(container)).is_dead
        with pytest.raises(EngineConflict):
            await dockerd.remove(container, "uid-1")
    finally:
        await asyncio.to_thread(subprocess.run, ["chattr", "-i", str(stuck)], check=True)
    await dockerd.remove(container, "uid-1")
    assert not await dockerd.list()


async def test_networks_avoid_each_other_and_those_of_others(dockerd: DockerdEngine, engine: Dockerd) -> None:
    engine.docker("network", "create", "--subnet", "10.211.0.0/25", "theirs")
    pool = "10.211.0.0/23"
    first = await dockerd.ensure_network(network_of("team-a", pool))
    found = engine.client().inspect_network(first)
    assert found["IPAM"]["Config"][0]["Subnet"] == "10.211.1.0/24"
    assert found["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    with pytest.raises(NetworkUnavailable, match=r"10\.211\.0\.0/23"):
        await dockerd.ensure_network(network_of("team-b", pool))


async def test_many_who_need_one_network_make_one(dockerd: DockerdEngine, engine: Dockerd) -> None:
    second = DockerdEngine(CLUSTER, engine.endpoint)
    try:
        ids = await asyncio.gather(*(dockerd.ensure_network(network_of("team-a")) for _ in range(10)))
        assert len({*ids, await second.ensure_network(network_of("team-a"))}) == 1
    finally:
        await second.close()


async def test_more_namespaces_than_dockers_own_pools_have_a_network_each(dockerd: DockerdEngine) -> None:
    made = [await dockerd.ensure_network(network_of(f"team-{n}", size=28)) for n in range(34)]
    assert len(set(made)) == 34


async def test_changing_calls_stay_under_the_hosts_limit(new_engine: Callable[..., Dockerd]) -> None:
    host = new_engine()
    limited = DockerdEngine(CLUSTER, host.endpoint, max_operations=2)
    try:
        made = [await running(limited, f"ws-{n}", uid=f"uid-{n}") for n in range(6)]
        host.pause()
        calls = [asyncio.create_task(limited.signal(container, "SIGTERM")) for container in made]
        await asyncio.sleep(0.5)
        assert len(limited._transport._running) == 2
        for call in calls[2:]:
            call.cancel()  # those hold no thread, so they end at once
        await asyncio.wait_for(asyncio.wait(calls[2:]), 1)
        looking = asyncio.create_task(limited.list())
        await asyncio.sleep(0.5)
        host.resume()
        assert len(await asyncio.wait_for(looking, 4)) == 6
        await asyncio.gather(*calls[:2])
    finally:
        host.resume()
        await limited.close()


async def test_frozen_engine_costs_its_deadline_and_other_hosts_nothing(
    new_engine: Callable[..., Dockerd], dockerd: DockerdEngine
) -> None:
    host = new_engine()
    frozen = DockerdEngine(CLUSTER, host.endpoint)
    try:
        container = await running(frozen)
        host.pause()
        began = time.monotonic()
        late = [asyncio.create_task(frozen.inspect(container)), asyncio.create_task(frozen.list())]
        assert await asyncio.wait_for(dockerd.list(), 2) == []
        for call in late:
            with pytest.raises(CallTimeout):
                await call
        assert 3.5 < time.monotonic() - began < 6
        host.resume()
        assert (await frozen.inspect(container)).state is ContainerState.RUNNING
    finally:
        host.resume()
        await frozen.close()


async def test_closing_ends_calls_in_flight_at_once(new_engine: Callable[..., Dockerd]) -> None:
    host = new_engine()
    connected = DockerdEngine(CLUSTER, host.endpoint)
    stream = connected.events()
    await anext(stream)
    host.pause()
    try:
        calls = [asyncio.create_task(connected.remove_volume(f"v-{n}")) for n in range(3)]
        hearing = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await connected.close()
        assert time.monotonic() - began < 2
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, HostUnreachable)
        with pytest.raises((StopAsyncIteration, HostUnreachable)):
            await hearing
        with pytest.raises(HostUnreachable):
            await connected.list()
    finally:
        host.resume()


async def test_stopped_engine_is_unreachable_and_its_stream_ends(new_engine: Callable[..., Dockerd]) -> None:
    host = new_engine()
    connected = DockerdEngine(CLUSTER, host.endpoint)
    try:
        stream = connected.events()
        await anext(stream)
        await asyncio.to_thread(host.stop)
        with pytest.raises((StopAsyncIteration, HostUnreachable)):
            await asyncio.wait_for(anext(stream), 10)
        with pytest.raises(HostUnreachable, match="no connection to the engine"):
            await connected.list()
        await asyncio.to_thread(host.start)
        assert await connected.list() == []
    finally:
        await connected.close()


async def test_cache_follows_an_engine_that_restarts(new_engine: Callable[..., Dockerd]) -> None:
    host = new_engine()
    connected = DockerdEngine(CLUSTER, host.endpoint)
    cache = HostCache(connected)
    keeping = asyncio.create_task(cache.run())
    try:
        container = await running(connected)
        await cache.refresh(container)
        await asyncio.to_thread(host.stop)
        await eventually_async(lambda: not cache.observed("uid-1").known, timeout=12)
        await asyncio.to_thread(host.start)
        await eventually_async(lambda: cache.observed("uid-1").known, timeout=12)
        (shown,) = cache.observed("uid-1").containers
        assert (shown.id, shown.state) == (container, ContainerState.EXITED)
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await connected.close()


async def test_tls_engine_needs_our_certificate_and_has_its_own_checked(new_engine: Callable[..., Dockerd]) -> None:
    host = new_engine(tls=True)
    ours = host.client_certificate()
    good = DockerdEngine(CLUSTER, host.tcp_endpoint, tls=TlsFiles(host.ca, ours.certificate, ours.key))
    bad = DockerdEngine(CLUSTER, host.tcp_endpoint, tls=TlsFiles(ours.certificate, ours.certificate, ours.key))
    try:
        assert (await good.info()).engine_id
        await anext(good.events())
        with pytest.raises(HostUnreachable, match="certificate"):
            await bad.info()
    finally:
        await good.close()
        await bad.close()


async def test_plain_tcp_is_refused() -> None:
    plain = DockerdEngine(CLUSTER, "tcp://127.0.0.1:2375")
    with pytest.raises(ConfigurationError, match="TLS"):
        await plain.info()
    await plain.close()


async def test_an_engine_that_refuses_old_versions_of_the_api_is_spoken_to_in_its_own(engine29_0: Dockerd) -> None:
    old = docker.APIClient(base_url=engine29_0.endpoint, version="1.41")
    with pytest.raises(docker.errors.APIError, match="too old"):
        old.info()
    old.close()
    connected = DockerdEngine(CLUSTER, engine29_0.endpoint)
    try:
        assert (await connected.info()).version.startswith("29.")
        container = await running(connected)
        cache = HostCache(connected)
        watching = asyncio.create_task(cache.run())
        await eventually_async(lambda: cache.stats.subscriptions and cache.observed("uid-1").containers)
        own = await asyncio.to_thread(DirectEngine, engine29_0.endpoint)
        assert [found.id for found in await asyncio.to_thread(own.containers, "uid-1")] == [container]
        own.close()
        watching.cancel()
        await asyncio.wait([watching])
    finally:
        await connected.close()
        engine29_0.remove_containers()
