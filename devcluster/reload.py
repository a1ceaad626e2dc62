"""Runs a command and starts it again whenever a Python file below a folder changes, for the inner loop of development.

Usage: ``python reload.py FOLDER -- COMMAND...``. SIGTERM and SIGINT stop the command, then this. Needs nothing but
Python: it runs inside the image's ``dev`` stage.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

_LOOK_SECONDS = 0.5


def changes(folder: Path) -> dict[str, int]:
    """When each Python file below the folder was last changed, in ns."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.py") if path.exists()}


def run(folder: Path, command: Sequence[str], stop: threading.Event) -> None:
    """Run the command until ``stop`` is set. A command that ended by itself is started again at the next change."""
    while not stop.is_set():
        before = changes(folder)
        child = subprocess.Popen(command)
        while not stop.wait(_LOOK_SECONDS) and changes(folder) == before:
            pass
        child.terminate()
        child.wait()


def main(folder: str, command: Sequence[str]) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    run(Path(folder), command, stop)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[3:])
