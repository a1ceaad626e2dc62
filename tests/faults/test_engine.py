"""dockerd is down, hangs, fails, says nothing, or is shared."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest

from devcluster import leftovers
from tests.faults.api import Refused
from tests.faults.proxy import Call, Fault
from tests.faults.report import Row
from tests.faults.rig import BOUND, NOISE, Rig
from tests.waiting import eventually

TELL = 10.0  # seconds until a host that is gone is told (S9)


def test_07_dockerd_down_then_back(rig: Rig, row: Row) -> None:
    for name in ("a", "b"):
        rig.apply(name)
    rig.converge()
    began = row.inject()
    rig.engine.stop()
    down = time.monotonic()
    for name in ("a", "b"):
        status = rig.phase(name, "Unknown", "HostUnreachable", TELL + NOISE)
        assert status["lastError"]["class"] == "Network"
    rig.edit("b", env=[{"name": "A", "value": "edited while down"}])
    time.sleep(max(0.0, 25 - (time.monotonic() - down)))
    assert rig.status_writes(began) <= 10, "no storm of writes"
    rig.engine.start()
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)


def test_08_dockerd_restarted_live_restore_on_and_off(rig: Rig, row: Row) -> None:
    _restarts(rig, row, 8)


def test_08_an_engine_that_is_stopping_starts_nothing_more(rig: Rig, row: Row) -> None:
    """It stops its containers while it still answers on connections that are open: what has stopped first would be
    started again, and run on without an engine."""
    rig.apply("slow", {"command": ["sh", "-c", "trap '' TERM; while true; do sleep 1; done"]})
    rig.apply("quick", {"command": ["sleep", "86399"]})
    rig.converge()
    row.inject()
    rig.engine.stop()
    left = leftovers.processes_that_name("sleep 86399 ")
    rig.engine.start()
    assert not left
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    assert rig.status("quick")["restartCount"] == 1


@pytest.mark.nightly
def test_08_dockerd_restarted_with_50_workspaces(rig: Rig, row: Row) -> None:
    _restarts(rig, row, 50)


def test_09_dockerd_hangs(rig: Rig, row: Row) -> None:
    rig.apply("here")
    rig.apply("there", {"host": "second"})
    rig.converge()
    row.inject()
    rig.engine.pause()
    try:
        rig.edit("here", env=[{"name": "A", "value": "edited while it hung"}])
        began = time.monotonic()
        rig.apply("new", {"host": "second"})
        eventually(lambda: rig.status("new")["phase"] == "Running", 20 + NOISE)
        rig.shell_on("second", "kill", rig.container("there", "second")["Id"])
        eventually(lambda: rig.status("there")["restartCount"] == 1, 10 + NOISE)
        rig.phase("here", "Unknown", "HostUnreachable", max(0.0, began + TELL + NOISE - time.monotonic()))
        assert rig.probe("/readyz") == 200
    finally:
        rig.engine.resume()
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)


def test_09_a_start_that_hangs_is_not_told_as_running(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    container = rig.running("shop")["Id"]
    slow = Fault(delay=TELL + NOISE)
    with rig.docker.ruled(lambda call: slow if call.path.endswith("/start") else None):
        row.inject()
        rig.shell("kill", container)
        status = rig.phase("shop", "Pending", "Starting", TELL)
        assert status["lastTermination"]["exitCode"] == 137
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    assert rig.status("shop")["restartCount"] == 1


def test_10_20_percent_of_docker_calls_answer_500(rig: Rig, row: Row) -> None:
    dice = random.Random(10)
    phases: Counter[str] = Counter()

    def fail(call: Call) -> Fault | None:
        return Fault(status=500) if dice.random() < 0.2 and "/events" not in call.path else None

    with rig.docker.ruled(fail), _polled(lambda: _note_phases(rig, phases)):
        before = len(rig.docker.calls)
        for name in ("a", "b", "c", "d"):
            rig.apply(name)
        rig.converge()
        rig.edit("a", env=[{"name": "A", "value": "x"}])
        rig.edit("b", desiredState="Paused")
        rig.edit("c", desiredState="Stopped")
        rig.delete("d")
        rig.converge()
        row.inject(sum(c.status == 500 for c in rig.docker.calls[before:]))
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed, row.injected)
    assert row.injected > 0
    assert phases.total() > 40, f"hardly looked at: {phases}"
    assert phases["Failed"] + phases["Unknown"] <= 0.01 * phases.total(), f"errors that users see: {phases}"


def test_11_event_stream_silently_dead(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    container = rig.running("shop")["Id"]
    for verb in ("kill", "pause"):
        row.inject()
        eventually(lambda: rig.docker.swallow("/events"), 30)
        began = time.monotonic()
        rig.shell(verb, container)
        eventually(lambda: _is_up(rig, container), TELL + NOISE)
        row.recovered(began)


def test_16_two_clusters_on_one_docker_host(rig: Rig, row: Row, neighbour: Rig) -> None:
    _share(rig, row, neighbour, 30.0)


@pytest.mark.nightly
def test_16_two_clusters_on_one_docker_host_for_5_minutes(rig: Rig, row: Row, neighbour: Rig) -> None:
    _share(rig, row, neighbour, 300.0)


def test_24_host_unreachable_at_delete(rig: Rig, row: Row) -> None:
    proxy = rig.docker_proxies["second"]
    for name in ("waits", "abandoned"):
        rig.apply(name, {"host": "second"})
    rig.converge()
    began = row.inject(2)
    with proxy.ruled(lambda call: Fault(drop=True)):
        proxy.disconnect()
        for name in ("waits", "abandoned"):
            rig.delete(name)
        for name in ("waits", "abandoned"):
            status = rig.phase(name, "Terminating", "HostUnreachable", TELL + NOISE)
            assert {c["type"]: c["status"] for c in status["conditions"]}["Stalled"] == "True"
        asked = time.monotonic()
        rig.annotate("abandoned", abandon="true")
        eventually(lambda: rig.names() == ["waits"], 10 + NOISE)
        row.recovered(asked)
        assert rig.status_writes(began) <= 10
    healed = time.monotonic()
    eventually(lambda: rig.names() == [], BOUND + NOISE)
    rig.converge(BOUND + NOISE)  # what was let go of is an orphan, once its host is back
    row.recovered(healed)


def _restarts(rig: Rig, row: Row, count: int) -> None:
    for engine in ("default", "second"):
        for number in range(count):
            rig.apply(f"{engine}-{number}", {"host": engine, "resources": {"limits": {"memory": "32Mi"}}})
    rig.converge(60 + 6 * count)
    for engine, lives_on in (("default", False), ("second", True)):
        runs = {c["Id"]: c["State"]["StartedAt"] for c in rig.oracle.containers(rig.namespace, engine=engine)}
        row.inject()
        rig.engines[engine].stop()
        rig.engines[engine].start()
        healed = time.monotonic()
        rig.converge(BOUND + NOISE + count)
        row.recovered(healed)
        after = {c["Id"]: c["State"]["StartedAt"] for c in rig.oracle.containers(rig.namespace, engine=engine)}
        assert after.keys() == runs.keys(), "a restart of dockerd recreates nothing"
        if lives_on:
            assert after == runs, "with live-restore nothing is restarted"


def _share(rig: Rig, row: Row, second: Rig, seconds: float) -> None:
    """Both have a Workspace of the same namespace and name."""
    for each in (rig, second):
        each.apply("shop")
        each.converge()
    ours, theirs = rig.container("shop"), second.container("shop")
    assert ours["Id"] != theirs["Id"]
    began = row.inject()
    while time.monotonic() - began < seconds:
        time.sleep(1)
        assert rig.container("shop")["State"]["StartedAt"] == ours["State"]["StartedAt"]
        assert second.container("shop")["State"]["StartedAt"] == theirs["State"]["StartedAt"]
    healed = time.monotonic()
    second.delete("shop")
    eventually(lambda: not second.oracle.containers(rig.namespace), BOUND + NOISE)
    assert rig.container("shop")["State"]["StartedAt"] == ours["State"]["StartedAt"]
    row.recovered(healed)


class _polled:
    """Calls something four times a second while the block runs."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work, self._stop = work, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            with contextlib.suppress(Refused):
                self._work()


def _note_phases(rig: Rig, phases: Counter[str]) -> None:
    phases.update(item.get("status", {}).get("phase", "") for item in rig.api.workspaces(rig.namespace))


def _is_up(rig: Rig, container: str) -> None:
    assert rig.shell("inspect", "--format", "{{.State.Status}}", container) == "running"
