"""What others' text can't do to our log."""

import json
import logging
import sys

import pytest

from controller.logs import VALUE_LIMIT, JsonFormatter, TextFormatter

EVIL = '\x1b[2J\r\n2026-01-01T00:00:00.000Z ERROR forged {"message": "forged"}\u2028\x9b'


def _record(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "%s", (message,), None)
    vars(record).update(fields)
    return record


def _failed(text: str) -> logging.LogRecord:
    record = _record("failed")
    try:
        raise ValueError(text)
    except ValueError:
        record.exc_info = sys.exc_info()
    return record


@pytest.mark.parametrize(
    "record", [_record(EVIL), _record("x", container=EVIL), _failed(EVIL)], ids=["message", "field", "error"]
)
def test_a_json_line_is_one_line_whatever_it_tells(record: logging.LogRecord) -> None:
    line = JsonFormatter().format(record)
    assert line.isprintable()
    assert json.loads(line)["message"] != "forged"


@pytest.mark.parametrize(
    "record", [_record(EVIL), _record("x", container=EVIL), _failed(EVIL)], ids=["message", "field", "error"]
)
def test_a_text_line_can_not_be_forged(record: logging.LogRecord) -> None:
    first, *others = TextFormatter().format(record).split("\n")
    assert first.isprintable()
    for line in others:
        assert line.startswith("  | ")
        assert line.isprintable()


def test_a_long_value_is_cut() -> None:
    assert len(json.loads(JsonFormatter().format(_record("x" * 100_000)))["message"]) == VALUE_LIMIT


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_what_was_raised_is_told_however_long_the_way_to_it(formatter: logging.Formatter) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError("THE REASON")

    record = _record("failed")
    try:
        deep(60)
    except ValueError:
        record.exc_info = sys.exc_info()
    told = formatter.format(record)
    assert "ValueError: THE REASON" in told
    if isinstance(formatter, JsonFormatter):
        assert json.loads(told)["exception"].endswith("ValueError: THE REASON")
        assert json.loads(told)["error"] == "ValueError: THE REASON"
