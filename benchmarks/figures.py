"""Pictures of the results, as SVG that follows the reader's light or dark theme. Every measured value is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.results import median

WIDTH, ROW, LABELS, PAD = 720, 26, 190, 16
COLOURS = ("#2f6fde", "#d9822b", "#3f9c5a", "#8c5bd0")
STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f; } .small { font-size: 11px; fill: #57606a; }
  .title { font-weight: 600; font-size: 14px; } .axis { stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .small { fill: #9198a1; } .axis { stroke: #3d444d; } }
</style>"""


def dots(title: str, unit: str, rows: Mapping[str, Sequence[float]]) -> str:
    """One row for each name: a dot for each value, a line at the median, the median in figures."""
    most = max((max(values) for values in rows.values() if values), default=1.0) * 1.05
    drawn = [_title(title), *_axis(most, unit, len(rows))]
    for index, (name, values) in enumerate(rows.items()):
        colour, y = COLOURS[index % len(COLOURS)], 48 + ROW * index
        drawn.append(f'<text x="{LABELS - 8}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        for number, value in enumerate(values):
            shift = (number % 5 - 2) * 2  # so that equal values don't hide each other
            drawn.append(f'<circle cx="{_x(value, most)}" cy="{y + shift}" r="3" fill="{colour}" fill-opacity="0.45"/>')
        middle = median(values)
        x = _x(middle, most)
        drawn.append(f'<path d="M{x} {y - 10}V{y + 10}" stroke="{colour}" stroke-width="3"/>')
        drawn.append(f'<text class="small" x="{WIDTH - PAD}" y="{y + 4}" text-anchor="end">{middle:.3g}</text>')
    return _svg(drawn, 62 + ROW * len(rows))


def _title(title: str) -> str:
    return f'<text class="title" x="{PAD}" y="22">{escape(title)}</text>'


def _axis(most: float, unit: str, rows: int) -> list[str]:
    step = _step(most)
    drawn, value = [], 0.0
    while value <= most:
        x = _x(value, most)
        drawn.append(f'<path class="axis" d="M{x} 34V{38 + ROW * rows}"/>')
        drawn.append(f'<text class="small" x="{x}" y="{54 + ROW * rows}" text-anchor="middle">{value:g} {unit}</text>')
        value = round(value + step, 6)
    return drawn


def _step(most: float) -> float:
    """About five lines, at round numbers."""
    size: float = 10.0 ** (len(str(int(most))) - 1) if most >= 1 else 0.1
    return next(step for step in (size / 5, size / 2, size, size * 2, size * 5) if most / step <= 6)


def _x(value: float, most: float) -> float:
    return round(LABELS + (WIDTH - LABELS - 70) * value / most, 1)


def _svg(drawn: Sequence[str], height: int) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, STYLE, *drawn, "</svg>"]) + "\n"


def draw(series: Mapping[str, Any], directory: Path) -> list[Path]:
    """Draws what was measured; gives the files."""
    pictures = {}
    for name, title in (
        ("single", "One Workspace: apply until Ready, beside docker run -d"),
        ("repair", "Repair: docker kill until it runs again, beside docker start"),
        ("spec_change", "Spec change: a new image until Ready, beside docker rm -f and docker run -d"),
    ):
        if name in series:
            pictures[name] = dots(title, "s", series[name])
    bursts = {key: value for key, value in series.items() if key.startswith("burst_") and key != "burst_parallel"}
    rows = {f"{key.removeprefix('burst_')}: {name}": v for key, sides in bursts.items() for name, v in sides.items()}
    if rows:
        pictures["burst"] = dots("Burst: Workspaces applied at once until all are Ready", "s", rows)
    if "beside" in series:
        rows = {f"{row}: {who}": values for row, sides in series["beside"].items() for who, values in sides.items()}
        pictures["beside"] = dots("Beside a plain operator (kopf and the Docker SDK)", "s", rows)
    if "scale" in series:
        costs = {f"{count} on {cost['hosts']} hosts": [cost["cpu_ms_each"]] for count, cost in series["scale"].items()}
        pictures["scale"] = dots("Scale: CPU of the controller for each Workspace made", "ms", costs)
    written = []
    for name, picture in pictures.items():
        path = directory / f"{name}.svg"
        path.write_text(picture)
        written.append(path)
    return written
