"""Types that the kinds share: metadata, conditions, selectors, references."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from controller.api.fields import Name
from controller.api.model import HELD_ONCE, ApiModel, LongText, StatusModel, Timestamp
from controller.api.rules import ListMap, Rule, RuledModel, cel_string

_KEY_PATTERN = r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_KEY = Annotated[str, StringConstraints(min_length=1, max_length=317, pattern=_KEY_PATTERN)]
_VALUE = Annotated[str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
_LABEL_KEYS = Rule(
    cel=f"self.all(key, size(key) <= 317 && key.matches({cel_string(_KEY_PATTERN)}))",
    message="must have label keys: an optional DNS prefix and '/', then up to 63 letters, digits, '-', '_' or '.'",
    holds=lambda labels: all(re.search(_KEY_PATTERN[:-1] + r"\Z", key) for key in labels),
)


class ObjectMeta(ApiModel):
    """The parts of Kubernetes' metadata that the controller reads; the rest is ignored."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class ConditionStatus(StrEnum):
    """Kubernetes' three truth values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(StatusModel):
    """What programs read: `kubectl wait`, Flux, Argo CD."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    """Name of the condition."""
    status: ConditionStatus
    """True, False or Unknown."""
    observed_generation: int | None = None
    """The metadata.generation that the condition is about."""
    last_transition_time: Timestamp
    """When status last changed."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """One word in CamelCase, for programs."""
    message: LongText = ""
    """What it means and what to do, for people."""


Conditions = Annotated[tuple[Annotated[Condition, HELD_ONCE], ...], Field(max_length=16), ListMap(("type",))]


class LocalReference(ApiModel):
    """An object of the same namespace, by name."""

    name: Name
    """Name of the object."""


class SelectorOperator(StrEnum):
    """Of a label selector's expression."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class SelectorRequirement(RuledModel):
    """One expression of a label selector."""

    rules = (
        Rule(
            cel="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            message="values must be given for In and NotIn, and only for these",
            holds=lambda item: (item.operator in (SelectorOperator.IN, SelectorOperator.NOT_IN)) == bool(item.values),
            field_path=".values",
        ),
    )

    key: _KEY
    """Label key."""
    operator: SelectorOperator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[_VALUE, ...], Field(max_length=64)] = ()
    """Label values, for In and NotIn."""


class LabelSelector(ApiModel):
    """Kubernetes' label selector; an empty one selects everything."""

    match_labels: Annotated[dict[str, _VALUE], _LABEL_KEYS] = Field(default_factory=dict, max_length=64)
    """Labels that must all be there with these values."""
    match_expressions: Annotated[tuple[SelectorRequirement, ...], Field(max_length=32)] = ()
    """Expressions that must all hold."""

    def matches(self, labels: dict[str, str]) -> bool:
        """Whether an object with `labels` is selected, by Kubernetes' rules."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            _holds(expression, labels) for expression in self.match_expressions
        )


def _holds(expression: SelectorRequirement, labels: dict[str, str]) -> bool:
    match expression.operator:
        case SelectorOperator.IN:
            return labels.get(expression.key) in expression.values
        case SelectorOperator.NOT_IN:
            return labels.get(expression.key) not in expression.values
        case SelectorOperator.EXISTS:
            return expression.key in labels
        case _:
            return expression.key not in labels
