"""Several DockerHosts whose endpoints come to lead elsewhere, restores of etcd, and who takes over."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from controller.api import DockerHost
from controller.engine.memory_host import MemoryHost
from controller.engine.protocol import Engine
from controller.errors import HostUnreachable
from tests.fuzz.test_leading import lead as led
from tests.fuzz.world import HOST, HOST_SPEC, NAMESPACE, World, world

OTHERS = "example.com/other"
SECOND_SPEC = HOST_SPEC | {"endpoint": "unix:///run/second.sock"}


def with_second(made: World) -> tuple[MemoryHost, dict[str, list[Any]]]:
    """A second DockerHost on an engine of its own. Gives that engine's host, and the engines by DockerHost."""
    hosts: Any = made.controller.app.hosts
    connect, engines = hosts._connect, {}
    own = MemoryHost(made.loop.wall)
    leads_to: dict[str, MemoryHost] = {"second": own}

    async def by_name(wanted: DockerHost) -> Engine:
        engine: Any = await connect(wanted)
        if wanted.metadata.name == "second":
            engine.host = leads_to["second"]
        engines.setdefault(wanted.metadata.name, []).append(engine)
        return cast(Engine, engine)

    hosts._connect = by_name
    made.api.create("DockerHost", "", "second", SECOND_SPEC)
    made.go(5)
    engines["leads_to"] = leads_to  # type: ignore[assignment]
    return own, engines


def lead_to(engines: Any, host: MemoryHost) -> None:
    """From now on the second's endpoint leads to this engine. Its event stream is still open, to the one before."""
    engines["leads_to"]["second"] = host
    for engine in engines["second"]:
        engine.host = host


def edit(made: World, name: str = "a", **spec: Any) -> None:
    made.api.edit("Workspace", NAMESPACE, name, lambda raw: raw["spec"].update(spec))


def test_a_workspace_that_was_let_go_of_and_is_restored_is_made_again() -> None:
    """etcd is restored to a time before the delete, while somebody else's finalizer has kept the object."""
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {}, finalizers=[OTHERS])
        made.go(10)
        restored = copy.deepcopy(made.api.objects)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(10)
        assert not made.host.containers
        made.api.objects = restored
        made.api.tell_all()
        made.go(60)
        assert len(made.host.containers) == 1
        made.host.check_converged()


def test_a_workspace_whose_end_was_not_heard_of_and_that_is_restored_can_be_deleted() -> None:
    """The same without anybody else's finalizer: it went while the watch was cut off, and came back before a list."""
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        restored = copy.deepcopy(made.api.objects)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.api.silent = True
        made.go(2)
        assert made.get("a") is None
        made.api.objects = restored
        made.api.silent = False
        made.api.tell_all()
        made.go(60)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60)
        assert made.get("a") is None


@pytest.mark.parametrize("busy", ["pause", "create"])
def test_a_container_that_its_own_host_has_not_looked_at_yet_is_no_orphan_of_another(busy: str) -> None:
    """The second's endpoint leads to the first's engine, unnoticed so far; a call on a new container takes long."""
    with world() as made:
        _, engines = with_second(made)
        lead_to(engines, made.host)
        made.go(5)
        made.host.faults.hang(busy, took_effect=busy == "create")
        state = "Paused" if busy == "pause" else "Running"
        while made.loop.time() % 20 < 12:  # the next round comes while the call is under way
            made.go(0.5)
        made.api.create("Workspace", NAMESPACE, "a", {"desiredState": state})
        made.go(1)
        (container,) = made.host.containers
        made.go(120)
        assert list(made.host.containers) == [container]


def test_a_host_that_is_connected_to_anew_loses_no_container_to_another() -> None:
    """The second's endpoint leads to the first's engine, unnoticed so far; the first is connected to anew."""
    with world() as made:
        _, engines = with_second(made)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        (container,) = made.host.containers
        lead_to(engines, made.host)
        while made.loop.time() % 20 < 19.0:
            made.go(0.5)
        made.host.faults.latency["list"] = 2.0
        made.api.edit("DockerHost", "", HOST, lambda raw: raw["spec"].update(maxConcurrentOperations=3))
        made.go(60)
        assert list(made.host.containers) == [container]


def test_the_network_of_a_stopped_workspace_is_not_collected_by_another_host() -> None:
    with world() as made:
        _, engines = with_second(made)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        edit(made, desiredState="Stopped")
        made.go(10)
        (container,) = made.host.containers
        lead_to(engines, made.host)
        made.api.create("Workspace", "elsewhere", "b", {"host": "second", "desiredState": "Stopped"})
        made.go(60)
        edit(made, desiredState="Running")
        made.go(60)
        assert list(made.host.containers) == [container]


def test_a_host_that_is_not_the_same_engine_any_more_refuses_no_other() -> None:
    """The second has led to the first's engine while that was connected to anew, and leads to its own again. Nothing
    happens there, so that nothing tells."""
    with world() as made:
        own, engines = with_second(made)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        made.host.faults.down = "away"
        made.api.edit("DockerHost", "", HOST, lambda raw: raw["metadata"].update(finalizers=[]))
        made.api.delete("DockerHost", "", HOST)
        made.go(5)
        made.host.faults.down = ""
        lead_to(engines, made.host)
        own.end_streams()
        made.go(30)  # the second is connected to the first's engine now, and knows it
        made.api.create("DockerHost", "", HOST, HOST_SPEC)
        made.go(20)
        lead_to(engines, own)
        made.go(300)
        ready = made.api.objects[("DockerHost", "", HOST)]["status"]["conditions"][0]
        assert (ready["type"], ready["status"]) == ("Ready", "True"), ready["message"]


def test_a_host_whose_secrets_were_rotated_while_we_stood_by_is_not_told_as_unreachable() -> None:
    """Who takes over has a connection of before the rotation to a host that is well."""
    spec = HOST_SPEC | {"endpoint": "tcp://docker.example.com:2376", "tlsSecretRef": {"name": "tls"}}
    with world(spec) as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        led(made, False)
        hosts: Any = made.controller.app.hosts
        old = hosts.get(HOST).engine

        async def refused() -> Any:
            raise HostUnreachable("the certificate has expired")

        old.list = refused
        made.host.faults.latency.update({"info": 0.02, "list": 0.02, "inspect": 0.02})
        made.go(60)
        made.api.writes.clear()
        told: list[str] = []
        judge = made.api.on_write

        def note(before: Any, after: Any) -> None:
            told.append(str(after["status"].get("phase") or after["status"]["conditions"][0]["status"]))
            judge(before, after)

        made.api.on_write = note
        led(made, True)
        made.go(30)
        assert "Unknown" not in told, told
