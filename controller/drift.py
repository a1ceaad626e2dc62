"""How containers differ from what is declared, and which of several is the one to keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from controller import naming
from controller.desired import Desired
from controller.observed import Container, Limits


def choose(
    desired: Desired, containers: tuple[Container, ...], references: Mapping[str, str] | None
) -> Container | None:
    """The container to keep: the one whose hash fits (and whose Secrets are current, where that is known), then the
    running one, then the oldest. Never a dead one."""

    def rank(container: Container) -> tuple[bool, bool, bool, datetime, str]:
        fits = container.config_hash == desired.config_hash
        outdated = bool(changed_references(container, references))
        return (not fits, outdated, not container.is_live, container.created_at, container.id)

    return min((c for c in containers if not c.is_dead), key=rank, default=None)


def limits_differ(container: Container, limits: Limits, ignored: frozenset[str]) -> list[str]:
    """The names of limits that differ from inspect, but for those that this host can't enforce."""
    names = ("nano_cpus", "cpu_shares", "memory", "memory_swap", "memory_reservation", "pids")
    return [n for n in names if n not in ignored and getattr(container.limits, n) != getattr(limits, n)]


def changed_references(container: Container, current: Mapping[str, str] | None) -> list[str]:
    """Which Secrets and ConfigMaps changed since the container was made from them (their versions are in a label)."""
    made_from = parse_references(container.labels.get(naming.LABEL_REFERENCES, ""))
    versions = {ref: version for ref, version in (current or {}).items() if version != "absent"}
    changed = sorted(ref for ref, version in versions.items() if made_from.get(ref, version) != version)
    return [f"{ref} has changed since the container was made" for ref in changed]


def parse_references(label: str) -> dict[str, str]:
    """`Kind/name=version` entries, comma-separated, as the label holds them."""
    return dict(entry.split("=", 1) for entry in label.split(",") if "=" in entry)
