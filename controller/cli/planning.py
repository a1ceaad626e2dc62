"""What the controller would do: its own pure functions, on what this user can see."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from controller.api import DockerHost, HostPolicy, Workspace, WorkspaceStatus
from controller.cli.access import OutOfReach, connect, told
from controller.cli.cluster import Cluster, Forbidden, NotFound, Object
from controller.cli.failure import Failure
from controller.cli.output import clean, duration
from controller.cli.sources import CHANGED, Sources
from controller.desired import Desired, config_hash, make_desired
from controller.engine.direct import DirectEngine
from controller.errors import HostNotFound
from controller.history import Memory, Now, Sent, from_status
from controller.naming import LABEL_CONFIG_HASH, LABEL_REFERENCES, LABEL_UID
from controller.observed import Container, ContainerState, Observed
from controller.plan import Plan
from controller.plan import plan as decide

_Model = TypeVar("_Model", bound=BaseModel)
_OTHER_SPEC = re.compile(r"the container was made from another spec \((\w+)\)")  # in pendingChanges


@dataclass(frozen=True, slots=True)
class Prospect:
    """What would be done to one Workspace, and what that was decided on."""

    workspace: Workspace
    decided: Plan
    seen: str  # what the host has, and how that is known
    looks_again: float | None  # seconds from now
    notes: tuple[str, ...] = ()
    changes: str | None = None  # with a file: the diff to what runs

    def __str__(self) -> str:
        meta, spec = self.workspace.metadata, self.workspace.spec
        lines = [f"Workspace {meta.namespace}/{meta.name}"]
        if self.changes is not None:
            lines += [self.changes or "  the file changes nothing", ""]
        lines.append(f"  wanted: {spec.desired_state} from {spec.image} on host {spec.host}")
        lines.append(f"  there:  {self.seen}")
        lines += [f"  note:   {note}" for note in self.notes]
        first, *others = str(self.decided).splitlines()
        lines += [f"  plan:   {first}", *(f"          {line}" for line in others)]
        if self.decided.actions:
            lines.append("  then:   looks at what came of it, and plans again")
        elif self.looks_again is not None:
            lines.append(f"  then:   looks again in {duration(self.looks_again)}")
        return "\n".join("\n".join(clean(part) for part in line.splitlines()) for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        meta, decided = self.workspace.metadata, self.decided
        return {
            "namespace": meta.namespace,
            "name": meta.name,
            "seen": self.seen,
            "notes": list(self.notes),
            "actions": [{"action": a.kind, "reason": a.reason, "text": str(a)} for a in decided.actions],
            "pending": list(decided.pending),
            "why": decided.why,
            "looksAgainInSeconds": None if self.looks_again is None else round(self.looks_again, 1),
            **({} if self.changes is None else {"diff": self.changes}),
        }


@dataclass(frozen=True, slots=True)
class _Host:
    """A DockerHost as this user knows it."""

    policy: HostPolicy | None = None
    missing: bool = False
    engine: DirectEngine | None = None
    problem: str = ""


class Planner:
    """Plans many Workspaces; asks for each host once."""

    def __init__(self, cluster: Cluster, endpoint: str | None) -> None:
        self.cluster = cluster
        self._endpoint = endpoint
        self._sources = Sources(cluster)
        self._hosts: dict[str, _Host] = {}
        self._id: str | None = None

    def live(self, raw: Object) -> Prospect:
        """For a Workspace as the API server has it."""
        workspace = parse(raw)
        return self.plan(workspace, workspace)

    def plan(self, workspace: Workspace, running: Workspace | None) -> Prospect:
        """For `workspace`, which would replace `running` (None: it would be new)."""
        host = self._host(workspace.spec.host)
        desired = self._desired(workspace, host)
        now = Now(datetime.now(UTC), time.monotonic())
        observed, seen = self._observed(host, running, now)
        versions, hidden = self._sources.versions(desired, workspace.status.pending_changes)
        memory = replace(_memory(workspace.status, observed, now), references=versions)
        decided = decide(desired, observed, from_status(workspace.status, memory), now)
        wait = None if decided.wake_at is None else max(0.0, decided.wake_at - now.mono)
        notes = (*_notes(workspace, host, now), *hidden, *self._sources.failures(desired, decided))
        return Prospect(workspace, decided, seen, wait, notes)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            self._hosts[name] = self._find_host(name)
        return self._hosts[name]

    def _find_host(self, name: str) -> _Host:
        policy = None
        try:
            policy = _parsed(DockerHost, self.cluster.get("DockerHost", name)).spec.policy
        except NotFound:
            return _Host(missing=True)
        except Forbidden:
            if self._endpoint is None:
                return _Host(problem=f"you may not read DockerHost {name!r}, and --endpoint does not name its engine")
        try:
            return _Host(policy, engine=connect(self.cluster, name, self._endpoint))
        except OutOfReach as error:
            return _Host(policy, problem=error.why)

    def _desired(self, workspace: Workspace, host: _Host) -> Desired:
        labels = self._namespace(workspace.metadata.namespace)[1]
        desired = make_desired(workspace, host.policy or HostPolicy(), self._cluster_id(), labels)
        if host.missing:
            name = workspace.spec.host
            refusal = HostNotFound(name)
            return replace(desired, refusal=refusal)
        return desired if host.policy is not None else replace(desired, refusal=None)

    def _cluster_id(self) -> str:
        if self._id is None:
            self._id = self._namespace("kube-system")[0]
        return self._id

    def _namespace(self, name: str) -> tuple[str, dict[str, str]]:
        try:
            return self.cluster.namespace_meta(name)
        except (Forbidden, NotFound):  # only names of networks and volumes, and policies by label, depend on it
            return "", {}

    def _observed(self, host: _Host, running: Workspace | None, now: Now) -> tuple[Observed, str]:
        """What the host has, and how that is known, in words."""
        if host.missing:
            return Observed(known=False, unknown_because="there is no such DockerHost"), "nothing: no such DockerHost"
        if running is None:
            return Observed(), "nothing: the Workspace would be new"
        told_by_status, words = _from_status(running, self._desired(running, host), now)
        if host.engine is None:
            return told_by_status, f"{words} (as its status says; {host.problem})"
        with told():
            found = host.engine.containers(running.metadata.uid)
        if not found and running.status.container_id:
            return told_by_status, (
                f"{words} (as its status says; the engine at {host.engine.endpoint} does not have it: is that the "
                "engine of this host?)"
            )
        observed = Observed(tuple(found), ignored_limits=host.engine.ignored_limits)
        names = ", ".join(f"container {c.id[:12]} {c.state}" for c in found) or "no container"
        return observed, f"{names} (asked of {host.engine.endpoint})"


def parse(raw: Mapping[str, Any]) -> Workspace:
    """A Workspace of the API server or a checked manifest. Raises Failure."""
    return _parsed(Workspace, raw)


def _parsed(model: type[_Model], raw: Mapping[str, Any]) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _newer(model.__name__, raw["metadata"]["name"], "fields") from error


def _newer(kind: str, name: str, what: str) -> Failure:
    """About an object of a newer controller and its CRDs."""
    return Failure(
        f"{kind} {name!r} has {what} that this version of kubectl-workspace does not know: install the version of the "
        "controller"
    )


def _from_status(running: Workspace, desired: Desired, now: Now) -> tuple[Observed, str]:
    """The container as the status tells it: made from the spec unless changes wait, with the limits of the spec."""
    status = running.status
    if status.phase == "Unknown":
        ready = next((c.message for c in status.conditions if c.type == "Ready"), "")
        return Observed(known=False, unknown_because=ready), f"unknown: {ready}"
    if not status.container_id:
        return Observed(), "no container"
    ended = status.last_termination
    container = Container(
        id=status.container_id,
        name=status.container_name or desired.container_name,
        state=_state(running),
        labels={
            LABEL_UID: running.metadata.uid,
            LABEL_CONFIG_HASH: _hash_made_from(running),
            LABEL_REFERENCES: ",".join(f"{ref}=older" for ref in _changed_sources(status)),
        },
        image_id=status.image_id or "",
        created_at=running.metadata.creation_timestamp or now.wall,
        limits=desired.container.limits,
        started_at=status.started_at,
        finished_at=ended.finished_at if ended else None,
        exit_code=(ended.exit_code or 0) if ended else 0,
    )
    return Observed((container,)), f"container {container.id[:12]} {container.state}"


def _state(running: Workspace) -> ContainerState:
    try:
        return ContainerState(running.status.container_state or "running")
    except ValueError as error:
        raise _newer("Workspace", running.metadata.name, "a status.containerState") from error


def _hash_made_from(running: Workspace) -> str:
    """What is known of the hash of the container's spec: as far as pendingChanges shows another one, else this one."""
    shown = (_OTHER_SPEC.fullmatch(change) for change in running.status.pending_changes)
    return next((match[1] for match in shown if match), config_hash(running.spec))


