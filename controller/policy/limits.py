"""Resources within the host's maximum. CPU in billionths of a core, memory in bytes, pids as a count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.api import HostPolicy
from controller.api.quantity import parse_cpu, parse_memory
from controller.observed import Limits

LEAST_SHARES = 2  # the kernel's; a tiny maximum must not make every Workspace impossible
_NANO = 1_000_000_000
_UNITS = ((1 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki"))


@dataclass(frozen=True, slots=True)
class Excess:
    """A resource that isn't within its maximum: `field` in the spec's words, or `body_field` in the engine's."""

    field: str
    body_field: str
    rule: str


def excesses(limits: Limits, policy: HostPolicy) -> Iterator[Excess]:
    """Each resource without a limit, or with one above the policy's maximum. No limit is never within a maximum."""
    most = policy.max_resources
    cpus, memory, pids = parse_cpu(most.cpu), parse_memory(most.memory), most.pids
    rows = (
        ("limits.cpu", "NanoCpus", limits.nano_cpus, cpus, cpu_text(limits.nano_cpus), f"cpu: {most.cpu}"),
        ("limits.memory", "Memory", limits.memory, memory, memory_text(limits.memory), f"memory: {most.memory}"),
        ("limits.pids", "PidsLimit", limits.pids, pids, str(limits.pids), f"pids: {most.pids}"),
    )
    for field, body_field, value, maximum, text, rule in rows:
        if value <= 0:
            yield Excess(field, body_field, "a limit must be set")
        elif value > maximum:
            yield Excess(field, body_field, f"{text} is more than DockerHost policy.maxResources.{rule}")
    yield from _requests(limits, cpus, memory, policy)


def _requests(limits: Limits, cpus: int, memory: int, policy: HostPolicy) -> Iterator[Excess]:
    most = policy.max_resources
    if limits.memory_swap != limits.memory:
        yield Excess("limits.memory", "MemorySwap", "memory and swap together must be the memory limit (no swap)")
    if not 0 <= limits.cpu_shares <= max(LEAST_SHARES, cpus * 1024 // _NANO):
        rule = f"{limits.cpu_shares} shares are more than DockerHost policy.maxResources.cpu: {most.cpu}"
        yield Excess("requests.cpu", "CpuShares", rule)
    if not 0 <= limits.memory_reservation <= memory:
        text = memory_text(limits.memory_reservation)
        rule = f"{text} is more than DockerHost policy.maxResources.memory: {most.memory}"
        yield Excess("requests.memory", "MemoryReservation", rule)


def cpu_text(nano_cpus: int) -> str:
    """CPUs as a Kubernetes quantity: 1500000000 is "1500m"."""
    return str(nano_cpus // _NANO) if nano_cpus % _NANO == 0 else f"{nano_cpus / 1_000_000:g}m"


def memory_text(size: int) -> str:
    """Bytes as a Kubernetes quantity, in the largest unit that is exact."""
    return next((f"{size // unit}{name}" for unit, name in _UNITS if size and size % unit == 0), str(size))
