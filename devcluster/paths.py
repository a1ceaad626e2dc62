"""Where things are kept: nothing inside the repository.

The cache holds what is costly to make and the same for every checkout (built binaries, image archives). The state
directory holds what belongs to this checkout (the control plane's data, logs, pid files) until ``make clean``.
"""

import hashlib
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
_NAME = "workspace-controller"


def cache_dir() -> Path:
    """The cache of this user: ``$XDG_CACHE_HOME/workspace-controller``."""
    return _made(_base("XDG_CACHE_HOME", ".cache") / _NAME)


def state_dir() -> Path:
    """The state of this checkout: a directory of its own under ``$XDG_STATE_HOME/workspace-controller``."""
    checkout = hashlib.sha256(str(REPOSITORY).encode()).hexdigest()[:8]
    return _made(_base("XDG_STATE_HOME", ".local/state") / _NAME / checkout)


def _base(variable: str, default: str) -> Path:
    """A relative one is to be ignored (XDG Base Directory Specification): it would be another for each command."""
    given = Path(os.environ.get(variable, ""))
    return given if given.is_absolute() else Path.home() / default


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
