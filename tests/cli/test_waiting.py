"""--wait, on a controller in memory: when what was asked for is over."""

import copy
from typing import Any

import pytest

from controller.cli.waiting import STALLED_GRACE, Outcome, _settled
from controller.cli.workspaces import is_true
from tests.fuzz.world import HOST, NAMESPACE, World, world

SPEC = {"host": HOST, "image": "alpine:latest", "desiredState": "Running"}
KEY = ("Workspace", NAMESPACE, "a")
DONE = Outcome("a", "", "")


def restart(made: World, request: str | None) -> dict[str, Any]:
    """What `restart` has once its patch is done."""
    made.api.edit(*KEY, lambda raw: raw["metadata"].update(annotations={"aicli.dev/restartedAt": request}))
    return copy.deepcopy(made.api.objects[KEY])


def running(made: World, **spec: str) -> None:
    """Has a Workspace that runs, and wants these fields since then."""
    made.api.create("Workspace", NAMESPACE, "a", dict(SPEC))
    made.go(10)
    made.api.edit(*KEY, lambda raw: raw["spec"].update(spec))
    made.go(10)


def test_a_restart_of_a_spec_that_is_refused_ends_with_the_refusal() -> None:
    with world() as made:
        running(made, projectPath="/etc/x", projectMountPath="/workspace")
        asked = restart(made, "2026-01-01T00:00:00Z")
        made.go(STALLED_GRACE)
        outcome = _settled(made.get("a"), asked, STALLED_GRACE)
    assert outcome is not None
    assert outcome.reason == "PolicyViolation"


def test_a_restart_of_one_that_had_given_up_is_not_taken_for_failed_at_once() -> None:
    with world() as made:
        running(made, image="nothere:1", imagePullPolicy="Never")
        asked = restart(made, "2026-01-01T00:00:00Z")
        assert is_true(asked, "Stalled")
        assert _settled(asked, asked, 1.0) is None
        made.api.edit(*KEY, lambda raw: raw["spec"].update(image="alpine:latest"))
        made.go(10)
        assert _settled(made.get("a"), asked, STALLED_GRACE) == DONE


@pytest.mark.parametrize("other", ["2026-01-02T00:00:00Z", "x" * 300])
def test_a_restart_whose_request_was_replaced_ends_with_the_other_one(other: str) -> None:
    with world() as made:
        running(made)
        asked = restart(made, "2026-01-01T00:00:00Z")
        replaced = restart(made, other)
        assert _settled(replaced, asked, 0.0) is None
        made.go(60)
        assert _settled(made.get("a"), asked, 60.0) == DONE


def test_a_restart_whose_request_was_taken_back_is_over() -> None:
    with world() as made:
        running(made)
        asked = restart(made, "2026-01-01T00:00:00Z")
        restart(made, None)
        made.go(60)
        assert _settled(made.get("a"), asked, 60.0) == DONE
