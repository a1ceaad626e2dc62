"""Which host directories a Workspace may mount.

A pattern is an absolute path that may hold `{namespace}` anywhere and a `*` as its whole last component. A `*` stands
for exactly one component, and no allowed path may lie inside another. Together these keep tenants from planting links:
an allowed path's parent is never inside a directory that some Workspace can write, so only the administrator makes
entries there, and whatever a tenant writes inside a project (links too) lies one component too deep to be allowed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import permutations

NAMESPACE = "{namespace}"
RESERVED = (
    *("/boot", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/usr"),
    *("/var/lib/containerd", "/var/lib/docker", "/var/run"),
)
"""None of these, nothing in them or above them is ever mounted, whatever a policy says: they give the host away."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PATH_LIMIT = 4095  # bytes; PATH_MAX of Linux, without the NUL


def path_problem(path: str) -> str | None:
    """Why `path` isn't an absolute path in its one normal form, or None. Nothing is normalized on the caller's behalf:
    two spellings of a path are one too many when a rule is to be compared with it."""
    if not path.startswith("/"):
        return "must be absolute"
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in path):
        return "must not hold control characters"
    if len(path.encode()) > _PATH_LIMIT:
        return f"must not be longer than {_PATH_LIMIT} bytes"
    components = path.split("/")[1:]
    if ".." in components:
        return "must not hold '..'"
    if "." in components or "" in components:
        return "must be in its normal form: no '//', no '/./', no '/' at the end"
    return None


def is_reserved(path: str) -> bool:
    """Whether a normal path is, holds or lies in a directory that is never mounted."""
    return any(path == r or is_inside(path, r) or is_inside(r, path) for r in RESERVED)


def is_inside(path: str, directory: str) -> bool:
    """Whether the normal `path` lies below the normal `directory`."""
    return path != directory and path.startswith(directory.rstrip("/") + "/")


def expand(patterns: Sequence[str], namespace: str) -> tuple[str, ...]:
    """The patterns as they are for one namespace; none for what can't be the name of one."""
    if not _DNS_LABEL.fullmatch(namespace):
        return ()
    return tuple(pattern.replace(NAMESPACE, namespace) for pattern in patterns)


def path_allowed(path: str, patterns: Sequence[str], namespace: str) -> bool:
    """Whether some pattern allows `path` to a Workspace of `namespace`. False for all if the patterns have problems."""
    if path_problem(path) or is_reserved(path) or pattern_problems(patterns):
        return False
    components = path.split("/")
    return any(_matches(components, pattern.split("/")) for pattern in expand(patterns, namespace))


def pattern_problems(patterns: Sequence[str]) -> list[str]:
    """What is wrong with a list of patterns, in words for the administrator; empty when all is well."""
    problems = [f"{pattern}: {problem}" for pattern in patterns if (problem := _pattern_problem(pattern))]
    return problems or list(_nested(patterns))


def _matches(path: list[str], pattern: list[str]) -> bool:
    return len(path) == len(pattern) and all(p in ("*", c) for c, p in zip(path, pattern, strict=True))


def _pattern_problem(pattern: str) -> str | None:
    if problem := path_problem(pattern):
        return problem
    components = pattern.replace(NAMESPACE, "n").split("/")[1:]
    if any("*" in component for component in components[:-1]) or ("*" in components[-1] and components[-1] != "*"):
        return "'*' may only be the whole last component"
    if "{" in pattern.replace(NAMESPACE, "") or "}" in pattern.replace(NAMESPACE, ""):
        return f"the only placeholder is {NAMESPACE}"
    fixed = "/" + "/".join(components[:-1] if components[-1] == "*" else components)
    if fixed == "/" or any(fixed == r or is_inside(fixed, r) for r in RESERVED):
        return "this directory is never shared with Workspaces"
    return None


def _nested(patterns: Sequence[str]) -> Iterator[str]:
    """`{namespace}` may be any name here: a namespace that is called like a directory must not reach into it."""
    for inner, outer in permutations(patterns, 2):
        parts, above = inner.split("/"), outer.split("/")
        if len(parts) > len(above) and all(_overlap(a, b) for a, b in zip(parts, above, strict=False)):
            yield f"{inner}: lies inside {outer}, whose Workspaces could plant links on its way"


def _overlap(a: str, b: str) -> bool:
    """Whether one name could match both components; rather too often true than not often enough."""
    if "*" in (a, b):
        return True
    a_head, a_mark, a_tail = _ends(a)
    b_head, b_mark, b_tail = _ends(b)
    if not (a_mark or b_mark):
        return a == b
    heads = a_head.startswith(b_head) or b_head.startswith(a_head)
    return heads and (a_tail.endswith(b_tail) or b_tail.endswith(a_tail))


def _ends(component: str) -> tuple[str, bool, str]:
    """What comes before the first and after the last `{namespace}`, and whether there is one."""
    if NAMESPACE not in component:
        return component, False, component
    return component.split(NAMESPACE)[0], True, component.rsplit(NAMESPACE)[-1]
