"""start, stop, pause and restart: one Workspace by a patch, several by a WorkspaceOperation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import typer

from controller.cli.cluster import Cluster, NotFound, Object
from controller.cli.failure import Failure, complain
from controller.cli.options import Plain, Selection
from controller.cli.output import as_list, print_data, print_table
from controller.cli.waiting import Outcome, wait_for_operations, wait_for_workspaces
from controller.cli.workspaces import condition, full_name

MOST_TARGETS = 5000  # names that one WorkspaceOperation takes
KEPT = 86400  # seconds for which a finished operation can be looked at


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked of each Workspace."""

    verb: str
    wanted: str  # as in "NAME should be Running"
    changes: Mapping[str, Any]  # a merge patch
    operation: str = ""  # of a WorkspaceOperation; empty where there is none: then each one is patched


@dataclass(frozen=True, slots=True)
class How:
    """What to do once it is asked for. `limit`: seconds to wait, None not to."""

    limit: float | None
    output: Plain


def change(cluster: Cluster, what: Change, selection: Selection, how: How) -> None:
    """Asks for the change of every selected Workspace, waits if wanted, prints what came of it.

    Raises:
        Failure, typer.Exit: where not all got there.
    """
    found, unknown = _targets(cluster, selection)
    if not found and not unknown:
        typer.echo("No Workspaces found: nothing to do.", err=True)
        return
    if len(found) > 1 and what.operation:
        failed = _by_operation(cluster, what, found, how)
    else:
        failed = _by_patch(cluster, what, found, how)
    for name in unknown:
        complain(f"there is no Workspace {name!r} in namespace {cluster.namespace!r}")
    if failed or unknown:
        raise typer.Exit(1)


def _targets(cluster: Cluster, selection: Selection) -> tuple[list[Object], list[str]]:
    """The Workspaces that exist, and the names of those that don't."""
    if not selection.names:
        return cluster.select(
            "Workspace", None if selection.all_namespaces else cluster.namespace, selection.selector
        ), []
    found, unknown = [], []
    for name in dict.fromkeys(selection.names):
        try:
            found.append(cluster.get("Workspace", name, cluster.namespace))
        except NotFound:
            unknown.append(name)
    return found, unknown


def _by_patch(cluster: Cluster, what: Change, found: Sequence[Object], how: How) -> bool:
    """Whether one of them failed."""
    patched = []
    for workspace in found:
        _refuse_pointless(what, workspace)
        meta = workspace["metadata"]
        after = cluster.patch("Workspace", meta["name"], meta["namespace"], what.changes)
        patched.append(after)
        if how.output is Plain.TABLE:
            changed = after["metadata"]["resourceVersion"] != meta["resourceVersion"]
            typer.echo(f"{full_name(after)} {what.wanted}" + ("" if changed else " (as before)"))
            if not changed:
                _hint(after)
    failed: list[Outcome] = []
    if how.limit is not None and patched:
        patched, failed = wait_for_workspaces(cluster, patched, how.limit)
    _report(patched, failed, how)
    return bool(failed)


def _refuse_pointless(what: Change, workspace: Object) -> None:
    name, where = workspace["metadata"]["name"], workspace["metadata"]["namespace"]
    if what.verb == "restart" and workspace["spec"].get("desiredState") == "Stopped":
        raise Failure(f"Workspace {name!r} should be Stopped: `kubectl workspace start {name} -n {where}` makes it run")


def _hint(workspace: Object) -> None:
    """Where asking for what is asked for already can't help."""
    stalled = condition(workspace, "Stalled")
    if stalled.get("status") == "True":
        which = f"{workspace['metadata']['name']} -n {workspace['metadata']['namespace']}"
        typer.echo(f"  It is stalled ({stalled.get('reason')}): `kubectl workspace describe {which}` says why, "
                   f"`kubectl workspace restart {which}` tries again at once.", err=True)  # fmt: skip


def _by_operation(cluster: Cluster, what: Change, found: Sequence[Object], how: How) -> bool:
    """Whether one of them failed. One operation for each namespace."""
    made = []
    for namespace, members in groupby(found, key=lambda w: str(w["metadata"]["namespace"])):
        made.append(cluster.create(_operation(what, namespace, [w["metadata"]["name"] for w in members])))
        if how.output is Plain.TABLE:
            meta, count = made[-1]["metadata"], len(made[-1]["spec"]["names"])
            typer.echo(f"workspaceoperation.aicli.dev/{meta['name']} created: {what.verb} {count} Workspaces"
                       f" of namespace {namespace!r}")  # fmt: skip
            if how.limit is None:
                typer.echo(f"  follow it: kubectl get wsop {meta['name']} -n {namespace} -w", err=True)
    failed: list[Outcome] = []
    if how.limit is not None:
        made, failed = wait_for_operations(cluster, made, how.limit)
    _report(made, failed, how)
    return bool(failed)


def _operation(what: Change, namespace: str, names: list[str]) -> Object:
    if len(names) > MOST_TARGETS:
        raise Failure(
            f"{len(names)} Workspaces in namespace {namespace!r}, and one operation takes {MOST_TARGETS}: "
            "select fewer with -l"
        )
    return {
        "apiVersion": "aicli.dev/v1alpha1",
        "kind": "WorkspaceOperation",
        "metadata": {"generateName": f"{what.verb}-", "namespace": namespace},
        "spec": {"operation": what.operation, "names": names, "ttlSecondsAfterFinished": KEPT},
    }


def _report(objects: Sequence[Object], failed: Sequence[Outcome], how: How) -> None:
    if how.output is not Plain.TABLE:
        print_data(objects[0] if len(objects) == 1 else as_list(objects), how.output)
        return
    if failed:
        print_table(("FAILED", "REASON", "MESSAGE"), [(o.workspace, o.reason, o.message) for o in failed])
    elif how.limit is not None:
        typer.echo("done")
