"""Ends what a test session started when the session itself is killed and can end nothing any more.

A reaper is a process of its own that waits on a pipe from the session. However the session ends, the pipe closes, and
everything below the session's directory that still runs is ended. Usage: ``python -m devcluster.reaper DIRECTORY``
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devcluster.engines import SETTINGS_FILE, Engine
from devcluster.paths import REPOSITORY
from devcluster.process import Process
from devcluster.report import say

_DEPTHS = ("*/", "*/*/", "*/*/*/")  # a session's directory, a test's, its parts; not the files of engines' images


@contextmanager
def reaper(directory: Path) -> Iterator[None]:
    """End everything that was started below ``directory`` when the block is left or this process dies."""
    command = [sys.executable, "-m", "devcluster.reaper", str(directory)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=REPOSITORY, start_new_session=True)
    try:
        yield
    finally:
        child.communicate()


def reap(directory: Path) -> None:
    """End every process and clean up every engine whose files are below ``directory``."""
    for engine in _found(directory, SETTINGS_FILE):
        with _the_others_too():
            Engine(engine.parent).cleanup()
    for pid_file in _found(directory, "*.pid"):
        with _the_others_too():
            Process(pid_file.stem, [], pid_file.parent).kill()


@contextmanager
def _the_others_too() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        say(f"Something stays: {error}")


def _found(directory: Path, name: str) -> list[Path]:
    return [path for depth in _DEPTHS for path in directory.glob(depth + name)]


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the pipe alone says when
    sys.stdin.read()
    reap(Path(sys.argv[1]))
