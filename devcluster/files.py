"""State files that are either whole or the ones of before: a full disk or a kill leaves no half-written one."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devcluster.report import say


@contextmanager
def alone(file: Path, others: str) -> Iterator[None]:
    """One process at a time, by a lock on the file; ``others`` says what is waited for."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for {others}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put the content in place in one step, readable for others (who may be reading the old one) as ``mode`` says."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two commands at once don't share it
    try:
        part.touch(mode=mode)
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """What the file holds; None when it is absent, or not JSON, which no file that we put in place is."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
