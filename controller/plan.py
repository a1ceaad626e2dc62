"""Decides what to do about one Workspace: plan(desired, observed, history, now) -> Plan. No I/O, no clock, no logging.

A plan is what would be done if nothing failed and nothing had to be waited for; whoever executes it looks again after
each plan, so a plan may end early (a signal was sent, an image is being pulled) and the next one goes on from what is
there then. The order of the rules is the order of the functions below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from controller import actions as act
from controller.api import DesiredState, FallbackAction, UpdatePolicy
from controller.backoff import Accounting, account
from controller.desired import Desired
from controller.drift import changed_references, choose, limits_differ
from controller.gate import let_through
from controller.history import History, Now
from controller.observed import Container, ContainerState, Health, Observed
from controller.replacing import REPLACED, name_back, succession, take_name
from controller.restarts import is_fresh, is_unfollowed, restart_wanted
from controller.stopping import Stopping

LOOK_AGAIN = 30.0  # seconds; where only the host's next answer can tell more
ENFORCED_GRACE = 10  # seconds at most, where the host's policy stops it: a tenant's own wish counts no more
TOLD_FIRST = 0.1  # seconds; by then the status is written


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in order, and when to look again (monotonic seconds; None: when something changes)."""

    actions: tuple[act.Action, ...] = ()
    wake_at: float | None = None
    accounting: Accounting | None = None
    pending: tuple[str, ...] = ()  # changes that wait for a restart
    why: str = ""  # why nothing is done where something is wrong
    stopping: frozenset[str] = frozenset()  # the containers that are meant to end
    tidies: bool = False  # whether the Workspace is what it should be, and its status may tell so before the actions
    wanted: frozenset[str] = frozenset()  # the kinds of all steps, those that a failure holds back among them

    def __str__(self) -> str:
        lines = [f"{number}. {action}" for number, action in enumerate(self.actions, 1)]
        lines += [f"pending: {change}" for change in self.pending]
        if not self.actions:
            lines.insert(0, f"nothing to do{': ' + self.why if self.why else ''}")
        return "\n".join(lines)


def plan(desired: Desired, observed: Observed, history: History, now: Now) -> Plan:
    """The steps from `observed` to `desired`.

    Args:
        desired: what the Workspace's container should be.
        observed: what its host has; unknown never makes or removes anything.
        history: what the status and this process remember.
        now: the present.
    """
    if not observed.known:
        return _unknown(desired, now)
    whole = _Planner(desired, observed, history, now).plan()
    actions, due = let_through(whole.actions, history.memory.failures, now.mono)
    wakes = due if whole.wake_at is None else [*due, whole.wake_at]
    wanted = frozenset(action.kind for action in whole.actions)
    return replace(whole, actions=actions, wake_at=min(wakes, default=None), wanted=wanted)


def _unknown(desired: Desired, now: Now) -> Plan:
    if desired.deleting and desired.abandon and desired.has_finalizer:
        return Plan((act.RemoveFinalizer(reason="abandoned by its user while the host can't be reached"),))
    return Plan(wake_at=now.mono + LOOK_AGAIN, why="the host can't be reached; what it has is unknown")


