"""What is compared and collected every 20 s: never because of an object that can't be read, never late for all."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controller.errors import EngineError
from controller.health import WATCH_STALE
from controller.store import Store
from tests.fuzz.apiserver import Object
from tests.fuzz.world import HOST_SPEC, NAMESPACE, World, world


def stale_for(made: World, kind: str) -> float:
    app = made.controller.app
    return app.collector.missed.stale_for(kind, made.loop.time(), app.collector.watched(kind))


def orphan(made: World, name: str) -> None:
    """Somebody takes its finalizer away and deletes it."""
    made.api.edit("Workspace", NAMESPACE, name, lambda raw: raw["metadata"].update(finalizers=[]))
    made.api.delete("Workspace", NAMESPACE, name)


def test_a_workspace_that_a_newer_version_wrote_keeps_its_container() -> None:
    def newer(raw: Object) -> None:
        raw["spec"].update(desiredState="Hibernated")
        raw["status"].update(phase="Hibernated")

    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        containers = list(made.host.containers)
        made.crash()
        made.api.edit("Workspace", NAMESPACE, "a", newer)
        made.host.faults.calls.clear()
        made.start()
        made.go(60)
        assert list(made.host.containers) == containers
        found = made.get("a")
        assert found is not None
        assert found["status"]["conditions"][0]["reason"] == "InvalidSpec"


def test_a_workspace_that_cannot_be_read_at_all_keeps_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(raw: Any) -> Any:
        raise ValueError("a field of a newer version")

    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        containers = list(made.host.containers)
        made.crash()
        monkeypatch.setattr("controller.app.parse_workspace", unreadable)
        made.start()
        made.go(60)
        assert len(made.controller.app.workspaces) == 0
        assert list(made.host.containers) == containers


def test_an_object_that_cannot_be_read_is_no_stale_watch() -> None:
    with world() as made:
        made.go(30)
        made.api.create("DockerHost", "", "newer", {**HOST_SPEC, "newField": 1})
        made.go(5 * WATCH_STALE)
        assert stale_for(made, "DockerHost") == 0


def test_what_came_and_went_while_the_watch_was_cut_off_is_no_stale_watch_once_it_is_back() -> None:
    with world() as made:
        made.go(30)
        made.api.silent = True
        made.api.create("WorkspaceOperation", NAMESPACE, "restart", {"operation": "Restart", "selector": {}})
        made.go(30)
        made.api.delete("WorkspaceOperation", NAMESPACE, "restart")
        made.go(5)
        made.api.silent = False
        made.api.tell_all()
        made.go(5 * WATCH_STALE)
        assert stale_for(made, "WorkspaceOperation") == 0


def test_what_went_back_to_an_older_version_is_no_stale_watch() -> None:
    """etcd was restored from a snapshot: the watch has brought it, and was not believed."""
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(30)
        restored = copy.deepcopy(made.api.objects)
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["metadata"].update(labels={"a": "b"}))
        made.go(20)
        made.api.objects = restored
        made.api.tell_all()
        made.go(5 * WATCH_STALE)
        assert stale_for(made, "Workspace") == 0


@pytest.mark.parametrize("kind", ["Workspace", "DockerHost", "WorkspaceOperation"])
def test_all_are_looked_at_once_everything_was_listed_however_many_lists_fail_before(kind: str) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        (container,) = made.host.containers
        made.crash()
        made.host.exit(container, 1)
        made.api.unlisted[kind] = 2
        made.start()
        made.go(12)
        assert made.host.find(container).shown.is_live


def test_removals_that_hang_hold_up_no_round() -> None:
    names = [f"w{number}" for number in range(6)]
    with world() as made:
        for name in names:
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(30)
        made.host.faults.hang("remove", 3)
        for name in names[:5]:
            orphan(made, name)
        for _ in range(6):
            made.go(20)
            assert made.loop.time() - made.controller.app.collector.last_list["Workspace"] <= 21
        made.go(60)
        assert len(made.host.containers) == 1


def test_an_object_that_was_made_again_while_a_list_was_under_way_stays() -> None:
    store: Store[Any] = Store("Workspace", lambda raw: raw, lambda key: None)

    def apply(uid: str, version: str) -> None:
        meta = {"namespace": "team", "name": "a", "uid": uid, "resourceVersion": version}
        store.apply({"metadata": meta})

    apply("1", "10")
    before = store.refs()
    apply("2", "12")
    assert store.compare({}, before) == []
    assert store.get(("team", "a")) is not None
    assert store.compare({}, store.refs()) == []
    assert store.get(("team", "a")) is None


@pytest.mark.parametrize("waits", ["Stopped", "for its back-off"])
def test_a_container_that_waits_for_its_restart_keeps_the_network_that_it_was_made_in(waits: str) -> None:
    def change(**spec: Any) -> None:
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(spec))

    with world() as made:
        recovery = {"backoff": {"initialSeconds": 60}}
        made.api.create("Workspace", NAMESPACE, "a", {"updatePolicy": "Manual", "recovery": recovery})
        made.go(10)
        (container,) = made.host.containers
        if waits == "Stopped":
            change(desiredState="Stopped")
            made.go(5)
        change(network={"mode": "Namespace"})
        for _ in range(2 if waits == "for its back-off" else 0):
            made.go(2)
            made.host.kill(container)
        made.go(30)
        change(desiredState="Running")
        made.go(60)
        assert list(made.host.containers) == [container]
        assert made.host.find(container).shown.is_live


def test_a_network_that_somebody_still_used_goes_once_nobody_does() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        (network,) = made.host.networks
        by_hand = made.host.run("somebody")
        made.host.find(by_hand).network = network
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60)
        assert list(made.host.networks) == [network]
        made.host.faults.calls.clear()
        made.go(590)
        assert made.host.faults.calls["remove_network"] <= 1
        made.host.exit(by_hand)
        made.go(620)
        assert not made.host.networks


def test_orphans_are_collected_though_namespaces_may_not_be_listed() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)

        async def refused() -> None:
            raise RuntimeError("403: namespaces is forbidden")

        made.controller.app._namespaces.refresh = refused  # type: ignore[method-assign]
        orphan(made, "a")
        made.go(60)
        assert not made.host.containers


@pytest.mark.parametrize("spec", [{"desiredState": {"mode": "Running"}}, None], ids=["an object", "no spec"])
def test_an_object_that_another_crd_let_in_keeps_nobody_else(spec: Any) -> None:
    with world() as made:
        made.crash()
        made.api.create("Workspace", NAMESPACE, "odd", {})
        made.api.objects[("Workspace", NAMESPACE, "odd")]["spec"] = spec
        made.start()
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(60)
        assert [c for c in made.host.containers.values() if c.shown.is_live]


def test_an_orphan_that_can_not_be_removed_holds_up_no_other() -> None:
    with world() as made:
        for name in "abcde":
            made.api.create("Workspace", NAMESPACE, name, {})
        made.go(10)
        made.host.faults.hang("remove", times=4)
        for name in "abcde":
            orphan(made, name)
        made.go(28)
        assert len(made.host.containers) == 4
        made.go(60)
        assert not made.host.containers


def test_an_inspect_that_fails_after_an_outage_shows_nothing_of_before() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        (container,) = made.host.containers
        made.host.faults.down = "no route to host"
        made.go(12)
        made.host.exit(container, 1)
        made.host.faults.fail("inspect", EngineError("500"), times=3)
        made.host.faults.down = ""
        for _ in range(40):
            made.go(0.1)
            found = made.get("a")
            assert found is not None
            shown = made.host.find(container).shown
            assert shown.is_live or found["status"]["phase"] != "Running"
        made.go(30)
        assert made.host.find(container).shown.is_live
