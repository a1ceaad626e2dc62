"""*steady state* and *scale*: the real controller and API server, with simulated Docker hosts of 20 ms latency."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.results import Figure, Results, median, percentile, say
from benchmarks.rig import Controller, Rig, dockerhost, sum_of
from benchmarks.workspaces import new_names, workspace
from controller.kube import KINDS
from devcluster import Process
from devcluster.paths import REPOSITORY
from tests.waiting import eventually_async

LATENCY = 0.02  # seconds, of each call to a simulated host
WINDOW = 60.0  # seconds of steady state
HANG_ONES = 120  # Workspaces one after the other: 15 s and more, so that the hung host becomes Unknown meanwhile
HANG_ASKED = 30  # Workspaces that are asked of the host that hangs
CALLS = "http://host/calls"


@dataclass(slots=True)
class Hosts:
    """Simulated hosts, all served by one process."""

    names: list[str]
    sockets: dict[str, Path]

    async def calls(self) -> Counter[str]:
        """What all of them were asked."""
        total: Counter[str] = Counter()
        for socket in self.sockets.values():
            connector = aiohttp.UnixConnector(str(socket))
            async with aiohttp.ClientSession(connector=connector) as session, session.get(CALLS) as answer:
                total.update(await answer.json())
        return total

    async def hang(self, name: str) -> None:
        """This one accepts calls from now on and never answers."""
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.sockets[name]))) as session:
            await session.post("http://host/hang")


@asynccontextmanager
async def simulated(rig: Rig, model: dict[str, Any], count: int) -> AsyncIterator[Hosts]:
    """So many hosts, declared as DockerHosts."""
    run = Path("/run/devcluster") / f"sim-{rig.directory.parent.name[-6:]}-{count}"
    run.mkdir(parents=True, exist_ok=True)
    names = [f"sim-{count}-{index}" for index in range(count)]
    sockets = {name: run / f"{name}.sock" for name in names}
    file = rig.directory / "model.json"
    file.write_text(json.dumps(model))
    command = [sys.executable, "-m", "benchmarks.simulated_dockerd", str(file), str(LATENCY)]
    process = Process(f"simulated-{count}", [*command, *map(str, sockets.values())], rig.directory, cwd=REPOSITORY)
    process.start()
    try:
        await eventually_async(lambda: all(socket.exists() for socket in sockets.values()))
        for name, socket in sockets.items():
            await rig.client.create(KINDS["DockerHost"](dockerhost(f"unix://{socket}", name)))
        yield Hosts(names, sockets)
    finally:
        for name in names:
            await rig.client.delete(KINDS["DockerHost"], name)
        process.stop()
        for socket in sockets.values():
            socket.unlink(missing_ok=True)
        run.rmdir()


def real_answers(rig: Rig, model: dict[str, Any]) -> dict[str, Any]:
    """What a real engine says of a container of ours: the templates of the simulated ones."""
    with closing(rig.engine.client()) as client:
        image = client.inspect_image("alpine:latest")  # type: ignore[no-untyped-call]
        row = {
            "Image": model["Config"]["Image"],
            "ImageID": model["Image"],
            "Command": "sleep infinity",
            "Created": 1700000000,
            "Ports": [],
            "Mounts": model["Mounts"],
            "HostConfig": {"NetworkMode": model["HostConfig"]["NetworkMode"]},
            "NetworkSettings": {"Networks": model["NetworkSettings"]["Networks"]},
        }
    return {"inspect": model, "row": row, "image": image}


async def steady(rig: Rig, model: dict[str, Any], results: Results, count: int) -> None:
    """A converged system at rest for a minute, then a restart of the controller."""
    async with rig.without_engine(), simulated(rig, model, 1) as hosts:
        rss = rig.controller.rss_bytes()
        took = await _fill(rig, hosts, count)
        say(f"  {count} Workspaces Ready in {took:.1f} s")
        await rig.settled()
        await _at_rest(rig, hosts, results, count, rss)
        await _restart(rig, hosts, results, count)
        await rig.ours.remove_all()


def _writes(requests: Counter[tuple[str, str]]) -> int:
    return sum(n for (verb, _), n in requests.items() if verb not in ("get", "list", "watch"))


async def _at_rest(rig: Rig, hosts: Hosts, results: Results, count: int, rss_before: int) -> None:
    requests, calls, cpu = rig.audit(), await hosts.calls(), rig.controller.cpu_seconds()
    await asyncio.sleep(WINDOW)
    requests, calls = rig.audit() - requests, await hosts.calls() - calls
    share = (rig.controller.cpu_seconds() - cpu) / WINDOW * 100
    rss = rig.controller.rss_bytes()
    writes = _writes(requests)
    changing = sum(n for call, n in calls.items() if not call.startswith("GET"))
    inspects = sum(n for call, n in calls.items() if "{id}" in call)
    results.series["steady"] = {
        "api": {" ".join(what): n for what, n in requests.items()},
        "docker": dict(calls),
        "seconds": WINDOW,
    }
    told = ", ".join(f"{n} {' '.join(what)}" for what, n in requests.most_common())
    note = f"in {WINDOW:.0f} s: API server {told}; Docker {dict(calls)}"
    results.add(
        Figure("steady_cpu_percent_of_a_core", share, 0.5, "%", note=note),
        Figure("steady_rss_mb", rss / 1e6, _memory_goal(count), "MB", note=f"{rss_before / 1e6:.0f} MB when empty"),
        Figure("steady_api_writes", writes, 0, "writes"),
        Figure("steady_docker_changes", changing, 0, "calls"),
        Figure("steady_docker_inspects", inspects, 0, "calls"),
    )


async def _restart(rig: Rig, hosts: Hosts, results: Results, count: int) -> None:
    """From the start of the process until it leads, knows its host and has looked at each Workspace."""
    await asyncio.to_thread(rig.controller.process.stop)
    requests, calls = rig.audit(), await hosts.calls()
    rig.controller = Controller(rig.controller_kubeconfig, rig.directory, number=1)
    began = time.monotonic()
    rig.controller.process.start()
    seconds = await _in_charge(rig, count) - began
    cpu = rig.controller.cpu_seconds()
    lists = {what[1]: n for what, n in (rig.audit() - requests).items() if what[0] == "list"}
    of_host = (await hosts.calls() - calls)["GET /containers/json"]
    await asyncio.sleep(10)
    requests, calls = rig.audit() - requests, await hosts.calls() - calls
    rss = rig.controller.rss_bytes()
    writes = {" ".join(what): n for what, n in requests.items() if what[0] not in ("get", "list", "watch")}
    note = f"lists {lists}; Docker {dict(calls)}; writes {writes or 'none'}"
    results.series["restart"] = {
        "seconds": seconds,
        "cpu": cpu,
        "lists": lists,
        "docker": dict(calls),
        "writes": writes,
    }
    results.add(
        Figure("restart_in_charge_s", seconds, 5, "s", note=note),
        Figure("restart_cpu_s", cpu, 5, "s"),
        Figure("restart_api_writes", sum(writes.values()), 0, "writes"),
        Figure("restart_lists_of_a_kind", max(lists.values(), default=0), 1, "lists"),
        Figure("restart_lists_of_the_host", of_host, 2, "lists", note="the first one; the next comes after 4 s"),
        Figure("restart_rss_mb", rss / 1e6, _memory_goal(count), "MB"),
        Figure("restart_docker_changes", sum(n for c, n in calls.items() if not c.startswith("GET")), 0, "calls"),
    )


async def _in_charge(rig: Rig, count: int) -> float:
    """When it leads, its hosts are known and each Workspace was looked at."""
    async with asyncio.timeout(300):
        while True:
            text = await rig.controller.metrics() if await rig.controller.ready() else ""
            looked = sum_of(text, "workspace_controller_reconcile_duration_seconds_count")
            known = sum_of(text, "workspace_controller_host_containers") >= count
            if known and looked >= count and sum_of(text, "workspace_controller_queue_depth") == 0:
                return time.monotonic()
            await asyncio.sleep(0.25)  # each look is work for it too


async def scale(rig: Rig, model: dict[str, Any], results: Results, sizes: dict[int, int]) -> None:
    """{Workspaces: hosts}: the whole from nothing to all Ready, CPU for each, then one more while a host hangs."""
    costs: dict[str, Any] = {}
    for count, host_count in sizes.items():
        async with simulated(rig, model, host_count) as hosts:
            cpu = rig.controller.cpu_seconds()
            took = await _fill(rig, hosts, count)
            each = (rig.controller.cpu_seconds() - cpu) / count * 1000
            one = await _ones(rig, hosts.names[0], 20)
            rss = rig.controller.rss_bytes() / 1e6
            costs[str(count)] = {
                "hosts": host_count,
                "seconds": took,
                "cpu_ms_each": each,
                "one_more_s": one,
                "rss_mb": rss,
            }
            say(
                f"  {count} on {host_count} hosts: Ready in {took:.1f} s, {each:.1f} ms of CPU each; "
                f"one more p50 {median(one) * 1000:.0f} ms; {rss:.0f} MB"
            )
            if count == max(sizes) and host_count > 1:
                await _hang(rig, hosts, results)
            else:
                await rig.ours.remove_all()
    results.series["scale"] = costs
    least, most = costs[str(min(sizes))], costs[str(max(sizes))]
    results.add(
        Figure("scale_cpu_each_growth", most["cpu_ms_each"] / least["cpu_ms_each"], 1.5, "ratio",
               note=f"CPU for each Workspace at {max(sizes)} over that at {min(sizes)}"),
        Figure("scale_one_more_growth", median(most["one_more_s"]) / median(least["one_more_s"]), 1.5, "ratio"),
        Figure("scale_rss_mb", most["rss_mb"], _memory_goal(max(sizes)), "MB", note=f"{most['hosts']} hosts"),
    )  # fmt: skip


async def _hang(rig: Rig, hosts: Hosts, results: Results) -> None:
    """A host that hangs, and of which much is asked, must not move the others' p99: before it is noticed (8 s) and
    after."""
    await rig.settled()
    before = await _ones(rig, hosts.names[0], HANG_ONES)
    hung = hosts.names[-1]
    await hosts.hang(hung)
    await rig.ours.create(new_names(HANG_ASKED), host=hung)
    during = await _ones(rig, hosts.names[0], HANG_ONES)
    results.series["hang"] = {"before": before, "during": during}
    ratio = percentile(during, 99) / percentile(before, 99)
    note = f"p99 {percentile(before, 99) * 1000:.0f} ms before, {percentile(during, 99) * 1000:.0f} ms while one hangs"
    results.add(Figure("hang_p99_of_other_hosts", ratio, 1.5, "ratio", note=note))


async def _ones(rig: Rig, host: str, count: int) -> list[float]:
    """One Workspace at a time on one host: the seconds of each."""
    taken = []
    for _ in range(count):
        (name,) = new_names(1, "one")
        taken.append(await rig.ours.made([name], host=host))
    return taken


async def _fill(rig: Rig, hosts: Hosts, count: int) -> float:
    """Creates Workspaces, spread over the hosts; the seconds until all are Ready."""
    names = new_names(count)
    spread = (workspace(name, host=host) for name, host in zip(names, itertools.cycle(hosts.names), strict=False))
    began = await rig.ours.create_all(spread, at_once=32)
    return await rig.ours.watcher.until_ready(names, 1800) - began


def _memory_goal(count: int) -> float:
    """MB, for so many Workspaces."""
    return 100 + 0.015 * count
