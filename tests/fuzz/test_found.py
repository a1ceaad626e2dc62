"""Stories in virtual time: what the fuzzer has found, and what is too rare to be left to chance."""

from __future__ import annotations

import docker.errors
import pytest
import requests

from controller import naming
from controller.engine.failures import engine_failure
from controller.errors import CallTimeout, EngineError, HostUnreachable, NameConflict
from tests.fuzz.world import NAMESPACE, World, settle, world

SOON = 30.0  # virtual seconds
SPEC = {"image": "alpine:latest", "terminationGracePeriodSeconds": 2}


def _running(made: World, name: str = "a") -> str:
    made.api.create("Workspace", NAMESPACE, name, SPEC)
    settle(made, made.host.check_converged, SOON)
    return _container(made, name)


def _container(made: World, name: str = "a") -> str:
    found = made.get(name)
    assert found is not None
    mine = [c.shown.id for c in made.host.containers.values() if c.shown.uid == found["metadata"]["uid"]]
    assert len(mine) == 1, mine
    return mine[0]


def _kill(made: World, container: str) -> None:
    made.host.by_hand = True
    made.host.kill(container)
    made.host.by_hand = False


def _change(made: World) -> None:
    """Its spec: it needs another container."""
    made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(args=["x"]))


def _check(made: World) -> None:
    assert not made.host.violations, made.host.violations


def test_a_crash_does_not_forget_the_back_off() -> None:
    with world() as made:
        container = _running(made)
        for wait in (0.0, 10.0):
            _kill(made, container)
            settle(made, made.host.check_converged, wait + 5.0)
        _kill(made, container)
        died = made.loop.time()
        made.go(1.0)
        made.crash()
        made.go(1.0)
        made.start()
        settle(made, made.host.check_converged, SOON)
        assert made.loop.time() - died > 17.0, "the third restart waits 20 s"
        _check(made)


def test_a_create_whose_answer_is_lost_makes_no_second_container() -> None:
    with world() as made:
        made.host.faults.fail("create", CallTimeout("injected"), took_effect=True)
        _running(made)
        made.crash_at(0, after=True)
        _change(made)
        made.go(10.0)
        made.start()
        settle(made, made.host.check_converged, SOON)
        assert len(made.host.containers) == 1
        _check(made)


def test_what_the_watch_did_not_bring_is_found_by_a_list() -> None:
    with world() as made:
        _running(made, "a")
        gone = _running(made, "b")
        made.api.silent = True
        _change(made)
        made.api.edit("Workspace", NAMESPACE, "b", lambda raw: raw["metadata"].update(finalizers=[]))
        made.api.delete("Workspace", NAMESPACE, "b")
        settle(made, made.host.check_converged, SOON)
        assert gone not in made.host.containers
        _check(made)


def test_a_list_that_fails_makes_no_orphan() -> None:
    with world() as made:
        container = _running(made)
        made.api.down = True
        made.go(60.0)
        assert made.host.find(container).shown.is_live
        made.api.down = False
        made.go(60.0)
        assert _container(made) == container
        _check(made)


def test_a_foreign_container_that_has_our_name_is_never_touched() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", SPEC | {"desiredState": "Stopped"})
        made.go(2.0)
        found = made.get("a")
        assert found is not None
        uid = found["metadata"]["uid"]
        name = naming.container_name(NAMESPACE, "a", uid)
        made.host.by_hand = True
        foreign = made.host.run(name, {naming.LABEL_UID: uid, naming.LABEL_CLUSTER: "another-cluster"})
        made.host.by_hand = False
        made.host.foreign[foreign] = (name, None)
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState="Running"))
        made.go(60.0)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60.0)
        assert made.get("a") is None
        assert made.host.find(foreign).shown.is_live
        _check(made)


