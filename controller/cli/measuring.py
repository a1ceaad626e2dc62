"""What Workspaces use now: two samples of each container, a second apart, on all hosts at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from controller.cli.access import connect, container_of
from controller.cli.cluster import Cluster, Object
from controller.cli.failure import Failure
from controller.cli.output import age
from controller.cli.workspaces import status_of
from controller.engine.direct import DirectEngine
from controller.errors import ContainerGone, WorkspaceError
from controller.observed import Container, Limits
from controller.usage import Stats, cpus_used

COLUMNS = ("NAME", "STATE", "CPU", "CPU LIMIT", "MEMORY", "MEMORY LIMIT", "PIDS", "PIDS LIMIT", "AS OF")
THREADS = 32
INTERVAL = 1.0  # seconds, at least, between the two samples


@dataclass(frozen=True, slots=True)
class Measured:
    """What one Workspace uses; empty words where nothing is known."""

    namespace: str
    name: str
    state: str
    cpu: str = ""
    memory: str = ""
    pids: str = ""
    limits: Limits | None = None
    as_of: str = ""

    def row(self, namespaces: bool) -> Sequence[object]:
        """One line of the table."""
        most = self.limits
        limits = (f"{most.nano_cpus // 1_000_000}m", size(most.memory), most.pids) if most else ("", "", "")
        cells = [self.namespace] if namespaces else []
        cells += [self.name, self.state, self.cpu, limits[0], self.memory, limits[1], self.pids, str(limits[2])]
        return [*cells, self.as_of]

    def to_dict(self) -> dict[str, Any]:
        """For programs: quantities as Kubernetes writes them, absent where unknown."""
        known = {"cpu": self.cpu, "memory": self.memory, "pids": int(self.pids) if self.pids else None}
        usage = {key: value for key, value in known.items() if value}
        return {"namespace": self.namespace, "name": self.name, "state": self.state, "usage": usage}


def measure(
    cluster: Cluster, workspaces: Sequence[Object], endpoint: str | None
) -> tuple[list[Measured], list[Failure]]:
    """What each uses, in the order given; and what was in the way, a problem for each host or Workspace."""
    engines, problems = _engines(cluster, workspaces, endpoint)

    def one(workspace: Object) -> Measured | Failure:
        engine = engines.get(workspace["spec"]["host"])
        if engine is None or not status_of(workspace).get("containerID"):
            return _told_by_status(workspace)
        try:
            return _measured(engine, workspace)
        except Failure as failure:
            return failure

    with ThreadPoolExecutor(THREADS) as threads:
        results = list(threads.map(one, workspaces))
    found = [result for result in results if isinstance(result, Measured)]
    return found, problems + [result for result in results if isinstance(result, Failure)]


def size(octets: int) -> str:
    """Bytes as 850Ki, 12Mi or 1.5Gi."""
    for unit, factor in (("Gi", 2**30), ("Mi", 2**20)):
        if octets >= factor:
            return f"{octets / factor:.1f}".removesuffix(".0") + unit
    return f"{octets // 1024}Ki"


def _engines(
    cluster: Cluster, workspaces: Sequence[Object], endpoint: str | None
) -> tuple[dict[str, DirectEngine], list[Failure]]:
    engines: dict[str, DirectEngine] = {}
    problems: list[Failure] = []
    for host in sorted({str(workspace["spec"]["host"]) for workspace in workspaces}):
        try:
            engines[host] = connect(cluster, host, endpoint)
        except Failure as failure:
            problems.append(failure)
    return engines, problems


def _measured(engine: DirectEngine, workspace: Object) -> Measured:
    meta = workspace["metadata"]
    container = container_of(engine, workspace)
    try:
        before, after = _two_samples(engine, container)
    except ContainerGone:
        return Measured(meta["namespace"], meta["name"], str(container.state), limits=container.limits)
    except WorkspaceError as error:
        raise Failure(f"Workspace {meta['name']!r}: {error}") from error
    cpus = cpus_used(before, after) or 0.0
    return Measured(
        meta["namespace"],
        meta["name"],
        str(container.state),
        f"{round(cpus * 1000)}m",
        size(after.memory_bytes),
        str(after.pids),
        container.limits,
        "now",
    )


def _two_samples(engine: DirectEngine, container: Container) -> tuple[Stats, Stats]:
    began = time.monotonic()
    before = engine.stats(container.id)
    time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))
    return before, engine.stats(container.id)


def _told_by_status(workspace: Object) -> Measured:
    meta, status = workspace["metadata"], status_of(workspace)
    usage = status.get("usage") or {}
    return Measured(
        meta["namespace"],
        meta["name"],
        status.get("containerState") or "none",
        usage.get("cpu", ""),
        usage.get("memory", ""),
        str(usage.get("pids", "")),
        as_of=f"{age(usage['sampledAt'])} ago" if usage.get("sampledAt") else "",
    )
