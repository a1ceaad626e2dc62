"""What is true at the moment of a scrape, as metrics. Nothing is kept up to date in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.api import OperationPhase, Phase
from controller.engine.cache_stats import CacheStats
from controller.health import WatchState


@dataclass(frozen=True, slots=True)
class HostNow:
    """One Docker host: seconds since its last complete list, whether it answers, and its cache's counters."""

    age: float
    reachable: bool
    containers: int
    stats: CacheStats


@dataclass(frozen=True, slots=True)
class UsageNow:
    """What one Workspace's container used when it was last sampled; counters are since its start."""

    namespace: str
    workspace: str
    cpu_seconds: float
    memory_bytes: int
    pids: int
    received_bytes: int
    transmitted_bytes: int
    active_tasks: int


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is read at a scrape."""

    leading: bool = False
    loop_lag: float = 0.0  # seconds
    watch_restarts: int = 0
    events_dropped: int = 0
    workspaces: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (phase, host) -> how many
    operations: Mapping[str, int] = field(default_factory=dict)  # phase -> how many
    queues: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # name -> keys that wait, keys worked on
    watches: Mapping[str, WatchState] = field(default_factory=dict)  # by kind
    hosts: Mapping[str, HostNow] = field(default_factory=dict)
    usage: Sequence[UsageNow] = ()


class Scrape(Collector):
    """Turns `state`, which is taken anew for each scrape, into metrics."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self.state = prefix, State()

    def describe(self) -> Iterator[Metric]:
        """Nothing is scraped for registering: there may be nothing to read yet."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """All metrics of this moment."""
        state = self.state
        yield self._gauge("leader", "1 while this process may act.", value=float(state.leading))
        yield self._gauge(
            "event_loop_lag_seconds", "How late the event loop was at worst in the last minute.", state.loop_lag
        )
        yield self._counter("watch_restarts", "Starts of the watches after the first.", state.watch_restarts)
        yield self._counter("events_dropped", "Kubernetes Events that were never written.", state.events_dropped)
        yield self._workspaces(state)
        yield self._operations(state)
        yield from self._queues(state)
        yield from self._watches(state)
        yield from self._hosts(state)
        yield from _usage(state.usage)

    def _workspaces(self, state: State) -> Metric:
        family = self._gauge("workspaces", "Workspaces by phase and host.", labels=["phase", "host"])
        hosts = {host for _, host in state.workspaces} | set(state.hosts)
        for host in sorted(hosts):
            for phase in Phase:
                family.add_metric([phase, host], state.workspaces.get((phase, host), 0))
        return family

    def _operations(self, state: State) -> Metric:
        family = self._gauge("operations", "WorkspaceOperations by phase.", labels=["phase"])
        for phase in OperationPhase:
            family.add_metric([phase], state.operations.get(phase, 0))
        return family

    def _queues(self, state: State) -> Iterator[Metric]:
        depth = self._gauge("queue_depth", "Keys that wait for their worker.", labels=["queue"])
        working = self._gauge("queue_working", "Keys that are worked on.", labels=["queue"])
        for name, (waiting, worked_on) in state.queues.items():
            depth.add_metric([name], waiting)
            working.add_metric([name], worked_on)
        yield from (depth, working)

    def _watches(self, state: State) -> Iterator[Metric]:
        event = self._gauge("watch_event_age_seconds", "Since the watch last brought anything.", labels=["kind"])
        listed = self._gauge("list_age_seconds", "Since the last complete list of the kind.", labels=["kind"])
        behind = self._gauge("watch_behind_seconds", "How long the watch has lacked what lists show.", labels=["kind"])
        for kind, watch in state.watches.items():
            event.add_metric([kind], watch.event_age)
            listed.add_metric([kind], watch.list_age)
            behind.add_metric([kind], watch.stale_for)
        yield from (event, listed, behind)

    def _hosts(self, state: State) -> Iterator[Metric]:
        age = self._gauge("host_cache_age_seconds", "Since the host's last complete list.", labels=["host"])
        reachable = self._gauge("host_reachable", "1 while what the host has is known.", labels=["host"])
        containers = self._gauge("host_containers", "Containers of this cluster on the host.", labels=["host"])
        lists = self._counter("host_lists", "Lists of the host's containers.", labels=["host", "result"])
        inspects = self._counter("host_inspects", "Containers inspected for the cache.", labels=["host"])
        events = self._counter("host_events", "Container events that the host sent.", labels=["host"])
        streams = self._counter("host_subscriptions", "Event streams that were opened.", labels=["host"])
        for name, host in state.hosts.items():
            age.add_metric([name], host.age)
            reachable.add_metric([name], host.reachable)
            containers.add_metric([name], host.containers)
            lists.add_metric([name, "ok"], host.stats.lists)
            lists.add_metric([name, "failed"], host.stats.failed_lists)
            inspects.add_metric([name], host.stats.inspects)
            events.add_metric([name], host.stats.events)
            streams.add_metric([name], host.stats.subscriptions)
        yield from (age, reachable, containers, lists, inspects, events, streams)

    def _gauge(
        self, name: str, text: str, value: float | None = None, labels: Sequence[str] | None = None
    ) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._prefix + name, text, value=value, labels=labels)

    def _counter(
        self, name: str, text: str, value: float | None = None, labels: Sequence[str] | None = None
    ) -> CounterMetricFamily:
        return CounterMetricFamily(self._prefix + name, text, value=value, labels=labels)


def _usage(samples: Sequence[UsageNow]) -> Iterator[Metric]:
    """Metrics of Workspaces themselves; none where nothing is sampled."""
    labels = ["namespace", "workspace"]
    families: list[tuple[Metric, Callable[[UsageNow], float]]] = [
        (CounterMetricFamily("workspace_cpu_seconds", "CPU time of the container.", labels=labels),
         lambda u: u.cpu_seconds),
        (GaugeMetricFamily("workspace_memory_working_set_bytes", "Memory without the page cache.", labels=labels),
         lambda u: u.memory_bytes),
        (GaugeMetricFamily("workspace_pids", "Processes and threads.", labels=labels), lambda u: u.pids),
        (CounterMetricFamily("workspace_network_receive_bytes", "Bytes received by the container.", labels=labels),
         lambda u: u.received_bytes),
        (CounterMetricFamily("workspace_network_transmit_bytes", "Bytes sent by the container.", labels=labels),
         lambda u: u.transmitted_bytes),
        (GaugeMetricFamily("workspace_active_tasks", "Exec sessions that run in the container.", labels=labels),
         lambda u: u.active_tasks),
    ]  # fmt: skip
    for family, value in families:
        for sample in samples:
            family.add_metric([sample.namespace, sample.workspace], value(sample))  # type: ignore[attr-defined]
        if samples:
            yield family
