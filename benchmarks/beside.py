"""*beside another operator*: the same work with the controller and with a plain kopf operator, in turns.

Same API server, engine, containers and clock, and the same schema under two API groups, so that both can be there all
the time: one sample of each after the other, and each of them is first every second time. A row's figure is the median
of the ratios of such pairs. The other one is `reference_operator.py`; it has timers, which rest while the controller
works. (The controller has none for each Workspace.)
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from benchmarks.docker_side import DockerSide
from benchmarks.results import Figure, Results, median, median_lies_in, say
from benchmarks.rig import Rig
from benchmarks.single import OTHER_IMAGE, killed, tag_other_image
from benchmarks.workspaces import NAMESPACE, Workspaces, new_names
from controller.api import GROUP
from devcluster import Process
from devcluster.paths import REPOSITORY

ROWS = ("single", "repair", "spec_change", "burst")
ONE_AT_A_TIME = 15  # pairs of singles and spec changes in a round
REPAIRS = 2  # the other side needs seconds for each
BURSTS = 3
BURST = 30
QUIET = 0.7  # seconds without a change before each sample; Events of one Workspace are written by then
OTHER_GROUP = "plain.bench"


class Pairs:
    """What both have taken for the same work, in seconds, one after the other."""

    def __init__(self, rig: Rig, theirs: Workspaces, their_process: Process) -> None:
        self._rig, self._their_process = rig, their_process
        self.sides = {"controller": rig.ours, "plain operator": theirs}
        self.seconds: dict[str, dict[str, list[float]]] = {row: {who: [] for who in self.sides} for row in ROWS}
        self._taken = 0

    async def take(
        self,
        row: str,
        work: Callable[[Workspaces], Awaitable[float]],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """One sample of each, each after `before`: by default, when nothing of the one before is under way."""
        self._taken += 1
        for who, side in list(self.sides.items())[:: 1 if self._taken % 2 else -1]:
            await (before or self._quiet)()
            self.seconds[row][who].append(await self._alone(side, work))

    async def afresh(self) -> None:
        """Nothing is there but one of each, and no Event is left to write: 30 that still run make the next slower."""
        for side in self.sides.values():
            await side.remove_all()
            await side.warm()
        await self._rig.settled()

    async def _quiet(self) -> None:
        await asyncio.gather(*(side.watcher.quiet(QUIET) for side in self.sides.values()))

    async def _alone(self, side: Workspaces, work: Callable[[Workspaces], Awaitable[float]]) -> float:
        if side is self.sides["controller"]:
            self._their_process.pause()
        try:
            return await work(side)
        finally:
            self._their_process.resume()

    def ratios(self, row: str) -> tuple[float, ...]:
        """Of each pair."""
        ours, theirs = self.seconds[row].values()
        return tuple(our / their for our, their in zip(ours, theirs, strict=True))

    def figure(self, row: str) -> Figure:
        """The median of the ratios, and how many pairs of all the controller was ahead in."""
        ratios = self.ratios(row)
        ahead = sum(ratio < 1 for ratio in ratios)
        medians = ", ".join(f"{who} {median(taken):.3f} s" for who, taken in self.seconds[row].items())
        low, high = median_lies_in(ratios)
        note = f"{medians}; ahead in {ahead} of {len(ratios)} pairs; 95 % interval {low:.3f} to {high:.3f}"
        return Figure(f"beside_operator_{row}", median(ratios), 1, "ratio", ratios, note)


async def run(rig: Rig, side: DockerSide, results: Results, rounds: int) -> None:
    """So many rounds of each row."""
    await tag_other_image(rig)
    async with _reference(rig, side) as (theirs, process):
        pairs = Pairs(rig, theirs, process)
        for number in range(1, rounds + 1):
            await _round(rig, pairs)
            told = ", ".join(f"{row} {median(pairs.ratios(row)):.3f}" for row in ROWS)
            say(f"  after round {number} of {rounds}: {told}")
        await asyncio.gather(*(side.remove_all() for side in pairs.sides.values()))
    results.add(*map(pairs.figure, ROWS))
    results.series["beside"] = pairs.seconds


async def _round(rig: Rig, pairs: Pairs) -> None:
    await pairs.afresh()
    for number in range(ONE_AT_A_TIME):
        await _one(rig, pairs, with_repair=number < REPAIRS)
    for _ in range(BURSTS):
        await pairs.take("burst", lambda side: side.made(new_names(BURST)), pairs.afresh)


async def _one(rig: Rig, pairs: Pairs, *, with_repair: bool) -> None:
    names = new_names(1)
    await pairs.take("single", lambda side: side.made(names))
    if with_repair:
        await pairs.take("repair", lambda side: _repaired(rig, side, names[0]))
    await pairs.take("spec_change", lambda side: side.changed(names[0], image=OTHER_IMAGE))


async def _repaired(rig: Rig, side: Workspaces, name: str) -> float:
    seconds = await killed(rig, side.container_of(name))
    await side.watcher.until(lambda seen: seen[name].status.get("restartCount") == 1)
    return seconds


@asynccontextmanager
async def _reference(rig: Rig, side: DockerSide) -> AsyncIterator[tuple[Workspaces, Process]]:
    """The Workspaces of the plain operator, and its process."""
    await asyncio.to_thread(_declare, rig)
    body = rig.directory / "body.json"
    body.write_text(json.dumps(side.body))
    file = str(REPOSITORY / "benchmarks" / "reference_operator.py")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", NAMESPACE, file]
    env = {
        "KUBECONFIG": str(rig.controller_kubeconfig),
        "BENCH_GROUP": OTHER_GROUP,
        "BENCH_BODY": str(body),
        "DOCKER_HOST": rig.engine.endpoint,
    }
    process = Process("reference", command, rig.directory, env=env, cwd=REPOSITORY)
    process.start()
    theirs = Workspaces(rig.client, OTHER_GROUP)
    watching = asyncio.create_task(theirs.watcher.run())
    try:
        await theirs.warm()  # it is at work
        yield theirs, process
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.to_thread(process.stop)


def _declare(rig: Rig) -> None:
    """The same schema for the other group."""
    copy = (REPOSITORY / "crds" / "workspaces.yaml").read_text().replace(GROUP, OTHER_GROUP)
    rig.cluster.kubectl("apply", "--server-side", "-f", "-", stdin=copy)
    rig.cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/workspaces.{OTHER_GROUP}")
