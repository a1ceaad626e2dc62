"""`validate()` gives the verdict of the API server; tests/controller/test_crds.py asks that server the same."""

from collections.abc import Iterator
from typing import Any

import pytest

from controller.api import Problem, validate
from controller.api.crd import KINDS
from controller.api.schema import structural_schema
from tests.unit.api.cases import CASES, CHANGES
from tests.unit.api.objects import Case, Change, workspace


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_an_object_is_accepted_or_refused_at_the_field_that_is_wrong(case: Case) -> None:
    problems = validate(case.obj)
    if case.refused_at is None:
        assert problems == []
    else:
        assert any(case.refused_at in problem.path for problem in problems), problems


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_a_change_is_accepted_or_refused_at_the_field_that_is_immutable(change: Change) -> None:
    paths = [problem.path for problem in validate(change.new, change.old)]
    assert paths == ([] if change.refused_at is None else [change.refused_at])


@pytest.mark.parametrize("obj", [None, [], "text", {}, {"kind": "Pod"}, {"kind": ["Workspace"]}], ids=repr)
def test_what_is_none_of_our_kinds_is_refused(obj: object) -> None:
    assert len(validate(obj)) == 1  # type: ignore[arg-type]


def test_another_version_of_the_api_is_refused() -> None:
    assert validate({**workspace(), "apiVersion": "aicli.dev/v2"}) == [
        Problem("apiVersion", "must be aicli.dev/v1alpha1")
    ]


def test_an_object_that_etcd_would_refuse_is_too_large() -> None:
    (problem,) = validate(workspace(args=["a" * 65536] * 30))
    assert "too large" in problem.message


def test_a_time_of_metadata_that_is_none_is_told_by_its_field() -> None:
    assert validate(workspace({"creationTimestamp": "zzz"})) == [
        Problem("metadata.creationTimestamp", "must be a time such as 2026-01-31T08:00:00Z")
    ]


@pytest.mark.parametrize(
    ("metadata", "message"), [(None, "is required, with a name"), ([], "must be an object"), ("a", "must be an object")]
)
def test_metadata_of_another_type_is_told_from_metadata_that_is_missing(metadata: object, message: str) -> None:
    assert validate({**workspace(), "metadata": metadata}) == [Problem("metadata", message)]


def test_a_status_in_a_manifest_is_ignored() -> None:
    assert validate({**workspace(), "status": {"phase": "Happy"}}) == []


def test_no_message_shows_a_value() -> None:
    secret = "canary-5f1e"
    for case in (
        workspace(env=[{"name": "A", "value": f"{secret}\x00"}]),
        workspace(env=[{"name": f"={secret}", "value": 5}]),
        workspace(image=f"{secret} b"),
        workspace(resources={"limits": {"memory": secret}}),
        workspace(desiredState=secret),
        workspace(args=secret),
    ):
        assert secret not in "\n".join(map(str, validate(case)))


def _rules(schema: dict[str, Any]) -> Iterator[str]:
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    children = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for child in children:
        if isinstance(child, dict):
            yield from _rules(child)


def test_every_cel_rule_is_broken_by_some_case() -> None:
    broken = {problem.message for case in CASES for problem in validate(case.obj)}
    broken |= {problem.message for change in CHANGES for problem in validate(change.new, change.old)}
    rules = {message for kind in KINDS for message in _rules(structural_schema(kind.model))}
    assert rules - broken == set()
