"""What a plan has come to is remembered once, and forgotten when it doesn't matter any more."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from controller import actions as act
from controller.errors import ContainerGone, EngineError, WorkspaceError
from controller.history import Failure, Memory, Sent, sent_now
from controller.observed import ContainerState
from controller.outcome import Outcome, carried_out, counted, planned, settled
from controller.plan import Plan, plan
from tests.unit.pairs import NOW, container, desired, history, memory, observed

WANTED = desired()
RUNNING = container(WANTED)
EXITED = container(WANTED, ContainerState.EXITED)
START = act.Start(EXITED.id, reason="it should run")
SIGNAL = act.Signal(RUNNING.id, "SIGTERM", reason="it should be stopped")
FAILED = Failure(EngineError("no"), 1, NOW.mono)


def failed(action: act.Action, error: WorkspaceError, before: Memory | None = None) -> Memory:
    return carried_out(before or memory(), Outcome(failed=action, error=error), observed(EXITED), NOW)


def test_failures_of_a_step_count_up_and_each_waits_longer() -> None:
    once = failed(START, EngineError("no"))
    twice = failed(START, EngineError("no"), once)
    first, second = once.failures["Start"], twice.failures["Start"]
    assert (first.count, second.count) == (1, 2)
    assert NOW.mono < first.due < second.due


def test_a_step_that_was_done_has_not_failed() -> None:
    after = carried_out(failed(START, EngineError("no")), Outcome(done=(START,)), observed(EXITED), NOW)
    assert after.failures == {}


def test_a_container_that_went_meanwhile_is_no_failure() -> None:
    assert failed(START, ContainerGone("gone")).failures == {}


def test_a_restart_that_is_asked_for_begins_without_failures() -> None:
    asked = act.RecordRestart("now", reason="it was asked for")
    after = carried_out(memory(failures={"Create": FAILED}), Outcome(done=(asked,)), observed(EXITED), NOW)
    assert after.failures == {}


def test_only_what_is_still_wanted_has_failed() -> None:
    before = memory(failures={"Start": FAILED, "Pause": FAILED})
    assert set(settled(before, Plan(wanted=frozenset({"Start"}))).failures) == {"Start"}


def test_a_signal_is_remembered_while_its_container_runs() -> None:
    sent = carried_out(memory(), Outcome(done=(SIGNAL,)), observed(RUNNING), NOW)
    assert sent.signalled[RUNNING.id] == Sent(NOW.mono, True, RUNNING.started_at)
    ended = replace(RUNNING, state=ContainerState.EXITED)
    assert carried_out(sent, Outcome(), observed(ended), NOW).signalled == {}


def test_a_predecessor_that_is_gone_back_to_was_stopped_by_us() -> None:
    new = container(desired({"image": "new"}), ContainerState.CREATED, id="new")
    sent = carried_out(memory(), Outcome(done=(SIGNAL,)), observed(RUNNING, new), NOW)
    ended = replace(RUNNING, state=ContainerState.EXITED, exit_code=143, finished_at=NOW.wall)
    after = carried_out(sent, Outcome(done=(START,)), observed(ended, new), NOW)
    back = plan(WANTED, observed(ended, new), history(memory=after), NOW)
    assert "Start" in {action.kind for action in back.actions}
    assert back.accounting is not None
    assert (back.accounting.restart_count, back.accounting.exit_seen) == (history().restart_count, None)


def test_a_pull_is_remembered_until_nothing_pulls() -> None:
    waiting = carried_out(memory(), Outcome(waiting="downloading 10 %"), observed(), NOW)
    assert waiting.pulling == "downloading 10 %"
    pull = Plan(actions=(act.EnsureImage("alpine", reason="it is missing"),))
    assert planned(waiting, pull, observed(), NOW, 10).pulling == "downloading 10 %"
    assert planned(waiting, Plan(), observed(), NOW, 10).pulling == ""


def test_a_start_ends_the_restart_and_is_of_this_generation() -> None:
    before = history(restarting=True, observed_generation=1, phase="Restarting")
    after = counted(before, Plan(), Outcome(done=(START,)), EXITED, 2)
    assert (after.restarting, after.observed_generation, after.phase) == (False, 2, "")
    assert counted(before, Plan(), Outcome(), EXITED, 2) == before


def test_a_container_that_runs_for_long_is_signalled_once_where_its_hosts_clock_is_ahead() -> None:
    """It started four minutes ago; the host's clock is five ahead. Many programs take a second signal for "at once"."""
    ahead = replace(RUNNING, started_at=NOW.wall + timedelta(minutes=1))
    assert not sent_now(ahead, Memory(), True, NOW).early
