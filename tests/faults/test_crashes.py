"""The controller is killed before and after each mutating call, started again, and ends where it would have ended.

The calls are those that both proxies saw in an undisturbed run, so new code is covered by itself. Each step of the run
begins from a healthy Workspace, so that every crash costs one step only.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.proxy import Call, Fault
from tests.faults.report import Row
from tests.faults.rig import BOUND, NOISE, PATIENCE, Rig
from tests.waiting import eventually

FAST = {"recovery": {"maxRetries": 100, "backoff": {"initialSeconds": 1, "maxSeconds": 1, "factor": 1}}}
SPEC = FAST | {"env": [{"name": "A", "value": "0"}], "terminationGracePeriodSeconds": 1}
MADE_WITHIN = 20.0  # seconds for a call of the trace to come again
MADE_AT_TIMES = ("POST /networks/create",)  # only where the network isn't there any more
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Point:
    """The `occurrence`-th call of a kind in a step."""

    step: str
    kind: str
    occurrence: int
    after: bool

    def __str__(self) -> str:
        return f"{self.step}: {'after' if self.after else 'before'} {self.kind} number {self.occurrence}"


def create(rig: Rig, name: str) -> None:
    rig.apply(name, SPEC)


def change_image(rig: Rig, name: str) -> None:
    rig.edit(name, image="other:1" if rig.get(name)["spec"]["image"] == "alpine:latest" else "alpine:latest")


def change_limits(rig: Rig, name: str) -> None:
    rig.edit(name, resources={"limits": {"memory": f"{64 + next(_numbers)}Mi"}})


def container_dies(rig: Rig, name: str) -> None:
    rig.shell("kill", rig.container(name)["Id"])


def ask_for_restart(rig: Rig, name: str) -> None:
    rig.annotate(name, restartedAt=f"2030-01-01T00:00:00.{next(_numbers):03d}Z")


def pause(rig: Rig, name: str) -> None:
    rig.edit(name, desiredState="Paused")


def stop(rig: Rig, name: str) -> None:
    rig.edit(name, desiredState="Stopped")


def delete(rig: Rig, name: str) -> None:
    rig.delete(name)


STEPS = {
    s.__name__: s for s in (create, change_image, change_limits, container_dies, ask_for_restart, pause, stop, delete)
}


def test_01_controller_killed_at_every_kind_of_mutating_call(rig: Rig, row: Row) -> None:
    """The first of each kind."""
    seen: set[str] = set()

    def is_new(kind: str) -> bool:
        known = kind in seen
        seen.add(kind)
        return not known

    _kill_at(rig, row, is_new)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_01_controller_killed_at_every_mutating_call(rig: Rig, row: Row) -> None:
    _kill_at(rig, row, lambda call: True)


def _kill_at(rig: Rig, row: Row, wanted: Callable[[str], bool]) -> None:
    rig.shell("tag", "alpine:latest", "other:1")
    _healthy(rig)
    missed = []
    for step in STEPS:
        kinds, expected = _undisturbed(rig, step)
        chosen = [(kind, occurrence) for kind, occurrence in kinds if wanted(kind)]
        for (kind, occurrence), after in itertools.product(chosen, (False, True)):
            point = Point(step, kind, occurrence, after)
            made = _crash(rig, row, point, expected)
            if not made and occurrence == 1 and kind not in MADE_AT_TIMES:
                missed.append(str(point))
    assert row.injected > 2 * len(STEPS), "the trace shows too few calls"
    assert not missed, f"calls of the trace that were not made again: {missed}"


def _undisturbed(rig: Rig, step: str) -> tuple[list[tuple[str, int]], Any]:
    """The mutating calls of a step (kind and occurrence), and the state that it ends in."""
    before = _prepare(rig, step)
    since = time.monotonic()
    STEPS[step](rig, "shop")
    state = eventually(lambda: _ended(rig, step, before), BOUND + NOISE)
    counts: Counter[str] = Counter()
    calls = []
    for call in _mutations(rig, since):
        counts[str(call)] += 1
        calls.append((str(call), counts[str(call)]))
    return calls, state


def _crash(rig: Rig, row: Row, point: Point, expected: Any) -> bool:
    """Whether the call was made; a second one of its kind may be, or not, as other things come together."""
    before = _prepare(rig, point.step)
    counts: Counter[str] = Counter()

    def rule(call: Call) -> Fault | None:
        if call.number and _counts(call):
            counts[str(call)] += 1
            if str(call) == point.kind and counts[point.kind] == point.occurrence:
                return Fault(drop=not point.after, lose=point.after, run=rig.kill)
        return None

    with rig.kube_proxy.ruled(rule), rig.docker.ruled(rule):
        STEPS[point.step](rig, "shop")
        try:
            eventually(lambda: not rig.controller.running, MADE_WITHIN)
        except AssertionError:
            return False
    began = row.inject()
    rig.restart()
    state = eventually(lambda: _ended(rig, point.step, before), BOUND + NOISE)
    row.recovered(began)
    assert state == expected, f"{point}: {state}, not {expected} as without a crash"
    assert not rig.oracle.violations, f"{point}: {rig.oracle.violations}"
    return True


def _mutations(rig: Rig, since: float) -> list[Call]:
    return [c for proxy in (rig.kube_proxy, rig.docker) for c in proxy.mutations(since) if _counts(c)]


def _counts(call: Call) -> bool:
    """Events are told at their own pace, and a DockerHost's counts too: they belong to no step."""
    return "/events" not in call.path and not ("/dockerhosts/" in call.path and "/status" in call.path)


def _prepare(rig: Rig, step: str) -> int:
    """What the step begins from; gives the restart count then."""
    before = _healthy(rig)
    if step != "create":
        return before
    rig.delete("shop")
    eventually(lambda: not rig.names(), PATIENCE)
    return 0


def _healthy(rig: Rig) -> int:
    """A running Workspace whatever was before; gives its restart count."""
    if "shop" not in rig.names():
        rig.apply("shop", SPEC)
    rig.edit("shop", desiredState="Running")
    rig.converge()
    return int(rig.status("shop")["restartCount"])


def _ended(rig: Rig, step: str, restarts: int) -> Any:
    """The state after a step, once it's reached: what must not depend on crashes."""
    rig.oracle.check_converged(rig.namespace)
    containers = rig.oracle.containers(rig.namespace)
    if step == "delete":
        assert rig.names() == []
        return "gone", [c["Name"] for c in containers]
    status = rig.status("shop")
    if step == "container_dies":
        assert status["restartCount"] > restarts
    if step == "ask_for_restart":
        asked = rig.get("shop")["metadata"]["annotations"]["aicli.dev/restartedAt"]
        assert status["lastRestartRequest"] == asked
        assert status["phase"] == "Running"  # not on its way there
    if step == "change_limits":
        memory = int(rig.get("shop")["spec"]["resources"]["limits"]["memory"].removesuffix("Mi")) << 20
        assert [c["HostConfig"]["Memory"] for c in containers] == [memory]
    return status["phase"], status["restartCount"] - restarts, [c["State"]["Status"] for c in containers]
