"""Where things may be mounted inside a container, and where its process may start."""

from __future__ import annotations

from controller.policy.paths import is_inside, path_problem

KERNEL = ("/dev", "/proc", "/sys")
"""A working directory such as /proc/self/fd/8 has been a way out of a container before."""


def target_problem(path: str, *, root_allowed: bool = False) -> str | None:
    """Why `path` can't be a mount's target or (`root_allowed`) a working directory, or None."""
    if path == "/":
        return None if root_allowed else "must not be the container's root directory"
    if problem := path_problem(path):
        return problem
    if any(path == kernel or is_inside(path, kernel) for kernel in KERNEL):
        return "must not be in /dev, /proc or /sys"
    return None
