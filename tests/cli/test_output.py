"""What tables and words look like."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controller.api import HostPolicy, Workspace
from controller.cli import output, planning
from controller.cli.description import describe
from controller.cli.failure import Failure
from controller.cli.options import seconds
from controller.cli.planning import Planner
from controller.desired import make_desired
from controller.history import Now
from tests.unit.api.objects import workspace

SECOND, MINUTE, HOUR, DAY, YEAR = 1, 60, 3600, 86400, 365 * 86400
INSTANT = 0.001

# The tests of k8s.io/apimachinery/pkg/util/duration
LENGTHS = [
    (SECOND, "1s"), (70 * SECOND, "70s"), (190 * SECOND, "3m10s"), (70 * MINUTE, "70m"), (47 * HOUR, "47h"),
    (49 * HOUR, "2d1h"), (8 * DAY + 2 * HOUR, "8d"), (367 * DAY, "367d"), (2 * YEAR + 25 * HOUR, "2y1d"),
    (8 * YEAR + 2 * HOUR, "8y"),
    (-2 * SECOND, "<invalid>"), (-2 * SECOND + INSTANT, "0s"), (0, "0s"), (SECOND - INSTANT, "0s"),
    (2 * MINUTE - INSTANT, "119s"), (2 * MINUTE, "2m"), (2 * MINUTE + SECOND, "2m1s"), (10 * MINUTE - INSTANT, "9m59s"),
    (10 * MINUTE, "10m"), (10 * MINUTE + SECOND, "10m"), (3 * HOUR - INSTANT, "179m"), (3 * HOUR, "3h"),
    (3 * HOUR + MINUTE, "3h1m"), (8 * HOUR - INSTANT, "7h59m"), (8 * HOUR, "8h"), (8 * HOUR + 59 * MINUTE, "8h"),
    (2 * DAY - INSTANT, "47h"), (2 * DAY, "2d"), (2 * DAY + HOUR, "2d1h"), (8 * DAY - INSTANT, "7d23h"),
    (8 * DAY, "8d"), (8 * DAY + 23 * HOUR, "8d"), (2 * YEAR - INSTANT, "729d"), (2 * YEAR, "2y"),
    (2 * YEAR + 23 * HOUR, "2y"), (2 * YEAR + 23 * HOUR + 59 * MINUTE, "2y"), (2 * YEAR + DAY - INSTANT, "2y"),
    (2 * YEAR + DAY, "2y1d"), (3 * YEAR, "3y"), (7 * YEAR, "7y"), (8 * YEAR - INSTANT, "7y364d"), (8 * YEAR, "8y"),
    (8 * YEAR + 364 * DAY, "8y"), (9 * YEAR, "9y"),
]  # fmt: skip


@pytest.mark.parametrize(("length", "words"), LENGTHS)
def test_ages_are_worded_as_kubectl_words_them(length: float, words: str) -> None:
    assert output.duration(length) == words


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("45", 45)])
def test_durations_are_read_as_kubectl_reads_them(text: str, length: float) -> None:
    assert seconds(text) == length


def test_a_long_cell_is_not_cut_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("A", "B"), [("x" * 300, "y" * 300)])
    assert ("x" * 300 + "   " + "y" * 300) in capsys.readouterr().out


def test_text_of_a_cluster_can_steer_neither_the_terminal_nor_the_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("A",), [("[bold]\x1b[31mred\n\x07",)])
    assert "[bold]\\x1b[31mred\\n\\x07" in capsys.readouterr().out


def test_an_age_without_a_time_is_none() -> None:
    assert output.age(None) == "<none>"
    assert output.age("2026-01-31T08:00:00Z", datetime(2026, 1, 31, 8, 5, tzinfo=UTC)) == "5m"


def test_a_try_that_was_due_long_ago_is_one_of_now() -> None:
    error = {"class": "Image", "reason": "ErrImagePull", "message": "m", "time": "2026-01-01T00:00:00Z"}
    status = {"observedGeneration": 1, "lastError": error, "nextRetryAt": "2026-01-01T00:00:10Z"}
    seen = Workspace.model_validate({**workspace({"generation": 1}), "status": status})
    (note,) = planning._notes(seen, planning._Host(missing=True), Now(datetime(2026, 1, 1, 0, 1, tzinfo=UTC), 0.0))
    assert note.endswith("the next try is in 0s")


NEWER = "that this version of kubectl-workspace does not know: install the version of the controller"


class Newer:
    """An API server whose CRDs are newer than this command."""

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """A DockerHost with a field that nobody knows here."""
        spec = {"endpoint": "unix:///nowhere.sock", "policy": {"newInV2": True}}
        return {"apiVersion": "aicli.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_a_plan_for_a_host_of_newer_crds_says_so() -> None:
    newer: Any = Newer()
    with pytest.raises(Failure, match=f"DockerHost 'h' has fields {NEWER}"):
        Planner(newer, None)._host("h")


def test_a_plan_from_a_status_of_a_newer_controller_says_so() -> None:
    status = {"observedGeneration": 1, "phase": "Running", "containerID": "f" * 64, "containerState": "hibernated"}
    seen = Workspace.model_validate({**workspace({"generation": 1}), "status": status})
    desired = make_desired(seen, HostPolicy(), "", {})
    with pytest.raises(Failure, match=f"has a status.containerState {NEWER}"):
        planning._from_status(seen, desired, Now(datetime(2026, 1, 1, tzinfo=UTC), 0.0))


def test_a_workspace_that_no_controller_has_seen_is_described_as_such() -> None:
    fresh = {"metadata": {"name": "a", "namespace": "b", "generation": 1, "uid": "c"}, "spec": {"image": "alpine"}}
    text = "\n".join(map(str, describe(fresh, [])))
    assert "no controller has looked at it yet" in text
    assert "was not looked at yet" in text


def test_a_back_off_and_its_error_are_told_in_words() -> None:
    failing = {
        "metadata": {"name": "a", "namespace": "b", "generation": 2, "uid": "c"},
        "spec": {"image": "alpine", "recovery": {"maxRetries": 5}, "updatePolicy": "OnRestart"},
        "status": {
            "phase": "BackOff",
            "observedGeneration": 2,
            "retries": 3,
            "nextRetryAt": "2999-01-01T00:00:00Z",
            "containerID": "f" * 64,
            "pendingChanges": ["the container was made from another spec (1234)"],
            "lastError": {
                "class": "Image",
                "reason": "ErrImagePull",
                "message": "not found",
                "time": "2026-01-01T00:00:00Z",
            },
            "lastTermination": {
                "exitCode": 137,
                "reason": "OOMKilled",
                "oomKilled": True,
                "finishedAt": "2026-01-01T00:00:00Z",
            },
            "conditions": [{"type": "Ready", "status": "False", "reason": "ErrImagePull", "message": "not found"}],
        },
    }
    text = "\n".join(map(str, describe(failing, [])))
    assert "(retry 3 of 5 since the last good run)" in text
    assert "ErrImagePull (Image" in text
    assert "code 137 (OOMKilled, out of memory)" in text
    assert "another spec (1234) (for a restart: the update policy is OnRestart)" in text
    failing["spec"]["updatePolicy"] = "Recreate"
    assert "another spec (1234) (for what failed: ErrImagePull)" in "\n".join(map(str, describe(failing, [])))
