"""What the controller knows of itself, at one moment: for the health endpoints and for metrics."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING

from controller.health import Facts, HostState, WatchState
from controller.scrape import HostNow, State
from controller.watch import Watch
from controller.web import LoopLag

if TYPE_CHECKING:
    from controller.app import App


class Vitals:
    """Reads the parts of a running App."""

    def __init__(self, app: App, watch: Watch, lag: LoopLag) -> None:
        self._app, self._watch, self._lag = app, watch, lag

    def facts(self) -> Facts:
        """For /healthz and /readyz."""
        app, now = self._app, asyncio.get_running_loop().time()
        return Facts(
            api_age=now - app._kube.last_answer,
            watching=self._watch.is_alive,
            leading=app.leadership.may_act(),
            loop_lag=self._lag.seconds,
            watches={kind: self._watch_state(kind, now) for kind in app.stores},
            hosts={
                host.name: HostState(host.cache.contact_age(), "" if host.cache.is_known() else host.cache.problem)
                for host in app.hosts
            },
        )

    def state(self) -> State:
        """For /metrics."""
        app, now = self._app, asyncio.get_running_loop().time()
        phases = Counter((str(w.status.phase or "Pending"), w.spec.host) for w in app.workspaces.values())
        return State(
            leading=app.leadership.may_act(),
            loop_lag=self._lag.seconds,
            watch_restarts=self._watch.restarts,
            events_dropped=app.recorder.dropped,
            workspaces=phases,
            queues={name: (len(queue), queue.working) for name, queue in app.queues.items()},
            watches={kind: (self._event_age(kind, now), self._list_age(kind, now)) for kind in app.stores},
            hosts={
                host.name: HostNow(
                    host.cache.contact_age(), host.cache.is_known(), len(host.cache.all()), host.cache.stats
                )
                for host in app.hosts
            },
            usage=app.sampler.now(),
        )

    def _watch_state(self, kind: str, now: float) -> WatchState:
        missed = self._app.collector.missed
        return WatchState(
            synced=self._app.stores[kind].synced,
            list_age=self._list_age(kind, now),
            event_age=self._event_age(kind, now),
            stale_for=missed.stale_for(kind, now, self._watch.last_event.get(kind, -math.inf)),
        )

    def _event_age(self, kind: str, now: float) -> float:
        return now - self._watch.last_event.get(kind, -math.inf)

    def _list_age(self, kind: str, now: float) -> float:
        return now - self._app.collector.last_list.get(kind, -math.inf)
