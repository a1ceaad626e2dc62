"""Fields that the API server doesn't know, found as it finds them: in a status too, and where they are null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller.api import API_VERSION, Problem
from controller.api.crd import KINDS
from controller.api.schema import structural_schema

_MESSAGE = "is not a field of this API: check its spelling and place"  # as `validate` says it


def unknown_fields(obj: Any) -> Iterator[Problem]:
    """Those of an object of ours, but for its metadata, which has no schema; nothing for another object."""
    if not isinstance(obj, Mapping) or obj.get("apiVersion") != API_VERSION:
        return
    kind = next((kind for kind in KINDS if kind.model.__name__ == obj.get("kind")), None)
    if kind is not None:
        content = {name: value for name, value in obj.items() if name != "metadata"}
        yield from _unknown(content, structural_schema(kind.model), "")


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        fields = schema.get("properties", {})
        for name, child in value.items():
            place = f"{path}.{name}".lstrip(".")
            known = fields.get(name, schema.get("additionalProperties"))
            if known is None:
                yield Problem(place, _MESSAGE)
            else:
                yield from _unknown(child, known, place)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _unknown(child, schema.get("items", {}), f"{path}[{index}]")
