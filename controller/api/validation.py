"""Says offline what the API server would say to an object: schema, CEL rules, metadata, size."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.api.dockerhost import DockerHost
from controller.api.metadata import metadata_problems
from controller.api.model import API_VERSION, ApiModel
from controller.api.operation import WorkspaceOperation
from controller.api.problem import Problem
from controller.api.rules import RuledModel, Transition
from controller.api.workspace import Workspace

Kind = type[Workspace] | type[DockerHost] | type[WorkspaceOperation]

MAX_OBJECT_BYTES = 1_500_000
"""etcd takes 1.5 MiB, less what the API server adds."""
_KINDS: dict[str, Kind] = {kind.__name__: kind for kind in (Workspace, DockerHost, WorkspaceOperation)}
_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this API: check its spelling and place",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be a list",
    "string_type": "must be a string: put it in quotes",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
}


def validate(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Problem]:
    """What the API server would refuse in `obj`, a parsed manifest of one of our kinds; empty if nothing.

    With `old`, the object that it would replace, what can't be changed is checked too. `obj.status` is not looked at,
    for the API server ignores it there.
    """
    kind, problem = _kind(obj)
    if kind is None or problem is not None:
        return [problem] if problem else []
    problems = list(metadata_problems(obj.get("metadata"), namespaced=kind is not DockerHost))
    stripped = {key: value for key, value in _as_sent(obj).items() if key not in ("metadata", "status")}
    text = json.dumps(stripped | {"metadata": {}}, default=str)
    if len(text) > MAX_OBJECT_BYTES:
        return [*problems, Problem("", f"is too large: {len(text)} bytes, the API server takes {MAX_OBJECT_BYTES}")]
    try:
        new = kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        return problems + problems_of(error)
    if old is not None and not problems:
        problems += _changes(new, kind.model_validate(old), "")
    return problems


def problems_of(error: ValidationError) -> list[Problem]:
    """The errors of a model in words, without the values that were given."""
    return [_problem(details) for details in error.errors(include_url=False, include_input=False)]


def _kind(obj: Mapping[str, Any]) -> tuple[Kind | None, Problem | None]:
    if not isinstance(obj, Mapping):
        return None, Problem("", "must be an object with apiVersion, kind, metadata and spec")
    kind = _KINDS.get(str(obj.get("kind")))
    if kind is None:
        return None, Problem("kind", f"must be one of {', '.join(_KINDS)}")
    if obj.get("apiVersion") != API_VERSION:
        return None, Problem("apiVersion", f"must be {API_VERSION}")
    return kind, None


def _as_sent(value: Any) -> Any:
    """As the API server sees it: a field that is null is a field that is not there, and 2.0 is the integer 2."""
    if isinstance(value, Mapping):
        return {str(key): _as_sent(child) for key, child in value.items() if child is not None}
    if isinstance(value, list | tuple):
        return [_as_sent(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _problem(details: ErrorDetails) -> Problem:
    context = details.get("ctx", {})
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in details["loc"])
    message = _WORDS.get(details["type"]) or _must(details["msg"])
    if details["type"] == "string_pattern_mismatch":
        message = f"must match {context['pattern']}"
    return Problem((path + str(context.get("path", ""))).lstrip("."), message)


def _must(message: str) -> str:
    return re.sub(r"^(Input|String|Tuple|Dictionary) should ", "must ", message)


def _changes(new: ApiModel, old: ApiModel, path: str) -> list[Problem]:
    problems = []
    if isinstance(new, RuledModel):
        problems += [Problem(path, rule.message) for rule in new.transitions if not rule.holds(new, old)]
    for name, field in type(new).model_fields.items():
        here, before = getattr(new, name), getattr(old, name)
        place = f"{path}.{field.alias}".lstrip(".")
        rules = [rule for rule in field.metadata if isinstance(rule, Transition)]
        problems += [Problem(place, rule.message) for rule in rules if not rule.holds(here, before)]
        if isinstance(here, ApiModel) and isinstance(before, ApiModel) and name != "metadata":
            problems += _changes(here, before, place)
    return problems
