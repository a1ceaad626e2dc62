"""What the metrics say, read back from the exposition as Prometheus reads it."""

import asyncio
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller import actions as act
from controller.api import Phase
from controller.engine.cache_stats import CacheStats
from controller.engine.deadlines import CALL_DEADLINES
from controller.health import WatchState
from controller.metrics import Metrics
from controller.scrape import HostNow, State, UsageNow

USAGE = UsageNow("team-a", "shop", 12.5, 1 << 20, 3, 100, 200, 1)
STATE = State(
    leading=True,
    workspaces={("Running", "default"): 3},
    queues={"workspaces": (2, 5)},
    watches={"Workspace": WatchState(synced=True, list_age=3.0, event_age=1.5, stale_for=4.0)},
    hosts={
        "default": HostNow(2.0, True, 3, CacheStats(lists=7, failed_lists=1, inspects=9, events=4, subscriptions=2))
    },
)


def text(metrics: Metrics) -> str:
    return asyncio.run(metrics.exposition()).decode()


class Exposed:
    """Values by name and labels."""

    def __init__(self, metrics: Metrics) -> None:
        self.families = list(text_string_to_metric_families(text(metrics)))

    def value(self, name: str, **labels: str) -> float:
        samples = [s for family in self.families for s in family.samples if s.name == name and s.labels == labels]
        assert len(samples) == 1, f"{name}{labels}: {samples}"
        return samples[0].value

    def names(self) -> set[str]:
        return {sample.name for family in self.families for sample in family.samples}


def test_workspaces_are_counted_at_the_scrape_and_absent_phases_are_zero() -> None:
    exposed = Exposed(Metrics(lambda: STATE))
    assert exposed.value("workspace_controller_workspaces", phase="Running", host="default") == 3
    assert exposed.value("workspace_controller_workspaces", phase="Failed", host="default") == 0


def test_a_host_without_a_first_answer_has_an_infinite_age() -> None:
    state = State(hosts={"far": HostNow(math.inf, False, 0, CacheStats())})
    exposed = Exposed(Metrics(lambda: state))
    assert exposed.value("workspace_controller_host_cache_age_seconds", host="far") == math.inf
    assert exposed.value("workspace_controller_host_reachable", host="far") == 0


def test_relists_are_told_by_host_and_result() -> None:
    exposed = Exposed(Metrics(lambda: STATE))
    assert exposed.value("workspace_controller_host_lists_total", host="default", result="ok") == 7
    assert exposed.value("workspace_controller_host_lists_total", host="default", result="failed") == 1


def test_calls_are_in_flight_until_they_end() -> None:
    metrics = Metrics(lambda: STATE)
    calls = metrics.calls_of("default")
    calls.began("create")
    assert Exposed(metrics).value("workspace_controller_docker_calls_in_flight", host="default") == 1
    calls.ended("create", "ok", 0.2)
    exposed = Exposed(metrics)
    assert exposed.value("workspace_controller_docker_calls_in_flight", host="default") == 0
    labels = {"host": "default", "operation": "create"}
    assert exposed.value("workspace_controller_docker_calls_total", outcome="ok", **labels) == 1
    assert exposed.value("workspace_controller_docker_call_duration_seconds_sum", **labels) == pytest.approx(0.2)


def test_series_of_a_host_end_with_it() -> None:
    metrics = Metrics(State)
    calls = metrics.calls_of("gone")
    calls.began("list")
    calls.ended("list", "ok", 0.01)
    calls.began("list")  # its connection is closed later
    metrics.without("gone")
    calls.ended("list", "error", 4.0)
    assert 'host="gone"' not in text(metrics)
    metrics.calls_of("gone").began("info")  # another one of its name
    assert Exposed(metrics).value("workspace_controller_docker_calls_in_flight", host="gone") == 1


