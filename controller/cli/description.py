"""A Workspace in words: one section after the other, each from the object and its Events alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from controller.cli.cluster import Cluster, Forbidden, Object
from controller.cli.output import COLOURS, NONE, age, clean, duration, time_of
from controller.cli.workspaces import condition, is_seen, status_of

EVENTS = 10  # newest ones
HIDDEN_EVENTS = "you may not list the Events of this namespace: ask its administrator for the right (role view has it)"
_WIDTH = 16  # of the labels


def events_of(cluster: Cluster, workspace: Object) -> list[Object] | None:
    """Its Events, oldest first; None where this user may not list them, as with workspace-viewer alone."""
    meta = workspace["metadata"]
    try:
        return cluster.events(meta["namespace"], meta["uid"])
    except Forbidden:
        return None


def describe(workspace: Mapping[str, Any], events: Sequence[Mapping[str, Any]] | None) -> Iterator[Text]:
    """The lines. `events`: None for those that can't be read."""
    now = datetime.now(UTC)
    for title, lines in (
        ("", _identity(workspace)),
        ("Now", _now(workspace, now)),
        ("Asked for", _spec(workspace["spec"])),
        ("Container", _container(status_of(workspace), now)),
        ("Conditions", _conditions(workspace)),
        ("Drift", _drift(workspace)),
        (f"Events (the last {EVENTS})", _events(events)),
    ):
        if title:
            yield Text(f"{title}:", style="bold")
        for label, text in lines:
            indent = "  " if title else ""
            gap = f"{indent}{label + ':' if label else '':{_WIDTH}}" if label else indent
            yield Text.assemble(gap, (clean(text), COLOURS.get(text, "")))


Lines = Iterator[tuple[str, str]]


def _identity(workspace: Mapping[str, Any]) -> Lines:
    meta = workspace["metadata"]
    yield "Name", meta["name"]
    yield "Namespace", meta["namespace"]
    yield "Created", f"{age(meta.get('creationTimestamp'))} ago"
    labels = meta.get("labels") or {}
    if labels:
        yield "Labels", ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _now(workspace: Mapping[str, Any], now: datetime) -> Lines:
    status, meta = status_of(workspace), workspace["metadata"]
    ready = condition(workspace, "Ready")
    if not status.get("phase"):
        yield "State", "no controller has looked at it yet: does one run, and does it watch this cluster?"
        return
    yield "State", status["phase"]
    yield "Ready", f"{ready.get('status', 'Unknown')}: {ready.get('message') or ready.get('reason', '')}"
    if meta.get("deletionTimestamp"):
        yield "Deletion", f"asked for {age(meta['deletionTimestamp'], now)} ago; waits for the container's removal"
    error = status.get("lastError")
    if error:
        kind, since = error.get("class"), age(error.get("time"), now)
        yield "Error", f"{error.get('reason')} ({kind}, for {since}): {error.get('message')}"
    yield from _retries(status, workspace["spec"].get("recovery") or {}, now)


def _retries(status: Mapping[str, Any], recovery: Mapping[str, Any], now: datetime) -> Lines:
    retries, due = status.get("retries", 0), time_of(status.get("nextRetryAt"))
    most = recovery.get("maxRetries", 5)
    if due is not None:
        wait = (due - now).total_seconds()
        when = f"in {duration(wait)}" if wait > 0 else "now"
        yield "Next try", f"{when} (retry {retries} of {most} since the last good run)"
    elif retries:
        yield "Retries", f"{retries} of {most} since the last good run"
    ended = status.get("lastTermination")
    if ended:
        killed = ", out of memory" if ended.get("oomKilled") else ""
        yield (
            "Last exit",
            (f"code {ended.get('exitCode')} ({ended.get('reason')}{killed}), {age(ended.get('finishedAt'), now)} ago"),
        )


