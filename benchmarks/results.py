"""Figures as they are measured, and how they are told: lines for people and programs, and a JSON file."""

from __future__ import annotations

import json
import math
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and the most it should be. `spread` is every round's value, `note` what it was made of."""

    name: str
    value: float
    goal: float
    unit: str = ""
    spread: tuple[float, ...] = ()
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the goal was reached."""
        return self.value <= self.goal

    def __str__(self) -> str:
        return f"bench {self.name} {self.value:.4g} {self.goal:.4g}"


@dataclass(slots=True)
class Results:
    """All of one run. `series` holds what the pictures are drawn from."""

    figures: list[Figure] = field(default_factory=list)
    series: dict[str, Any] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # parts that came to no end
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def add(self, *figures: Figure) -> None:
        """Takes in figures and shows them at once: a run takes minutes."""
        for figure in figures:
            self.figures.append(figure)
            worst = f", worst {max(figure.spread):.4g}" if figure.spread else ""
            verdict = "reached" if figure.reached else "NOT reached"
            say(f"  {figure.name}: {figure.value:.4g} {figure.unit}{worst} (goal {figure.goal:.4g}, {verdict})")
            if figure.note:
                say(f"    {figure.note}")

    def table(self) -> str:
        """For people."""
        rows = [("figure", "value", "worst", "goal", "unit", "")]
        for f in self.figures:
            worst = f"{max(f.spread):.4g}" if f.spread else ""
            rows.append((f.name, f"{f.value:.4g}", worst, f"{f.goal:.4g}", f.unit, "ok" if f.reached else "missed"))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def lines(self) -> str:
        """For programs: `bench NAME VALUE GOAL`."""
        return "\n".join(map(str, self.figures))

    def write(self, path: Path) -> None:
        """Everything, as JSON."""
        told = {
            "began": self.began.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "figures": [asdict(figure) | {"reached": figure.reached} for figure in self.figures],
            "series": self.series,
        }
        path.write_text(json.dumps(told, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(models) or 1,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": Path("/proc/loadavg").read_text().split()[0],
    }


def median(values: Sequence[float]) -> float:
    """The middle."""
    return statistics.median(values)


def median_lies_in(values: Sequence[float]) -> tuple[float, float]:
    """Between which two of the values the median of many more like them lies, at 95 % (their ranks, as signs fall)."""
    ordered, away = sorted(values), 0.98 * math.sqrt(len(values))
    lower, upper = math.floor(len(values) / 2 - away), math.ceil(len(values) / 2 + away)
    return ordered[max(0, lower - 1)], ordered[min(len(values) - 1, upper)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def say(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)  # noqa: T201
