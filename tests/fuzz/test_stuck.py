"""A container that can't be removed keeps its Workspace from nothing else."""

from __future__ import annotations

import pytest

from controller import naming
from controller.observed import Container, ContainerState, Health
from tests.fuzz.world import NAMESPACE, World, settle, world

SOON = 30.0  # virtual seconds


def beside_a_stuck_one(made: World, spared_ids: int = 0) -> str:
    """A Workspace that runs beside its dead predecessor, which can't be removed. Gives the ID of the dead one."""
    for _ in range(spared_ids):
        made.host.new_id()  # which of the two comes first is chance
    for image in ("other:1", "third:1"):
        made.host.add_image(image)
    made.api.create("Workspace", NAMESPACE, "a", {"terminationGracePeriodSeconds": 2})
    settle(made, made.host.check_converged, SOON)
    (stuck,) = made.host.containers
    made.host.stick(stuck)
    edit(made, image="other:1")
    made.go(20)
    made.host.stick(stuck, dead=True)
    made.go(20)
    return stuck


def edit(made: World, **spec: str) -> None:
    made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(spec))


def other(made: World, stuck: str) -> Container:
    (found,) = (c.shown for c in made.host.containers.values() if c.shown.id != stuck)
    return found


@pytest.mark.parametrize(("wish", "state"), [("Stopped", ContainerState.EXITED), ("Paused", ContainerState.PAUSED)])
def test_it_is_stopped_and_paused(wish: str, state: ContainerState) -> None:
    with world() as made:
        stuck = beside_a_stuck_one(made)
        edit(made, desiredState=wish)
        made.go(SOON)
        assert other(made, stuck).state is state


def test_it_is_restarted() -> None:
    with world() as made:
        stuck = beside_a_stuck_one(made)
        before = other(made, stuck).started_at
        request = {naming.ANNOTATION_RESTARTED_AT: "x"}
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["metadata"].update(annotations=request))
        made.go(SOON)
        assert other(made, stuck).started_at != before
        assert other(made, stuck).state is ContainerState.RUNNING


def test_it_is_restarted_when_its_probe_fails() -> None:
    with world() as made:
        stuck = beside_a_stuck_one(made)
        made.host.set_health(other(made, stuck).id, Health.UNHEALTHY)
        made.go(SOON)
        assert other(made, stuck).health is not Health.UNHEALTHY


def test_it_gets_a_new_image() -> None:
    with world() as made:
        stuck = beside_a_stuck_one(made)
        before = other(made, stuck).image_id
        edit(made, image="third:1")
        made.go(60)
        assert other(made, stuck).image_id != before
        assert other(made, stuck).state is ContainerState.RUNNING


@pytest.mark.parametrize("spared_ids", range(6))
def test_it_is_stopped_when_it_is_deleted_and_gone_once_the_stuck_one_is(spared_ids: int) -> None:
    with world() as made:
        stuck = beside_a_stuck_one(made, spared_ids)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(SOON)
        assert all(not c.shown.is_live for c in made.host.containers.values())
        made.host.unstick(stuck)
        made.go(60)
        assert not made.host.containers
        assert made.get("a") is None


@pytest.mark.parametrize("spared_ids", range(6))
def test_a_paused_one_is_removed_when_it_is_deleted(spared_ids: int) -> None:
    with world() as made:
        stuck = beside_a_stuck_one(made, spared_ids)
        edit(made, desiredState="Paused")
        made.go(SOON)
        made.api.delete("Workspace", NAMESPACE, "a")
        made.go(SOON)
        assert list(made.host.containers) == [stuck]


def test_each_try_to_remove_it_is_told_once() -> None:
    with world() as made:
        beside_a_stuck_one(made)
        made.calls.clear()
        made.go(300)
        assert made.calls.count("remove") > 5
        assert made.calls.count("status") <= made.calls.count("remove") + 1
