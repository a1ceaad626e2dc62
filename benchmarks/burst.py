"""*burst*: N Workspaces applied at once until all are Ready, beside `docker run -d` and the SDK for the same N."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from benchmarks import processors
from benchmarks.docker_side import DockerSide
from benchmarks.results import Figure, Results, median, say
from benchmarks.rig import Rig
from benchmarks.workspaces import new_names

PARALLEL = (1, 2, 4, 8, 16)
TRIED = 24  # containers with each


@dataclass(slots=True)
class Side:
    """One of those that take turns: the seconds of each round, and the CPU seconds of all of them together."""

    seconds: list[float] = field(default_factory=list)
    cpu: Counter[str] = field(default_factory=Counter)
    later: Counter[str] = field(default_factory=Counter)  # CPU seconds afterwards, while the controller writes Events

    async def make(self, rig: Rig, work: Callable[[], Awaitable[float]]) -> None:
        """One round; `work` gives its seconds."""
        before = rig.cpu()
        self.seconds.append(await work())
        self.cpu += rig.cpu() - before

    def cpu_each(self, size: int) -> dict[str, float]:
        """Milliseconds of CPU for each container, by part."""
        made = size * len(self.seconds)
        return {part: seconds / made * 1000 for part, seconds in self.cpu.items()}

    def __str__(self) -> str:
        return f"{median(self.seconds):.2f} s ({min(self.seconds):.2f} to {max(self.seconds):.2f})"


async def run(rig: Rig, side: DockerSide, results: Results, sizes: dict[int, int]) -> None:
    """{Workspaces: rounds}. Small bursts find the best parallelism of `docker run` (the luckiest of those runs, which
    don't count), then all take turns."""
    sweep: dict[int, Side] = {parallel: Side() for parallel in PARALLEL}
    for parallel, tried in sweep.items():
        await _docker(rig, side, tried, TRIED, parallel)
    best = min(sweep, key=lambda parallel: sweep[parallel].seconds)
    told = ", ".join(f"{tried.seconds[0]:.1f} s with {parallel}" for parallel, tried in sweep.items())
    say(f"  docker run -d of {TRIED}: {told}")
    results.series["burst_parallel"] = {str(parallel): tried.seconds[0] for parallel, tried in sweep.items()}
    for size, rounds in sizes.items():
        await _turns(rig, side, results, size, rounds, best)


async def _turns(rig: Rig, side: DockerSide, results: Results, size: int, rounds: int, best: int) -> None:
    ours, docker, sdk = Side(), Side(), Side()
    turns: list[Callable[[], Awaitable[None]]] = [
        lambda: _ours(rig, ours, size),
        lambda: _docker(rig, side, docker, size, best),
        lambda: _sdk(rig, side, sdk, size, best),
    ]
    for number in range(rounds):
        first = number % len(turns)  # each is first once: what one leaves the kernel to do may fall into the next
        for turn in (*turns[first:], *turns[:first]):
            await turn()
    sides = {"controller": ours, "docker run": docker, "sdk": sdk}
    results.series[f"burst_{size}"] = {name: taken.seconds for name, taken in sides.items()}
    results.series[f"cpu_ms_of_burst_{size}"] = {name: taken.cpu_each(size) for name, taken in sides.items()}
    _say_cpu(sides, size)
    note = ", ".join(f"{name} {taken}" for name, taken in sides.items()) + f"; {best} in parallel"
    results.add(
        _over(f"burst_{size}_over_docker_run", ours, docker, note),
        _over(f"burst_{size}_over_sdk", ours, sdk),
    )


def _over(name: str, ours: Side, theirs: Side, note: str = "") -> Figure:
    base = median(theirs.seconds)
    return Figure(name, median(ours.seconds) / base, 1.10, "ratio", tuple(s / base for s in ours.seconds), note)


def _say_cpu(sides: dict[str, Side], size: int) -> None:
    """What the machine's cores did for each container: on cores that are hardly ever idle, the times follow from it."""
    each = {name: taken.cpu_each(size) for name, taken in sides.items()}
    ours = {part: ms for part, ms in each["controller"].items() if part != processors.ALL}
    parts = ", ".join(f"{part} {ms:.0f}" for part, ms in ours.items())
    totals = ", ".join(f"{name} {cpu[processors.ALL]:.0f}" for name, cpu in each.items())
    events = sides["controller"].later[processors.ALL] / size / len(sides["controller"].seconds) * 1000
    say(f"  CPU of the machine for each of {size}, in ms: {totals}")
    say(f"  in the controller's: {parts}; afterwards, for Events, {events:.0f}")


async def _ours(rig: Rig, ours: Side, size: int) -> None:
    await rig.ours.warm()
    await ours.make(rig, lambda: rig.ours.made(new_names(size)))
    made = rig.cpu()
    await rig.settled()
    ours.later += rig.cpu() - made
    await rig.ours.remove_all()
    await rig.settled()


async def _docker(rig: Rig, side: DockerSide, docker: Side, size: int, parallel: int) -> None:
    await docker.make(rig, lambda: side.run(new_names(size, "d"), parallel))
    await side.remove_all()


async def _sdk(rig: Rig, side: DockerSide, sdk: Side, size: int, parallel: int) -> None:
    await sdk.make(rig, lambda: side.sdk(new_names(size, "s"), parallel))
    await side.remove_all()
