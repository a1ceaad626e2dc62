"""The three conditions (Ready, Reconciling, Stalled) that kstatus, Flux, Argo CD and `kubectl wait` read.

One place decides their values from a situation, and one place owns transition times and order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controller.api import Condition


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an object stands, in one row of the design's table. Make one with the functions below."""

    phase: str
    reason: str
    message: str
    ready: str  # True | False | Unknown
    reconciling: bool
    stalled: bool


def as_declared(phase: str, message: str = "") -> Situation:
    """What is there is what was asked for."""
    return Situation(phase, phase, message or "the container is as declared", "True", False, False)


def on_its_way(phase: str, reason: str, message: str) -> Situation:
    """Something is being done, or will be tried again, without a person's help."""
    return Situation(phase, reason, message, "False", True, False)


def stalled(phase: str, reason: str, message: str) -> Situation:
    """A definitive answer: somebody must change something."""
    return Situation(phase, reason, message, "False", False, True)


def unknown(reason: str, message: str) -> Situation:
    """No answer from the host."""
    return Situation("Unknown", reason, message, "Unknown", True, False)


def terminating(reason: str, message: str, stuck: bool) -> Situation:
    """Being deleted; `stuck` when the host refuses or can't be reached."""
    return Situation("Terminating", reason, message, "False", True, stuck)


def conditions(
    situation: Situation,
    previous: Sequence[Condition],
    generation: int,
    now: datetime,
    kept: Mapping[str, str] | None = None,
) -> tuple[Condition, ...]:
    """The conditions of a situation. lastTransitionTime moves only when a condition's status does.

    `kept`: reasons by type that must be read back later, whatever the situation says at the moment.
    """
    values = {
        "Ready": situation.ready,
        "Reconciling": str(situation.reconciling),
        "Stalled": str(situation.stalled),
    }
    before = {condition.type: condition for condition in previous}
    result = []
    for kind, value in values.items():
        speaks = kind == "Ready" or value == "True"
        old = before.get(kind)
        since = old.last_transition_time if old is not None and old.status == value else now.replace(microsecond=0)
        result.append(
            Condition(
                type=kind,
                status=value,
                reason=(kept or {}).get(kind) or (situation.reason if speaks else f"Not{kind}"),
                message=situation.message if speaks else "",
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return tuple(result)
