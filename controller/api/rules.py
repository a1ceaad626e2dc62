"""Validation rules that exist twice: as CEL for the API server and as Python for everything offline.

Both texts stand side by side in one `Rule`, and a test feeds the same objects to both, so they can't drift apart.
A Rule is used as metadata of a scalar or list (`Annotated[str, Rule(...)]`) or in the `rules` of a `RuledModel`.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from controller.api.model import ApiModel


@dataclass(frozen=True)
class Rule:
    """A condition on one value.

    `cel` sees the value as `self`; `holds` gets the parsed value. `message` says what is wanted, never what was given
    (it may be a secret). `field_path` (".limits.cpu") narrows the place an error is reported at.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]
    field_path: str = ""

    def check(self, value: Any) -> Any:
        """Return `value`, or raise PydanticCustomError of type "rule"."""
        if not self.holds(value):
            raise PydanticCustomError("rule", "{rule}", {"rule": self.message, "path": self.field_path})
        return value

    def as_cel(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel, "message": self.message}
        return entry | {"fieldPath": self.field_path} if self.field_path else entry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return add_validation(handler(schema), self.as_cel())


@dataclass(frozen=True)
class Transition:
    """A condition on a value and the one it replaces; `cel` sees them as `self` and `oldSelf`, `holds` as (new, old).

    Only `validate(new, old)` evaluates it: a single object has no past.
    """

    cel: str
    message: str
    holds: Callable[[Any, Any], bool]

    def as_cel(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler(source)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return add_validation(handler(schema), self.as_cel())


@dataclass(frozen=True)
class ListMap:
    """A list that server-side apply merges by `keys` (names as in YAML), in which no two items have the same keys."""

    keys: tuple[str, ...]

    def check(self, items: tuple[ApiModel, ...]) -> tuple[ApiModel, ...]:
        """Return `items`, or raise PydanticCustomError of type "duplicate"."""
        _refuse_duplicates([tuple(item.by_alias(key) for key in self.keys) for item in items])
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        extension = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(self.keys)}
        return handler(schema) | extension


@dataclass(frozen=True)
class ListSet:
    """A list of scalars that server-side apply merges as a set; duplicates are refused."""

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return `items`, or raise PydanticCustomError of type "duplicate"."""
        _refuse_duplicates(list(items))
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"x-kubernetes-list-type": "set"}


class RuledModel(ApiModel):
    """An object with rules across its fields; the first that does not hold is reported."""

    rules: ClassVar[tuple[Rule, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    @model_validator(mode="after")
    def _obey(self) -> Self:
        for rule in self.rules:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler.resolve_ref_schema(handler(schema))
        for entry in [rule.as_cel() for rule in cls.rules] + [rule.as_cel() for rule in cls.transitions]:
            add_validation(json_schema, entry)
        return json_schema


def cel_string(text: str) -> str:
    """`text` as a CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def add_validation(schema: JsonSchemaValue, entry: dict[str, str]) -> JsonSchemaValue:
    """Append a CEL rule to a JSON schema; returns the same schema."""
    entries = schema.setdefault("x-kubernetes-validations", [])
    if entry not in entries:
        entries.append(entry)
    return schema


def _refuse_duplicates(keys: list[Hashable] | list[Any]) -> None:
    seen: set[Hashable] = set()
    for index, key in enumerate(keys):
        if key in seen:
            raise PydanticCustomError("duplicate", "{rule}", {"rule": "appears more than once", "path": f"[{index}]"})
        seen.add(key)
