"""A Workspace that this version can't read keeps what it has."""

from __future__ import annotations

from typing import Any

import pytest

from controller.desired import make_desired
from controller.observed import ContainerState
from controller.plan import plan
from controller.reading import parse_operation, parse_workspace
from tests.unit.pairs import CLUSTER, NOW, POLICY, container, desired, history, observed, workspace


def newer(**spec: Any) -> dict[str, Any]:
    """A Workspace of a newer CRD."""
    raw = workspace().to_dict()
    return {**raw, "spec": {**spec, "notYetKnown": True}}


@pytest.mark.parametrize(("state", "found"), [("Running", ContainerState.RUNNING), ("Paused", ContainerState.PAUSED)])
@pytest.mark.parametrize("enforcement", ["Report", "Stop"])
def test_its_container_is_left_as_it_is(state: str, found: ContainerState, enforcement: str) -> None:
    policy = POLICY.model_copy(update={"enforcement": enforcement})
    wanted = make_desired(parse_workspace(newer(desiredState=state)), policy, CLUSTER, {})
    assert wanted.refusal is not None
    assert plan(wanted, observed(container(desired(), found)), history(), NOW).actions == ()


def test_the_results_of_an_operation_that_has_ended_are_not_kept() -> None:
    meta = {"name": "stop", "namespace": "team-a", "uid": "1", "resourceVersion": "1"}
    ended: dict[str, Any] = {"results": [{"name": "a", "state": "Succeeded"}], "total": 1, "succeeded": 1}
    raw = {"metadata": meta, "spec": {"operation": "Stop", "names": ["a"]}, "status": ended}
    assert len(parse_operation(raw).status.results) == 1
    over = parse_operation({**raw, "status": ended | {"completionTime": "2026-01-01T12:00:00Z"}}).status
    assert (over.results, over.total, over.succeeded) == ((), 1, 1)


def test_of_the_metadata_only_what_is_read_is_kept() -> None:
    ours = {"aicli.dev/usage": "true"}
    raw = workspace().to_dict()
    raw["metadata"] |= {
        "labels": {"team": "a"},
        "annotations": ours | {"kubectl.kubernetes.io/last-applied-configuration": "x" * 250_000},
    }
    meta = parse_workspace(raw).metadata
    assert (meta.labels, meta.annotations) == ({}, ours)
    assert parse_workspace(newer() | {"metadata": raw["metadata"]}).metadata.annotations == ours


def test_parts_that_are_the_same_in_many_workspaces_are_held_once() -> None:
    large = {"resources": {"limits": {"memory": "1Gi"}}}
    first, second, other = (parse_workspace(workspace(spec).to_dict()) for spec in (large, large, {}))
    assert first.spec.resources is second.spec.resources
    assert first.spec.network is other.spec.network
    assert first.spec.resources != other.spec.resources
