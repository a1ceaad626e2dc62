"""What is worth an Event, and under which reason."""

import pytest

from controller.actions import AddFinalizer, Create, Kill, Start, Update
from controller.api import HostPolicy, ObjectMeta, Workspace, WorkspaceSpec, WorkspaceStatus
from controller.container_spec import ContainerSpec
from controller.desired import container_spec
from controller.errors import ImageUnavailable
from controller.happenings import Happening, of_action, of_error, of_status


def spec() -> ContainerSpec:
    workspace = Workspace(metadata=ObjectMeta(name="a", namespace="team", uid="uid-1"), spec=WorkspaceSpec())
    return container_spec(workspace, HostPolicy(), "cluster", "hash")


def status(
    phase: str = "Running", ready: tuple[str, str, str] = ("True", "Running", ""), **fields: object
) -> WorkspaceStatus:
    value, reason, message = ready
    stalled = fields.pop("stalled", None)
    conditions = [{"type": "Ready", "status": value, "reason": reason, "message": message}]
    if stalled:
        conditions.append({"type": "Stalled", "status": "True", "reason": reason, "message": message})
    for condition in conditions:
        condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    return WorkspaceStatus.model_validate({"phase": phase, "conditions": conditions, **fields})


def reasons(previous: WorkspaceStatus, new: WorkspaceStatus) -> list[str]:
    return [happening.reason for happening in of_status("alpine", previous, new)]


def test_a_start_of_a_new_container_is_told_as_started() -> None:
    assert [h.reason for h in of_action(WorkspaceStatus(), Start(None, reason="x"))] == ["Started"]


def test_a_start_after_a_crash_is_told_as_a_restart() -> None:
    crashed = status("BackOff", container_id="c1")
    assert [h.reason for h in of_action(crashed, Start("c1", reason="x"))] == ["Restarted"]


def test_a_start_of_what_was_stopped_is_no_restart() -> None:
    stopped = status("Stopped", container_id="c1")
    assert [h.reason for h in of_action(stopped, Start("c1", reason="x"))] == ["Started"]


def test_the_first_start_of_a_replacement_is_no_restart() -> None:
    replaced = status("Stopping", container_id="c2", container_state="created")
    assert [h.reason for h in of_action(replaced, Start("c2", reason="x"))] == ["Started"]


def test_bookkeeping_is_not_told() -> None:
    assert list(of_action(WorkspaceStatus(), AddFinalizer(reason="x"))) == []


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (WorkspaceStatus(), ["Created"]),
        (status("Pulling"), ["Pulled", "Created"]),
        (status(container_id="old"), ["Recreated"]),
    ],
    ids=["first", "after a pull", "again"],
)
def test_a_new_container_is_told_with_what_led_to_it(before: WorkspaceStatus, expected: list[str]) -> None:
    action = Create("ws-a", spec(), reason="there is no container")
    assert [h.reason for h in of_action(before, action)] == expected


def test_a_kill_is_a_warning() -> None:
    (happening,) = of_action(status(), Kill("c", reason="it did not end in 10 s"))
    assert happening == Happening("Killed", "killed the container: it did not end in 10 s", warning=True)


def test_an_error_is_told_under_its_own_reason() -> None:
    assert of_error(ImageUnavailable("gone", reason="ImageNotFound")) == Happening(
        "ImageNotFound", "gone", warning=True
    )


def test_a_crash_loop_says_the_same_words_each_time() -> None:
    def crashed(second: int) -> WorkspaceStatus:
        ended = {"exitCode": 1, "reason": "Error", "finishedAt": f"2026-01-01T00:00:{second:02}Z"}
        message = f"restart number {second} follows at 00:00:{second:02}"
        return status("BackOff", ("False", "CrashLoopBackOff", message), lastTermination=ended)

    first, second = list(of_status("alpine", status(), crashed(1))), list(of_status("alpine", crashed(1), crashed(2)))
    assert first == second
    assert [h.reason for h in first] == ["BackOff"]
    assert list(of_status("alpine", crashed(2), crashed(2))) == []


def test_an_out_of_memory_kill_is_a_warning() -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:01Z", "oomKilled": True}
    assert reasons(status(), status("Pending", ("False", "Starting", ""), lastTermination=ended)) == ["OOMKilled"]


def test_an_unreachable_host_is_told_once_and_its_return_too() -> None:
    unknown = status("Unknown", ("Unknown", "HostUnreachable", "no answer"))
    assert reasons(status(), unknown) == ["HostUnreachable"]
    assert reasons(unknown, unknown) == []
    assert reasons(unknown, status()) == ["HostReachable"]


def test_a_definitive_refusal_is_told_once() -> None:
    refused = status("Failed", ("False", "PolicyViolation", "image: not allowed"), stalled=True)
    assert reasons(status("Pending", ("False", "Pending", "")), refused) == ["PolicyViolation"]
    assert reasons(refused, refused) == []


def test_a_stop_is_told_when_it_is_done() -> None:
    assert reasons(status("Stopping", ("False", "Stopping", "")), status("Stopped", ("True", "Stopped", ""))) == [
        "Stopped"
    ]


def test_a_workspace_that_was_made_to_be_stopped_is_not_told_as_stopped() -> None:
    assert reasons(WorkspaceStatus(), status("Stopped", ("True", "Stopped", ""))) == []


def test_messages_fit_the_api_servers_limit() -> None:
    (happening,) = of_action(status(), Update("c", spec().limits, reason="x" * 5000))
    assert len(happening.message) <= 1024


def test_a_pull_is_told_with_its_image() -> None:
    pulling = status("Pulling", ("False", "Pulling", "3 of 7 layers"))
    assert list(of_status("alpine:3", status("Pending"), pulling)) == [Happening("Pulling", "pulling image alpine:3")]
