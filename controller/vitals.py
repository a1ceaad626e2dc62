"""What the controller knows of itself, at one moment: for the health endpoints and for metrics."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from controller.api import Workspace, WorkspaceOperation
from controller.collector import Collector
from controller.engine.cache_stats import CacheStats
from controller.events import Recorder
from controller.health import Facts, HostState, WatchState
from controller.hosts import Hosts
from controller.kube import Kube
from controller.queue import KeyedQueue
from controller.sampler import Sampler
from controller.scrape import HostNow, State
from controller.store import Key, Store
from controller.watch import Watch
from controller.web import LoopLag


class Parts(Protocol):
    """The parts of a running controller (`controller.app.App`) that are read here."""

    kube: Kube
    stores: Mapping[str, Store[Any]]
    workspaces: Store[Workspace]
    operations: Store[WorkspaceOperation]
    hosts: Hosts
    queues: Mapping[str, KeyedQueue[Key]]
    collector: Collector
    recorder: Recorder
    sampler: Sampler

    def leads(self) -> bool: ...


class Vitals:
    """Reads the parts of a running controller."""

    def __init__(self, app: Parts, watch: Watch, lag: LoopLag) -> None:
        self._app, self._watch, self._lag = app, watch, lag

    def facts(self) -> Facts:
        """For /healthz and /readyz."""
        app, now = self._app, asyncio.get_running_loop().time()
        return Facts(
            api_age=now - app.kube.last_answer,
            watching=self._watch.is_alive,
            leading=app.leads(),
            loop_lag=self._lag.seconds,
            watches={kind: self._watch_state(kind, now) for kind in app.stores},
            hosts={name: self._host_state(name) for _, name in app.stores["DockerHost"]},
        )

    def state(self) -> State:
        """For /metrics."""
        app, now = self._app, asyncio.get_running_loop().time()
        declared = {name for _, name in app.stores["DockerHost"]}
        # Any other name is a tenant's own text: a label with its values would have no bound.
        workspaces = ((w.status.phase or "Pending", w.spec.host) for w in app.workspaces.values())
        phases = Counter((str(phase), host if host in declared else "") for phase, host in workspaces)
        return State(
            leading=app.leads(),
            loop_lag=self._lag.seconds,
            watch_restarts=self._watch.restarts,
            events_dropped=app.recorder.dropped,
            workspaces=phases,
            operations=Counter(str(o.status.phase or "Pending") for o in app.operations.values()),
            queues={name: (len(queue), queue.working) for name, queue in app.queues.items()},
            watches={kind: self._watch_state(kind, now) for kind in app.stores},
            hosts={name: self._host_now(name) for name in declared},
            usage=app.sampler.now(),
        )

    def _host_state(self, name: str) -> HostState:
        host = self._app.hosts.get(name)
        if host is None:
            return HostState(math.inf, str(self._app.hosts.problems.get(name, "connecting")))
        return HostState(host.cache.contact_age(), "" if host.cache.is_known() else host.cache.problem)

    def _host_now(self, name: str) -> HostNow:
        """One that there is no connection to can't be reached either."""
        host = self._app.hosts.get(name)
        if host is None:
            return HostNow(math.inf, False, 0, CacheStats())
        return HostNow(host.cache.contact_age(), host.cache.is_known(), len(host.cache.all()), host.cache.stats)

    def _watch_state(self, kind: str, now: float) -> WatchState:
        missed = self._app.collector.missed
        return WatchState(
            synced=self._app.stores[kind].synced,
            list_age=now - self._app.collector.last_list.get(kind, -math.inf),
            event_age=now - self._watch.last_event.get(kind, -math.inf),
            stale_for=missed.stale_for(kind, now, self._watch.last_event.get(kind, -math.inf)),
        )