def test_an_image_that_can_not_be_had_leaves_the_old_container() -> None:
    with world() as made:
        container = _running(made)
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(image="nowhere:1"))
        made.go(60.0)
        assert made.host.find(container).shown.is_live
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(image="alpine:latest"))
        settle(made, made.host.check_converged, SOON)
        assert _container(made) == container
        _check(made)


def test_the_finalizer_goes_after_the_container() -> None:
    with world() as made:
        container = _running(made)
        made.host.stick(container)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(60.0)
        assert made.get("a") is not None, "its container is still there"
        made.host.unstick(container)
        settle(made, made.host.check_converged, 2 * SOON)
        assert made.get("a") is None
        _check(made)


def test_at_rest_nothing_is_written_whoever_wakes_us() -> None:
    with world() as made:
        _running(made)
        made.go(20.0)
        writes = len(made.api.writes)
        for number in range(5):
            made.api.edit(
                "Workspace",
                NAMESPACE,
                "a",
                lambda raw, number=number: raw["metadata"].setdefault("annotations", {}).update(n=str(number)),
            )
            made.go(3.0)
        assert made.api.writes[writes:] == []
        _check(made)


def test_a_call_whose_connection_always_breaks_is_made_ever_more_seldom_and_told() -> None:
    with world() as made:
        made.host.faults.fail("create", HostUnreachable("the connection broke"), 1000)
        made.api.create("Workspace", NAMESPACE, "a", SPEC)
        made.go(120.0)
        assert made.calls.count("create") < 12
        found = made.get("a")
        assert found is not None
        assert found["status"]["lastError"]["reason"] == "HostUnreachable"
        made.host.faults.heal()
        settle(made, made.host.check_converged, 40.0)
        _check(made)


def test_a_restart_request_makes_a_failed_step_be_tried_at_once() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", SPEC | {"image": "late:1"})
        made.go(400.0)
        made.host.add_image("late:1")
        at = {naming.ANNOTATION_RESTARTED_AT: "2030-01-01T00:00:00Z"}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["metadata"].update(annotations=at))
        settle(made, made.host.check_converged, 5.0)
        _check(made)


def test_a_volume_of_somebody_else_that_has_our_name_stays_and_keeps_nobody() -> None:
    with world() as made:
        volumes = [{"name": "cache", "mountPath": "/cache", "reclaimPolicy": "Delete"}]
        made.api.create("Workspace", NAMESPACE, "a", SPEC | {"volumes": volumes})
        settle(made, made.host.check_converged, SOON)
        (volume,) = made.host.volumes
        made.host.volumes[volume] = {}
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(SOON)
        assert made.get("a") is None
        assert volume in made.host.volumes
        _check(made)


def test_a_secret_that_may_not_be_read_is_told_and_found_readable_later() -> None:
    with world() as made:
        token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}}
        made.api.forbidden = True
        made.api.create("Workspace", NAMESPACE, "a", SPEC | {"env": [token]})
        made.go(SOON)
        found = made.get("a")
        assert found is not None
        assert found["status"]["lastError"]["reason"] == "SecretForbidden"
        made.api.forbidden = False
        settle(made, made.host.check_converged, 90.0)
        _check(made)


def test_secrets_that_can_not_be_read_for_now_keep_nothing_from_being_started_again() -> None:
    with world() as made:
        token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}}
        made.api.create("Workspace", NAMESPACE, "a", SPEC | {"env": [token]})
        settle(made, made.host.check_converged, SOON)
        container = _container(made)
        made.crash()
        made.api.sealed = True
        made.start()
        made.go(10)
        made.host.exit(container, 1)
        made.go(10)
        assert made.host.find(container).shown.is_live
        made.api.sealed = False
        settle(made, made.host.check_converged, SOON)
        _check(made)


