"""State files that are either whole or the ones of before: a full disk or a kill leaves no half-written one."""

import json
import os
from pathlib import Path
from typing import Any


def replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put the content in place in one step, readable for others (who may be reading the old one) as ``mode`` says."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")  # two commands at once don't share it
    part.touch(mode=mode)
    part.write_bytes(content)
    part.replace(path)


def read_json(path: Path) -> Any:
    """What the file holds; None when it is absent, or not JSON, which no file that we put in place is."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
