"""What changes of an object tell about times to Ready and of repairs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from controller.api import Workspace
from controller.latency import BecameReady, Latencies, Repaired, Restarted

START = datetime(2026, 1, 1, tzinfo=UTC)


def _workspace(generation: int = 1, observed: int = 1, ready: str = "True", **status: Any) -> Workspace:
    conditions = [
        {"type": "Ready", "status": ready, "reason": "X", "message": "", "lastTransitionTime": START.isoformat()}
    ]
    return Workspace.model_validate(
        {
            "apiVersion": "aicli.dev/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": "w", "namespace": "n", "uid": "u", "generation": generation, "resourceVersion": "1"},
            "spec": {},
            "status": {"observedGeneration": observed, "conditions": conditions, **status},
        }
    )


def _time(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def _ran_again(restarts: int, ended: float, started: float | None, retries: int = 1) -> Workspace:
    status: dict[str, Any] = {
        "restartCount": restarts,
        "retries": retries,
        "lastTermination": {"reason": "Error", "exitCode": 137, "finishedAt": _time(ended)},
    }
    if started is not None:
        status["startedAt"] = _time(started)
    return _workspace(**status)


def test_a_new_workspace_is_ready_so_long_after_first_sight() -> None:
    latencies = Latencies()
    assert not list(latencies.see(_workspace(observed=-1, ready="Unknown"), now=10.0))
    assert not list(latencies.see(_workspace(ready="False"), now=10.2))
    assert list(latencies.see(_workspace(), now=10.5)) == [BecameReady(0.5, new=True)]
    assert not list(latencies.see(_workspace(), now=11.0))


def test_a_change_counts_from_when_its_generation_came() -> None:
    latencies = Latencies()
    list(latencies.see(_workspace(), now=1.0))
    assert not list(latencies.see(_workspace(generation=2, observed=1), now=20.0))
    assert list(latencies.see(_workspace(generation=2, observed=2), now=21.0)) == [BecameReady(1.0, new=False)]


def test_what_was_ready_before_we_started_tells_nothing() -> None:
    assert not list(Latencies().see(_ran_again(restarts=4, ended=1.0, started=2.0), now=1.0))


def test_a_repair_lasts_from_the_end_of_a_run_to_the_next_start() -> None:
    latencies = Latencies()
    list(latencies.see(_workspace(), now=1.0))
    told = list(latencies.see(_ran_again(restarts=1, ended=60.0, started=60.25), now=2.0))
    assert told == [Restarted(1, "Error"), Repaired(0.25, first=True)]


def test_a_back_off_is_part_of_a_later_repair() -> None:
    latencies = Latencies()
    list(latencies.see(_workspace(), now=1.0))
    told = list(latencies.see(_ran_again(restarts=2, ended=60.0, started=None, retries=2), now=2.0))
    assert told == [Restarted(2, "Error")]
    told = list(latencies.see(_ran_again(restarts=2, ended=60.0, started=70.5, retries=2), now=12.5))
    assert told == [Repaired(10.5, first=False)]


def test_a_forgotten_workspace_begins_afresh() -> None:
    latencies = Latencies()
    list(latencies.see(_workspace(observed=-1), now=1.0))
    latencies.forget("u")
    assert not list(latencies.see(_workspace(), now=5.0))


def test_a_start_that_was_asked_for_anew_is_no_repair() -> None:
    latencies = Latencies()
    list(latencies.see(_workspace(restartCount=0), now=1.0))
    assert list(latencies.see(_ran_again(restarts=1, ended=10.0, started=None), now=11.0)) == [Restarted(1, "Error")]
    stopped = _workspace(generation=2, observed=2, restartCount=1)
    assert not [seen for seen in latencies.see(stopped, now=12.0) if isinstance(seen, Repaired)]
    again = _workspace(generation=3, observed=3, restartCount=1, startedAt=_time(90000.0))
    assert not [seen for seen in latencies.see(again, now=13.0) if isinstance(seen, Repaired)]


def test_what_had_been_taken_up_before_we_started_is_no_slow_change() -> None:
    """Such as one whose host has been away since."""
    latencies = Latencies()
    list(latencies.see(_workspace(ready="Unknown"), now=0.0))
    assert not list(latencies.see(_workspace(), now=3600.0))
