"""What every engine does: one suite for dockerd (Debian's and a current one) and the in-memory engine."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller import naming
from controller.container_spec import BindMount, EnvVar, NetworkSpec, Port, VolumeMount
from controller.errors import (
    ContainerGone,
    EngineConflict,
    IdentityMismatch,
    ImageUnavailable,
    NameConflict,
    NetworkUnavailable,
    PolicyViolation,
    PortInUse,
    ProjectPathMissing,
)
from controller.observed import Container, ContainerState
from tests.engine.conftest import Host
from tests.engine.specs import CLUSTER, MIB, labels, limits, policy, spec
from tests.waiting import eventually_async

NAME = "ws-team-a-shop-uid1"


async def create(host: Host, name: str = NAME, **changes: object) -> str:
    return await host.engine.create(name, spec(**changes), {}, policy())  # type: ignore[arg-type]


async def running(host: Host, name: str = NAME, **changes: object) -> str:
    container = await create(host, name, **changes)
    await host.engine.start(container)
    return container


def network_of(namespace: str, mode: str) -> NetworkSpec:
    return NetworkSpec(naming.network_name(CLUSTER, namespace, mode), namespace, mode, "10.210.0.0/16", 24)


async def reaches(host: Host, container: str, state: ContainerState) -> Container:
    async def shown() -> Container:
        found = await host.engine.inspect(container)
        assert found.state is state
        return found

    return await eventually_async(shown, timeout=10)


async def stopped(host: Host, container: str) -> Container:
    """Signalled until it ends: an init process that has only just started doesn't hear the first signal."""

    async def ended() -> Container:
        await host.engine.signal(container, "SIGTERM")
        found = await host.engine.inspect(container)
        assert found.state is ContainerState.EXITED
        return found

    return await eventually_async(ended, timeout=10, interval=0.3)


async def test_info_identifies_the_engine(host: Host) -> None:
    info = await host.engine.info()
    assert info.engine_id
    assert info.root_dir
    assert info.version
    assert info.cpus > 0
    assert (await host.engine.info()).engine_id == info.engine_id


