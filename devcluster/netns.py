"""Network namespaces: each private engine has one, so that no engine touches another's bridge and firewall rules."""

import subprocess
from pathlib import Path

from devcluster.report import DevclusterError

_RUN = Path("/run/netns")


def add(name: str) -> None:
    """Make the namespace, with its loopback up, unless it exists. Raises DevclusterError."""
    if not (_RUN / name).exists():
        _run("ip", "netns", "add", name)
    _run(*enter(name), "ip", "link", "set", "lo", "up")


def delete(name: str) -> None:
    """Remove the namespace with its devices and rules; nothing happens when it is not there."""
    if (_RUN / name).exists():
        _run("ip", "netns", "delete", name)


def enter(name: str) -> list[str]:
    """The words to put before a command to run it inside; ``ip netns exec`` would hide the cgroup mounts."""
    return ["nsenter", f"--net={_RUN / name}", "--"]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DevclusterError(f"{' '.join(command)} failed (private engines need root): {done.stderr.strip()}")
