"""CPU time, in seconds: of one process since its start, and of the whole machine since it was booted."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
_OF_PROCESS = 2  # CPUCLOCK_SCHED
ALL = "all"  # the whole machine, among its parts


def of_process(pid: int | None) -> float:
    """Of all its threads, those that have ended too; children don't count. From the kernel's clock for the process
    (clock_getcpuclockid(3)), to the nanosecond: /proc counts in hundredths of a second, as much as a minute at rest."""
    assert pid is not None
    return time.clock_gettime_ns((~pid << 3) | _OF_PROCESS) / 1e9


def of_machine() -> float:
    """Of everything that runs here, the kernel's own work too; idle cores and waits for disks aside."""
    user, nice, system, _, _, interrupts, soft_interrupts, *_ = Path("/proc/stat").read_text().split()[1:]
    return sum(map(int, (user, nice, system, interrupts, soft_interrupts))) / TICKS