async def test_created_container_shows_what_it_was_made_from(host: Host) -> None:
    container = await create(host)
    shown = await host.engine.inspect(container)
    image = await host.engine.image("alpine:latest")
    assert image is not None
    assert (shown.id, shown.name, shown.state) == (container, NAME, ContainerState.CREATED)
    assert dict(shown.labels) == dict(labels())
    assert (shown.uid, shown.config_hash) == ("uid-1", "hash-1")
    ignored = (await host.engine.info()).ignored_limits
    assert [
        n
        for n in ("nano_cpus", "memory", "memory_swap", "pids", "cpu_shares")
        if n not in ignored and getattr(shown.limits, n) != getattr(limits(), n)
    ] == []
    assert shown.restart_policy == "no"
    assert shown.stop_signal == "SIGTERM"
    assert abs(shown.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert shown.started_at is None
    assert shown.finished_at is None


async def test_start_runs_it_and_starting_again_changes_nothing(host: Host) -> None:
    container = await running(host)
    first = await host.engine.inspect(container)
    await host.engine.start(container)
    assert first.state is ContainerState.RUNNING
    assert first.started_at is not None
    assert await host.engine.inspect(container) == first


async def test_killed_container_has_exited_with_137(host: Host) -> None:
    container = await running(host)
    await host.engine.signal(container, "SIGKILL")
    shown = await reaches(host, container, ContainerState.EXITED)
    assert shown.exit_code == 137
    assert shown.finished_at is not None
    assert not shown.oom_killed


async def test_stop_signal_ends_it_with_143(host: Host) -> None:
    container = await running(host)
    assert (await stopped(host, container)).exit_code == 143


async def test_signal_to_what_does_not_run_is_nothing(host: Host) -> None:
    container = await create(host)
    await host.engine.signal(container, "SIGTERM")
    assert (await host.engine.inspect(container)).state is ContainerState.CREATED


async def test_exited_container_starts_again_and_keeps_its_id(host: Host) -> None:
    container = await running(host)
    host.hands.kill(container)
    before = await reaches(host, container, ContainerState.EXITED)
    await host.engine.start(container)
    shown = await host.engine.inspect(container)
    assert shown.state is ContainerState.RUNNING
    assert shown.exit_code == 0
    assert shown.finished_at == before.finished_at
    assert shown.started_at is not None
    assert before.started_at is not None
    assert shown.started_at > before.started_at


async def test_pause_and_unpause_are_idempotent(host: Host) -> None:
    container = await running(host)
    for _ in range(2):
        await host.engine.pause(container)
        assert (await host.engine.inspect(container)).state is ContainerState.PAUSED
    for _ in range(2):
        await host.engine.unpause(container)
        assert (await host.engine.inspect(container)).state is ContainerState.RUNNING


async def test_stop_signal_ends_a_paused_container(host: Host) -> None:
    container = await running(host)
    await host.engine.pause(container)
    await stopped(host, container)


async def test_what_is_paused_can_not_be_started(host: Host) -> None:
    container = await running(host)
    await host.engine.pause(container)
    with pytest.raises(EngineConflict):
        await host.engine.start(container)


async def test_what_does_not_run_can_not_be_paused(host: Host) -> None:
    with pytest.raises(EngineConflict):
        await host.engine.pause(await create(host))


@pytest.mark.parametrize("state", ["created", "running", "paused", "exited"])
async def test_limits_change_in_place_in_every_state(host: Host, state: str) -> None:
    container = await create(host)
    if state != "created":
        await host.engine.start(container)
    if state == "paused":
        await host.engine.pause(container)
    if state == "exited":
        await host.engine.signal(container, "SIGKILL")
        await reaches(host, container, ContainerState.EXITED)
    before = await host.engine.inspect(container)
    more = limits(nano_cpus=500_000_000, memory=128 * MIB, memory_swap=128 * MIB, pids=99, cpu_shares=512)
    await host.engine.update(container, more)
    shown = await host.engine.inspect(container)
    ignored = (await host.engine.info()).ignored_limits
    for name in ("nano_cpus", "cpu_shares", "memory", "memory_swap", "memory_reservation", "pids"):
        assert name in ignored or getattr(shown.limits, name) == getattr(more, name), name
    assert replace(shown, limits=before.limits) == before


async def test_renamed_container_is_the_same_container(host: Host) -> None:
    container = await running(host)
    before = await host.engine.inspect(container)
    await host.engine.rename(container, "ws-other")
    assert await host.engine.inspect(container) == replace(before, name="ws-other")
    await host.engine.rename(container, "ws-other")


async def test_rename_to_a_foreign_containers_name_is_refused(host: Host) -> None:
    container = await create(host)
    foreign = host.hands.run("theirs", {})
    with pytest.raises(NameConflict):
        await host.engine.rename(container, "theirs")
    assert host.hands.exists(foreign)


async def test_rename_to_a_name_of_the_same_workspace_passes_later(host: Host) -> None:
    old, new = await create(host), await create(host, NAME + "-next", config_hash="hash-2")
    with pytest.raises(EngineConflict):
        await host.engine.rename(new, NAME)
    await host.engine.remove(old, "uid-1")
    await host.engine.rename(new, NAME)


async def test_create_again_adopts_the_same_container(host: Host) -> None:
    assert await create(host) == await create(host)
    assert len(await host.engine.list()) == 1


async def test_create_does_not_adopt_a_container_of_another_make(host: Host) -> None:
    container = await create(host)
    with pytest.raises(EngineConflict, match="same Workspace"):
        await create(host, config_hash="hash-2")
    assert [row.id for row in await host.engine.list()] == [container]


@pytest.mark.parametrize(
    "foreign",
    [{}, dict(labels(cluster="cluster-b")), dict(labels(uid="uid-2")), {naming.LABEL_UID: "uid-1"}],
    ids=["no labels", "another cluster", "another Workspace", "our uid without the cluster"],
)
async def test_name_held_by_a_foreign_container_is_a_conflict(host: Host, foreign: dict[str, str]) -> None:
    held = host.hands.run(NAME, foreign)
    before = await host.engine.inspect(held)
    with pytest.raises(NameConflict, match=held[:12]):
        await create(host)
    assert await host.engine.inspect(held) == before


async def test_list_shows_our_cluster_only_and_every_state(host: Host) -> None:
    created, runs = await create(host, "ws-a"), await running(host, "ws-b", uid="uid-2")
    host.hands.run("theirs", {})
    host.hands.run("copied", dict(labels(cluster="cluster-b")))
    rows = {row.id: row for row in await host.engine.list()}
    assert set(rows) == {created, runs}
    assert (rows[created].name, rows[created].state, rows[created].uid) == ("ws-a", "created", "uid-1")
    assert (rows[runs].name, rows[runs].state, rows[runs].uid) == ("ws-b", "running", "uid-2")


async def test_rows_change_with_the_container_and_not_by_themselves(host: Host) -> None:
    container = await running(host)
    first = await host.engine.list()
    assert await host.engine.list() == first
    host.hands.kill(container)
    await reaches(host, container, ContainerState.EXITED)

    async def differs() -> None:
        assert await host.engine.list() != first

    await eventually_async(differs, timeout=5)


async def test_restart_between_two_lists_shows(host: Host) -> None:
    network = network_of("team-a", "Isolated")
    container = await running(host, network=network)
    first = await host.engine.list()
    host.hands.kill(container)
    await reaches(host, container, ContainerState.EXITED)
    await host.engine.start(container)
    assert await host.engine.list() != first


async def test_removed_container_is_gone_and_removing_it_again_is_fine(host: Host) -> None:
    container = await running(host)
    await host.engine.remove(container, "uid-1")
    assert not host.hands.exists(container)
    await host.engine.remove(container, "uid-1")
    with pytest.raises(ContainerGone):
        await host.engine.inspect(container)


async def test_paused_container_is_removed(host: Host) -> None:
    container = await running(host)
    await host.engine.pause(container)
    await host.engine.remove(container, "uid-1")
    assert not host.hands.exists(container)


@pytest.mark.parametrize("foreign", [{}, dict(labels(cluster="cluster-b")), dict(labels(uid="uid-2"))])
async def test_what_does_not_carry_our_labels_is_not_removed(host: Host, foreign: dict[str, str]) -> None:
    held = host.hands.run("theirs", foreign)
    with pytest.raises(IdentityMismatch):
        await host.engine.remove(held, "uid-1")
    assert (await host.engine.inspect(held)).state is ContainerState.RUNNING


async def test_without_a_uid_nothing_is_removed(host: Host) -> None:
    held = host.hands.run("theirs", {naming.LABEL_CLUSTER: CLUSTER})
    with pytest.raises(IdentityMismatch):
        await host.engine.remove(held, "")
    assert host.hands.exists(held)


@pytest.mark.parametrize("call", ["start", "pause", "unpause", "inspect"])
async def test_calls_on_what_is_gone_say_so(host: Host, call: str) -> None:
    with pytest.raises(ContainerGone):
        await getattr(host.engine, call)("f" * 64)


async def test_signal_update_and_rename_of_what_is_gone_say_so(host: Host) -> None:
    with pytest.raises(ContainerGone):
        await host.engine.signal("f" * 64, "SIGTERM")
    with pytest.raises(ContainerGone):
        await host.engine.update("f" * 64, limits())
    with pytest.raises(ContainerGone):
        await host.engine.rename("f" * 64, "other")


async def test_missing_image_is_not_pulled_by_create(host: Host) -> None:
    assert await host.engine.image("registry.invalid/none:1") is None
    with pytest.raises(ImageUnavailable) as raised:
        await create(host, image="registry.invalid/none:1")
    assert raised.value.reason == "ImageNotFound"


async def test_missing_project_path_is_named_and_not_made(host: Host) -> None:
    path = host.projects / "shop"
    bind = BindMount(str(path), "/workspace")
    allowed = policy(projectPaths=[f"{host.projects.parent}/{{namespace}}/*"])
    with pytest.raises(ProjectPathMissing, match=str(path)):
        await host.engine.create(NAME, spec(binds=(bind,)), {}, allowed)
    assert not path.exists()
    assert not await host.engine.list()
    host.hands.make_directory(path)
    await host.engine.start(await host.engine.create(NAME, spec(binds=(bind,)), {}, allowed))


async def test_project_path_that_vanished_is_named_at_the_start(host: Host) -> None:
    path = host.projects / "shop"
    host.hands.make_directory(path)
    allowed = policy(projectPaths=[f"{host.projects.parent}/{{namespace}}/*"])
    container = await host.engine.create(NAME, spec(binds=(BindMount(str(path), "/workspace"),)), {}, allowed)
    host.hands.remove_directory(path)
    with pytest.raises(ProjectPathMissing, match=str(path)):
        await host.engine.start(container)
    assert not path.exists()


async def test_body_is_checked_against_the_policy_before_the_call(host: Host) -> None:
    with pytest.raises(PolicyViolation):
        await host.engine.create(NAME, spec(), {}, policy(images=["registry.example.com/*"]))
    assert not await host.engine.list()


async def test_environment_reaches_the_body_and_nothing_else(host: Host) -> None:
    env = {"TOKEN": "canary-value", "EMPTY": ""}
    container = await host.engine.create(NAME, spec(env=(EnvVar("TOKEN"),)), env, policy())
    assert {"TOKEN=canary-value", "EMPTY="} <= set(host.hands.body(container)["Env"])
    assert "canary-value" not in repr(await host.engine.inspect(container))


async def test_published_port_is_of_the_policys_range_and_shown(host: Host) -> None:
    network = network_of("team-a", "Isolated")
    allowed = policy(ports={"address": "127.0.0.1", "range": "21000-21001"})
    made = [
        await host.engine.create(
            f"ws-{n}", spec(uid=f"uid-{n}", network=network, ports=(Port("http", 80, "TCP"),)), {}, allowed
        )
        for n in range(3)
    ]
    for container in made[:2]:
        await host.engine.start(container)
    shown = [(await host.engine.inspect(container)).ports for container in made[:2]]
    assert [(p.container_port, p.protocol, p.host_ip) for ports in shown for p in ports] == [
        (80, "TCP", "127.0.0.1")
    ] * 2
    assert {p.host_port for ports in shown for p in ports} == {21000, 21001}
    with pytest.raises(PortInUse):
        await host.engine.start(made[2])
    assert (await host.engine.inspect(made[2])).state in (ContainerState.CREATED, ContainerState.EXITED)
    await host.engine.remove(made[0], "uid-0")
    await host.engine.start(made[2])


async def test_networked_container_has_an_address(host: Host) -> None:
    network = network_of("team-a", "Namespace")
    shown = await host.engine.inspect(await running(host, network=network))
    assert shown.ip_address.startswith("10.210.0.")


async def test_network_is_made_once_and_found_again(host: Host) -> None:
    first = await host.engine.ensure_network(network_of("team-a", "Isolated"))
    assert await host.engine.ensure_network(network_of("team-a", "Isolated")) == first
    second = await host.engine.ensure_network(network_of("team-a", "Namespace"))
    assert set(await host.engine.networks()) == {(first, "team-a", "Isolated"), (second, "team-a", "Namespace")}
    await host.engine.remove_network(first)
    await host.engine.remove_network(first)
    assert await host.engine.networks() == [(second, "team-a", "Namespace")]


async def test_network_with_containers_is_not_removed(host: Host) -> None:
    network = network_of("team-a", "Isolated")
    container = await running(host, network=network)
    made = await host.engine.ensure_network(network)
    with pytest.raises(EngineConflict):
        await host.engine.remove_network(made)
    await host.engine.remove(container, "uid-1")
    await host.engine.remove_network(made)


async def test_container_whose_network_was_removed_can_only_be_removed(host: Host) -> None:
    network = network_of("team-a", "Isolated")
    container = await running(host, network=network)
    await host.engine.signal(container, "SIGKILL")
    await reaches(host, container, ContainerState.EXITED)
    await host.engine.remove_network(await host.engine.ensure_network(network))
    with pytest.raises(NetworkUnavailable):
        await host.engine.start(container)
    assert (await host.engine.inspect(container)).is_dead
    await host.engine.remove(container, "uid-1")
    await running(host, network=network)


async def test_network_that_somebody_removed_is_made_again(host: Host) -> None:
    network = network_of("team-a", "Isolated")
    made, elsewhere = await host.engine.ensure_network(network), host.other(CLUSTER)
    try:
        await elsewhere.remove_network(made)
    finally:
        await elsewhere.close()

    async def runs() -> Container:
        container = await create(host, network=network)
        try:
            await host.engine.start(container)
        except NetworkUnavailable:
            await host.engine.remove(container, "uid-1")
            raise
        return await host.engine.inspect(container)

    for _ in range(2):  # the first may fail on what is remembered of the network
        with contextlib.suppress(NetworkUnavailable):
            assert (await runs()).is_live
            return
    raise AssertionError("the network is not made again")


async def test_named_volume_outlives_its_container_until_removed(host: Host) -> None:
    name = naming.volume_name(CLUSTER, "team-a", "shop", "cache")
    volume = VolumeMount(name, "cache", "/cache", delete_with_workspace=True)
    container = await running(host, volumes=(volume,))
    with pytest.raises(EngineConflict):
        await host.engine.remove_volume(name)
    await host.engine.remove(container, "uid-1")
    assert name in host.hands.volumes()
    await host.engine.remove_volume(name)
    assert name not in host.hands.volumes()
    await host.engine.remove_volume(name)


async def test_foreign_volume_is_not_removed(host: Host) -> None:
    host.hands.make_volume("theirs")
    with pytest.raises(IdentityMismatch):
        await host.engine.remove_volume("theirs")
    assert "theirs" in host.hands.volumes()


async def test_image_made_here_is_not_from_a_registry(host: Host) -> None:
    image = await host.engine.image("alpine")
    assert image is not None
    assert not image.from_registry


async def test_two_clusters_on_one_host_do_not_see_each_other(host: Host) -> None:
    ours = await create(host, "ws-a")
    other = host.other("cluster-b")
    try:
        theirs = await other.create("ws-b", spec(labels=labels(cluster="cluster-b")), {}, policy())
        assert [row.id for row in await other.list()] == [theirs]
        assert [row.id for row in await host.engine.list()] == [ours]
        with pytest.raises(IdentityMismatch):
            await other.remove(ours, "uid-1")
    finally:
        await other.close()
