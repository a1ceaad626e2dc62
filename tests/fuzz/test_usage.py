"""What containers use, in virtual time: on the status once a minute at most and of this run alone, and as metrics."""

from __future__ import annotations

import itertools

import pytest

from controller import naming
from controller.api import Usage
from controller.settings import Settings
from controller.usage import Stats
from tests.fuzz.test_leading import lead
from tests.fuzz.world import NAMESPACE, World, world

MIB = 1024**2
KEY = ("Workspace", NAMESPACE, "a")
OFTEN = {"maxRetries": 100, "backoff": {"initialSeconds": 10, "maxSeconds": 10, "factor": 1}}


def sampled(made: World, interval: float = 5, spec: dict[str, object] | None = None) -> str:
    """A Workspace that asks for its usage, by a controller that samples; gives its container's ID."""
    made.crash()
    made.start(Settings(usage_interval=interval))
    made.api.create(*KEY, spec or {}, annotations={naming.ANNOTATION_USAGE: "true"})
    made.go(5)
    (container,) = made.host.containers
    return container


def use(made: World, container: str, seconds: int, memory: int = 100 * MIB) -> list[Usage]:
    """It works on for so long; gives each usage that its status said, in order."""
    told: list[Usage] = []
    for _ in range(seconds):
        it = made.host.find(container)
        before = it.stats.cpu_seconds if it.stats is not None else 0.0
        it.stats = Stats(made.loop.wall(), before + 0.1, memory, 3, 0, 0)
        made.go(1)
        shown = usage(made)
        if shown is not None and shown not in told:
            told.append(shown)
    return told


def usage(made: World) -> Usage | None:
    found = made.get("a")
    assert found is not None
    told = found["status"].get("usage")
    return Usage.model_validate(told) if told else None


def exposed(made: World) -> list[str]:
    """The lines of a scrape."""
    text: list[str] = []

    async def scrape() -> None:
        text.append((await made.controller.app.metrics.exposition()).decode())

    made._run(scrape())
    return text[0].splitlines()


def series(made: World) -> list[str]:
    """Of sampled Workspaces, as they are exposed."""
    return [line for line in exposed(made) if "workspace=" in line]


def test_usage_goes_from_the_status_where_sampling_is_switched_off() -> None:
    with world() as made:
        container = sampled(made)
        assert use(made, container, 40)
        made.crash()
        made.start()
        made.go(10)
        assert usage(made) is None


def test_a_crash_loop_writes_usage_once_a_minute_at_most() -> None:
    with world() as made:
        container = sampled(made, spec={"recovery": OFTEN})
        told: list[Usage] = []
        for _ in range(8):
            told += use(made, container, 16)
            made.host.exit(container, 1)
            made.go(14)
        times = [shown.sampled_at for shown in told if shown.sampled_at is not None]
        assert len(times) > 1
        assert all((after - before).total_seconds() >= 60 for before, after in itertools.pairwise(times))


@pytest.mark.parametrize("ends", ["by itself", "by a restart request"])
def test_the_usage_of_a_run_is_not_told_as_that_of_the_next(ends: str) -> None:
    with world() as made:
        container = sampled(made, interval=60)
        (shown,) = use(made, container, 130)
        assert shown.memory == f"{100 * 1024}Ki"
        if ends == "by itself":
            made.host.exit(container, 1)
        else:
            restart = {naming.ANNOTATION_RESTARTED_AT: "now", naming.ANNOTATION_USAGE: "true"}
            made.api.edit(*KEY, lambda raw: raw["metadata"].update(annotations=restart))
        made.go(20)
        assert made.host.find(container).shown.is_live
        assert usage(made) is None
        assert series(made) == []


def test_usage_stays_while_the_host_is_out_of_reach() -> None:
    with world() as made:
        container = sampled(made)
        (shown,) = use(made, container, 40)
        made.host.cut()
        made.crash()
        made.start(Settings(usage_interval=5))
        made.go(60)
        found = made.get("a")
        assert found is not None
        assert found["status"]["phase"] == "Unknown"
        assert usage(made) == shown


def test_what_somebody_else_wrote_as_usage_stops_nothing() -> None:
    with world() as made:
        container = sampled(made)
        use(made, container, 20)
        made.api.edit(*KEY, lambda raw: raw["status"]["usage"].update(memory="100Gi", cpu="half a core"))
        assert use(made, container, 120)[-1].memory == f"{100 * 1024}Ki"


def test_series_are_of_what_runs_now_and_of_the_leader_alone() -> None:
    with world() as made:
        container = sampled(made, interval=300)
        use(made, container, 310)
        assert len(series(made)) == 6
        lead(made, False)
        assert series(made) == []
        lead(made, True)
        assert len(series(made)) == 6
        made.api.edit(*KEY, lambda raw: raw["spec"].update(desiredState="Stopped"))
        made.go(20)
        assert series(made) == []


def test_two_containers_of_one_name_make_no_series_twice() -> None:
    with world() as made:
        container = sampled(made)
        made.host.run("copy", {**made.host.find(container).shown.labels, naming.LABEL_UID: "another"})
        made.go(8)
        assert len(series(made)) == 6


def test_a_host_that_does_not_answer_is_asked_for_no_samples() -> None:
    with world() as made:
        sampled(made)
        made.host.faults.hang("list", 10**6)
        made.go(30)
        made.host.faults.calls.clear()
        made.go(60)
        assert made.host.faults.calls["stats"] == 0


def test_a_host_that_is_not_known_any_more_has_no_series() -> None:
    with world() as made:
        container = sampled(made, interval=30)
        use(made, container, 70)
        assert len(series(made)) == 6
        made.host.cut()
        made.go(30)
        assert series(made) == []


def test_a_dry_run_is_no_leader() -> None:
    with world() as made:
        assert "workspace_controller_leader 1.0" in exposed(made)
        made.crash()
        made.start(Settings(dry_run=True))
        made.go(30)
        assert "workspace_controller_leader 0.0" in exposed(made)