def _spec(spec: Mapping[str, Any]) -> Lines:
    yield "Desired state", spec.get("desiredState", "Running")
    yield "Image", f"{spec.get('image')} (pull {spec.get('imagePullPolicy', 'IfNotPresent')})"
    yield "Host", spec.get("host", "default")
    if spec.get("owner"):
        yield "Owner", spec["owner"]
    command = [*(spec.get("command") or ()), *(spec.get("args") or ())]
    if command:
        yield "Command", " ".join(command)
    if spec.get("projectPath"):
        yield "Project", f"{spec['projectPath']} at {spec.get('projectMountPath')}"
    for volume in spec.get("volumes") or ():
        yield "Volume", f"{volume['name']} at {volume['mountPath']} ({volume.get('reclaimPolicy', 'Retain')})"
    names = [variable["name"] for variable in spec.get("env") or ()]
    if names:
        yield "Environment", ", ".join(names)
    yield "Limits", _quantities((spec.get("resources") or {}).get("limits"))
    yield "Network", (spec.get("network") or {}).get("mode", "Isolated")
    yield "Updates", spec.get("updatePolicy", "Recreate")


def _quantities(limits: Mapping[str, Any] | None) -> str:
    given = ", ".join(f"{key} {value}" for key, value in (limits or {}).items())
    return given or "by default (1 CPU, 1Gi, 512 pids, within the host's policy)"


def _container(status: Mapping[str, Any], now: datetime) -> Lines:
    if not status.get("containerID"):
        yield "", NONE
        return
    yield "Name", status.get("containerName", NONE)
    yield "ID", status["containerID"][:12]
    since = f" for {age(status['startedAt'], now)}" if status.get("startedAt") else ""
    yield "State", f"{status.get('containerState', 'unknown')}{since}"
    yield "Image ID", status.get("imageID", NONE)
    yield "Restarts", str(status.get("restartCount", 0))
    if status.get("ipAddress"):
        yield "Address", status["ipAddress"]
    for port in status.get("ports") or ():
        place = f"{port.get('hostIP')}:{port.get('hostPort')}" if port.get("hostPort") else "not published now"
        yield "Port", f"{port['name']}: {port['containerPort']}/{port.get('protocol', 'TCP')} at {place}"
    if status.get("activeTasks"):
        yield "Sessions", f"{status['activeTasks']} exec session(s) run in it"
    usage = status.get("usage")
    if usage:
        yield (
            "Usage",
            (
                f"{usage.get('cpu')} CPU, {usage.get('memory')} memory, {usage.get('pids')} pids, "
                f"{age(usage.get('sampledAt'), now)} ago"
            ),
        )


def _conditions(workspace: Mapping[str, Any]) -> Lines:
    for found in status_of(workspace).get("conditions") or ():
        since = age(found.get("lastTransitionTime"))
        words = f"{found['status']} for {since}: {found.get('reason', '')}"
        yield found["type"], words + (f" - {found['message']}" if found.get("message") else "")


def _drift(workspace: Mapping[str, Any]) -> Lines:
    status, meta = status_of(workspace), workspace["metadata"]
    if not is_seen(workspace):
        seen, wanted = status.get("observedGeneration", -1), meta.get("generation", 0)
        yield "", f"the last change (generation {wanted}) was not looked at yet; what is above is about {seen}"
    pending = status.get("pendingChanges") or ()
    for change in pending:
        yield "Waits", f"{change} ({_waits_for(workspace)})"
    request = (meta.get("annotations") or {}).get("aicli.dev/restartedAt")
    if request and status.get("lastRestartRequest") != request:
        yield "Restart", f"asked for ({request}), not begun"
    if is_seen(workspace) and not pending:
        yield "", "none: the container is made from this spec" if status.get("containerID") else "none"


def _waits_for(workspace: Mapping[str, Any]) -> str:
    """What has to happen before a pending change is applied."""
    policy, failed = workspace["spec"].get("updatePolicy", "Recreate"), status_of(workspace).get("lastError")
    if policy != "Recreate":
        return f"for a restart: the update policy is {policy}"
    return f"for what failed: {failed['reason']}" if failed else "for a restart"


def _events(events: Sequence[Mapping[str, Any]] | None) -> Lines:
    if not events:
        yield "", HIDDEN_EVENTS if events is None else NONE
        return
    for event in events[-EVENTS:]:
        when = age(str(event.get("lastTimestamp") or event.get("eventTime") or "").replace(" ", "T") or None)
        times = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
        yield f"{when} ago", f"{event.get('type')} {event.get('reason')}{times}: {event.get('message')}"
