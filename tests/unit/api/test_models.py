"""The models: what the controller reads from the API server and writes to it."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.api import (
    Condition,
    ConditionStatus,
    ErrorClass,
    LabelSelector,
    LastError,
    Phase,
    PullPolicy,
    ReclaimPolicy,
    Workspace,
    WorkspaceSpec,
    WorkspaceStatus,
    bounded,
    problems_of,
)
from tests.unit.api.objects import FULL, HEX64, workspace

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def test_silence_means_the_defaults_of_the_design() -> None:
    spec = Workspace.model_validate(workspace()).spec
    assert (spec.desired_state, spec.host, spec.image, spec.tty) == ("Running", "default", "alpine:latest", True)
    assert spec.image_pull_policy is PullPolicy.IF_NOT_PRESENT
    assert (spec.recovery.max_retries, spec.recovery.backoff.factor, spec.recovery.fallback_action) == (5, 2, "Stop")
    assert spec.resources.limits.memory is None
    assert not spec.security_context.allow_privilege_escalation


def test_items_of_lists_get_their_defaults_from_the_model() -> None:
    spec = Workspace.model_validate(FULL).spec
    assert spec.volumes[1].reclaim_policy is ReclaimPolicy.RETAIN
    assert spec.ports[0].protocol == "TCP"


def test_a_spec_survives_the_way_to_json_and_back() -> None:
    spec = Workspace.model_validate(FULL).spec
    assert WorkspaceSpec.model_validate(spec.to_dict()) == spec
    assert FULL["spec"].items() <= {**spec.to_dict(), **FULL["spec"]}.items()


def test_a_spec_can_not_be_changed() -> None:
    with pytest.raises(ValidationError):
        Workspace.model_validate(workspace()).spec.image = "other"  # type: ignore[misc]


def test_an_error_names_the_field_and_not_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Workspace.model_validate(workspace(env=[{"name": "A", "value": "canary\x00"}]))
    assert "canary" not in str(caught.value)
    assert [problem.path for problem in problems_of(caught.value)] == ["spec.env[0].value"]


def test_a_status_is_written_in_the_words_of_the_design() -> None:
    status = WorkspaceStatus(
        observed_generation=3,
        phase=Phase.RUNNING,
        container_id="c",
        image_id="i",
        ip_address="10.0.0.2",
        started_at=NOW,
        last_updated=NOW,
        last_error=LastError(error_class=ErrorClass.IMAGE, reason="ErrImagePull", message="m", time=NOW),
        conditions=(Condition(type="Ready", status=ConditionStatus.TRUE, last_transition_time=NOW, reason="Running"),),
    )
    written = status.to_dict()
    assert {"containerID", "imageID", "ipAddress", "startedAt", "lastError", "observedGeneration"} <= set(written)
    assert written["lastError"]["class"] == "Image"
    assert written["lastUpdated"] == "2026-01-02T03:04:05Z"
    assert WorkspaceStatus.model_validate(written) == status


def test_a_deadline_is_never_early() -> None:
    status = WorkspaceStatus(next_retry_at=NOW)
    assert status.to_dict()["nextRetryAt"] == "2026-01-02T03:04:06Z"
    assert WorkspaceStatus.model_validate(status.to_dict()) == status


def test_a_status_of_another_version_is_read_as_far_as_possible() -> None:
    status = {"phase": "Hibernating", "restartCount": 7, "newField": {}, "conditions": [{"type": "Ready"}]}
    read = Workspace.model_validate({**workspace(), "status": status}).status
    assert (read.phase, read.restart_count, read.conditions) == (None, 7, ())


@pytest.mark.parametrize("status", [None, [], "text", 5, {"observedGeneration": "x"}], ids=repr)
def test_a_status_that_is_nonsense_is_no_status(status: object) -> None:
    assert Workspace.model_validate({**workspace(), "status": status}).status == WorkspaceStatus()


@given(st.text(max_size=600))
def test_text_of_a_status_is_one_bounded_line(text: str) -> None:
    once = bounded(text, 256)
    assert len(once) <= 256
    assert once.isprintable()
    assert bounded(once, 256) == once


def test_text_from_elsewhere_is_cut_and_escaped_on_its_way_into_a_status() -> None:
    error = LastError(message="a\x1b[31m\nb" + "x" * 2000)
    assert error.message is not None
    assert error.message.startswith("a\\x1b[31m\\nb")
    assert len(error.message) == 1024


def test_a_restart_request_equals_the_one_that_was_recorded() -> None:
    requested = Workspace.model_validate(workspace({"annotations": {"aicli.dev/restartedAt": "x\n" * 500}}))
    recorded = WorkspaceStatus(last_restart_request=requested.restart_request)
    assert WorkspaceStatus.model_validate(recorded.to_dict()).last_restart_request == requested.restart_request
    assert Workspace.model_validate(workspace()).restart_request is None


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"app": "shop"}}, True),
        ({"matchLabels": {"app": "shop", "tier": "db"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["shop", "b"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["shop"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_selects_as_kubernetes_does(selector: dict[str, object], selected: bool) -> None:
    assert LabelSelector.model_validate(selector).matches({"app": "shop"}) is selected


def test_thousands_of_workspaces_are_read_in_a_moment() -> None:
    started = time.process_time()
    for _ in range(1000):
        Workspace.model_validate(FULL)
    assert timedelta(seconds=time.process_time() - started) < timedelta(seconds=2)


def test_what_was_given_is_held_once_for_all_objects_and_copies_have_their_own() -> None:
    one, other = Workspace.model_validate(workspace(FULL)), Workspace.model_validate(workspace(FULL))
    assert one.spec.recovery.model_fields_set is other.spec.recovery.model_fields_set
    told = json.dumps(workspace(FULL) | {"status": {"containerID": HEX64}})
    first, second = (Workspace.model_validate(json.loads(told)) for _ in range(2))
    assert first.status.container_id is second.status.container_id
    before = set(one.status.model_fields_set)
    one.status.model_copy(update={"host": "another"})
    assert one.status.model_fields_set == before
