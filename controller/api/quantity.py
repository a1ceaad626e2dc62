"""Quantities in Kubernetes' grammar: `250m`, `0.5`, `1e3`, `256Mi`, `2G`. A bad one is an error, never "unlimited"."""

import re
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from controller.api.rules import Rule, cel_string

MIN_MEMORY = 6 * 1024**2
"""Docker's least memory limit and reservation, in bytes."""
MAX_MEMORY = 1024**5
MAX_CPU = 4096
MAX_LENGTH = 32

PATTERN = r"^[-+]?([0-9]+|[0-9]+\.[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]{1,2})?$"
_GRAMMAR = re.compile(PATTERN)
_BINARY = {unit + "i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}
_DECIMAL = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)} | {
    unit: Decimal(1000) ** power for power, unit in enumerate("kMGTPE", start=1)
}


def parse_quantity(text: str) -> Decimal:
    """The exact number; ValueError if `text` is not a Kubernetes quantity."""
    match = _GRAMMAR.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise ValueError("not a quantity: write a number with an optional unit, such as 250m, 0.5, 2 or 256Mi")
    sign, suffix = -1 if text.startswith("-") else 1, match[2] or ""
    number = sign * Decimal(match[1])
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix != "Ei":
        return number.scaleb(int(suffix[1:]))
    return number * (_BINARY.get(suffix) or _DECIMAL[suffix])


def parse_cpu(text: str) -> int:
    """CPUs as Docker's NanoCpus, rounded up: "250m" is 250_000_000. ValueError unless 1m to 4096 CPUs."""
    cpus = parse_quantity(text)
    if not Decimal("0.001") <= cpus <= MAX_CPU:
        raise ValueError(f"CPU must be from 1m to {MAX_CPU} CPUs")
    return int((cpus * 10**9).to_integral_value(ROUND_CEILING))


def parse_memory(text: str) -> int:
    """Memory in bytes, rounded up: "256Mi" is 268_435_456. ValueError unless 6Mi (Docker's least) to 1Pi."""
    size = parse_quantity(text)
    if not MIN_MEMORY <= size <= MAX_MEMORY:
        raise ValueError("memory must be from 6Mi (Docker's least) to 1Pi")
    return int(size.to_integral_value(ROUND_CEILING))


class _Grammar:
    """int-or-string in the schema, as Kubernetes has it for quantities; `str` in Python."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": MAX_LENGTH,
            "pattern": PATTERN,
        }

    @staticmethod
    def _check(text: str) -> str:
        try:
            parse_quantity(text)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{rule}", {"rule": str(error)}) from None
        return text


def _number_to_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _parsed(operand: str) -> str:
    return f"quantity({operand})" if operand.startswith("'") else f"quantity(string({operand}))"


def cel_in_order(*operands: str) -> str:
    """CEL: quantities that are well-formed are in ascending order. What is malformed the pattern refuses already.

    The pattern is asked first: without its bound on exponents `quantity('1e999999999')` keeps an API server busy.
    """
    malformed = [f"!string({text}).matches({cel_string(PATTERN)})" for text in operands if not text.startswith("'")]
    pairs = pairwise(operands)
    ordered = [f"{_parsed(low)}.compareTo({_parsed(high)}) <= 0" for low, high in pairs]
    return " || ".join([*malformed, "(" + " && ".join(ordered) + ")"])


def _between(low: str, high: str, message: str) -> Rule:
    least, most = parse_quantity(low), parse_quantity(high)
    return Rule(
        cel=cel_in_order(f"'{low}'", "self", f"'{high}'"),
        message=message,
        holds=lambda text: least <= parse_quantity(text) <= most,
    )


CpuRequest = Annotated[
    str,
    BeforeValidator(_number_to_text),
    _Grammar(),
    _between("1m", str(MAX_CPU), f"must be from 1m to {MAX_CPU} CPUs"),
]
CpuLimit = Annotated[
    str,
    BeforeValidator(_number_to_text),
    _Grammar(),
    _between("10m", str(MAX_CPU), f"must be from 10m (the kernel's least) to {MAX_CPU} CPUs"),
]
Memory = Annotated[
    str,
    BeforeValidator(_number_to_text),
    _Grammar(),
    _between("6Mi", "1Pi", "must be from 6Mi (Docker's least) to 1Pi"),
]
