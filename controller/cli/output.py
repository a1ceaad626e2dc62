"""Printing: tables that scripts can cut, JSON and YAML, ages and sizes as kubectl words them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {
    "Running": "green",
    "Paused": "cyan",
    "Stopped": "bright_black",
    "Failed": "bold red",
    "BackOff": "yellow",
    "Unknown": "yellow",
    "False": "yellow",
}
NONE = "<none>"
WIDEST = 100_000  # characters; a table takes what it needs
_MINUTE, _HOUR, _DAY = 60, 3600, 86400  # seconds


def console(*, err: bool = False) -> Console:
    """Prints text as it is: nothing that comes from a cluster is taken for markup."""
    return Console(stderr=err, markup=False, emoji=False, highlight=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without lines."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=True, overflow="ignore")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: object) -> Text:
    """A value as text on one line, with control characters escaped; words of state in colour."""
    text = clean(str(value)) if value not in (None, "") else NONE
    return Text(text, style=COLOURS.get(text, ""))


def clean(text: str) -> str:
    """On one line, with control characters escaped: they could steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table as wide as it is: a narrow terminal folds its lines, a pipe gets them whole."""
    out = console()
    out.width = WIDEST
    out.print(table(columns, rows))


def print_data(data: Any, form: str) -> None:
    """Prints JSON or YAML."""
    if form == "json":
        typer.echo(json.dumps(data, indent=2, default=str))
    else:
        plain = json.loads(json.dumps(data, default=str))
        typer.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True), nl=False)


def as_list(objects: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Objects as kubectl prints several."""
    return {"apiVersion": "v1", "kind": "List", "items": list(objects)}


def age(since: str | None, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was, in kubectl's words: 45s, 12m, 3h20m, 2d."""
    moment = time_of(since)
    if moment is None:
        return NONE
    return duration(((now or datetime.now(UTC)) - moment).total_seconds())


def duration(seconds: float) -> str:
    """A length of time, as HumanDuration of k8s.io/apimachinery has it: two or three figures, cut and never rounded."""
    whole = int(seconds)
    if whole < -1:  # a second of difference between two clocks is none
        return "<invalid>"
    minutes, hours, days = whole // _MINUTE, whole // _HOUR, whole // _DAY
    if whole < 2 * _MINUTE:
        return f"{max(0, whole)}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    return _two(days // 365, "y", days % 365 if days < 8 * 365 else 0, "d")


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}" + (f"{small}{small_unit}" if small else "")


def time_of(text: str | None) -> datetime | None:
    """An RFC 3339 time; None for none."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
