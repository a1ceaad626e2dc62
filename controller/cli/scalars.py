"""What a scalar of YAML means to Go: `resolve` of go.yaml.in/yaml/v2."""

from __future__ import annotations

import math
import re
from datetime import datetime

_PREFIX = "tag:yaml.org,2002:"
STR, BOOL, INT, FLOAT, NULL, TIMESTAMP, BINARY, MERGE = (
    _PREFIX + name for name in ("str", "bool", "int", "float", "null", "timestamp", "binary", "merge")
)
Scalar = str | bool | int | float | None

_TAGS: dict[type, str] = {str: STR, bool: BOOL, int: INT, float: FLOAT, type(None): NULL}
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
    r"|0b(?P<odd>[-+])(?P<digits>[01]+)"  # goyaml cuts the 0b off and tries again
)
_BASES = {"hex": 16, "bin": 2, "oct": 8, "dec": 10, "digits": 2}
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BARE_FRACTION = re.compile(r"\.[0-9][0-9_]*([eE][-+]?[0-9_]+)?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:([Tt]| +)([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)


def resolve(tag: str, text: str) -> Scalar:
    """The value of a scalar that is written with this tag, "" for none. Raises ValueError where they don't fit."""
    if tag in ("", STR) or tag not in (BOOL, INT, FLOAT, NULL, TIMESTAMP):
        return text if tag else _plain(text)  # goyaml takes a tag that it doesn't know for one of a string
    if tag == TIMESTAMP and is_timestamp(text):
        return text
    value = _plain(text)
    if tag == FLOAT and type(value) is int and value < 2**63:
        return float(value)
    if _TAGS[type(value)] != tag:
        raise ValueError(f"is not what its tag !!{tag.removeprefix(_PREFIX)} says")
    return value


def is_timestamp(text: str) -> bool:
    """Whether goyaml takes it for a time; it stays a string then."""
    match = _TIME.fullmatch(text)
    if match is None or (match[4] in ("T", "t")) != (match[8] is not None):  # RFC 3339, or without a zone
        return False
    year, month, day, hour, minute, second = (int(match[group] or 0) for group in (1, 2, 3, 5, 6, 7))
    try:
        datetime(2000 + year % 400, month, day, hour, minute, second)  # Python has no year 0; leap years recur
    except ValueError:
        return False
    return True


def _plain(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _fraction(text)
    if text[0] not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    whole = _integer(digits)
    if whole is not None:
        return whole
    number = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return text if math.isinf(number) else number


def _fraction(text: str) -> Scalar:
    """Go's ParseFloat, which takes underscores between digits as Python does."""
    try:
        number = float(text) if _BARE_FRACTION.fullmatch(text) else math.inf
    except ValueError:
        return text
    return text if math.isinf(number) else number


def _integer(text: str) -> int | None:
    """Go's ParseInt, else ParseUint, with base 0: 64 bits."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None
    kind = next(kind for kind in _BASES if match[kind])
    digits = match[kind].lstrip("0") or "0"
    if len(digits) > 64:  # Python refuses to read thousands
        return None
    sign = match["sign"] or match["odd"] or ""
    value = int(sign + digits, _BASES[kind])
    return value if -(2**63) <= value < (2**63 if sign else 2**64) else None
