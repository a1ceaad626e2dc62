"""What must always be true, judged at every step: the host and the API server in memory tell of each change at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller import naming
from controller.api import WorkspaceSpec
from controller.desired import config_hash
from controller.engine.memory_host import MemoryContainer, MemoryHost
from controller.observed import Container, ContainerState, Health
from tests.fuzz.apiserver import CLUSTER, ApiServer, Object

TOLERANCE = 2.5  # seconds; times on a status are whole seconds, and kept where they differ by less than 2
TRUE_WITHIN = 10.0  # seconds (S9)
STATES = {"Running": ContainerState.RUNNING, "Paused": ContainerState.PAUSED}


@dataclass(slots=True)
class _Exits:
    """A Workspace's unasked exits, as a bystander counts them: never more than the controller has to."""

    count: int = 0
    at: float = 0.0
    generation: int = 0
    restart: str = ""


class WatchedHost(MemoryHost):
    """A host that judges what happens on it. What was broken is in `violations`."""

    def __init__(self, wall: Callable[[], datetime], api: ApiServer, clock: Callable[[], float]) -> None:
        self.violations: list[str] = []
        self.foreign: dict[str, tuple[str, datetime | None]] = {}  # name and start by ID
        self.by_hand = False  # what happens now is done by a person
        self._exits: dict[str, _Exits] = {}  # by uid
        self._shown: dict[str, Container] = {}  # by ID, as the last change left them
        self._before: deque[tuple[float, Container]] = deque()  # as they were until a change, and when that was
        self._api, self._time = api, clock
        api.on_write = self._judge_write
        super().__init__(wall)

    def blame(self, what: str) -> None:
        """An invariant was broken."""
        self.violations.append(f"at {self._time():.1f} s: {what}")

    # S1, S2, S8: on each change of a container

    def _emit(self, it: MemoryContainer, action: str) -> None:
        shown = it.shown
        self._note(shown, action)
        if shown.id in self.foreign and not self.by_hand:
            self.blame(f"S2: the foreign container {shown.name} was touched: {action}")
        if shown.uid and shown.labels.get(naming.LABEL_CLUSTER) == CLUSTER:
            live = [c for c in self.live_of(shown.uid) if c.labels.get(naming.LABEL_CLUSTER) == CLUSTER]
            if len(live) > 1:
                self.blame(f"S1: {len(live)} live containers of {shown.uid} after {action}")
            self._count(shown, action)
        super()._emit(it, action)

    def _count(self, shown: Container, action: str) -> None:
        found = self._workspace(shown.uid)
        exits = self._exits.setdefault(shown.uid, _Exits())
        if found is None or (self.by_hand and action in ("start", "destroy", "create")):
            exits.count = 0
            return
        if (exits.generation, exits.restart) != _asked(found):
            exits.count, (exits.generation, exits.restart) = 0, _asked(found)
        if action == "die":
            if self.by_hand and _is_seen(found) and not _restarts(found):
                exits.count, exits.at = exits.count + 1, self._time()
            else:
                exits.count = 0  # the controller stopped it, or was about to, or what is asked for now comes anew
        elif action == "start" and exits.count > 1:
            backoff = WorkspaceSpec.model_validate(found["spec"]).recovery.backoff
            wait = min(backoff.initial_seconds * backoff.factor ** (exits.count - 2), backoff.max_seconds)
            if self._time() - exits.at < wait - TOLERANCE:
                waited = self._time() - exits.at
                self.blame(f"S8: {shown.name}: started {waited:.1f} s after exit {exits.count}, not {wait:.0f} s")

    # S3: on each stop signal of the controller

    def judge_stop(self, container: str) -> None:
        """The controller sends a stop signal: is there a reason?"""
        it = self.containers.get(container)
        if it is None or not it.shown.is_live:
            return
        shown, found = it.shown, self._workspace(it.shown.uid)
        others = [c for c in self.containers.values() if c.shown.uid == shown.uid and c.shown.id != shown.id]
        if found is None or found["metadata"].get("deletionTimestamp") or others:
            return
        spec = WorkspaceSpec.model_validate(found["spec"])
        asked = (
            spec.desired_state == "Stopped"
            or shown.config_hash != config_hash(spec)
            or shown.health is Health.UNHEALTHY
            or _restarts(found)
        )
        if not asked:
            self.blame(f"S3: {shown.name} is stopped, though it is healthy and as declared")

    # S4, S6, S9: on each write of the controller

    def _judge_write(self, before: Object | None, after: Object) -> None:
        if before is None or before.get("status") != after.get("status"):
            self._judge_ready(after)
        if before is None or "finalizers" not in str(before):
            return
        old, new = before["metadata"].get("finalizers", []), after["metadata"].get("finalizers", [])
        if naming.FINALIZER in old and naming.FINALIZER not in new:
            self._judge_release(after)
        self._judge_status(before.get("status", {}), after.get("status", {}), after["metadata"]["name"])

    def _judge_release(self, found: Object) -> None:
        meta = found["metadata"]
        left = [c.shown.name for c in self.containers.values() if self._is_of(c.shown, meta["uid"])]
        abandoned = meta.get("annotations", {}).get(naming.ANNOTATION_ABANDON) == "true"
        if left and not abandoned:
            self.blame(f"S4: {meta['name']} lets go of its finalizer, but {left} is there")

    def _judge_status(self, old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> None:
        for field in ("observedGeneration", "restartCount"):
            if new.get(field, 0) < old.get(field, 0):
                self.blame(f"S6: {name}: {field} went from {old.get(field)} to {new.get(field)}")
        before = {c["type"]: c for c in old.get("conditions", [])}
        for condition in new.get("conditions", []):
            was = before.get(condition["type"], condition)
            moved = was["lastTransitionTime"] != condition["lastTransitionTime"]
            if moved and was["status"] == condition["status"]:
                self.blame(f"S6: {name}: {condition['type']} has another transition time, but the same status")

    def _judge_ready(self, found: Object) -> None:
        """Ready is only said where what was declared last is there, or was a moment ago."""
        meta, status = found["metadata"], found.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        if not ready or status["observedGeneration"] != meta["generation"] or not self._workspace(meta["uid"]):
            return
        spec = WorkspaceSpec.model_validate(found["spec"])
        waits = spec.update_policy != "Recreate" and status.get("pendingChanges")
        lately = [c for c in self._lately() if self._is_of(c, meta["uid"])]
        if spec.desired_state == "Stopped":
            ended = {c.id for c in lately if not c.is_live}
            fits = ended.issuperset(c.id for c in lately)
        else:
            wanted = [c for c in lately if c.state is STATES[spec.desired_state]]
            fits = any(waits or c.config_hash == config_hash(spec) for c in wanted)
        if not fits:
            states = [f"{c.state} from {c.config_hash[:8]}" for c in lately]
            self.blame(f"S9: {meta['name']} is Ready, but {spec.desired_state} is declared, and there is {states}")

    def _lately(self) -> Iterator[Container]:
        """All that could be seen on the host in the last few seconds."""
        yield from (it.shown for it in self.containers.values())
        yield from (shown for until, shown in self._before if until >= self._time() - TRUE_WITHIN)

    def _note(self, shown: Container, action: str) -> None:
        if shown.id in self._shown:
            self._before.append((self._time(), self._shown.pop(shown.id)))
        if action != "destroy":
            self._shown[shown.id] = shown
        while self._before and self._before[0][0] < self._time() - TRUE_WITHIN:
            self._before.popleft()

    # L1

    def check_converged(self) -> None:
        """Raises AssertionError where something isn't as declared."""
        ours = [c.shown for c in self.containers.values() if c.shown.labels.get(naming.LABEL_CLUSTER) == CLUSTER]
        for found in self._api.of("Workspace"):
            mine = [c for c in ours if c.uid == found["metadata"]["uid"]]
            ours = [c for c in ours if c not in mine]
            _check_one(found, mine)
        assert not ours, f"S5: containers without a Workspace: {[c.name for c in ours]}"

    def _workspace(self, uid: str) -> Object | None:
        return next((raw for raw in self._api.of("Workspace") if raw["metadata"]["uid"] == uid), None)

    @staticmethod
    def _is_of(shown: Container, uid: str) -> bool:
        return shown.uid == uid and shown.labels.get(naming.LABEL_CLUSTER) == CLUSTER


def _asked(found: Object) -> tuple[int, str]:
    meta = found["metadata"]
    return meta["generation"], meta.get("annotations", {}).get(naming.ANNOTATION_RESTARTED_AT, "")


def _is_seen(found: Object) -> bool:
    """Whether the controller has said that it knows of the latest spec."""
    return bool(found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"])


def _restarts(found: Object) -> bool:
    """Whether a restart is asked for or under way."""
    status = found.get("status", {})
    under_way = any(c["reason"] == "Restarting" for c in status.get("conditions", []))
    return under_way or (_asked(found)[1] or None) != status.get("lastRestartRequest")


def _check_one(found: Object, containers: list[Container]) -> None:
    meta, status = found["metadata"], found.get("status", {})
    spec = WorkspaceSpec.model_validate(found["spec"])
    name = meta["name"]
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    assert "deletionTimestamp" not in meta, f"{name} is still there: {status}"
    assert status.get("observedGeneration") == meta["generation"], f"{name}: {status}"
    states = [c.state for c in containers]
    if conditions["Stalled"]["reason"] == "RetriesExhausted" and conditions["Stalled"]["status"] == "True":
        assert not any(c.is_live for c in containers), f"{name}: {states}, though its retries are spent"
        return
    assert conditions["Ready"]["status"] == "True", f"{name}: {status}"
    if spec.desired_state == "Stopped":
        assert len(states) <= 1, f"{name}: {states}"
        assert not any(c.is_live for c in containers), f"{name}: {states}"
        return
    assert states == [STATES[spec.desired_state]], f"{name}: {states}"
    assert containers[0].config_hash == config_hash(spec), f"{name}: made from another spec"
    assert containers[0].restart_policy == "no", f"{name}: {containers[0].restart_policy}"
    assert status.get("containerID") == containers[0].id, f"{name}: the status names another container"
    assert containers[0].name == naming.container_name(meta["namespace"], name, meta["uid"]), containers[0].name
