"""*cost per workspace*: requests to the API server, calls to Docker and CPU time for a create, a repair, a delete.

Requests are counted by the API server's audit log, calls by the engine's own log: nobody asks the controller.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass

from benchmarks.results import Figure, Results, say
from benchmarks.rig import Rig
from benchmarks.workspaces import new_names

WRITES = frozenset({"create", "update", "patch", "delete"})
# What happens by the clock, however many Workspaces change: told under steady state.
CLOCKWORK = frozenset({"GET /containers/json", "GET /networks", "GET /events", "GET /_ping"})
PER_HOST = frozenset({"dockerhosts", "dockerhosts/status"})


@dataclass(frozen=True, slots=True)
class Cost:
    """What `count` Workspaces have cost together."""

    count: int
    requests: Counter[tuple[str, str]]
    calls: Counter[str]
    cpu_seconds: float

    def writes(self) -> float:
        """Writes for one Workspace, Events and DockerHosts aside."""
        kept = (n for (verb, what), n in self.requests.items() if verb in WRITES and what not in {"events", *PER_HOST})
        return sum(kept) / self.count

    def reads(self) -> float:
        """Reads for one Workspace; lists and watches of everything aside."""
        return sum(n for (verb, _), n in self.requests.items() if verb == "get") / self.count

    def events(self) -> float:
        """Events written for one Workspace."""
        return sum(n for (_, what), n in self.requests.items() if what == "events") / self.count

    def docker(self) -> float:
        """Calls to Docker for one Workspace."""
        return sum(n for call, n in self.calls.items() if call not in CLOCKWORK) / self.count

    def cpu_ms(self) -> float:
        """Milliseconds of the controller's CPU for one Workspace."""
        return self.cpu_seconds / self.count * 1000

    def __str__(self) -> str:
        calls = ", ".join(f"{n / self.count:.3g} {c}" for c, n in self.calls.most_common() if c not in CLOCKWORK)
        requests = ", ".join(f"{n / self.count:.3g} {' '.join(what)}" for what, n in self.requests.most_common())
        return f"{self.cpu_ms():.0f} ms of CPU; Docker: {calls}; API server: {requests}"


async def run(rig: Rig, results: Results, count: int) -> None:
    """Creates, kills and deletes `count` Workspaces at a time."""
    await rig.ours.warm()
    rig.log_calls(True)
    names = new_names(count)
    created = await _measured(rig, count, lambda: rig.ours.made(names))
    processes = _processes(rig, names)
    repaired = await _measured(rig, count, lambda: _kill(rig, names, processes))
    deleted = await _measured(rig, count + 1, rig.ours.remove_all)
    rig.log_calls(False)
    for name, cost in (("create", created), ("repair", repaired), ("delete", deleted)):
        say(f"  {name}: {cost}")
        results.series[f"cost_{name}"] = {
            "writes": cost.writes(),
            "reads": cost.reads(),
            "events": cost.events(),
            "docker": cost.docker(),
            "cpu_ms": cost.cpu_ms(),
        }
    results.add(
        Figure("create_api_writes", created.writes(), 3, "writes, Events aside"),
        Figure("create_api_reads", created.reads(), 1, "reads"),
        Figure("create_docker_calls", created.docker(), 4, "calls"),
        Figure("create_cpu_ms", created.cpu_ms(), 50, "ms"),
        Figure("repair_api_writes", repaired.writes(), 1, "writes, Events aside"),
        Figure("repair_docker_calls", repaired.docker(), 4, "calls"),
        Figure("repair_cpu_ms", repaired.cpu_ms(), 50, "ms"),
        Figure("delete_api_writes", deleted.writes(), 2, "writes, Events aside"),
        Figure("delete_docker_calls", deleted.docker(), 6, "calls"),
        Figure("delete_cpu_ms", deleted.cpu_ms(), 50, "ms"),
    )


async def _measured(rig: Rig, count: int, work: Callable[[], Awaitable[object]]) -> Cost:
    requests, calls, cpu = rig.audit(), rig.docker_calls(), rig.controller.cpu_seconds()
    await work()
    await asyncio.sleep(6)  # Events are written behind, and counts of the host every 5 s
    return Cost(count, rig.audit() - requests, rig.docker_calls() - calls, rig.controller.cpu_seconds() - cpu)


def _processes(rig: Rig, names: list[str]) -> list[int]:
    """The containers' init processes."""
    with closing(rig.engine.client()) as client:
        containers = map(rig.ours.container_of, names)
        return [int(client.inspect_container(container)["State"]["Pid"]) for container in containers]


async def _kill(rig: Rig, names: list[str], processes: list[int]) -> None:
    """By the kernel, so that no call to the engine is ours."""
    for process in processes:
        os.kill(process, signal.SIGKILL)
    await rig.ours.watcher.until(lambda seen: all(seen[name].status.get("restartCount") == 1 for name in names))
    await rig.ours.watcher.until_ready(names)
