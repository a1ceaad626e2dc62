"""Which steps of a plan are tried now: none before the back-off of its last failure is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from controller import actions as act
from controller.history import Failure

IN_PLACE = ("Update", "Rename")  # a failure of these holds back nothing else
PREPARATION = ("AddFinalizer", "RecordRestart", "EnsureImage", "Create")  # pointless without the step they prepare


def let_through(
    actions: tuple[act.Action, ...], failures: Mapping[str, Failure], now: float
) -> tuple[tuple[act.Action, ...], list[float]]:
    """Cuts `actions` before the first that failed and may not be tried again yet, and what only prepares it.

    A restart that is asked for now is tried now, whatever failed before it. `failures` by kind of action; times are
    monotonic seconds. Gives what is left, and when what was held back may be tried.
    """
    if any(isinstance(action, act.RecordRestart) for action in actions):
        return actions, []
    kept: list[act.Action] = []
    due: list[float] = []
    for action in actions:
        failure = failures.get(action.kind)
        if failure is None or failure.due <= now:
            kept.append(action)
            continue
        due.append(failure.due)
        if action.kind not in IN_PLACE:
            while kept and kept[-1].kind in PREPARATION:
                kept.pop()
            break
    return tuple(kept), due
