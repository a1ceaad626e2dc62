"""Restarts wait as the kubelet's do, each exit counts once, and no clock can jump over a wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.api import Recovery
from controller.backoff import account, failure_delay, restart_delay
from controller.errors import EngineError, HostUnreachable, ImageError, NotConnected, ReferenceNotFound
from controller.history import RESTARTS_AT_ONCE, RESTARTS_PERIOD, ExitSeen, Now, Sent
from controller.observed import ContainerState
from tests.unit.pairs import NOW, T0, container, desired, history, memory

RECOVERY = Recovery()
EXITED = container(desired(), ContainerState.EXITED)
LATER = EXITED.finished_at + timedelta(seconds=30)  # type: ignore[operator]


@pytest.mark.parametrize(("retry", "seconds"), [(1, 0), (2, 10), (3, 20), (4, 40), (7, 300), (10_000, 300)])
def test_the_first_restart_is_at_once_and_the_others_wait_longer_and_longer(retry: int, seconds: float) -> None:
    assert restart_delay(retry, RECOVERY.backoff) == seconds


def test_an_exit_counts_and_the_first_restart_is_due_at_once() -> None:
    counted = account(history(started_at=EXITED.started_at), EXITED, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count, counted.due) == (1, 1, NOW.mono)


def test_the_next_exit_waits() -> None:
    short = replace(EXITED, started_at=EXITED.finished_at)
    counted = account(history(retries=1, restart_count=1), short, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count, counted.due) == (2, 2, NOW.mono + 10)


def test_a_good_run_forgets_the_retries_before_it() -> None:
    counted = account(history(retries=4, restart_count=9), EXITED, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count) == (1, 10)


def test_an_exit_that_was_counted_is_not_counted_again() -> None:
    before = history(retries=2, restart_count=2, last_exit_at=EXITED.finished_at)
    counted = account(before, EXITED, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count) == (2, 2)


def test_a_restart_that_was_made_but_not_recorded_still_counts() -> None:
    running = replace(EXITED, state=ContainerState.RUNNING, started_at=LATER)
    counted = account(history(started_at=EXITED.started_at), running, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count) == (1, 1)


def test_an_exit_while_it_should_be_stopped_does_not_count_even_when_the_signal_is_forgotten() -> None:
    counted = account(history(retries=2), EXITED, RECOVERY, False, NOW, stopped=True)
    assert (counted.retries, counted.restart_count) == (2, 0)


def test_an_exit_that_we_asked_for_does_not_count() -> None:
    sent = memory(signalled={EXITED.id: Sent(0, True, EXITED.started_at)})
    counted = account(history(memory=sent, retries=2), EXITED, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count, counted.due) == (2, 0, NOW.mono)


def test_the_exit_of_an_unhealthy_container_counts_though_we_sent_the_signal() -> None:
    sent = memory(signalled={EXITED.id: Sent(0, False, EXITED.started_at)})
    assert account(history(memory=sent), EXITED, RECOVERY, False, NOW).restart_count == 1


def test_after_the_last_retry_it_is_exhausted() -> None:
    short = replace(EXITED, started_at=EXITED.finished_at)
    counted = account(history(retries=5, restart_count=5), short, RECOVERY, False, NOW)
    assert counted.exhausted
    assert (counted.retries, counted.restart_count, counted.due) == (5, 5, None)


def test_ignore_goes_on_at_the_longest_wait() -> None:
    ignore = Recovery.model_validate({"fallbackAction": "Ignore"})
    short = replace(EXITED, started_at=EXITED.finished_at)
    counted = account(history(retries=5), short, ignore, False, NOW)
    assert not counted.exhausted
    assert counted.due == NOW.mono + 300


def test_a_change_of_the_spec_forgets_retries_and_exhaustion_at_once() -> None:
    before = history(retries=5, exhausted=True, last_exit_at=EXITED.finished_at)
    counted = account(before, EXITED, RECOVERY, True, NOW)
    assert (counted.retries, counted.exhausted, counted.due) == (0, False, NOW.mono)


def test_after_a_controller_restart_the_wait_goes_on_where_it_was() -> None:
    before = history(retries=3, last_exit_at=EXITED.finished_at, next_retry_at=NOW.wall + timedelta(seconds=7))
    assert account(before, EXITED, RECOVERY, False, NOW).due == NOW.mono + 7


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1)], ids=["forward", "backward"])
def test_a_jump_of_the_wall_clock_moves_no_wait_that_this_process_began(jump: timedelta) -> None:
    known = memory(exit_seen=ExitSeen(EXITED.finished_at, NOW.mono + 15))  # type: ignore[arg-type]
    before = history(
        retries=3, last_exit_at=EXITED.finished_at, next_retry_at=NOW.wall + timedelta(seconds=15), memory=known
    )
    assert account(before, EXITED, RECOVERY, False, Now(NOW.wall + jump, NOW.mono)).due == NOW.mono + 15


def test_a_clock_that_jumped_back_between_two_processes_lengthens_no_wait() -> None:
    before = history(retries=3, last_exit_at=EXITED.finished_at, next_retry_at=NOW.wall + timedelta(hours=1))
    assert account(before, EXITED, RECOVERY, False, NOW).due == NOW.mono + 20


def test_a_wait_that_this_process_began_goes_on_though_the_status_has_no_time_for_it() -> None:
    known = memory(exit_seen=ExitSeen(EXITED.finished_at, NOW.mono + 15))  # type: ignore[arg-type]
    before = history(retries=3, last_exit_at=EXITED.finished_at, memory=known)
    assert account(before, EXITED, RECOVERY, False, NOW).due == NOW.mono + 15


def test_a_wait_that_was_called_off_does_not_come_back() -> None:
    known = memory(exit_seen=ExitSeen(EXITED.finished_at, NOW.mono + 15))  # type: ignore[arg-type]
    before = history(retries=3, last_exit_at=EXITED.finished_at, memory=known)
    called_off = account(before, EXITED, RECOVERY, True, NOW).exit_seen
    later = replace(before, memory=memory(exit_seen=called_off))
    assert account(later, EXITED, RECOVERY, False, NOW).due == NOW.mono


def test_a_container_that_was_given_up_and_started_by_hand_is_given_up_no_more() -> None:
    running = replace(EXITED, state=ContainerState.RUNNING, started_at=LATER)
    before = history(retries=5, exhausted=True, last_exit_at=EXITED.finished_at)
    assert not account(before, running, RECOVERY, False, NOW).exhausted


def test_the_exit_code_of_a_run_is_kept_while_the_next_one_goes_on() -> None:
    running = replace(EXITED, state=ContainerState.RUNNING, started_at=LATER, exit_code=0)
    counted = account(history(ended=EXITED, last_exit_at=EXITED.finished_at), running, RECOVERY, False, NOW)
    assert counted.ended is EXITED


def test_nothing_there_is_due_at_once_and_counts_nothing() -> None:
    counted = account(history(retries=2, restart_count=3), None, RECOVERY, False, NOW)
    assert (counted.retries, counted.restart_count, counted.due) == (2, 3, NOW.mono)


def test_failed_steps_are_tried_again_soon_images_later_and_missing_secrets_in_between() -> None:
    assert [failure_delay(EngineError("x"), n) for n in (1, 2, 3, 9)] == [1, 2, 4, 30]
    assert [failure_delay(HostUnreachable("x"), n) for n in (1, 2, 3, 9)] == [1, 2, 4, 30]
    assert [failure_delay(NotConnected("x"), n) for n in (1, 2, 9)] == [1, 2, 2]
    assert [failure_delay(ImageError("x"), n) for n in (1, 2, 9)] == [10, 20, 300]
    assert [failure_delay(ReferenceNotFound("x"), n) for n in (1, 2, 9)] == [5, 10, 60]


def test_times_of_the_pair_make_sense() -> None:
    assert T0 < EXITED.created_at < EXITED.finished_at < NOW.wall  # type: ignore[operator]


def test_no_back_off_lets_a_workspace_restart_more_often_than_a_host_can_bear() -> None:
    eager = Recovery.model_validate(
        {"resetAfterSeconds": 1, "backoff": {"initialSeconds": 1, "maxSeconds": 1}, "fallbackAction": "Ignore"}
    )
    recent = tuple(NOW.mono - seconds for seconds in range(RESTARTS_AT_ONCE, 0, -1))
    seen = history(started_at=EXITED.started_at, memory=memory(restarts=recent))
    assert account(seen, EXITED, eager, False, NOW).due == recent[0] + RESTARTS_PERIOD
    rare = history(started_at=EXITED.started_at, memory=memory(restarts=recent[1:]))
    assert account(rare, EXITED, eager, False, NOW).due == NOW.mono
