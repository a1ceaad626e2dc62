"""A converged system is silent, and a controller that comes back changes nothing."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from devcluster import ControlPlane, Engine
from tests.conftest import _control_plane as start_control_plane
from tests.e2e.conftest import Stack
from tests.waiting import eventually

WRITES = re.compile(r'^apiserver_request_total\{[^}]*verb="(?:POST|PUT|PATCH|DELETE)"[^}]*\} (\d+)', re.MULTILINE)
QUIET = 45  # seconds that are watched: two rounds of the collector, eleven lists
LOOKED_AT = re.compile(r"Calling GET /v[0-9.]+/(?:containers|exec|images)/(?!json)\S+/json")


@pytest.fixture(scope="module")
def own_cluster(_reaper: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Nobody else may write here while nothing is to be written."""
    yield from start_control_plane(tmp_path_factory.mktemp("calm"))


def writes(cluster: ControlPlane) -> int:
    """Writes of our kinds and of Events that the API server has taken."""
    found = WRITES.finditer(cluster.get("/metrics").decode())
    ours = ('group="aicli.dev"', 'resource="events"')
    return sum(int(line.group(1)) for line in found if any(what in line.group(0) for what in ours))


@contextmanager
def logged_calls(engine: Engine) -> Iterator[Callable[[], str]]:
    """What the engine itself logs of the calls that it gets."""

    def log_calls(on: bool) -> None:
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"debug": on}))
        engine.process.signal(signal.SIGHUP)
        time.sleep(1)

    settings = engine.directory / "daemon.json"
    before = len(engine.process.log.read_text(errors="replace"))
    log_calls(True)
    try:
        yield lambda: engine.process.log.read_text(errors="replace")[before:]
    finally:
        log_calls(False)


def versions(stack: Stack) -> dict[str, str]:
    found = json.loads(stack.kubectl("get", "workspaces", "-o", "json"))["items"]
    return {w["metadata"]["name"]: w["metadata"]["resourceVersion"] for w in found}


def lives(stack: Stack, names: list[str]) -> dict[str, Any]:
    return {name: (stack.container(name)["Id"], stack.container(name)["State"]["StartedAt"]) for name in names}


def converged(stack: Stack, count: int) -> list[str]:
    names = [f"ws-{n}" for n in range(count)]
    for name in names:
        stack.apply(name)
    for name in names:
        stack.ready(name, timeout=120)
    time.sleep(6)  # counts of the DockerHost are written up to 5 s later
    return names


def test_nothing_is_written_and_nothing_inspected_while_nothing_changes(stack: Stack) -> None:
    converged(stack, 5)
    before = writes(stack.cluster), versions(stack)
    with logged_calls(stack.engine) as calls:
        since = int(time.time())
        time.sleep(QUIET)
        assert (writes(stack.cluster), versions(stack)) == before
        events = stack.docker(
            "events", "--since", str(since), "--until", str(int(time.time())), "--filter", "type=container"
        )
        assert events == ""
        assert "/containers/json" in calls()
        assert not LOOKED_AT.findall(calls())


def test_a_killed_controller_comes_back_without_changing_or_writing_anything(stack: Stack) -> None:
    names = converged(stack, 5)
    before = writes(stack.cluster), versions(stack), lives(stack, names)
    stack.controller.kill()
    stack.controller.start()
    time.sleep(QUIET)
    assert stack.controller.running
    assert (writes(stack.cluster), versions(stack), lives(stack, names)) == before


def test_a_stopped_controller_leaves_its_containers_alone_and_ends_in_time(stack: Stack) -> None:
    names = converged(stack, 2)
    before = lives(stack, names)
    began = time.monotonic()
    stack.controller.stop()
    assert time.monotonic() - began < 10
    assert lives(stack, names) == before


def test_fifty_workspaces_at_once_all_become_ready(stack: Stack) -> None:
    names = [f"ws-{n}" for n in range(50)]
    began = time.monotonic()
    for name in names:
        stack.apply(name)
    for name in names:
        stack.ready(name, timeout=240)
    print(f"\n50 Workspaces: {time.monotonic() - began:.1f} s from the first apply to the last Ready")  # noqa: T201


def test_a_stopped_engine_is_unknown_soon_and_its_return_is_noticed(
    make_stack: Callable[..., Stack], new_control_plane: Callable[..., ControlPlane], new_engine: Callable[..., Engine]
) -> None:
    stack = make_stack(new_control_plane(), new_engine(live_restore=True))
    stack.apply("shop")
    stack.ready("shop")
    before = stack.container("shop")
    stack.engine.stop()
    eventually(lambda: stack.status("shop")["phase"] == "Unknown", timeout=20)
    assert stack.condition("shop", "Ready")["status"] == "Unknown"
    stack.engine.start()
    stack.ready("shop", timeout=60)
    after = stack.container("shop")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
