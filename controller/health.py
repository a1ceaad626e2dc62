"""Whether this process is alive and ready, judged by what it sees and not by whether it runs.

A watch can die while the process lives, so each is compared with lists. Liveness fails only for what a restart mends:
the API server answers, and a watch has brought nothing for 60 s although lists show that something changed. An outage
of the API server only makes us unready. Docker hosts are shown but never fail a check: one dead host must not take
the controller away from the others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

API_SILENT = 15.0  # seconds without an answer of the API server until we are not ready
ANSWERS = 40.0  # seconds: a round and a request; without a readiness probe nothing else may be asked of it
WATCH_STALE = 60.0  # seconds that a watch may lack what lists show
LISTS_OLD = 60.0  # seconds, three rounds: an API server that refuses all we ask for answers too
SLACK = 5.0  # seconds; a list may show a change just before the watch brings it

Key = tuple[str, str]  # namespace, name


class Missed:
    """What lists have shown and a watch didn't bring. Times are monotonic seconds.

    What is deleted before the watch begins anew (after a 410, with what is there) is never brought: it is missed no
    longer. But a watch that misses things time and again, and brings nothing in between, is dead all the same.
    """

    def __init__(self) -> None:
        self._missing: dict[str, dict[Key, float]] = {}  # by kind: what is still there, since when
        self._span: dict[str, tuple[float, float]] = {}  # by kind: the first and the last list that had something newer

    def listed(self, kind: str, there: Collection[Key], newer: Collection[Key], now: float, last_event: float) -> None:
        """A complete list: what is there, and which of it is newer than what the watch delivered; `last_event` is when
        that last brought anything."""
        if self._has_brought(kind, last_event):
            self._span.pop(kind, None)
            self._missing.pop(kind, None)
        missing = {key: since for key, since in self._missing.get(kind, {}).items() if key in there}
        self._missing[kind] = {**dict.fromkeys(newer, now), **missing}
        if newer:
            self._span[kind] = (self._span.get(kind, (now, now))[0], now)

    def stale_for(self, kind: str, now: float, last_event: float) -> float:
        """Seconds that the watch has been behind; 0 when it delivered something since, or nothing is missed."""
        if kind not in self._span or self._has_brought(kind, last_event):
            return 0.0
        first, last = self._span[kind]
        behind = now - min(self._missing[kind].values(), default=now)
        again = last - first if now >= last + SLACK else 0.0  # the watch may bring it a moment after the list
        return max(behind, again) if again >= WATCH_STALE else behind

    def _has_brought(self, kind: str, last_event: float) -> bool:
        return kind in self._span and last_event >= self._span[kind][0] - SLACK


@dataclass(frozen=True, slots=True)
class WatchState:
    """One watched kind. Ages in seconds, infinite where there was none."""

    synced: bool  # whether a first complete list was taken in
    list_age: float
    event_age: float
    stale_for: float = 0.0


@dataclass(frozen=True, slots=True)
class HostState:
    """One Docker host: seconds since its last list, and why there is no newer one."""

    contact_age: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen at one moment."""

    api_age: float  # seconds since the API server last answered anything
    watching: bool  # whether the thread that watches lives
    leading: bool
    loop_lag: float  # seconds that the event loop was late, at worst in the last minute
    watches: Mapping[str, WatchState] = field(default_factory=dict)
    hosts: Mapping[str, HostState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of an answer. One that does not count is shown only."""

    name: str
    ok: bool
    detail: str
    counts: bool = True

    def __str__(self) -> str:
        state = "ok" if self.ok else "failed" if self.counts else "failed, which does not count here"
        return f"[{'+' if self.ok else '-'}]{self.name} {state}: {self.detail}"


def liveness(facts: Facts) -> list[Check]:
    """What a restart of the process would mend."""
    answers = facts.api_age < ANSWERS
    checks = [_thread(facts), _loop(facts)]
    for kind, watch in sorted(facts.watches.items()):
        stale = watch.stale_for >= WATCH_STALE
        checks.append(Check(f"watch {kind}", not (stale and answers), _watch_detail(watch)))
    return checks


def readiness(facts: Facts) -> list[Check]:
    """Whether changes are handled now, by us or, while we stand by, by the leader."""
    checks = [_api(facts)]
    for kind, watch in sorted(facts.watches.items()):
        ok = watch.synced and watch.stale_for < WATCH_STALE and watch.list_age < LISTS_OLD
        checks.append(Check(f"watch {kind}", ok, _watch_detail(watch)))
    checks.append(Check("leader", True, "this one leads" if facts.leading else "standing by"))
    for name, host in sorted(facts.hosts.items()):
        detail = f"listed {_ago(host.contact_age)}" + (f"; {host.problem}" if host.problem else "")
        checks.append(Check(f"host {name}", not host.problem, detail, counts=False))
    return checks


def passed(checks: Sequence[Check]) -> bool:
    """Whether all that count are well."""
    return all(check.ok for check in checks if check.counts)


def as_text(name: str, checks: Sequence[Check]) -> str:
    """One line for each check and one for the whole, as Kubernetes' own endpoints write them."""
    verdict = "passed" if passed(checks) else "failed"
    return "\n".join([*map(str, checks), f"{name} check {verdict}"]) + "\n"


def _api(facts: Facts) -> Check:
    return Check("api-server", facts.api_age < API_SILENT, f"answered {_ago(facts.api_age)}")


def _thread(facts: Facts) -> Check:
    return Check("watching", facts.watching, "the watching thread " + ("lives" if facts.watching else "has died"))


def _loop(facts: Facts) -> Check:
    return Check("event-loop", True, f"at most {facts.loop_lag * 1000:.0f} ms late in the last minute")


def _watch_detail(watch: WatchState) -> str:
    if not watch.synced:
        return "not listed yet"
    behind = f", behind the lists for {watch.stale_for:.0f} s" if watch.stale_for else ""
    return f"listed {_ago(watch.list_age)}, last event {_ago(watch.event_age)}{behind}"


def _ago(age: float) -> str:
    return "never" if math.isinf(age) else f"{age:.0f} s ago"
