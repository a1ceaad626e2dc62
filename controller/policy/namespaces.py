"""Which namespaces may use a host."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from controller.api import HostPolicy


def namespace_name_allowed(policy: HostPolicy, namespace: str) -> bool:
    """Whether `matchNames` lists the namespace; `*` in a name stands for any characters."""
    return any(fnmatchcase(namespace, pattern) for pattern in policy.namespaces.match_names)


def namespace_allowed(policy: HostPolicy, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether `matchNames` or the selector lists the namespace. Neither of them: no namespace at all."""
    selector = policy.namespaces.selector
    return namespace_name_allowed(policy, namespace) or (selector is not None and selector.matches(dict(labels)))
