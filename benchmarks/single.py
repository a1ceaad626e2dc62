"""*single*, *repair*, *spec change*: one Workspace at a time, in turns with the Docker command that does the same."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime

from benchmarks.docker_side import DockerSide
from benchmarks.results import Figure, Results, median, percentile
from benchmarks.rig import Rig
from benchmarks.workspaces import new_names
from controller.engine.translate import parse_time

OTHER_IMAGE = "alpine:other"  # the same image under another name: what is measured isn't a pull
AFTERWARDS = 0.6  # seconds, in which the controller removes the old container and writes its Events


async def create(rig: Rig, side: DockerSide, results: Results, count: int) -> None:
    """Apply until Ready, against one `docker run -d`."""
    ours: list[float] = []
    docker: list[float] = []
    await rig.ours.warm()
    for number in range(count):
        (name,) = new_names(1)
        ours.append(await rig.ours.made([name]))
        await asyncio.sleep(AFTERWARDS)
        docker.append(await asyncio.to_thread(side.run_one, new_names(1, "d")[0]))
        if number % 25 == 24:
            await _clean(rig, side)
            await rig.ours.warm()
    await _clean(rig, side)
    results.series["single"] = {"controller": ours, "docker run": docker}
    note = f"controller p50 {_ms(median(ours))}, p99 {_ms(percentile(ours, 99))}; " + (
        f"docker run p50 {_ms(median(docker))}, p99 {_ms(percentile(docker, 99))}"
    )
    over = (median(ours) - median(docker)) * 1000
    tail = (percentile(ours, 99) - percentile(docker, 99)) * 1000
    results.add(
        Figure("single_p50_over_docker_run_ms", over, 60, "ms", note=note),
        Figure("single_p99_over_docker_run_ms", tail, 250, "ms"),
    )


async def repair(rig: Rig, side: DockerSide, results: Results, count: int) -> None:
    """`docker kill` until it runs again, against `docker start`: both from the request to the start of the new run.

    `docker start` has it easier: after a kill the engine takes the network apart first. So the third figure is the same
    work by hand, kill, wait and start with the SDK.
    """
    names = new_names(count)
    await rig.ours.made(names)
    mine = [rig.ours.container_of(name) for name in names]
    theirs = new_names(count, "d")
    await side.run(theirs, 4)
    ours: list[float] = []
    docker: list[float] = []
    by_hand: list[float] = []
    for container, other in zip(mine, theirs, strict=True):
        ours.append(await killed(rig, container))
        started, since_kill = await asyncio.to_thread(_started, rig, other)
        docker.append(started)
        by_hand.append(since_kill)
    await rig.ours.watcher.until_ready(names)
    await _clean(rig, side)
    results.series["repair"] = {"controller": ours, "docker start": docker, "kill, wait, start": by_hand}
    note = f"kill to running p50 {_ms(median(ours))}, worst {_ms(max(ours))}; docker start p50 {_ms(median(docker))}"
    hand = f"kill, wait and start with the SDK p50 {_ms(median(by_hand))}"
    results.add(
        Figure("repair_over_docker_start_ms", (median(ours) - median(docker)) * 1000, 100, "ms", note=note),
        Figure("repair_over_kill_wait_start_ms", (median(ours) - median(by_hand)) * 1000, 100, "ms", note=hand),
    )


async def change(rig: Rig, side: DockerSide, results: Results, count: int) -> None:
    """A new image until the new container is Ready, against `docker rm -f` and `docker run -d`."""
    await tag_other_image(rig)
    names, theirs = new_names(count), new_names(count, "d")
    await rig.ours.made(names)
    await side.run(theirs, 4)
    ours: list[float] = []
    docker: list[float] = []
    for name, other in zip(names, theirs, strict=True):
        ours.append(await rig.ours.changed(name, image=OTHER_IMAGE))
        await asyncio.sleep(AFTERWARDS)
        docker.append(await asyncio.to_thread(side.replace_one, other))
    await _clean(rig, side)
    results.series["spec_change"] = {"controller": ours, "docker rm + run": docker}
    note = f"controller p50 {_ms(median(ours))}, worst {_ms(max(ours))}; docker p50 {_ms(median(docker))}"
    ratio = median(ours) / median(docker)
    results.add(
        Figure("spec_change_over_docker", ratio, 1.25, "ratio", tuple(o / median(docker) for o in ours), note),
    )


async def tag_other_image(rig: Rig) -> None:
    """OTHER_IMAGE is there from now on."""
    await asyncio.to_thread(rig.engine.docker, "tag", "alpine:latest", OTHER_IMAGE)


async def killed(rig: Rig, container: str) -> float:
    """Kills it by hand; gives the seconds until it was started again, on the engine's clock."""
    return await asyncio.to_thread(_killed, rig, container)


def _killed(rig: Rig, container: str) -> float:
    """Waits for the engine's event: to ask it time and again would keep it from the container."""
    with closing(rig.engine.client()) as client:
        starts = client.events(filters={"container": container, "event": "start"})
        sent = datetime.now(UTC)
        client.kill(container)
        next(iter(starts))
    return (_start_time(rig, container) - sent).total_seconds()


def _started(rig: Rig, name: str) -> tuple[float, float]:
    """The seconds from the start and from the kill before it."""
    with closing(rig.engine.client()) as client:
        killed = datetime.now(UTC)
        client.kill(name)
        client.wait(name)
        sent = datetime.now(UTC)
        client.start(name)
        runs = _start_time(rig, name)
        return (runs - sent).total_seconds(), (runs - killed).total_seconds()


def _start_time(rig: Rig, container: str) -> datetime:
    with closing(rig.engine.client()) as client:
        started = parse_time(client.inspect_container(container)["State"]["StartedAt"])
    assert started is not None
    return started


async def _clean(rig: Rig, side: DockerSide) -> None:
    await rig.ours.remove_all()
    await side.remove_all()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
