"""The live table: a thread watches, the terminal is drawn twice a second (ages go on where nothing changes)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from controller.cli.cluster import Cluster, Object
from controller.cli.failure import Failure
from controller.cli.output import cell, console, table
from controller.cli.workspaces import columns, row

DRAW = 0.5  # seconds
RETRY = 2.0  # seconds until a broken watch is begun again
_LINE = "{:<16} {:<28} {:<12} {:<8} {:<20} {}"

Change = tuple[str, Object] | Failure


def follow(cluster: Cluster, namespace: str | None, selector: str | None) -> None:
    """Shows changes until interrupted. Raises Failure where the first answer is one."""
    changes: queue.Queue[Change] = queue.Queue()
    cluster.select("Workspace", namespace, selector)  # what is wrong from the start ends the command
    threading.Thread(target=_read, args=(cluster, namespace, selector, changes), daemon=True).start()
    out = console()
    if out.is_terminal:
        _draw(out, changes, namespace is None)
    else:
        _tell(out, changes)


def _read(cluster: Cluster, namespace: str | None, selector: str | None, changes: queue.Queue[Change]) -> None:
    known: dict[str, Object] = {}
    while True:
        try:
            for change in _changes(cluster, namespace, selector, known):
                changes.put(change)
        except Failure as failure:
            changes.put(failure)
        time.sleep(RETRY)


def _changes(
    cluster: Cluster, namespace: str | None, selector: str | None, known: dict[str, Object]
) -> Iterator[tuple[str, Object]]:
    """Those of one watch. It tells nothing of what was deleted before it began: what is `known` is compared first."""
    if known:
        there = {workspace["metadata"]["uid"] for workspace in cluster.select("Workspace", namespace, selector)}
        yield from [("DELETED", known.pop(uid)) for uid in known.keys() - there]
    for event, workspace in cluster.watch("Workspace", namespace, selector):
        if event == "DELETED":
            known.pop(workspace["metadata"]["uid"], None)
        else:
            known[workspace["metadata"]["uid"]] = workspace
        yield event, workspace


def _draw(out: Console, changes: queue.Queue[Change], namespaces: bool) -> None:
    shown: dict[str, Object] = {}
    with Live(console=out, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            problem = _take_in(changes, shown)
            rows = sorted(shown.values(), key=lambda w: (w["metadata"]["namespace"], w["metadata"]["name"]))
            body = table(columns(False, namespaces), [row(w, False, namespaces) for w in rows])
            footer = Text(problem or f"{len(rows)} Workspaces; Ctrl-C ends", style="yellow" if problem else "dim")
            live.update(Group(body, footer), refresh=True)
            time.sleep(DRAW)


def _take_in(changes: queue.Queue[Change], shown: dict[str, Object]) -> str:
    """Everything that has come; gives what is wrong with the connection."""
    problem = ""
    for change in _arrived(changes):
        if isinstance(change, Failure):
            problem = f"{change}; trying again"
            continue
        event, workspace = change
        uid = workspace["metadata"]["uid"]
        if event == "DELETED":
            shown.pop(uid, None)
        else:
            shown[uid] = workspace
    return problem


def _arrived(changes: queue.Queue[Change]) -> Iterator[Change]:
    while not changes.empty():
        yield changes.get()


def _tell(out: Console, changes: queue.Queue[Change]) -> None:
    """One line for each change of what is shown."""
    last: dict[str, str] = {}
    out.print(_LINE.format("NAMESPACE", "NAME", "STATE", "READY", "REASON", "MESSAGE"))
    while True:
        change = changes.get()
        if isinstance(change, Failure):
            console(err=True).print(f"{change}; trying again")
            continue
        event, workspace = change
        line = _line(event, workspace)
        if last.get(workspace["metadata"]["uid"]) != line:
            last[workspace["metadata"]["uid"]] = line
            out.print(line)
            out.file.flush()


def _line(event: str, workspace: Object) -> str:
    namespace, name, state, ready, reason, *_, message = (str(cell(c)) for c in row(workspace, True, True))
    return _LINE.format(namespace, name, "Deleted" if event == "DELETED" else state, ready, reason, message)
