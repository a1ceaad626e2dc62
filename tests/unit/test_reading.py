"""A Workspace that this version can't read keeps what it has."""

from __future__ import annotations

from typing import Any

import pytest

from controller.desired import make_desired
from controller.observed import ContainerState
from controller.plan import plan
from controller.reading import parse_workspace
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
