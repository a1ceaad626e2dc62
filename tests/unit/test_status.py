"""Every row of the status table, and that the status is written only when it has something new to say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controller import naming
from controller.api import WorkspaceStatus
from controller.desired import Desired
from controller.errors import EngineError, HostNotFound, ImageUnavailable, PolicyViolation
from controller.history import Failure, History, Memory, Now, from_status
from controller.observed import ContainerState, Health, Observed, PublishedPort
from controller.plan import Plan, plan
from controller.status import status
from tests.unit.pairs import NOW, T0, container, desired, history, memory, observed

EMPTY = WorkspaceStatus()


def told(
    wanted: Desired,
    there: Observed,
    before: History | None = None,
    previous: WorkspaceStatus = EMPTY,
    now: Now = NOW,
) -> WorkspaceStatus:
    before = before or history()
    return status(wanted, there, plan(wanted, there, before, now), before, previous, now)


def row(found: WorkspaceStatus) -> tuple[str, ...]:
    return (*(str(c.status) for c in found.conditions), str(found.phase))


def reason(found: WorkspaceStatus) -> str:
    return found.conditions[0].reason


@pytest.mark.parametrize(
    ("state", "found", "phase"),
    [
        ("Running", ContainerState.RUNNING, "Running"),
        ("Paused", ContainerState.PAUSED, "Paused"),
        ("Stopped", ContainerState.EXITED, "Stopped"),
        ("Stopped", None, "Stopped"),
    ],
)
def test_as_declared(state: str, found: ContainerState | None, phase: str) -> None:
    wanted = desired({"desiredState": state})
    there = observed(*([container(wanted, found)] if found else []))
    before = history(last_exit_at=T0 + timedelta(minutes=50))
    assert row(told(wanted, there, before)) == ("True", "False", "False", phase)


def test_on_its_way_while_an_image_is_pulled() -> None:
    found = told(desired(), observed(), history(memory=memory(pulling="pulling alpine: 3 of 5 layers")))
    assert row(found) == ("False", "True", "False", "Pulling")
    assert "3 of 5" in found.conditions[0].message


def test_on_its_way_while_it_stops() -> None:
    wanted = desired({"desiredState": "Stopped"})
    assert row(told(wanted, observed(container(wanted)))) == ("False", "True", "False", "Stopping")


def test_a_transient_error_with_its_next_try() -> None:
    failed = memory(failures={"Create": Failure(EngineError("disk on fire"), 4, NOW.mono + 4)})
    found = told(desired(), observed(), history(memory=failed))
    assert row(found) == ("False", "True", "False", "BackOff")
    assert found.next_retry_at == NOW.wall + timedelta(seconds=4)
    assert found.last_error is not None
    assert (found.last_error.error_class, found.last_error.reason) == ("Docker", "EngineError")


def test_waiting_for_the_next_restart() -> None:
    wanted = desired()
    there = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=49, seconds=59), exit_code=3)
    found = told(wanted, observed(there), history(retries=1, restart_count=1))
    assert row(found) == ("False", "True", "False", "BackOff")
    assert reason(found) == "CrashLoopBackOff"
    assert (found.retries, found.restart_count) == (2, 2)
    assert found.last_termination is not None
    assert (found.last_termination.exit_code, found.last_termination.reason) == (3, "Error")


def test_an_answer_that_says_nothing_is_not_told_before_it_has_come_again_and_again() -> None:
    failed = memory(failures={"Create": Failure(EngineError("500"), 3, NOW.mono + 4)})
    found = told(desired(), observed(), history(memory=failed))
    assert row(found) == ("False", "True", "False", "Pending")
    assert (found.last_error, found.next_retry_at) == (None, None)


@pytest.mark.parametrize("step", ["EnsureImage", "Create"])
def test_a_container_of_another_spec_is_not_ready_while_the_making_of_the_next_is_tried_again(step: str) -> None:
    failed = memory(failures={step: Failure(EngineError("500"), 1, NOW.mono + 1)})
    wanted = desired({"image": "new"}, generation=2)
    found = told(wanted, observed(container(desired())), history(memory=failed))
    assert row(found) == ("False", "True", "False", "Running")
    assert "another spec" in found.conditions[0].message


@pytest.mark.parametrize("policy", ["OnRestart", "Manual"])
def test_a_container_of_another_spec_is_ready_where_changes_wait_for_a_restart(policy: str) -> None:
    wanted = desired({"image": "new", "updatePolicy": policy}, generation=2)
    found = told(wanted, observed(container(desired())))
    assert row(found) == ("True", "False", "False", "Running")
    assert found.pending_changes


def test_a_command_that_is_not_in_the_image_is_named() -> None:
    wanted = desired()
    there = container(wanted, ContainerState.EXITED, exit_code=127, started_at=T0 + timedelta(minutes=50))
    assert "not found in the image" in told(wanted, observed(there), history(retries=1)).conditions[0].message


@pytest.mark.parametrize("error", [ImageUnavailable("no such image"), HostNotFound("no such host")])
def test_a_definitive_answer_is_stalled(error: ImageUnavailable | HostNotFound) -> None:
    failed = memory(failures={"EnsureImage": Failure(error, 1, NOW.mono + 10)})
    found = told(desired(), observed(), history(memory=failed))
    assert row(found) == ("False", "False", "True", "Failed")
    assert reason(found) == error.reason


def test_a_refusal_names_its_field_and_says_what_still_runs() -> None:
    wanted = replace(desired(), refusal=PolicyViolation("spec.image: not allowed"))
    found = told(wanted, observed(container(wanted)))
    assert row(found) == ("False", "False", "True", "Failed")
    assert "spec.image: not allowed; the container that was made before still runs" in found.conditions[0].message


def test_a_workspace_that_should_be_stopped_and_is_cannot_be_refused() -> None:
    wanted = replace(desired({"desiredState": "Stopped"}), refusal=PolicyViolation("no"))
    assert row(told(wanted, observed())) == ("True", "False", "False", "Stopped")


def test_spent_retries_are_stalled_and_stay_so_after_a_controller_restart() -> None:
    wanted = desired()
    there = observed(container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=50)))
    found = told(wanted, there, history(retries=5, restart_count=5))
    assert row(found) == ("False", "False", "True", "Failed")
    assert reason(found) == "RetriesExhausted"
    again = told(wanted, there, from_status(found, memory()), found)
    assert again is found


def test_an_unreachable_host_is_unknown_and_keeps_what_was_known() -> None:
    wanted = desired()
    before = told(wanted, observed(container(wanted)))
    found = told(wanted, observed(known=False, unknown_because="connection refused"), previous=before)
    assert row(found) == ("Unknown", "True", "False", "Unknown")
    assert found.container_id == before.container_id
    assert found.last_error is not None
    assert found.last_error.message == "connection refused"


def test_a_back_off_outlives_an_outage_of_the_host() -> None:
    wanted = desired()
    there = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=49, seconds=59))
    waiting = told(wanted, observed(there), history(retries=2))
    outage = told(wanted, observed(known=False), from_status(waiting, memory()), waiting)
    assert outage.next_retry_at == waiting.next_retry_at is not None
    assert plan(wanted, observed(there), from_status(outage, memory()), NOW).actions == ()


def restarting(wanted: Desired, there: Observed) -> WorkspaceStatus:
    """The status that records a restart request before anything is stopped."""
    before = replace(history(restarting=True), started_at=there.containers[0].started_at, last_restart_request="now")
    return status(wanted, there, Plan(), before, WorkspaceStatus(observed_generation=1, retries=4), NOW)


@pytest.mark.parametrize(
    "meanwhile",
    [
        memory(pulling="asking the registry"),
        memory(failures={"Update": Failure(EngineError("x"), 4, NOW.mono + 4)}),
        memory(failures={"Create": Failure(ImageUnavailable("x"), 1, NOW.mono + 4)}),
    ],
    ids=["pull", "transient failure", "definitive failure"],
)
def test_a_restart_under_way_is_not_forgotten_over_something_else(meanwhile: Memory) -> None:
    wanted = desired({"image": "new", "updatePolicy": "Manual"}, annotations={naming.ANNOTATION_RESTARTED_AT: "now"})
    there = observed(container(desired()))
    first = restarting(wanted, there)
    second = told(wanted, there, from_status(first, meanwhile), first)
    assert reason(second) != "Restarting"
    assert "Create" in str(plan(wanted, there, from_status(second, memory()), NOW))


def test_a_restart_under_way_outlives_an_outage_of_the_host() -> None:
    wanted = desired(annotations={naming.ANNOTATION_RESTARTED_AT: "now"})
    there = observed(container(wanted))
    first = restarting(wanted, there)
    outage = told(wanted, observed(known=False), from_status(first, memory()), first)
    assert "Signal" in str(plan(wanted, there, from_status(outage, memory()), NOW))
    again = observed(container(wanted, started_at=T0 + timedelta(minutes=40)))
    assert told(wanted, again, from_status(outage, memory()), outage).conditions[1].reason == "NotReconciling"


def test_a_recorded_restart_forgets_the_retries_before_it() -> None:
    assert restarting(desired(), observed(container(desired()))).retries == 0


@pytest.mark.parametrize("fallback", ["Stop", "Remove"])
def test_what_was_given_up_stays_so_after_an_outage_of_the_host(fallback: str) -> None:
    wanted = desired({"recovery": {"fallbackAction": fallback}})
    ended = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=50))
    spent = told(wanted, observed(ended), history(retries=5))
    outage = told(wanted, observed(known=False), from_status(spent, memory()), spent)
    assert row(outage) == ("Unknown", "True", "False", "Unknown")
    left = () if fallback == "Remove" else (ended,)
    assert plan(wanted, observed(*left), from_status(outage, memory()), NOW).actions == ()
    assert reason(told(wanted, observed(*left), from_status(outage, memory()), outage)) == "RetriesExhausted"


def test_an_edit_during_an_outage_forgets_the_retries() -> None:
    wanted = desired()
    ended = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=50))
    spent = told(wanted, observed(ended), history(retries=5))
    edited = desired(generation=2)
    outage = told(edited, observed(known=False), from_status(spent, memory()), spent)
    assert (outage.retries, outage.next_retry_at) == (0, None)
    assert "Start" in str(plan(edited, observed(ended), from_status(outage, memory()), NOW))


@pytest.mark.parametrize(("known", "stalled"), [(True, "False"), (False, "True")])
def test_terminating(known: bool, stalled: str) -> None:
    wanted = desired(deletionTimestamp="2026-01-01T12:30:00Z")
    there = observed(container(wanted), known=known, unknown_because="connection refused")
    assert row(told(wanted, there)) == ("False", "True", stalled, "Terminating")


def test_an_unhealthy_container_is_not_ready() -> None:
    wanted = desired()
    assert reason(told(wanted, observed(container(wanted, health=Health.UNHEALTHY)))) == "Unhealthy"


def test_an_out_of_memory_kill_is_told_from_an_exit() -> None:
    wanted = desired()
    there = container(wanted, ContainerState.EXITED, oom_killed=True, exit_code=137)
    found = told(wanted, observed(there), history(retries=1, last_exit_at=None))
    assert found.last_termination is not None
    assert (found.last_termination.reason, found.last_termination.oom_killed) == ("OOMKilled", True)


def test_nothing_new_gives_the_very_same_status() -> None:
    wanted, there = desired(), observed(container(desired()))
    first = told(wanted, there)
    later = Now(NOW.wall + timedelta(hours=5), NOW.mono + 18000)
    assert told(wanted, there, from_status(first, memory()), first, later) is first


def test_a_status_read_back_equals_the_one_that_was_written() -> None:
    wanted = desired()
    first = told(wanted, observed(container(wanted, finished_at=T0 + timedelta(seconds=1, microseconds=123456))))
    assert WorkspaceStatus.model_validate(first.to_dict()) == first


def test_transition_times_move_only_with_the_status_of_a_condition() -> None:
    wanted = desired()
    first = told(wanted, observed(container(wanted)))
    later = Now(NOW.wall + timedelta(minutes=1), NOW.mono + 60)
    second = told(wanted, observed(container(wanted, ContainerState.PAUSED)), previous=first, now=later)
    moved = {c.type: c.last_transition_time != old.last_transition_time
             for c, old in zip(second.conditions, first.conditions, strict=True)}  # fmt: skip
    assert moved == {"Ready": True, "Reconciling": True, "Stalled": False}


def test_the_observed_generation_moves_with_the_first_status_of_a_generation_and_never_back() -> None:
    first = told(desired(generation=4), observed())
    assert first.observed_generation == 4
    assert told(desired(generation=3), observed(), previous=first).observed_generation == 4


def test_the_restart_request_at_first_sight_is_recorded() -> None:
    wanted = desired(annotations={naming.ANNOTATION_RESTARTED_AT: "t1"})
    found = told(wanted, observed(container(wanted)), history(last_restart_request=None, observed_generation=-1))
    assert found.last_restart_request == "t1"


def test_published_ports_are_told_by_their_names() -> None:
    wanted = desired({"ports": [{"name": "http", "containerPort": 8080}]})
    there = container(wanted, ports=(PublishedPort(8080, "TCP", "127.0.0.1", 20007),))
    port = told(wanted, observed(there)).ports[0]
    assert (port.name, port.host_ip, port.host_port) == ("http", "127.0.0.1", 20007)


def test_an_error_goes_when_all_is_as_declared() -> None:
    failed = memory(failures={"Create": Failure(EngineError("x"), 4, NOW.mono + 4)})
    before = told(desired(), observed(), history(memory=failed))
    wanted = desired()
    assert told(wanted, observed(container(wanted)), previous=before).last_error is None


def test_more_pending_changes_than_a_status_takes_are_counted() -> None:
    wanted = desired()
    decided = replace(plan(wanted, observed(container(wanted)), history(), NOW), pending=tuple(map(str, range(200))))
    told = status(wanted, observed(container(wanted)), decided, history(), WorkspaceStatus(), NOW)
    assert len(told.pending_changes) == 64
    assert told.pending_changes[-1] == "and 137 more"


def test_a_paused_container_that_was_unhealthy_is_as_declared() -> None:
    wanted = desired({"desiredState": "Paused"})
    there = container(wanted, ContainerState.PAUSED, health=Health.UNHEALTHY)
    assert row(told(wanted, observed(there))) == ("True", "False", "False", "Paused")


def test_a_process_that_keeps_ending_has_no_error_of_a_step_from_before() -> None:
    wanted = desired()
    outage = told(wanted, observed(known=False, unknown_because="connection refused"))
    there = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=49, seconds=59))
    assert outage.last_error is not None
    assert told(wanted, observed(there), history(retries=2), outage).last_error is None


def test_an_error_is_told_until_what_failed_has_come_to_its_end() -> None:
    failed = memory(failures={"EnsureImage": Failure(ImageUnavailable("no such image"), 1, NOW.mono + 10)})
    before = told(desired(), observed(), history(memory=failed))
    pulling = told(desired(), observed(), history(memory=memory(pulling="asking the registry")), before)
    assert pulling.last_error == before.last_error is not None


def test_the_next_retry_is_the_restart_also_where_another_step_waits_for_less() -> None:
    wanted = desired()
    there = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=49, seconds=59), name="byhand")
    alone = told(wanted, observed(there), history(retries=2))
    failed = memory(failures={"Rename": Failure(EngineError("x"), 4, NOW.mono + 3)})
    beside = told(wanted, observed(there), history(retries=2, memory=failed))
    assert beside.next_retry_at == alone.next_retry_at is not None


def test_the_next_retry_is_never_told_too_early() -> None:
    wanted = desired()
    there = container(wanted, ContainerState.EXITED, started_at=T0 + timedelta(minutes=49, seconds=59))
    now = Now(NOW.wall + timedelta(seconds=0.7), NOW.mono + 0.7)
    found = told(wanted, observed(there), history(retries=2), now=now)
    decided = plan(wanted, observed(there), history(retries=2), now)
    assert found.next_retry_at is not None
    assert decided.wake_at is not None
    assert found.next_retry_at >= now.wall_at(decided.wake_at)


def test_a_dead_container_alone_is_being_removed() -> None:
    wanted = desired()
    assert reason(told(wanted, observed(container(wanted, ContainerState.DEAD)))) == "RemovingDead"