class _Planner:
    """One decision. The state it holds is its input and nothing else."""

    def __init__(self, desired: Desired, observed: Observed, history: History, now: Now) -> None:
        self.desired, self.observed, self.history, self.now = desired, observed, history, now
        self.references = history.memory.references
        grace = min(desired.grace, ENFORCED_GRACE) if self._must_stop() else desired.grace
        self.stopping = Stopping(history.memory, now, grace)
        self.main = choose(desired, observed.containers, self.references)
        self.others = tuple(c for c in observed.containers if c is not self.main)
        self.restart = desired.refusal is None and restart_wanted(desired, history)
        fresh = is_fresh(desired, history)
        self.stopped = desired.state is DesiredState.STOPPED or self._must_stop()
        self.accounting = account(history, self.main, desired.recovery, fresh, now, stopped=self.stopped)

    def plan(self) -> Plan:
        if self.desired.deleting:
            return self._delete()
        if not self.others:
            return self._alone()
        if self.main is None or not all(c.is_dead for c in self.others):
            return self._replaced()
        alone = self._alone()  # the dead are removed last: that may take for ever
        return replace(alone, actions=(*alone.actions, *self._remove_surplus()), tidies=not alone.actions)

    def _alone(self) -> Plan:
        if self.stopped:
            return self._stopped()
        if self.main is None:
            return self._none()
        return self._existing(self.main)

    # deletion

    def _delete(self) -> Plan:
        live = [c for c in self.observed.containers if c.is_live]
        steps: list[act.Action] = []
        removals: list[act.Action] = []  # last: one that can't be removed must not keep another from being stopped
        for container in sorted(self.observed.containers, key=lambda c: c.is_dead):
            if container.state is ContainerState.RUNNING:
                steps += self.stopping.stop(container, "the Workspace is deleted")
            else:
                removals.append(act.Remove(container.id, reason="the Workspace is deleted"))
        steps += removals
        if not self.observed.containers:
            for volume in self.desired.container.volumes:
                if volume.delete_with_workspace and self.desired.has_finalizer:
                    steps.append(act.RemoveVolume(volume.volume, reason="its reclaim policy is Delete"))
            if self.desired.has_finalizer:
                steps.append(act.RemoveFinalizer(reason="no container is left"))
        return self._finish(steps, live)

    # more than one

    def _replaced(self) -> Plan:
        """Nothing starts before the predecessor (or a duplicate) has ended. Its removal comes last, for the engine may
        need long for it; and where the new container can't be started, the old one is still there to go back to."""
        live = [c for c in self.others if c.is_live]
        start = [] if live else self._start_of_successor()
        if start:
            return self._finish(start, [])
        fits = self.main is not None and self.main.is_live and not self._pending(self.main)
        return replace(self._finish(list(self._remove_surplus()), live), tidies=fits and not live)

    def _start_of_successor(self) -> list[act.Action]:
        if self.main is None or self.main.is_live or self._pending(self.main) or self.restart:
            return []
        if self.stopped or not self.desired.has_finalizer:
            return []
        start = [step for step in self._ended(self.main, [], ()).actions if isinstance(step, (act.Start, act.Pause))]
        names = take_name(self.desired.container_name, self.main, self.observed.containers)
        return [*names, *start] if start else []

    def _remove_surplus(self) -> Iterator[act.Action]:
        """As gently as any stop; one that can't be removed keeps no other from being stopped."""
        for container in self.others:
            if container.is_live:
                yield from self.stopping.thaw_and_stop(container, REPLACED)
        for container in sorted(self.others, key=lambda other: other.is_dead):
            if not container.is_live:
                yield act.Remove(container.id, reason="it is dead" if container.is_dead else REPLACED)

    # Stopped

    def _must_stop(self) -> bool:
        return self.desired.refusal is not None and self.desired.stop_refused

    def _stopped(self) -> Plan:
        if self.main is None:
            return self._finish([], [])
        steps = self._in_place(self.main)
        if self.main.is_live:
            why = "the host's policy refuses it" if self._must_stop() else "it should be Stopped"
            steps += self.stopping.thaw_and_stop(self.main, why)
        return self._finish(steps, [self.main], pending=self._pending(self.main))

    # nothing there

    def _none(self) -> Plan:
        if self.desired.refusal is not None:
            return self._finish([], [], why=str(self.desired.refusal))
        if self.accounting.exhausted:
            return self._finish([], [], why="the retries are spent")
        steps = [
            *self._record_restart(),
            *self._hold(),
            *self._create("there is no container", self.desired.container_name),
            act.Start(None, reason="it should run"),
        ]
        if self.desired.state is DesiredState.PAUSED:
            steps.append(act.Pause(None, reason="it should be Paused"))
        return self._finish(steps, [])

    def _hold(self) -> list[act.Action]:
        if self.desired.has_finalizer:
            return []
        return [act.AddFinalizer(reason="a delete must wait for the container's removal")]

    def _create(self, reason: str, name: str) -> list[act.Action]:
        image, policy = self.desired.container.image, self.desired.pull_policy
        return [
            act.EnsureImage(image, reason=f"imagePullPolicy is {policy}"),
            act.Create(name, self.desired.container, reason=reason),
        ]

    # one there

    def _existing(self, main: Container) -> Plan:
        steps = [*self._record_restart(), *self._hold()]  # until a restart is recorded, nothing waits for its back-off
        pending = self._pending(main)
        if pending and self._replace_now(main):
            return self._replace(main, steps, pending)
        steps += self._in_place(main)
        if main.is_live:
            steps += self._running(main)
        else:
            return self._ended(main, steps, pending)
        return self._finish(steps, [main], pending=pending)

    def _running(self, main: Container) -> list[act.Action]:
        if self._restart_due(main):
            return self.stopping.thaw_and_stop(main, "a restart was asked for")
        unhealthy = main.health is Health.UNHEALTHY and main.state is ContainerState.RUNNING
        if unhealthy and self.desired.refusal is None:  # what the policy refuses would not be started again
            return self.stopping.stop(main, "its liveness probe failed", asked=False)
        if self.desired.state is DesiredState.PAUSED and main.state is ContainerState.RUNNING:
            return [act.Pause(main.id, reason="it should be Paused")]
        if self.desired.state is DesiredState.RUNNING and main.state is ContainerState.PAUSED:
            return [act.Unpause(main.id, reason="it should be Running")]
        return []

    def _ended(self, main: Container, steps: list[act.Action], pending: tuple[str, ...]) -> Plan:
        """Created or exited: start it, once its back-off is over."""
        if self.desired.refusal is not None:
            return self._finish(steps, [], pending=pending, why=str(self.desired.refusal))
        if self.accounting.exhausted:
            return self._given_up(main, steps, pending)
        due = self.accounting.waits_until(self.now)
        if due is not None:
            return self._finish(steps, [], pending=pending, wake_at=due, why="it waits for its back-off")
        if main.state is ContainerState.CREATED:
            reason = "it was made to run"
        else:
            reason = f"it exited with {main.exit_code} and should be {self.desired.state}"
        steps.append(act.Start(main.id, reason=reason))
        if self.desired.state is DesiredState.PAUSED:
            steps.append(act.Pause(main.id, reason="it should be Paused"))
        return self._finish(steps, [], pending=pending)

    def _given_up(self, main: Container, steps: list[act.Action], pending: tuple[str, ...]) -> Plan:
        """The fallback action. The status must say that the retries are spent before the container that shows it goes:
        who starts after a crash in between would begin anew with another container."""
        wake_at = None
        if self.desired.recovery.fallback_action is FallbackAction.REMOVE:
            if self.history.exhausted:
                steps.append(act.Remove(main.id, reason="the retries are spent and the fallback action is Remove"))
            else:
                wake_at = self.now.mono + TOLD_FIRST
        return self._finish(steps, [], pending=pending, wake_at=wake_at, why="the retries are spent")

    # drift

    def _pending(self, main: Container) -> tuple[str, ...]:
        changes = []
        if main.config_hash != self.desired.config_hash:
            changes.append(f"the container was made from another spec ({main.config_hash[:8] or 'none'})")
        changes += changed_references(main, self.references)
        return tuple(changes)

    def _replace_now(self, main: Container) -> bool:
        """Whether the update policy lets a new container be made now. Changed Secrets alone wait for a restart."""
        if self.desired.refusal is not None or self.accounting.exhausted:
            return False
        due = self.accounting.due
        at_restart = self._restart_due(main) or (not main.is_live and due is not None and due <= self.now.mono)
        match self.desired.update_policy:
            case UpdatePolicy.RECREATE:
                return at_restart or main.config_hash != self.desired.config_hash
            case UpdatePolicy.ON_RESTART:
                return at_restart
            case _:
                return self._restart_due(main)

    def _replace(self, main: Container, steps: list[act.Action], pending: tuple[str, ...]) -> Plan:
        """The new container is made before the old one is asked to end: where that fails (image, disk), the old one
        stays. The next plans find both; `choose` knows which one to keep.
        """
        names = succession(self.desired.container_name, main, self._names())
        steps += [*names.before, *self._create("; ".join(pending), names.spare), *names.meanwhile]
        if main.is_live:
            steps += self.stopping.thaw_and_stop(main, REPLACED)
        return self._finish([*steps, *names.after], [main], pending=pending)

    def _in_place(self, main: Container) -> list[act.Action]:
        steps: list[act.Action] = []
        desired = self.desired
        differing = limits_differ(main, desired.container.limits, self.observed.ignored_limits)
        if main.restart_policy != "no":
            differing.append("restart policy")
        if differing and desired.refusal is None:
            steps.append(act.Update(main.id, desired.container.limits, reason=f"{', '.join(differing)} differ"))
        return [*steps, *name_back(desired.container_name, main, self._names())]

    def _names(self) -> list[str]:
        return [container.name for container in self.observed.containers]

    # restarts

    def _record_restart(self) -> list[act.Action]:
        if not self.restart:
            return []
        return [act.RecordRestart(self.desired.restart_request, reason="a restart was asked for")]

    def _restart_due(self, main: Container) -> bool:
        """Whether the run that a restart request meant still goes on (or ended and was not followed by another)."""
        if self.restart or self.desired.refusal is not None:
            return self.restart
        return is_unfollowed(self.history, main)

    def _finish(
        self,
        steps: list[act.Action],
        stopping: list[Container],
        *,
        pending: tuple[str, ...] = (),
        wake_at: float | None = None,
        why: str = "",
    ) -> Plan:
        times = (*self.stopping.look_again(stopping), wake_at)
        wakes = [t for t in times if t is not None and t > self.now.mono]
        meant = frozenset(self.stopping.meant)
        return Plan(tuple(steps), min(wakes, default=None), self.accounting, pending, why, meant)
