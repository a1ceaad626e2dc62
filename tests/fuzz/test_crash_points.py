"""A crash before and after each mutating call of a reference run ends in the same state as the undisturbed run.

The calls come from a trace of the run itself, so new code is covered by itself. The same is done on the real stack, by
`tests/faults/test_crashes.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller import naming
from controller.observed import ContainerState
from tests.fuzz.apiserver import Object
from tests.fuzz.world import NAMESPACE, World, settle, world

LIMIT = 45.0  # virtual seconds: 30, and a back-off of 10
Step = Callable[[World], None]


def test_a_crash_at_any_call_changes_nothing_about_the_end() -> None:
    with world() as undisturbed:
        counts = [_do(undisturbed, step) for step in STEPS]
        expected = _end(undisturbed)
    assert sum(counts) > 30, counts
    for number, (count, step) in enumerate(zip(counts, STEPS, strict=True)):
        for call in range(count):
            for after in (False, True):
                _crash(number, call, after, expected)
        assert step is STEPS[number]


def _crash(number: int, call: int, after: bool, expected: list[Any]) -> None:
    """The whole run, with one crash in it."""
    where = f"{STEPS[number].__name__}, call {call}, {'after' if after else 'before'} it"
    with world() as made:
        for step in STEPS[:number]:
            _do(made, step)
        made.crash_at(call, after=after)
        STEPS[number](made)
        made.go(7.0)
        assert made.controller.dead, f"{where}: not made in this run"
        made.start()
        settle(made, made.host.check_converged, LIMIT)
        for step in STEPS[number + 1 :]:
            _do(made, step)
        assert not made.host.violations, f"{where}: {made.host.violations}"
        assert _end(made) == expected, where


def _do(made: World, step: Step) -> int:
    """One step until it has converged; gives the number of its mutating calls."""
    before = len(made.calls)
    step(made)
    made.go(0.5)
    settle(made, made.host.check_converged, LIMIT)
    made.go(6.0)  # the counts of a DockerHost are written late
    return len(made.calls) - before


def _end(made: World) -> list[Any]:
    """What must not depend on crashes: the containers, what they are made of, and the story that the statuses tell."""
    containers = sorted((c.shown.name, str(c.shown.state), c.shown.config_hash) for c in made.host.containers.values())
    statuses = [(raw["metadata"]["name"], _story(raw)) for raw in made.api.of("Workspace")]
    return [containers, sorted(statuses), sorted(n.name for n in made.host.networks.values())]


def _story(raw: Object) -> tuple[Any, ...]:
    status = raw["status"]
    return status["phase"], status["restartCount"], status.get("lastRestartRequest"), status["observedGeneration"]


def create(made: World) -> None:
    spec = {"image": "alpine:latest", "terminationGracePeriodSeconds": 2}
    for name in ("a", "b"):
        made.api.create("Workspace", NAMESPACE, name, spec)


def change_image(made: World) -> None:
    made.host.add_image("other:1")
    _edit(made, image="other:1")


def change_limits(made: World) -> None:
    _edit(made, resources={"limits": {"memory": "64Mi"}})


def container_dies(made: World) -> None:
    made.host.by_hand = True
    made.host.kill(_container(made))
    made.host.by_hand = False


def ask_for_restart(made: World) -> None:
    def annotate(raw: Object) -> None:
        raw["metadata"].setdefault("annotations", {})[naming.ANNOTATION_RESTARTED_AT] = "2030-01-01T00:00:00Z"

    made.api.edit("Workspace", NAMESPACE, "a", annotate)


def pause(made: World) -> None:
    _edit(made, desiredState="Paused")


def stop(made: World) -> None:
    _edit(made, desiredState="Stopped")


def start(made: World) -> None:
    _edit(made, desiredState="Running")


def delete(made: World) -> None:
    made.api.delete("Workspace", NAMESPACE, "b")


STEPS: list[Step] = [
    *(create, change_image, change_limits, container_dies, ask_for_restart, pause, stop, start, delete),
]


def _edit(made: World, **spec: Any) -> None:
    made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(spec))


def _container(made: World) -> str:
    uid = made.api.objects[("Workspace", NAMESPACE, "a")]["metadata"]["uid"]
    live = [c.shown for c in made.host.containers.values() if c.shown.uid == uid]
    assert [c.state for c in live] == [ContainerState.RUNNING]
    return live[0].id
