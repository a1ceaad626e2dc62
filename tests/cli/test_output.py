"""What tables and words look like."""

from datetime import UTC, datetime

import pytest

from controller.cli import output
from controller.cli.description import describe
from controller.cli.options import seconds


@pytest.mark.parametrize(
    ("length", "words"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (599, "9m59s"), (601, "10m"), (3600, "1h"), (7260, "2h1m"),
     (36061, "10h"), (86400, "1d"), (90000, "1d1h"), (864001, "10d")],
)  # fmt: skip
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


def test_a_workspace_that_no_controller_has_seen_is_described_as_such() -> None:
    fresh = {"metadata": {"name": "a", "namespace": "b", "generation": 1, "uid": "c"}, "spec": {"image": "alpine"}}
    text = "\n".join(map(str, describe(fresh, [])))
    assert "no controller has looked at it yet" in text
    assert "was not looked at yet" in text


def test_a_back_off_and_its_error_are_told_in_words() -> None:
    workspace = {
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
    text = "\n".join(map(str, describe(workspace, [])))
    assert "(retry 3 of 5 since the last good run)" in text
    assert "ErrImagePull (Image" in text
    assert "code 137 (OOMKilled, out of memory)" in text
    assert "another spec (1234) (for a restart: the update policy is OnRestart)" in text
    workspace["spec"]["updatePolicy"] = "Recreate"
    assert "another spec (1234) (for what failed: ErrImagePull)" in "\n".join(map(str, describe(workspace, [])))
