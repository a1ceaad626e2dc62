"""Workspaces as the API server's JSON has them: the few questions that every verb asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.cli.cluster import Cluster, Object
from controller.cli.options import Selection
from controller.cli.output import NONE, age

COLUMNS = ("NAME", "STATE", "READY", "REASON", "IMAGE", "HOST", "RESTARTS", "UPTIME", "AGE")
WIDE_COLUMNS = ("CONTAINER ID", "OWNER", "PROJECT", "MESSAGE")


def listed(cluster: Cluster, selection: Selection) -> list[Object]:
    """The Workspaces that a verb is about. Names must exist.

    Raises:
        NotFound: one of the names doesn't exist.
    """
    if selection.names:
        return [cluster.get("Workspace", name, cluster.namespace) for name in dict.fromkeys(selection.names)]
    return cluster.select("Workspace", None if selection.all_namespaces else cluster.namespace, selection.selector)


def columns(wide: bool, namespaces: bool) -> tuple[str, ...]:
    """The header of a list."""
    return (("NAMESPACE",) if namespaces else ()) + COLUMNS + (WIDE_COLUMNS if wide else ())


def row(workspace: Mapping[str, Any], wide: bool, namespaces: bool) -> Sequence[object]:
    """One line of a list: what `kubectl get workspaces` shows."""
    meta, spec, status = workspace["metadata"], workspace["spec"], status_of(workspace)
    ready = condition(workspace, "Ready")
    cells: list[object] = [meta["namespace"]] if namespaces else []
    cells += [meta["name"], status.get("phase") or "Pending", ready.get("status") or "Unknown", ready.get("reason")]
    cells += [spec.get("image"), spec.get("host"), status.get("restartCount", 0)]
    cells += [age(status.get("startedAt")), age(meta.get("creationTimestamp"))]
    if wide:
        cells += [(status.get("containerID") or NONE)[:12], spec.get("owner"), spec.get("projectPath")]
        cells += [ready.get("message")]
    return cells


def status_of(workspace: Mapping[str, Any]) -> dict[str, Any]:
    """The status; empty before the first."""
    return workspace.get("status") or {}


def condition(obj: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One condition of an object; empty if it has none."""
    return next((c for c in status_of(obj).get("conditions") or () if c["type"] == kind), {})


def is_true(obj: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition is True, and about the object's current generation."""
    found = condition(obj, kind)
    return found.get("status") == "True" and is_seen(obj)


def is_seen(obj: Mapping[str, Any]) -> bool:
    """Whether the status is about the current spec."""
    return int(status_of(obj).get("observedGeneration", -1)) >= int(obj["metadata"].get("generation", 0))


def full_name(workspace: Mapping[str, Any]) -> str:
    """As kubectl writes it."""
    return f"workspace.aicli.dev/{workspace['metadata']['name']}"
