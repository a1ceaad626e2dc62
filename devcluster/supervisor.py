"""Keeps the controller running: starts it again when it ends, after a pause that grows while it ends quickly.

Usage: ``python -m devcluster.supervisor DIRECTORY PORT``, with KUBECONFIG set. SIGTERM stops the controller, then this.
"""

import signal
import sys
import threading
import time
from pathlib import Path

from devcluster.paths import REPOSITORY
from devcluster.process import Process
from devcluster.report import say

_GOOD_RUN_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
_LOOK_SECONDS = 0.2


def controller(directory: Path, port: int) -> Process:
    """The controller as a process with its log and pid file in the directory, and its metrics on the port."""
    command = [sys.executable, "-m", "controller.main", "--listen", f"127.0.0.1:{port}"]
    return Process("controller", command, directory, env={"PYTHONUNBUFFERED": "1"}, cwd=REPOSITORY)


def supervise(process: Process, stop: threading.Event) -> None:
    """Run the process again and again until ``stop`` is set; it is stopped then."""
    pause = 0.0
    while not stop.wait(pause):
        began, why = time.monotonic(), ""
        try:
            process.start()
        except OSError as error:  # a full disk: nothing is lost by trying again
            why = f"{process.name} can't be started: {error}"
        while process.running and not stop.is_set():
            stop.wait(_LOOK_SECONDS)
        if time.monotonic() - began > _GOOD_RUN_SECONDS:
            pause = 0.0
        pause = min(max(1.0, pause * 2), _LONGEST_PAUSE_SECONDS)
        if not stop.is_set():
            say(f"{why or f'{process.name} ended with {process.exit_code}'}; starting it again in {pause:.0f} s")
    process.stop()


def main(directory: Path, port: int) -> None:
    """Supervise until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    supervise(controller(directory, port), stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
