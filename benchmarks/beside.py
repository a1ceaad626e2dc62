"""*beside another operator*: the same work with the controller and with a plain kopf operator, in turns.

Same API server, engine, containers and clock. The other one is `reference_operator.py`; while one works, the other one
doesn't run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.docker_side import DockerSide
from benchmarks.results import Figure, Results, median, say
from benchmarks.rig import NAMESPACE, Controller, Rig
from benchmarks.single import changed, container_of, killed, tag_other_image
from devcluster import Process
from devcluster.paths import REPOSITORY

ROWS = ("single", "repair", "spec_change", "burst")
ONE_AT_A_TIME = 6  # singles and spec changes in a round
REPAIRS = 2  # the other side needs seconds for each
BURST = 30


async def run(rig: Rig, side: DockerSide, results: Results, rounds: int) -> None:
    """So many rounds of each, in turns; each row's median beside the other's."""
    seconds: dict[str, dict[str, list[float]]] = {row: {"controller": [], "plain operator": []} for row in ROWS}
    await tag_other_image(rig)
    for number in range(rounds):
        await _work(rig, seconds, "controller")
        await asyncio.to_thread(rig.controller.process.stop)
        async with _reference(rig, side):
            await _work(rig, seconds, "plain operator")
        rig.controller = Controller(rig.controller_kubeconfig, rig.directory, number=10 + number)
        await rig.controller.start()
    for row, sides in seconds.items():
        ours, theirs = sides["controller"], sides["plain operator"]
        note = f"controller {median(ours):.2f} s, plain operator {median(theirs):.2f} s"
        results.add(Figure(f"beside_operator_{row}", median(ours) / median(theirs), 1, "ratio", note=note))
    results.series["beside"] = seconds


async def _work(rig: Rig, seconds: dict[str, dict[str, list[float]]], who: str) -> None:
    await rig.warm()
    for number in range(ONE_AT_A_TIME):
        (name,) = rig.names(1)
        began = await rig.create([name])
        seconds["single"][who].append(await rig.watcher.until_ready([name]) - began)
        await rig.watcher.quiet(1.0)  # nothing may still be under way when its container is killed
        if number < REPAIRS:
            seconds["repair"][who].append(await killed(rig, container_of(rig, name)))
            await rig.watcher.until(lambda seen, name=name: seen[name].status.get("restartCount") == 1)  # type: ignore[misc]
            await rig.watcher.quiet(1.0)
        seconds["spec_change"][who].append(await changed(rig, name))
        await rig.watcher.quiet(1.0)
    names = rig.names(BURST)
    began = await rig.create(names)
    seconds["burst"][who].append(await rig.watcher.until_ready(names) - began)
    say(f"  {who}: " + ", ".join(f"{row} {median(sides[who]):.2f} s" for row, sides in seconds.items()))
    await rig.remove_all()


@asynccontextmanager
async def _reference(rig: Rig, side: DockerSide) -> AsyncIterator[None]:
    """The plain operator as a process of its own."""
    body = rig.directory / "body.json"
    body.write_text(json.dumps(side.body))
    file = str(REPOSITORY / "benchmarks" / "reference_operator.py")
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", NAMESPACE, file]
    env = {"KUBECONFIG": str(rig.controller_kubeconfig), "BENCH_BODY": str(body), "DOCKER_HOST": rig.engine.endpoint}
    process = Process(f"reference-{time.monotonic_ns()}", command, rig.directory, env=env, cwd=REPOSITORY)
    process.start()
    try:
        await rig.warm()  # it is at work
        await rig.remove_all()
        yield
    finally:
        await asyncio.to_thread(process.stop)
