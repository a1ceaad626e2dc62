"""The table at the end of `make test-faults`: each fault, how often it was injected and survived, worst recovery."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

FAULTS = {
    1: "controller killed at every mutating call",
    2: "API server down, then back",
    3: "API server answers 503; watch ends in an ERROR",
    4: "410 Gone after compaction; deleted while disconnected",
    5: "conflicts",
    6: "half-open connection to the API server",
    7: "dockerd down, then back",
    8: "dockerd restarted, live-restore on and off",
    9: "dockerd hangs",
    10: "20 % of Docker calls answer 500",
    11: "event stream silently dead",
    12: "container killed, OOM-killed, exits 0, exits 1",
    13: "container paused, renamed, removed, stopped by hand",
    14: "container dead or stuck in removal",
    15: "foreign container has our name or our labels",
    16: "two clusters on one Docker host",
    17: "image missing, wrong credentials, registry down, slow",
    18: "disk full",
    19: "port already in use",
    20: "project path missing, not allowed, a symlink",
    21: "clock jumps by an hour",
    22: "two controllers",
    23: "namespace deleted with 50 workspaces",
    24: "host unreachable at delete",
    25: "many workspaces applied at once",
    26: "crash-looping container",
    27: "CRD and controller upgraded",
    28: "bad input",
}


@dataclass
class Row:
    """What one fault came to. A fault counts as survived once `recovered` was reached after its `inject`."""

    injected: int = 0
    survived: int = 0
    worst: float = 0.0  # seconds from the end of a fault until everything had converged
    failed: bool = False  # some test of it, though it may have passed when it was run again

    def inject(self, times: int = 1) -> float:
        """A fault was made; gives the moment (monotonic)."""
        self.injected += times
        return time.monotonic()

    def recovered(self, since: float, times: int = 1) -> float:
        """All is well again; gives the seconds since the moment when the fault ended."""
        took = time.monotonic() - since
        self.survived += times
        self.worst = max(self.worst, took)
        return took

    def add(self, other: Row) -> None:
        """Adds what another process has seen of the same fault."""
        self.injected += other.injected
        self.survived += other.survived
        self.worst = max(self.worst, other.worst)
        self.failed = self.failed or other.failed


@dataclass
class Tally:
    """All rows."""

    rows: dict[int, Row] = field(default_factory=lambda: {number: Row() for number in FAULTS})

    @property
    def any(self) -> bool:
        """Whether a fault was injected at all."""
        return any(row.injected for row in self.rows.values())

    def dump(self) -> dict[int, dict[str, Any]]:
        """As plain types."""
        return {number: asdict(row) for number, row in self.rows.items()}

    def load(self, dumped: dict[int, dict[str, Any]]) -> None:
        """Adds what another process has seen."""
        for number, row in dumped.items():
            self.rows[number].add(Row(**row))

    def lines(self) -> Iterable[str]:
        """The table, and the sum as its last line."""
        width = max(map(len, FAULTS.values()))
        yield f" #  {'FAULT':<{width}}  INJECTED  SURVIVED  WORST RECOVERY"
        for number, name in FAULTS.items():
            row = self.rows[number]
            worst = f"{row.worst:.1f} s" if row.survived else "-"
            failed = "  a test of it failed" if row.failed else ""
            yield f"{number:>2}  {name:<{width}}  {row.injected:>8}  {row.survived:>8}  {worst:>14}{failed}"
        held = sum(1 for r in self.rows.values() if r.injected and r.survived == r.injected and not r.failed)
        yield f"faults: {held} of {len(FAULTS)} survived"