def _changed_sources(status: WorkspaceStatus) -> list[str]:
    """`Kind/name` of Secrets and ConfigMaps that have changed, as the status says."""
    return [change.removesuffix(CHANGED) for change in status.pending_changes if change.endswith(CHANGED)]


def _memory(status: WorkspaceStatus, observed: Observed, now: Now) -> Memory:
    """What the controller's process remembers and the status shows: the stop signal that was sent."""
    since = next((c.last_transition_time for c in status.conditions if c.type == "Ready"), None)
    if status.phase != "Stopping" or since is None:
        return Memory()
    sent_at = now.mono - (now.wall - since).total_seconds()
    return Memory(signalled={c.id: Sent(sent_at, True, c.started_at) for c in observed.containers if c.is_live})


def _notes(workspace: Workspace, host: _Host, now: Now) -> list[str]:
    notes = []
    status, meta = workspace.status, workspace.metadata
    if host.policy is None and not host.missing:
        notes.append("the host's policy can't be read: what it refuses is not shown")
    if status.observed_generation < 0 and meta.creation_timestamp is not None:
        notes.append("no controller has looked at it yet")
    error = status.last_error
    if error is not None and status.observed_generation == meta.generation:
        due = status.next_retry_at
        wait = "" if due is None else f"; the next try is in {duration(max(0.0, (due - now.wall).total_seconds()))}"
        notes.append(f"the last try failed with {error.reason}: {error.message}{wait}")
    return notes
