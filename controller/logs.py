"""Log lines: text for people or JSON for collectors; one line each, control characters escaped, messages bounded."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from controller.errors import printable

VALUE_LIMIT = 2048  # characters of one value
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# kopf tells that it handles no signals off the main thread, which is what we want of it.
SILENT = ("kopf._core.reactor.running",)
QUIET = (
    "httpx2",
    "httpcore2",
    "httpx",
    "httpcore",
    "urllib3",
    "docker",
    "asyncio",
    "kopf",
    "aiohttp.access",
    "paramiko",
)


def configure(log_format: str, level: str) -> None:
    """Sends all logs to standard error in the given format. Libraries speak from warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("k8s_")}
    if record.exc_info:
        kind, error, _ = record.exc_info
        if kind is not None:
            fields.setdefault("error", f"{kind.__name__}: {error}")
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _clean(value: Any) -> Any:
    return value if isinstance(value, (int, float, bool)) else printable(str(value), VALUE_LIMIT)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname.lower(), "message": _clean(record.getMessage())}
        fields = _fields(record)
        if "exception" in fields:
            fields["exception"] = fields["exception"][-VALUE_LIMIT:]  # what was raised stands last
        line |= {key: _clean(value) for key, value in fields.items()}
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """`time LEVEL message key=value ...`; values with spaces are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        trace = fields.pop("exception", "")
        pairs = " ".join(f"{key}={_quoted(value)}" for key, value in fields.items() if value not in ("", None))
        line = f"{_time(record)} {record.levelname:7} {_clean(record.getMessage())} {pairs}".rstrip()
        return "\n".join([line, *(f"  | {printable(part, VALUE_LIMIT)}" for part in trace.splitlines())])


def _quoted(value: Any) -> str:
    text = str(_clean(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text
