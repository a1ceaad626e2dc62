"""Removes what an engine leaves behind when it is killed: shims and their containers, mounts, control groups."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from devcluster.process import start_time, stat_fields

_CGROUPS = Path("/sys/fs/cgroup")
_SECONDS = 20.0
_OCTAL = re.compile(r"\\([0-7]{3})")


def kill_processes_of(directory: Path) -> None:
    """Kill every process whose command line names the directory (containerd, shims, proxies), and its descendants."""
    deadline = time.monotonic() + _SECONDS
    while found := _family(processes_that_name(str(directory))):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"these processes of {directory} do not end: {sorted(found)}")
        time.sleep(0.05)


def processes_that_name(text: str) -> list[int]:
    """The process IDs of all whose command line has the text in it; each argument ends with a blank."""
    return [pid for pid in _pids() if text in _command_line(pid)]


def unmount_below(directory: Path) -> None:
    """Unmount everything below the directory, the deepest mounts first; again for what lay hidden below another one."""
    before: list[str] = []
    while (below := _mounts_below(directory)) and below != before:
        for point in sorted(below, key=len, reverse=True):
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        before = below


def remove_control_groups(container_ids: Iterable[str]) -> None:
    """Remove the control groups of containers whose processes are gone."""
    for container in container_ids:
        for group in [*_CGROUPS.glob(f"*/docker/{container}"), *_CGROUPS.glob(f"docker/{container}")]:
            with contextlib.suppress(OSError):
                group.rmdir()


def _mounts_below(directory: Path) -> list[str]:
    written = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    points = [_OCTAL.sub(lambda code: chr(int(code[1], 8)), point) for point in written]  # a blank is \\040
    return [point for point in points if point.startswith(f"{directory}/")]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _family(roots: Iterable[int]) -> set[int]:
    """These processes and all their descendants, without zombies and without ourselves."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            parent = int(stat_fields(Path(f"/proc/{pid}"))[1])
            children.setdefault(parent, []).append(pid)
    family: set[int] = set()
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid == os.getpid():
            continue
        family.add(pid)
        queue.extend(children.get(pid, []))
    return {pid for pid in family if start_time(pid) is not None}
