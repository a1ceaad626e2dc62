"""The base of every API type: camelCase in YAML, snake_case in Python, frozen, unknown fields refused."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from sys import intern
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

GROUP: Final = "aicli.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "aicli.dev/v1alpha1"
RESTARTED_AT = f"{GROUP}/restartedAt"
"""Annotation: each new value restarts the Workspace once."""
ABANDON = f"{GROUP}/abandon"
"""Annotation: "true" lets go of a Workspace that is being deleted while its host can't be reached."""


@lru_cache(maxsize=4096)
def _held_once(names: frozenset[str]) -> set[str]:
    return set(names)


@lru_cache(maxsize=1024)
def _first_of_equals(part: Any) -> Any:
    return part


HELD_ONCE = AfterValidator(_first_of_equals)
"""Of equal parts all hold the first: for small ones that are the same in most objects."""


class ApiModel(BaseModel):
    """Part of a spec. Errors never show the input, which may be a secret.

    The docstring below a field becomes its description in the CRD.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    def model_post_init(self, context: Any, /) -> None:
        """What is equal in many objects is held once, for thousands are kept. pydantic's sets of the names that were
        given were half of a Workspace's memory, and JSON brings each string anew."""
        object.__setattr__(self, "__pydantic_fields_set__", _held_once(frozenset(self.__pydantic_fields_set__)))
        fields = self.__dict__
        fields.update({name: intern(value) for name, value in fields.items() if type(value) is str})

    def by_alias(self, alias: str) -> Any:
        """The value of the field that YAML calls `alias`; KeyError if there is none."""
        for name, field in type(self).model_fields.items():
            if field.alias == alias:
                return getattr(self, name)
        raise KeyError(alias)

    def to_dict(self) -> dict[str, Any]:
        """As JSON for the API server: camelCase, unset optional fields left out, times as RFC 3339 strings."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(ApiModel):
    """Part of a status: fields of newer or older versions are ignored, everything has a default."""

    model_config = ConfigDict(extra="ignore")


def _whole_second(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


def _next_whole_second(value: datetime) -> datetime:
    return _whole_second(value + timedelta(microseconds=999_999))


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})

Timestamp = Annotated[AwareDatetime, AfterValidator(_whole_second), PlainSerializer(_rfc3339), _DATE_TIME]
"""UTC, whole seconds (rounded down) as metav1.Time, so that a status read back equals the one that was written."""

Deadline = Annotated[AwareDatetime, AfterValidator(_next_whole_second), PlainSerializer(_rfc3339), _DATE_TIME]
"""As Timestamp, but rounded up: what must wait until then never starts a fraction of a second early."""


def _rfc3339_micro(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


MicroTimestamp = Annotated[AwareDatetime, PlainSerializer(_rfc3339_micro), _DATE_TIME]
"""UTC with microseconds as metav1.MicroTime: tells two runs of a container within one second apart."""


def bounded(value: str, limit: int) -> str:
    """Make text from elsewhere (Docker, registries, users) fit for a status: one line, control characters escaped, cut.

    `limit` counts characters, as the API server does. Applying it twice changes nothing.
    """
    if not value.isprintable():
        value = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in value)
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _text(limit: int) -> tuple[BeforeValidator, WithJsonSchema]:
    return (
        BeforeValidator(lambda value: bounded(value, limit) if isinstance(value, str) else value),
        WithJsonSchema({"type": "string", "maxLength": limit}),
    )


_SHORT, _LONG = _text(256), _text(1024)
ShortText = Annotated[str, _SHORT[0], _SHORT[1]]
"""Text of a status; longer text is cut at 256 characters, never refused."""
LongText = Annotated[str, _LONG[0], _LONG[1]]
"""Text of a status; longer text is cut at 1024 characters, never refused."""
RESTART_REQUEST_LENGTH = 256


def drop_unreadable(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Read a status as far as possible: a field that doesn't parse is left out, our next write replaces it anyway."""
    try:
        return handler(value)
    except ValidationError as error:
        if not isinstance(value, Mapping):
            return handler({})
        unreadable = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
        return handler({name: field for name, field in value.items() if name not in unreadable})
