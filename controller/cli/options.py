"""Options that several verbs share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?")  # more digits fit no float
_PATIENCE = 600.0  # seconds for --wait without --timeout


@dataclass(frozen=True, slots=True)
class Asked:
    """How to get to the API server."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which Workspaces a verb is about."""

    names: tuple[str, ...] = ()
    selector: str | None = None
    all: bool = False
    all_namespaces: bool = False


def selected(names: list[str] | None, selector: str | None, all: bool, all_namespaces: bool) -> Selection:
    """What a verb that changes something is about: it must be told. Raises typer.BadParameter."""
    if names and (selector or all or all_namespaces):
        raise typer.BadParameter("give names, or -l or --all (with -A in all namespaces), not both")
    if not names and not selector and not all:
        raise typer.BadParameter("which ones? Give names, -l SELECTOR or --all")
    return Selection(tuple(names or ()), selector, all, all_namespaces)


def limit(wait: bool, timeout: float | None) -> float | None:
    """Seconds to wait for what was asked, None not to. Raises typer.BadParameter."""
    if timeout is not None and not wait:
        raise typer.BadParameter("--timeout says how long to --wait: give both or neither")
    return (timeout if timeout is not None else _PATIENCE) if wait else None


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"


class Plain(StrEnum):
    """The same, for what has no wider table."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def seconds(text: str | float) -> float:
    """A duration such as 90s, 5m or 1h30m (bare numbers are seconds), in seconds."""
    if isinstance(text, float):  # a default
        return text
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 90s, 5m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + rest)


def _workspace_names(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Shell completion: names of Workspaces. Silent where the API server doesn't answer."""
    from controller.cli import kubeconfig
    from controller.cli.cluster import Cluster
    from controller.cli.failure import Failure

    given = ctx.params
    if kubeconfig.is_a_pipe(given.get("kubeconfig")):
        return
    try:
        cluster = Cluster(Asked(given.get("namespace"), given.get("context"), given.get("kubeconfig")))
        found = [o["metadata"]["name"] for o in cluster.select("Workspace", cluster.namespace)]
    except Failure:
        return
    taken = given.get("names") or ()
    yield from (name for name in found if name.startswith(incomplete) and name not in taken)


def _contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shell completion: contexts of the kubeconfig."""
    from controller.cli import kubeconfig
    from controller.cli.failure import Failure

    try:
        return [name for name in kubeconfig.contexts(ctx.params.get("kubeconfig")) if name.startswith(incomplete)]
    except Failure:
        return []


Name = Annotated[str, typer.Argument(help="Name of the Workspace.", autocompletion=_workspace_names)]
Names = Annotated[
    list[str] | None, typer.Argument(help="Names of Workspaces.", autocompletion=_workspace_names, show_default=False)
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace. Default: the context's.", show_default=False)
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")]
Selector = Annotated[
    str | None, typer.Option("--selector", "-l", help="Only those with these labels, such as team=a,tier!=test.")
]
All = Annotated[bool, typer.Option("--all", help="All of the namespace.")]
Context = Annotated[
    str | None,
    typer.Option("--context", help="Context of the kubeconfig. Default: the current one.", autocompletion=_contexts),
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig file. Default: $KUBECONFIG, else ~/.kube/config.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print it.")]
PlainOutput = Annotated[Plain, typer.Option("--output", "-o", help="How to print it.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is done, with a progress bar.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        parser=seconds,
        metavar="DURATION",
        show_default="10m",
        help="With --wait: how long, such as 90s, 5m or 1h.",
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        help="The host's Docker Engine as you reach it, such as ssh://you@host. Default: the DockerHost's endpoint.",
    ),
]