def test_what_happens_is_counted_by_kind_and_result() -> None:
    metrics = Metrics(State)
    metrics.reconciled("done", 0.01)
    metrics.acted("Create", "done")
    metrics.waited("workspaces", 0.001)
    metrics.failed("Image")
    metrics.wrote("Workspace", "patch")
    exposed = Exposed(metrics)
    assert exposed.value("workspace_controller_reconcile_duration_seconds_count", result="done") == 1
    assert exposed.value("workspace_controller_actions_total", kind="Create", result="done") == 1
    assert exposed.value("workspace_controller_queue_wait_seconds_count", queue="workspaces") == 1
    assert exposed.value("workspace_controller_errors_total", **{"class": "Image"}) == 1
    assert exposed.value("workspace_controller_api_writes_total", kind="Workspace", verb="patch") == 1


def test_how_old_lists_are_and_how_far_the_watch_is_behind() -> None:
    exposed = Exposed(Metrics(lambda: STATE))
    names = ("watch_event_age_seconds", "list_age_seconds", "watch_behind_seconds")
    told = [exposed.value(f"workspace_controller_{name}", kind="Workspace") for name in names]
    assert told == [1.5, 3.0, 4.0]


def test_no_series_names_a_workspace_unless_usage_is_sampled() -> None:
    assert "namespace=" not in text(Metrics(lambda: STATE))
    sampled = Exposed(Metrics(lambda: State(usage=[USAGE])))
    assert sampled.value("workspace_cpu_seconds_total", namespace="team-a", workspace="shop") == 12.5
    assert sampled.value("workspace_active_tasks", namespace="team-a", workspace="shop") == 1


def test_a_thousand_workspaces_take_no_more_series_than_the_documentation_promises() -> None:
    """Everything that can happen has happened, on one host with every operation and outcome. The figures are those of
    docs/metrics.md."""
    usage = [replace(USAGE, workspace=f"shop-{number}") for number in range(1000)]
    counts = {(phase, host): 100 for phase in Phase for host in ("default", "")}
    kinds = dict.fromkeys(("Workspace", "DockerHost", "WorkspaceOperation"), STATE.watches["Workspace"])
    queues = dict.fromkeys(("workspaces", "dockerhosts", "operations"), (0, 0))
    state = replace(STATE, workspaces=counts, watches=kinds, queues=queues)
    metrics = Metrics(lambda: state)
    _all_that_can_happen(metrics)
    without = _series(metrics)
    of_the_host = text(metrics).count('host="default"')
    assert of_the_host <= 440
    assert without - of_the_host <= 300
    assert without < 750
    state = replace(state, usage=usage)
    assert _series(metrics) == without + 6 * 1000


def _series(metrics: Metrics) -> int:
    return sum(not line.startswith("#") for line in text(metrics).splitlines())


def _all_that_can_happen(metrics: Metrics) -> None:
    calls = metrics.calls_of("default")
    for operation, outcome in itertools.product((*CALL_DEADLINES, "pull"), ("ok", "error", "timeout")):
        calls.began(operation)
        calls.ended(operation, outcome, 0.1)


def _kinds(action: type[act.Action]) -> Iterator[type[act.Action]]:
    for kind in action.__subclasses__():
        yield from _kinds(kind) if kind.__subclasses__() else (kind,)


def test_every_kind_of_action_is_counted_from_the_start() -> None:
    assert set(act.KINDS) == {name for kind in _kinds(act.Action) if not (name := kind.__name__).startswith("_")}


def test_what_has_not_happened_yet_is_zero_so_that_its_first_time_is_an_increase() -> None:
    exposed = Exposed(Metrics(State))
    assert exposed.value("workspace_controller_restarts_total", reason="OOMKilled") == 0
    assert exposed.value("workspace_controller_apply_to_ready_seconds_count", change="create") == 0
    assert exposed.value("workspace_controller_errors_total", **{"class": "Image"}) == 0
    assert exposed.value("workspace_controller_api_writes_total", kind="Workspace", verb="patch") == 0


def test_the_process_and_the_build_are_told_too() -> None:
    names = Exposed(Metrics(State)).names()
    assert {"workspace_controller_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes"} <= names
