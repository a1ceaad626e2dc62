"""`python -m benchmarks`: measures, shows a table, writes JSON and pictures. Nothing here is a test."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import beside, burst, cost, figures, simulated, single
from benchmarks.docker_side import DockerSide
from benchmarks.results import Results, say
from benchmarks.rig import Rig, rig
from benchmarks.workspaces import new_names


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    single: int  # Workspaces, one at a time
    repair: int
    change: int
    cost: int
    burst: dict[int, int]  # rounds for each number of Workspaces
    beside: int  # rounds
    steady: int  # Workspaces at rest
    scale: dict[int, int]  # hosts for each number of Workspaces


SIZES = {
    "quick": Size(10, 4, 4, 5, {20: 1}, 1, 100, {20: 1, 60: 3}),
    "normal": Size(100, 15, 15, 10, {50: 3, 200: 1}, 5, 1000, {100: 1, 1000: 10}),
    "full": Size(100, 50, 30, 50, {50: 5, 200: 3}, 8, 1000, {100: 1, 1000: 10, 10000: 100}),
}
USUAL = ("single", "repair", "change", "cost", "burst", "steady", "scale")
ALL = (*USUAL, "beside")  # only where asked for: it takes as long as the others, for two operators differ by little


async def main(arguments: argparse.Namespace) -> Results:
    """Runs what was asked for."""
    results = Results()
    wanted = arguments.only.split(",") if arguments.only else list(USUAL)
    async with rig() as made:
        await _run(made, results, wanted, SIZES[arguments.size])
    return results


async def _run(made: Rig, results: Results, wanted: list[str], size: Size) -> None:
    model = await _model(made)
    side = DockerSide(made.engine, model)
    answers = simulated.real_answers(made, model)
    parts: dict[str, tuple[str, Callable[[], Awaitable[None]]]] = {
        "single": ("apply until Ready, one at a time", lambda: single.create(made, side, results, size.single)),
        "repair": ("docker kill until it runs again", lambda: single.repair(made, side, results, size.repair)),
        "change": ("a new image until Ready", lambda: single.change(made, side, results, size.change)),
        "cost": ("for one Workspace", lambda: cost.run(made, results, size.cost)),
        "burst": ("many Workspaces at once", lambda: burst.run(made, side, results, size.burst)),
        "beside": ("a plain operator, with kopf and the SDK", lambda: beside.run(made, side, results, size.beside)),
        "steady": ("nothing changes", lambda: simulated.steady(made, answers, results, size.steady)),
        "scale": ("simulated hosts, 20 ms away", lambda: simulated.scale(made, answers, results, size.scale)),
    }
    for name in wanted:
        title, part = parts[name]
        say(f"{name}: {title}")
        began = time.monotonic()
        try:
            await part()
        except Exception:  # the other parts are worth having
            results.failed.append(name)
            say(f"  {name} failed:\n{traceback.format_exc()}")
        say(f"  {name} took {time.monotonic() - began:.0f} s")


async def _model(made: Rig) -> dict[str, Any]:
    """What a container of ours looks like."""
    names = new_names(1)
    await made.ours.made(names)
    with closing(made.engine.client()) as client:
        model: dict[str, Any] = client.inspect_container(made.ours.container_of(names[0]))
    await made.ours.remove_all()
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {','.join(ALL)}")
    parser.add_argument("--size", choices=SIZES, default="normal", help="how much is measured")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="directory of results.json")
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    measured = asyncio.run(main(given))
    given.out.mkdir(parents=True, exist_ok=True)
    measured.write(given.out / "results.json")
    figures.draw(measured.series, given.out)
    say("\n" + measured.table() + "\n")
    say(measured.lines())
    if measured.failed:
        sys.exit(f"failed: {', '.join(measured.failed)}")
