"""Waiting for what was asked for, with a progress bar on stderr. The API server is asked, once or twice a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from controller.api import RESTARTED_AT, bounded
from controller.api.model import RESTART_REQUEST_LENGTH
from controller.cli.cluster import Cluster, NotFound, Object
from controller.cli.failure import Failure
from controller.cli.output import clean, console, duration
from controller.cli.workspaces import condition, full_name, is_seen, is_true, status_of

INTERVAL = 0.5  # seconds between two looks
SLOW_INTERVAL = 1.0  # where a look is a list
STALLED_GRACE = 10.0  # seconds for a restart request to be taken up by a Workspace that is stalled


@dataclass(frozen=True, slots=True)
class Outcome:
    """One Workspace that did not get where it should."""

    workspace: str
    reason: str
    message: str


def wait_for_workspaces(cluster: Cluster, asked: Sequence[Object], limit: float) -> tuple[list[Object], list[Outcome]]:
    """Waits until each is as declared or can't become so. `asked`: as the patches have left them.

    Gives them as they are then, and those that failed. Raises Failure after `limit` seconds.
    """
    by_key = {_key(workspace): workspace for workspace in asked}
    now: dict[tuple[str, str], Object | None] = dict(by_key)
    outcomes: dict[tuple[str, str], Outcome | None] = {}
    began = time.monotonic()

    def look() -> int:
        now.update(_current(cluster, by_key))
        elapsed = time.monotonic() - began
        outcomes.update({key: _settled(now[key], before, elapsed) for key, before in by_key.items()})
        return sum(outcome is not None for outcome in outcomes.values())

    _until_all(look, len(by_key), limit, lambda: _first_unsettled(now, outcomes))
    return [now[key] or by_key[key] for key in by_key], [o for o in outcomes.values() if o is not None and o.reason]


def wait_for_operations(cluster: Cluster, asked: Sequence[Object], limit: float) -> tuple[list[Object], list[Outcome]]:
    """Waits until each WorkspaceOperation is finished; gives them, and the Workspaces that failed. Raises Failure."""
    now = list(asked)

    def look() -> int:
        now[:] = [cluster.get("WorkspaceOperation", o["metadata"]["name"], o["metadata"]["namespace"]) for o in now]
        done = sum(int(status_of(o).get("succeeded", 0)) + int(status_of(o).get("failed", 0)) for o in now)
        return total if all(_is_finished(o) for o in now) else min(done, total - 1)

    total = sum(len(o["spec"]["names"]) for o in asked)
    first = asked[0]["metadata"]
    where = f"kubectl get wsop {first['name']} -n {first['namespace']} -o yaml"
    _until_all(look, total, limit, lambda: f"the operation goes on without us; `{where}` shows how far it is")
    results = [result for o in now for result in status_of(o).get("results") or ()]
    failed = [r for r in results if r.get("state") == "Failed"]
    outcomes = [Outcome(r["name"], r.get("reason") or "Failed", r.get("message") or "") for r in failed]
    return now, outcomes or _aborted(now)


def _aborted(operations: Sequence[Object]) -> list[Outcome]:
    """Operations that failed as a whole, such as by their deadline or for lack of rights."""
    failed = [(o, condition(o, "Failed")) for o in operations if condition(o, "Failed").get("status") == "True"]
    return [Outcome("(all)", c.get("reason") or "Failed", c.get("message") or "") for _, c in failed]


def _until_all(look: Callable[[], int], total: int, limit: float, late: Callable[[], str]) -> None:
    deadline = time.monotonic() + limit
    interval = INTERVAL if total == 1 else SLOW_INTERVAL
    with _bar(total) as advance:
        while True:
            done = look()
            advance(done)
            if done >= total:
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(min(interval, max(0.0, deadline - time.monotonic())))
    raise Failure(f"{done} of {total} after {duration(limit)}: {late()}")


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("waiting", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(err=True)) as progress:
        task = progress.add_task("", total=total)
        try:
            yield lambda done: progress.update(task, completed=done)
        except KeyboardInterrupt:
            progress.stop()
            typer.echo("No longer waiting; what was asked for goes on.", err=True)
            raise


def _key(workspace: Object) -> tuple[str, str]:
    return workspace["metadata"]["namespace"], workspace["metadata"]["name"]


def _current(cluster: Cluster, keys: dict[tuple[str, str], Object]) -> dict[tuple[str, str], Object | None]:
    found: dict[tuple[str, str], Object | None] = dict.fromkeys(keys)
    if len(keys) == 1:
        ((namespace, name),) = keys
        try:
            return {(namespace, name): cluster.get("Workspace", name, namespace)}
        except NotFound:
            return found
    for namespace in {namespace for namespace, _ in keys}:
        found.update({_key(w): w for w in cluster.select("Workspace", namespace) if _key(w) in keys})
    return found


def _settled(now: Object | None, asked: Object, elapsed: float) -> Outcome | None:
    """How it ended, with a reason where it failed; None while it is on its way, `elapsed` seconds after it began."""
    name = asked["metadata"]["name"]
    if now is None or now["metadata"]["uid"] != asked["metadata"]["uid"]:
        return Outcome(name, "Deleted", "it was deleted meanwhile")
    taken_up = is_seen(now) and _is_restart_taken_up(now, asked)
    if taken_up and is_true(now, "Ready"):
        return Outcome(name, "", "")
    if is_true(now, "Stalled") and (taken_up or elapsed >= STALLED_GRACE):
        stalled = condition(now, "Stalled")
        return Outcome(name, stalled.get("reason") or "Stalled", stalled.get("message") or "")
    return None


def _is_restart_taken_up(now: Object, asked: Object) -> bool:
    """Whether the controller acted on our restart request or on what came in its place; True where there is none.

    It acts on none while it refuses the spec: the Workspace stays stalled, as one does for a moment that had given up.
    """
    ours, current = _restart_request(asked), _restart_request(now)
    return not ours or not current or status_of(now).get("lastRestartRequest") in (ours, current)


def _restart_request(workspace: Object) -> str | None:
    request = (workspace["metadata"].get("annotations") or {}).get(RESTARTED_AT)
    return None if request is None else bounded(request, RESTART_REQUEST_LENGTH)


def _first_unsettled(now: dict[tuple[str, str], Object | None], outcomes: dict[tuple[str, str], Outcome | None]) -> str:
    for key, outcome in outcomes.items():
        current = now[key]
        if current is not None and outcome is None:
            if not is_seen(current):
                return f"{full_name(current)} was not looked at yet: does the controller run?"
            ready = condition(current, "Ready")
            state = status_of(current).get("phase") or "Pending"
            return clean(f"{full_name(current)} is {state}: {ready.get('message') or ready.get('reason')}")
    return "it goes on"


def _is_finished(operation: Object) -> bool:
    return any(condition(operation, kind).get("status") == "True" for kind in ("Complete", "Failed"))
