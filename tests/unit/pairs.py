"""One healthy (desired, observed) pair; each test changes one thing of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from controller import naming
from controller.api import HostPolicy, Workspace
from controller.desired import Desired, make_desired
from controller.history import History, Memory, Now
from controller.observed import Container, ContainerState, Observed

CLUSTER = "c1u5ter0-0000"
UID = "0e984725-c51c-4bf4-9960-e1c80e27aba0"
T0 = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = Now(T0 + timedelta(hours=1), 3600.0)
POLICY = HostPolicy.model_validate(
    {
        "namespaces": {"matchNames": ["*"]},
        "images": ["*"],
        "projectPaths": ["/srv/projects/{namespace}/*"],
    }
)


def workspace(spec: dict[str, Any] | None = None, **meta: Any) -> Workspace:
    """A Workspace as the API server gives it."""
    metadata = {
        "name": "shop",
        "namespace": "team-a",
        "uid": UID,
        "generation": 1,
        "resourceVersion": "7",
        "finalizers": [naming.FINALIZER],
    } | meta
    return Workspace.model_validate({"metadata": metadata, "spec": spec or {}})


def desired(spec: dict[str, Any] | None = None, policy: HostPolicy = POLICY, **meta: Any) -> Desired:
    """What that Workspace wants."""
    return make_desired(workspace(spec, **meta), policy, CLUSTER, {})


def container(wanted: Desired, state: ContainerState = ContainerState.RUNNING, **changes: Any) -> Container:
    """The container that was made for it a minute after T0 and is in `state`."""
    ended = state is ContainerState.EXITED
    values: dict[str, Any] = {
        "id": "c0ffee" + "0" * 58,
        "name": wanted.container_name,
        "state": state,
        "labels": dict(wanted.container.labels),
        "image_id": "sha256:1",
        "created_at": T0 + timedelta(minutes=1),
        "limits": wanted.container.limits,
        "started_at": None if state is ContainerState.CREATED else T0 + timedelta(minutes=1, seconds=1),
        "finished_at": T0 + timedelta(minutes=50) if ended else None,
        "exit_code": 1 if ended else 0,
    }
    return Container(**(values | changes))


def observed(*containers: Container, **changes: Any) -> Observed:
    """What the host has."""
    return Observed(containers, **changes)


def history(**changes: Any) -> History:
    """A Workspace that was looked at before and has never failed."""
    base = History(observed_generation=1, phase="Running", last_restart_request="")
    return replace(base, **changes)


def memory(**changes: Any) -> Memory:
    """What the process remembers."""
    return Memory(**changes)
