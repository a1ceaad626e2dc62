"""However many targets and however long their messages: it fits into etcd."""

import json

import pytest

from controller.api import ObjectMeta, OperationResult, ResultState, WorkspaceOperationStatus
from controller.history import Now
from controller.operations.fit import OBJECT_LIMIT, fit, is_too_big
from controller.operations.summary import summarize
from tests.unit.operations.world import START, operation


def failed(name: str, message: str) -> OperationResult:
    return OperationResult(
        name=name, uid="0" * 36, state=ResultState.FAILED, reason="PolicyViolation", message=message,
        start_time=START, completion_time=START,
    )  # fmt: skip


def status(results: list[OperationResult]) -> WorkspaceOperationStatus:
    before = WorkspaceOperationStatus(start_time=START)
    return summarize(operation("Stop"), before, results, Now(START, 0.0))


@pytest.mark.parametrize(
    "char", ["x", "<", "é", "\N{PILE OF POO}", '"', "\\"], ids=["plain", "html", "é", "emoji", "quote", "backslash"]
)
def test_five_thousand_failures_fit(char: str) -> None:
    big = status([failed(f"workspace-{number:05}", char * 256) for number in range(5000)])
    assert not is_too_big(operation("Stop"), big)
    written = fit(operation("Stop"), big)
    stored = json.dumps(written, ensure_ascii=False, separators=(",", ":"))
    for escaped in "<>&":
        stored = stored.replace(escaped, "\\u003c")
    assert len(stored.encode()) <= OBJECT_LIMIT
    assert all(result["message"].endswith("…") for result in written["results"])
    WorkspaceOperationStatus.model_validate(written)


def test_few_long_messages_stay_whole_among_many_targets() -> None:
    results = [failed(f"workspace-{number:05}", "x" * 256 if number < 10 else "") for number in range(5000)]
    written = fit(operation("Stop"), status(results))
    assert all(len(result["message"]) == 256 for result in written["results"][:10])


def test_a_small_status_is_written_as_it_is() -> None:
    small = status([failed("a", "why")])
    assert fit(operation("Stop"), small) == small.to_dict()


def test_names_that_can_not_fit_are_told_before_anything_is_done() -> None:
    names = [f"{number:05}-" + "n" * 240 for number in range(5000)]
    op = operation("Stop", names=names)
    pending = status([OperationResult(name=name, uid="0" * 36) for name in names])
    assert is_too_big(op, pending)


def test_the_spec_counts_too() -> None:
    names = [f"workspace-{number:05}" for number in range(5000)]
    op = operation("Stop", names=names)
    op = op.model_copy(update={"metadata": ObjectMeta(name="op", annotations={"last-applied": "x" * 150_000})})
    full = status([failed(name, "x" * 256) for name in names])
    assert len(json.dumps(fit(op, full))) < OBJECT_LIMIT - 150_000 - len(json.dumps(names))
