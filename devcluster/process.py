"""A child process that outlives its parent, is known by a pid file, and can be killed and paused for fault tests."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devcluster import files
from devcluster.report import DevclusterError

_POLL_SECONDS = 0.05


class StartError(DevclusterError):
    """A process ended, or did not answer in time, while we waited for it to become ready."""


class Process:
    """One program with its log and pid file in ``directory``.

    The pid file also holds the start time that the kernel keeps, so a number that was given to another program
    meanwhile is never signalled. Any number of Python processes may hold a Process of the same directory and name.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        ready_timeout: float = 60.0,
        stop_timeout: float = 20.0,
        cwd: Path | None = None,
    ) -> None:
        """``env`` is added to the environment; ``ready`` is asked until it says True. Timeouts are in seconds."""
        self.name = name
        self.argv = list(argv)
        self.log = directory / f"{name}.log"
        self.env = dict(env or {})
        self.cwd = cwd
        self._pid_file = directory / f"{name}.pid"
        self._ready = ready
        self._ready_timeout = ready_timeout
        self._stop_timeout = stop_timeout
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process ID while it runs (a paused process runs too), else None."""
        if self._child is not None:
            self._child.poll()  # a child that ended stays a zombie until someone asks
        try:
            pid, started = map(int, self._pid_file.read_text().split())
        except (FileNotFoundError, ValueError):
            return None
        return pid if start_time(pid) == started else None

    @property
    def running(self) -> bool:
        """Whether the process is there; it may be paused or not ready."""
        return self.pid is not None

    def start(self, *, wait: bool = True) -> None:
        """Start it unless it runs already, and wait until it is ready. Raises StartError."""
        if not self.running:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                self._child = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | self.env,
                    cwd=self.cwd,
                    start_new_session=True,
                )
            self._note(self._child)
        if wait:
            self.wait_ready()

    def _note(self, child: subprocess.Popen[bytes]) -> None:
        """Raises OSError, and then it doesn't run: nobody could find it again."""
        try:
            files.replace(self._pid_file, f"{child.pid} {start_time(child.pid) or 0}".encode())
        except OSError:
            child.kill()
            child.wait()
            raise

    def wait_ready(self) -> None:
        """Wait for ``ready``; raises StartError with the end of the log when it ends or takes too long."""
        deadline = time.monotonic() + self._ready_timeout
        while self._ready is not None and not self._ready():
            if not self.running:
                raise StartError(f"{self.name} ended while it started; its log {self.log} ends with:\n{self.tail()}")
            if time.monotonic() > deadline:
                waited = f"{self.name} is not ready after {self._ready_timeout:.0f} s"
                raise StartError(f"{waited}; its log {self.log} ends with:\n{self.tail()}")
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ask it to end (SIGTERM, also when it is paused), and kill it when it does not end in time.

        Raises DevclusterError where it can't be ended.
        """
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if not self.wait_ended(self._stop_timeout):
            self.kill()
        if self.running:
            raise DevclusterError(f"{self.name} (process {self.pid}) does not end, not even by SIGKILL")
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait_ended(20.0)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its sockets stay open and nothing answers. Returns when its last thread has stopped."""
        self.signal(signal.SIGSTOP)
        while (pid := self.pid) is not None and not _is_stopped(pid):
            time.sleep(_POLL_SECONDS)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when the process is not there."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_ended(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for its end; False when it still runs."""
        deadline = time.monotonic() + timeout
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: the signal), known only to the Python process that started it."""
        return self._child.poll() if self._child is not None else None

    def output(self) -> str:
        """Everything it has written to stdout and stderr, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 25) -> str:
        """The last lines of its log."""
        return "\n".join(self.output().splitlines()[-lines:])


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None when it does not exist or is a zombie.

    A process whose first thread has ended looks like a zombie while its other threads still hold its ports and files.
    """
    process = Path(f"/proc/{pid}")
    try:
        fields = stat_fields(process)
        if fields[0] in "ZX" and len(list((process / "task").iterdir())) <= 1:
            return None
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[19])


def _is_stopped(pid: int) -> bool:
    """Whether no thread of it runs: on a busy machine one goes on for a moment after SIGSTOP, and may still answer."""
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ends
            if stat_fields(thread)[0] not in "TtZX":
                return False
    return True


def stat_fields(process: Path) -> list[str]:
    """What the kernel tells of a process or thread (its folder in /proc), from the state on: 0 state, 1 parent,
    19 start. Raises FileNotFoundError, ProcessLookupError where it has ended."""
    return (process / "stat").read_text().rpartition(")")[2].split()
