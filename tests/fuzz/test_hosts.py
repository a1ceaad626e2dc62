"""DockerHosts that are deleted and made again, and two on one engine."""

from __future__ import annotations

import asyncio
from typing import Any

from controller.api import DockerHost
from controller.engine.protocol import Engine
from tests.fuzz.world import HOST, HOST_SPEC, NAMESPACE, World, world


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