def test_a_crash_after_the_fallback_removed_a_container_makes_no_other_one() -> None:
    with world() as made:
        recovery = {"maxRetries": 1, "fallbackAction": "Remove", "backoff": {"initialSeconds": 1, "maxSeconds": 1}}
        made.api.create("Workspace", NAMESPACE, "a", SPEC | {"recovery": recovery})
        settle(made, made.host.check_converged, SOON)
        _kill(made, _container(made))
        settle(made, made.host.check_converged, SOON)
        begun = len(made.calls)
        _kill(made, _container(made))
        made.go(SOON)
        assert made.calls[begun:].count("remove") == 1
        assert "status" in made.calls[begun : begun + made.calls[begun:].index("remove")]
        made.crash()
        made.start()
        made.go(SOON)
        assert not made.host.containers
        assert made.calls[begun:].count("create") == 0
        _check(made)


def test_where_no_new_container_can_be_made_the_old_one_runs_on_under_its_name() -> None:
    with world() as made:
        container = _running(made)
        before = made.host.find(container).shown
        made.host.faults.fail("create", EngineError("no space left on device"), 1000)
        _change(made)
        for _ in range(20):
            made.go(3.0)
            now = made.host.find(container).shown
            assert (now.name, now.started_at, now.state) == (before.name, before.started_at, before.state)
        made.host.faults.fail("rename", CallTimeout("injected"), took_effect=True)  # as it steps aside
        made.crash()
        made.start()
        made.go(10.0)
        assert made.host.find(container).shown.name == before.name
        made.host.faults.heal()
        settle(made, made.host.check_converged, 300.0)
        assert _container(made) != container
        _check(made)


def test_names_that_cant_be_changed_keep_no_change_from_being_made() -> None:
    with world() as made:
        container = _running(made)
        name = made.host.find(container).shown.name
        made.host.faults.fail("rename", NameConflict("injected"), 3)
        _change(made)
        made.go(5.0)
        assert _container(made) != container
        assert made.host.find(_container(made)).shown.is_live
        settle(made, made.host.check_converged, 120.0)
        assert made.host.find(_container(made)).shown.name == name
        _check(made)


def test_a_failure_of_a_step_that_is_needed_no_more_is_told_no_more() -> None:
    with world() as made:
        container = _running(made)
        name = made.host.find(container).shown.name
        _kill(made, container)
        settle(made, made.host.check_converged, SOON)
        made.host.faults.fail("rename", NameConflict("injected"), 1000)
        made.host.rename(container, "elsewhere")
        made.go(3.0)
        assert _told(made) == "NameConflict"
        made.host.rename(container, name)
        _kill(made, container)
        made.go(3.0)
        assert _told(made) == "CrashLoopBackOff"
        made.host.faults.heal()
        settle(made, made.host.check_converged, SOON)
        _check(made)


def _told(made: World) -> str:
    found = made.get("a")
    assert found is not None
    return next(str(c["reason"]) for c in found["status"]["conditions"] if c["type"] == "Ready")


@pytest.mark.parametrize("kind", ["create", "ensure_network"])
def test_a_plugin_that_is_not_there_is_told_and_tried_ever_more_seldom(kind: str) -> None:
    response = requests.Response()
    response.status_code = 404
    words = 'error looking up volume plugin rclone:latest: plugin "rclone:latest" not found'
    error = engine_failure(docker.errors.APIError("404", response=response, explanation=words), kind, 60)
    with world() as made:
        made.go(5)
        made.host.faults.fail(kind, error, times=100_000)
        made.host.faults.latency[kind] = made.host.faults.latency["list"] = 0.02
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.host.faults.calls.clear()
        made.go(30)
        found = made.get("a")
        assert found is not None
        assert "rclone" in found["status"]["lastError"]["message"]
        assert made.host.faults.calls[kind] < 15


def test_a_change_that_does_not_last_is_made_ever_more_seldom() -> None:
    with world() as made:
        _running(made)
        made.host.update = lambda container, **_: made.host.find(container)  # type: ignore[method-assign] # "done"
        limits = {"limits": {"cpu": "2"}}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(resources=limits))
        made.go(60)
        made.host.faults.calls.clear()
        made.go(60)
        assert made.host.faults.calls["update"] < 40
