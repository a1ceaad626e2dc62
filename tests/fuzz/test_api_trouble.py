"""What an API server can do to a controller besides being down: late watches, refusals, objects that can't be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.core.internal_models import meta_v1

from controller.kube import Gone
from tests.fuzz.world import HOST, NAMESPACE, World, world


def test_a_conflict_is_settled_by_reading_where_the_watch_is_late() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(5)
        container = next(iter(made.host.containers))
        made.api.silent = True
        made.api.edit("Workspace", NAMESPACE, "a", lambda raw: raw["spec"].update(desiredState="Stopped"))
        made.host.exit(container, 1)
        made.go(2)
        assert not made.host.find(container).shown.is_live


@pytest.mark.parametrize(
    "refusal",
    [Gone("the kind isn't served"), ApiError(status=meta_v1.Status(code=403, message="no such right"))],
    ids=["404", "403"],
)
def test_a_list_that_is_refused_ends_nothing(refusal: Exception) -> None:
    with world() as made:
        assert made.controller is not None
        made.go(1)
        kube: Any = made.controller.app.kube
        lists = kube.list_versions

        async def refuse(kind: str) -> None:
            raise refusal

        kube.list_versions = refuse
        made.go(30)
        kube.list_versions = lists
        made.api.silent = True
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(30)
        assert made.host.containers


def test_an_object_that_cannot_be_read_leaves_the_others_alone() -> None:
    with world() as made:
        made.api.create("DockerHost", "", "other", {"endpoint": 7})
        made.go(25)
        made.api.create("Workspace", NAMESPACE, "a", {"host": HOST})
        made.go(5)
        assert made.host.containers


@contextmanager
def status_writes_refused(made: World, refusal: Exception) -> Iterator[None]:
    """Meanwhile."""
    kube: Any = made.controller.app.kube
    write = kube.patch_status

    async def refuse(*_: Any) -> None:
        raise refusal

    kube.patch_status = refuse
    yield
    kube.patch_status = write


def test_an_answer_that_all_is_gone_is_not_believed_for_ever() -> None:
    with world() as made:
        assert made.controller is not None
        with status_writes_refused(made, Gone("the kind isn't served yet")):
            made.api.create("Workspace", NAMESPACE, "a", {})
            made.go(1)
        made.go(10)
        found = made.get("a")
        assert found is not None
        assert found["status"]["phase"] == "Running"


def test_a_status_that_might_not_be_written_is_written_soon_after_it_may_be() -> None:
    with world() as made:
        made.go(5)
        with status_writes_refused(made, ApiError(status=meta_v1.Status(code=403, message="no such right"))):
            made.api.create("Workspace", NAMESPACE, "a", {})
            made.go(330)
        made.go(31)
        found = made.get("a")
        assert found is not None
        assert found["status"].get("phase") == "Running"


def test_an_operation_whose_beginning_was_written_without_an_answer_goes_by_what_was_written() -> None:
    """It had no targets. What has come meanwhile is none."""
    with world() as made:
        made.go(5)
        made.api.lost_replies = 1
        made.api.create("WorkspaceOperation", NAMESPACE, "stop", {"operation": "Stop", "selector": {}})
        made.go(0.1)
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(60)
        told = made.api.objects[("WorkspaceOperation", NAMESPACE, "stop")]["status"]
        assert (told["phase"], told.get("total", 0)) == ("Complete", 0)
        assert told.get("completionTime")
