"""Who may act on one machine without a Lease: an exclusive lock on a file, let go by the kernel when a process ends."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)
RETRY = 0.5  # seconds
LOOK_EVERY = 20.0  # seconds, at the file that we hold: temporary folders are cleaned
SHARED = Path("/run/lock")  # a unit or container that has it read-only shares no lock with anybody


def lock_path(cluster: str) -> Path:
    """The file that all controllers of one cluster on this machine lock, whoever runs them."""
    name = f"workspace-controller-{cluster}.lock"
    if os.access(SHARED, os.W_OK):
        return SHARED / name
    path = Path(tempfile.gettempdir()) / name
    logger.warning(
        "only controllers with this temporary folder are kept waiting: see docs/install.md, More than one controller",
        extra={"lock": str(path), "not_writable": str(SHARED)},
    )
    return path


class FileLock:
    """Leadership (see `controller.lease.Leadership`) by a lock on `path`. `on_change(leading)` hears of each change."""

    def __init__(self, path: Path, on_change: Callable[[bool], None] = lambda leading: None) -> None:
        self.leading = asyncio.Event()
        self._path, self._on_change = path, on_change
        self._file: int | None = None
        self._released = False

    def may_act(self) -> bool:
        """Whether we hold the lock, of the file that has the name: one that was deleted locks nobody out."""
        return self._file is not None and _is_named(self._file, self._path)

    async def run(self) -> None:
        """Waits for the lock, and sees that it is kept, until it is released."""
        said = ""
        while not self._released:
            if self._file is not None and not self.may_act():
                logger.warning("the lock file was deleted", extra={"lock": str(self._path)})
                self._let_go()
            why = self._try() if self._file is None else ""
            if why and why != said:
                logger.warning(why, extra={"lock": str(self._path)})
            said = why
            await asyncio.sleep(RETRY if self._file is None else LOOK_EVERY)

    async def release(self) -> None:
        """Lets go of the lock."""
        self._released = True
        if self._file is not None:
            self._let_go()

    def _let_go(self) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file = None
        self.leading.clear()
        self._on_change(False)

    def _try(self) -> str:
        """Why it can't be had; empty where it is."""
        try:
            file = take(self._path)
        except OSError as error:
            return f"the lock file can't be opened: {error}"
        if file is None:
            return "waiting for another controller on this machine to end"
        self._file = file
        self.leading.set()
        self._on_change(True)
        return ""


def take(path: Path) -> int | None:
    """The open file that holds the lock until it is closed; None while another one holds it. Raises OSError."""
    file = _open(path)
    if _lock(file, path):
        return file
    os.close(file)
    return None


def holder(path: Path) -> int | None:
    """The pid of the process that holds the lock, where the kernel tells: not of one in another container."""
    try:
        locked = path.stat()
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return None
    name = f"{os.major(locked.st_dev):02x}:{os.minor(locked.st_dev):02x}:{locked.st_ino}"
    pids = [int(pid) for _, kind, _, _, pid, file, *_ in locks if kind == "FLOCK" and file == name]
    return next((pid for pid in pids if pid > 0), None)


def _open(path: Path) -> int:
    """For reading, which is enough to lock it: another user may have made it."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)


def _lock(file: int, path: Path) -> bool:
    """Whether we hold the lock of the file that has this name now: one that was deleted meanwhile locks nobody out."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return _is_named(file, path)


def _is_named(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False
