"""CPU time, in seconds: of one process since its start, and of the whole machine since it was booted."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
ALL = "all"  # the whole machine, among its parts


def of_process(pid: int | None) -> float:
    """Of all its threads; children that have ended don't count."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def of_machine() -> float:
    """Of everything that runs here, the kernel's own work too; idle cores and waits for disks aside."""
    user, nice, system, _, _, interrupts, soft_interrupts, *_ = Path("/proc/stat").read_text().split()[1:]
    return sum(map(int, (user, nice, system, interrupts, soft_interrupts))) / TICKS
