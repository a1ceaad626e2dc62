"""What a Workspace uses, and when that is worth a line of its status. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller import naming
from controller.api import Usage
from controller.api.quantity import parse_quantity
from controller.observed import Container, Limits

STATUS_EVERY = 60.0  # seconds between two writes of one Workspace's usage
MOVED = 0.1  # of its limit: what a figure must have moved by to be written


@dataclass(frozen=True, slots=True)
class Stats:
    """What a running container uses. CPU time and network bytes count from its start; memory without the page cache."""

    read_at: datetime  # the engine's clock
    cpu_seconds: float
    memory_bytes: int
    pids: int
    received_bytes: int
    transmitted_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One container at one moment; `cpus` is the mean since the sample before, None for the first."""

    stats: Stats
    cpus: float | None


def cpus_used(before: Stats, after: Stats) -> float | None:
    """CPUs in use between two samples; None where they don't tell (a restart between them, no time)."""
    seconds = (after.read_at - before.read_at).total_seconds()
    spent = after.cpu_seconds - before.cpu_seconds
    return spent / seconds if seconds > 0 and spent >= 0 else None


def is_wanted(annotations: Mapping[str, str]) -> bool:
    """Whether a Workspace asks for its usage on its status."""
    return annotations.get(naming.ANNOTATION_USAGE) == "true"


def status_usage(
    previous: Usage | None, container: Container | None, sample: Sample | None, last: datetime | None
) -> Usage | None:
    """What the status of a Workspace that asks for it should show; `previous` itself where that needs no write.

    A minute lies between two writes, and one figure at least has moved by a tenth of its limit. Without a sample (the
    controller was just started) what was shown stays. `previous` and `sample` are of this run of the container; `last`
    is when the sample was taken that was written last, of this run or an earlier one.
    """
    if container is None or not container.is_live:
        return None
    if sample is None or sample.cpus is None:
        return previous
    shown = previous.sampled_at if previous is not None else None
    told = [at for at in (last, shown) if at is not None]
    if told and 0 <= (sample.stats.read_at - max(told)).total_seconds() < STATUS_EVERY:
        return previous
    if previous is not None and not _has_moved(previous, sample, container.limits):
        return previous
    return Usage(
        cpu=f"{round(sample.cpus * 1000)}m",
        memory=f"{sample.stats.memory_bytes // 1024}Ki",
        pids=sample.stats.pids,
        sampled_at=sample.stats.read_at.replace(microsecond=0),
    )


def _has_moved(previous: Usage, sample: Sample, limits: Limits) -> bool:
    stats = sample.stats
    return (
        _moved(_number(previous.cpu), sample.cpus or 0.0, limits.nano_cpus / 1e9)
        or _moved(_number(previous.memory), stats.memory_bytes, limits.memory)
        or _moved(previous.pids or 0, stats.pids, limits.pids)
    )


def _moved(before: float, now: float, limit: float) -> bool:
    return limit > 0 and abs(now - before) >= MOVED * limit


def _number(text: str | None) -> float:
    """Of a quantity; of what is none (a status may be written by anybody who has the right to) zero."""
    try:
        return float(parse_quantity(text or "0"))
    except ValueError:
        return 0.0
