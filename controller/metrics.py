"""Prometheus metrics of one process. What changes is counted as it happens; what is, is read when it is scraped.

Every label has few values: kinds, phases, results and classes are words of ours, hosts are what the administrator has
declared. Workspaces appear as labels only where sampling their usage is switched on. docs/metrics.md lists all.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable
from itertools import product
from weakref import WeakSet

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from controller import __version__
from controller import actions as act
from controller.api import ErrorClass, Operation, Workspace, WorkspaceOperation, WorkspaceOperationStatus
from controller.latency import BecameReady, Latencies, Repaired, Restarted
from controller.scrape import Scrape, State

PREFIX = "workspace_controller_"
# Seconds. A pass that finds nothing to do takes less than 1 ms, starting a container 0.2 to 2 s, a pull minutes.
PASS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
WAIT = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)  # thousands at once wait minutes
CALL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # pulls take minutes
TO_READY = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


RESULTS = ("done", "failed", "conflict", "gone", "unavailable")  # of a reconciliation
QUEUES = ("workspaces", "dockerhosts", "operations")
REASONS = ("Completed", "Error", "OOMKilled", "Unknown")  # status.lastTermination.reason
WRITES = (
    *((kind, "patch") for kind in ("Workspace", "DockerHost", "WorkspaceOperation", "Event")),
    *(("Event", "create"), ("Workspace", "delete"), ("WorkspaceOperation", "delete")),
)


class Metrics:
    """All metrics. `state` gives what is at the moment of a scrape."""

    def __init__(self, state: Callable[[], State]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each counter that nobody reads
        self.registry = CollectorRegistry()
        self._latencies = Latencies()
        self._observers: dict[str, WeakSet[DockerCalls]] = {}  # by host
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._state = state
        self._scrape = Scrape(PREFIX)
        self.registry.register(self._scrape)
        build = Info(PREFIX + "build", "Version of the controller and of Python.", registry=self.registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._reconciles = self._histogram(
            "reconcile_duration_seconds", "Time of one reconciliation of a Workspace, calls included.", PASS, "result"
        )
        self._actions = self._counter("actions", "Steps of plans that were carried out or failed.", "kind", "result")
        self._waits = self._histogram(
            "queue_wait_seconds", "Time that a key waited until its worker began.", WAIT, "queue"
        )
        self._calls = self._histogram(
            "docker_call_duration_seconds", "Time of a call to a Docker host.", CALL, "host", "operation"
        )
        self._outcomes = self._counter(
            "docker_calls",
            "Operations on Docker hosts that have ended, of one request or a few.",
            "host",
            "operation",
            "outcome",
        )
        self._in_flight = Gauge(
            PREFIX + "docker_calls_in_flight",
            "Calls to a Docker host that have not ended.",
            ["host"],
            registry=self.registry,
        )
        self._ready = self._histogram(
            "apply_to_ready_seconds",
            "Time from first sight of a Workspace's generation until it is Ready.",
            TO_READY,
            "change",
        )
        self._repairs = self._histogram(
            "repair_seconds",
            "Time from the end of a container's run until it runs again; only the first waits for no back-off.",
            TO_READY,
            "attempt",
        )
        self._restarts = self._counter(
            "restarts", "Runs that ended unasked and were to be followed by another.", "reason"
        )
        self._errors = self._counter("errors", "Steps that failed, each try counted.", "class")
        self._targets = self._counter(
            "operation_targets", "Workspaces that WorkspaceOperations are done with.", "operation", "result"
        )
        self._writes = self._counter("api_writes", "Writes to the API server, Leases aside.", "kind", "verb")
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Prometheus sees no increase in a series whose first value is 1: all that may come is there from the start,
        but for the calls to hosts, which begin with ones that are well."""
        known: list[tuple[Counter | Histogram, Iterable[tuple[str, ...]]]] = [
            (self._reconciles, [(result,) for result in RESULTS]),
            (self._actions, product(act.KINDS, ("done", "failed"))),
            (self._waits, [(queue,) for queue in QUEUES]),
            (self._ready, [("create",), ("update",)]),
            (self._repairs, [("first",), ("later",)]),
            (self._restarts, [(reason,) for reason in REASONS]),
            (self._errors, [(each.value,) for each in ErrorClass]),
            (self._targets, product([each.value for each in Operation], ("succeeded", "failed"))),
            (self._writes, WRITES),
        ]
        for metric, values in known:
            for labels in values:
                metric.labels(*labels)

    # what happens

    def reconciled(self, result: str, seconds: float) -> None:
        """One reconciliation ended: done, failed (by a mistake of ours; not a step), conflict, gone or unavailable."""
        self._reconciles.labels(result).observe(seconds)

    def acted(self, kind: str, result: str) -> None:
        """One action of a plan ended: done or failed."""
        self._actions.labels(kind, result).inc()

    def waited(self, queue: str, seconds: float) -> None:
        """A key's worker began."""
        self._waits.labels(queue).observe(seconds)

    def failed(self, error_class: str) -> None:
        """A Workspace ran into an error of this class."""
        self._errors.labels(error_class).inc()

    def wrote(self, kind: str, verb: str) -> None:
        """The API server took a write."""
        self._writes.labels(kind, verb).inc()

    def operated(
        self, operation: WorkspaceOperation, previous: WorkspaceOperationStatus, new: WorkspaceOperationStatus
    ) -> None:
        """A new status of an operation was written. Its counts only grow, so each target counts once."""
        targets = self._targets
        targets.labels(operation.spec.operation, "succeeded").inc(new.succeeded - previous.succeeded)
        targets.labels(operation.spec.operation, "failed").inc(new.failed - previous.failed)

    def seen(self, workspace: Workspace, now: float, *, counts: bool) -> None:
        """A new version of a Workspace was taken in; `now` is monotonic seconds. `counts`: not while it stands by."""
        observations = list(self._latencies.see(workspace, now))
        for observation in observations if counts else ():
            match observation:
                case BecameReady(seconds, new):
                    self._ready.labels("create" if new else "update").observe(seconds)
                case Restarted(count, reason):
                    self._restarts.labels(reason).inc(count)
                case Repaired(seconds, first):
                    self._repairs.labels("first" if first else "later").observe(seconds)

    def gone(self, uid: str) -> None:
        """A Workspace is gone."""
        self._latencies.forget(uid)

    def calls_of(self, host: str) -> DockerCalls:
        """What hears of the calls to one host."""
        calls = DockerCalls(host, self._in_flight, self._calls, self._outcomes)
        self._observers.setdefault(host, WeakSet()).add(calls)
        return calls

    def without(self, host: str) -> None:
        """A host is no longer declared: its series end, also those of calls that are still in flight."""
        for calls in self._observers.pop(host, ()):
            calls.muted = True
        for metric in (self._in_flight, self._calls, self._outcomes):
            metric.remove_by_labels({"host": host})

    # what Prometheus reads

    async def exposition(self) -> bytes:
        """All metrics in Prometheus' text format. Written in a thread: 10,000 sampled Workspaces take 0.3 s."""
        self._scrape.state = self._state()
        return await asyncio.to_thread(generate_latest, self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(PREFIX + name, text, labels, registry=self.registry, buckets=tuple(buckets))


class DockerCalls:
    """Hears of each call to one host (`controller.engine.protocol.CallObserver`); may be used from any thread."""

    def __init__(self, host: str, in_flight: Gauge, durations: Histogram, outcomes: Counter) -> None:
        self._host, self._in_flight, self._durations, self._outcomes = host, in_flight, durations, outcomes
        self.muted = False

    def began(self, operation: str) -> None:
        """A call was sent."""
        if not self.muted:
            self._in_flight.labels(self._host).inc()

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        """A call has ended: ok, error or timeout."""
        if self.muted:
            return
        self._in_flight.labels(self._host).dec()
        self._durations.labels(self._host, operation).observe(seconds)
        self._outcomes.labels(self._host, operation, outcome).inc()
