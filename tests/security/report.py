"""The table at the end of `make test-security`: each row of the threat model, its attacks, how many were stopped."""

from collections.abc import Iterable
from dataclasses import dataclass, field

THREATS = (
    "host path escape",
    "mount propagation",
    "privileged, devices, host namespaces, socket",
    "capabilities",
    "setuid escalation",
    "workingDir tricks",
    "secrets leaking",
    "label and name injection",
    "identity",
    "image policy",
    "exhaustion",
    "network",
    "ports",
    "another tenant's host",
    "controller's rights",
    "remote Docker",
    "log injection",
    "metrics",
)


@dataclass
class Tally:
    """Attacks by row; an attack is one test, stopped when it passed."""

    results: dict[str, list[bool]] = field(default_factory=lambda: {row: [] for row in THREATS})

    def add(self, row: str, stopped: bool) -> None:
        """Counts one attack."""
        self.results[row].append(stopped)

    def dump(self) -> dict[str, list[bool]]:
        """As plain types."""
        return self.results

    def load(self, dumped: dict[str, list[bool]]) -> None:
        """Adds what another process has counted."""
        for row, stopped in dumped.items():
            self.results[row] += stopped

    @property
    def any(self) -> bool:
        """Whether an attack was made at all."""
        return any(self.results.values())

    def lines(self) -> Iterable[str]:
        """The table, and the sum as its last line."""
        width = max(map(len, THREATS))
        yield f"{'THREAT':<{width}}  ATTACKS  STOPPED"
        for row, stopped in self.results.items():
            yield f"{row:<{width}}  {len(stopped):>7}  {sum(stopped):>7}"
        tried = [stopped for row in self.results.values() for stopped in row]
        held = sum(1 for row in self.results.values() if row and all(row))
        yield f"threats: {held} of {len(THREATS)} rows, {sum(tried)} of {len(tried)} attacks stopped"
