"""`python -m benchmarks`: measures, shows a table, writes JSON and pictures. Nothing here is a test."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import burst, cost, figures, simulated, single
from benchmarks.docker_side import DockerSide
from benchmarks.results import Results, say
from benchmarks.rig import Rig, rig


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    single: int  # Workspaces, one at a time
    repair: int
    change: int
    cost: int
    burst: dict[int, int]  # rounds for each number of Workspaces
    steady: int  # Workspaces at rest
    scale: dict[int, int]  # hosts for each number of Workspaces


SIZES = {
    "quick": Size(10, 4, 4, 5, {20: 1}, 100, {20: 1, 60: 3}),
    "normal": Size(60, 20, 15, 20, {50: 3, 200: 1}, 1000, {100: 1, 1000: 10}),
    "full": Size(100, 50, 30, 50, {50: 5, 200: 3}, 1000, {100: 1, 1000: 10, 10000: 100}),
}
ALL = ("single", "repair", "change", "cost", "burst", "steady", "scale")


async def main(arguments: argparse.Namespace) -> Results:
    """Runs what was asked for."""
    results = Results()
    wanted = arguments.only.split(",") if arguments.only else list(ALL)
    async with rig() as made:
        await _run(made, results, wanted, SIZES[arguments.size])
    return results


async def _run(made: Rig, results: Results, wanted: list[str], size: Size) -> None:
    model = await _model(made)
    side = DockerSide(made.engine, model)
    if "single" in wanted:
        say("single: apply until Ready, one at a time")
        await single.create(made, side, results, size.single)
    if "repair" in wanted:
        say("repair: docker kill until it runs again")
        await single.repair(made, side, results, size.repair)
    if "change" in wanted:
        say("spec change: a new image until Ready")
        await single.change(made, side, results, size.change)
    if "cost" in wanted:
        say("cost per Workspace")
        await cost.run(made, results, size.cost)
    if "burst" in wanted:
        say("burst: many Workspaces at once")
        await burst.run(made, side, results, size.burst)
    answers = simulated.real_answers(made, model)
    if "steady" in wanted:
        say("steady state: nothing changes")
        await simulated.steady(made, answers, results, size.steady)
    if "scale" in wanted:
        say("scale: simulated hosts with 20 ms latency")
        await simulated.scale(made, answers, results, size.scale)


async def _model(made: Rig) -> dict[str, Any]:
    """What a container of ours looks like."""
    names = made.names(1)
    await made.create(names)
    await made.watcher.until_ready(names)
    with closing(made.engine.client()) as client:
        model: dict[str, Any] = client.inspect_container(made.watcher.seen[names[0]].status["containerID"])
    await made.remove_all()
    return model


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help=f"some of {','.join(ALL)}")
    parser.add_argument("--size", choices=SIZES, default="normal", help="how much: normal takes about 10 minutes")
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
