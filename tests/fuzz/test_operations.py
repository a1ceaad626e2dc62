"""Operations while the API server loses answers or refuses something, and after another process has begun them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lightkube.core.exceptions import ApiError
from lightkube.core.internal_models import meta_v1

from controller.engine.memory_registry import Program
from controller.kube import Gone, ObjectRef
from controller.operations.reconciler import ACTIVE_AT_ONCE
from tests.fuzz.apiserver import Object
from tests.fuzz.world import NAMESPACE, World, world


def operate(made: World, name: str = "op", **spec: Any) -> None:
    made.api.create("WorkspaceOperation", NAMESPACE, name, {"operation": "Stop", "selector": {}, **spec})


def edit(made: World, **spec: Any) -> None:
    made.api.edit("WorkspaceOperation", NAMESPACE, "op", lambda raw: raw["spec"].update(spec))


def status(made: World) -> Object:
    found: Object = made.api.objects[("WorkspaceOperation", NAMESPACE, "op")]["status"]
    return found


def with_stubborn(made: World, count: int, grace: float) -> None:
    """Workspaces that take their whole grace period to stop."""
    made.host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
    for number in range(count):
        spec = {"image": "stubborn:1", "terminationGracePeriodSeconds": grace}
        made.api.create("Workspace", NAMESPACE, f"w{number}", spec)
    made.go(30)


def before_first(made: World, method: str, applies: Callable[..., bool], act: Callable[[], None]) -> None:
    """Has something happen before the first such call of the API server."""
    kube: Any = made.controller.app.kube
    call = getattr(kube, method)

    async def watched(ref: ObjectRef, changes: Object, *args: Any, **kwargs: Any) -> Any:
        if applies(ref, changes):
            setattr(kube, method, call)
            act()
        return await call(ref, changes, *args, **kwargs)

    setattr(kube, method, watched)


def refuse(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize("lost", [0, 1], ids=["answered", "not answered"])
def test_one_that_is_not_to_be_kept_goes_also_where_the_write_of_its_end_was_not_answered(lost: int) -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)

        def lose() -> None:
            made.api.lost_replies = lost

        before_first(made, "patch_status", lambda _, changes: bool(changes.get("completionTime")), lose)
        operate(made, ttlSecondsAfterFinished=0)
        made.go(30)
        assert not made.api.of("WorkspaceOperation")


def test_its_phase_is_true_also_after_a_write_that_was_not_answered() -> None:
    with world() as made:
        with_stubborn(made, count=2, grace=60)
        operate(made, parallelism=1)
        made.go(10)
        made.api.lost_replies = 1
        edit(made, suspend=True)
        made.go(0.5)
        assert status(made)["phase"] == "Suspended"
        edit(made, suspend=False)
        made.go(10)
        assert status(made)["phase"] == "Running"


def test_one_answer_that_it_is_gone_does_not_end_it() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        before_first(made, "patch_status", lambda ref, _: ref.kind == "WorkspaceOperation", refuse(Gone("404")))
        operate(made)
        made.go(30)
        assert status(made)["phase"] == "Complete"


def test_credentials_that_are_being_renewed_fail_no_target() -> None:
    with world() as made:
        made.api.create("Workspace", NAMESPACE, "a", {})
        made.go(10)
        unauthorized = ApiError(status=meta_v1.Status(code=401, message="Unauthorized"))
        before_first(made, "patch", lambda ref, _: ref.kind == "Workspace", refuse(unauthorized))
        operate(made)
        made.go(30)
        assert (status(made)["phase"], status(made)["succeeded"]) == ("Complete", 1)


def test_no_more_than_allowed_are_under_way_after_a_restart() -> None:
    """The API server lists by name: those that wait may come before those that have begun."""
    with world() as made:
        with_stubborn(made, count=2 * ACTIVE_AT_ONCE, grace=3000)
        for number in reversed(range(2 * ACTIVE_AT_ONCE)):
            operate(made, f"op{number}", selector=None, names=[f"w{number}"], timeoutSeconds=5000)
        made.go(20)
        made.crash()
        made.api.objects = dict(sorted(made.api.objects.items()))
        made.start()
        made.go(60)
        phases = [found["status"].get("phase") for found in made.api.of("WorkspaceOperation")]
        assert phases.count("Running") == ACTIVE_AT_ONCE
