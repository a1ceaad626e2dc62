"""kubectl workspace logs"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from controller.cli.options import Asked, Context, Endpoint, Kubeconfig, Name, Namespace, seconds


def moment(text: str | datetime) -> datetime:
    """A point in time: RFC 3339, or a duration before now."""
    if isinstance(text, datetime):
        return text
    try:
        return _absolute(text) or datetime.now(UTC) - timedelta(seconds=seconds(text))
    except OverflowError as error:
        raise typer.BadParameter(f"{text!r} is too far away: write a time after the year 1") from error


def _absolute(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def lines(text: str | int) -> int:
    """A number of lines."""
    if isinstance(text, str) and not re.fullmatch("[0-9]{1,9}", text):
        raise typer.BadParameter(f"{text!r} is no number of lines: write 0 or more")
    return int(text)


def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the container ends, or Ctrl-C.")] = False,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Only what is newer: 10m, 2h, or 2026-01-31T08:00:00Z."),
    ] = None,
    tail: Annotated[
        int | None, typer.Option(parser=lines, metavar="LINES", help="Only the last so many lines.")
    ] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Put the time before each line.")] = False,
    namespace: Namespace = None,
    endpoint: Endpoint = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print a Workspace's output, read from its host's Docker Engine.

    For those who can reach that engine themselves: the local socket, their own TLS certificates, their own SSH.

    \b
    Examples:
      kubectl workspace logs shop-api
      kubectl workspace logs shop-api -f --since 10m
      kubectl workspace logs shop-api --tail 100 --timestamps
      kubectl workspace logs shop-api --endpoint ssh://alice@docker1
    """
    from controller.cli.access import connect, container_of, told
    from controller.cli.cluster import Cluster
    from controller.engine.direct import LogQuery

    cluster = Cluster(Asked(namespace, context, kubeconfig))
    workspace = cluster.get("Workspace", name, cluster.namespace)
    engine = connect(cluster, workspace["spec"]["host"], endpoint)
    with told():
        for piece in engine.logs(container_of(engine, workspace).id, LogQuery(follow, tail, since, timestamps)):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
