"""Network namespaces: each private engine has one, so that no engine touches another's bridge and firewall rules."""

import subprocess
from pathlib import Path

_RUN = Path("/run/netns")


def add(name: str) -> None:
    """Make the namespace, with its loopback up, unless it exists."""
    if not (_RUN / name).exists():
        subprocess.run(["ip", "netns", "add", name], check=True, capture_output=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True, capture_output=True)


def delete(name: str) -> None:
    """Remove the namespace with its devices and rules; nothing happens when it is not there."""
    if (_RUN / name).exists():
        subprocess.run(["ip", "netns", "delete", name], check=True, capture_output=True)


def enter(name: str) -> list[str]:
    """The words to put before a command to run it inside; ``ip netns exec`` would hide the cgroup mounts."""
    return ["nsenter", f"--net={_RUN / name}", "--"]
