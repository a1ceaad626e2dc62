"""*burst*: N Workspaces applied at once until all are Ready, beside `docker run -d` and the SDK for the same N."""

from __future__ import annotations

from benchmarks.docker_side import DockerSide
from benchmarks.results import Figure, Results, median, say
from benchmarks.rig import Rig

PARALLEL = (1, 2, 4, 8, 16)


async def run(rig: Rig, side: DockerSide, results: Results, sizes: dict[int, int]) -> None:
    """{Workspaces: rounds}. The smallest burst finds the best parallelism of `docker run`, then all take turns."""
    least = min(sizes)
    sweep = {parallel: await _docker(rig, side, least, parallel) for parallel in PARALLEL}
    best = min(sweep, key=lambda parallel: sweep[parallel])
    say(f"  docker run -d of {least}: " + ", ".join(f"{s:.1f} s with {p}" for p, s in sweep.items()))
    results.series["burst_parallel"] = {str(parallel): seconds for parallel, seconds in sweep.items()}
    for size, rounds in sizes.items():
        await _turns(rig, side, results, size, rounds, best, [sweep[best]] if size == least else [])


async def _turns(
    rig: Rig, side: DockerSide, results: Results, size: int, rounds: int, best: int, docker: list[float]
) -> None:
    ours: list[float] = []
    sdk: list[float] = []
    for _ in range(rounds):
        ours.append(await _ours(rig, size))
        docker.append(await _docker(rig, side, size, best))
        sdk.append(await _sdk(rig, side, size, best))
    seconds = {"controller": ours, "docker run": docker, "sdk": sdk}
    results.series[f"burst_{size}"] = seconds
    note = ", ".join(
        f"{name} {median(times):.2f} s ({min(times):.2f} to {max(times):.2f})" for name, times in seconds.items()
    )
    base = median(docker)
    spread = tuple(o / base for o in ours)
    results.add(
        Figure(
            f"burst_{size}_over_docker_run", median(ours) / base, 1.10, "ratio", spread, f"{note}; {best} in parallel"
        ),
        Figure(
            f"burst_{size}_over_sdk", median(ours) / median(sdk), 1.10, "ratio", tuple(o / median(sdk) for o in ours)
        ),
    )


async def _ours(rig: Rig, size: int) -> float:
    await rig.warm()
    names = rig.names(size)
    began = await rig.create(names)
    seconds = await rig.watcher.until_ready(names) - began
    await rig.remove_all()
    return seconds


async def _docker(rig: Rig, side: DockerSide, size: int, parallel: int) -> float:
    seconds = await side.run(rig.names(size, "d"), parallel)
    await side.remove_all()
    return seconds


async def _sdk(rig: Rig, side: DockerSide, size: int, parallel: int) -> float:
    seconds = await side.sdk(rig.names(size, "s"), parallel)
    await side.remove_all()
    return seconds
