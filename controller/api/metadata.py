"""Kubernetes' own rules for metadata, for validation without an API server."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from controller.api.problem import Problem

_FIELDS = {
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels",
    "annotations", "ownerReferences", "finalizers", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds",
    "selfLink",
}  # fmt: skip
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_MAX_ANNOTATIONS = 256 * 1024


def metadata_problems(metadata: Any, namespaced: bool) -> Iterator[Problem]:
    """What the API server would refuse in `metadata` of an object that is created."""
    if not isinstance(metadata, Mapping):
        yield Problem("metadata", "is required, with a name")
        return
    for field in metadata:
        if field not in _FIELDS:
            yield Problem(f"metadata.{field}", "is not a field of this API: check its spelling and place")
    yield from _name_problems(metadata, namespaced)
    yield from _map_problems("metadata.labels", metadata.get("labels"), _label_value)
    yield from _map_problems("metadata.annotations", metadata.get("annotations"), lambda value: None)
    annotations = metadata.get("annotations")
    if isinstance(annotations, Mapping):
        size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in annotations.items())
        if size > _MAX_ANNOTATIONS:
            yield Problem("metadata.annotations", f"must not be more than {_MAX_ANNOTATIONS} bytes")


def _name_problems(metadata: Mapping[str, Any], namespaced: bool) -> Iterator[Problem]:
    name, prefix, namespace = (metadata.get(field) for field in ("name", "generateName", "namespace"))
    subdomain = "must be a DNS name: lower case letters, digits, '-' and '.', at most 253 characters"
    if not name and not prefix:
        yield Problem("metadata.name", "is required")
    if name and not (isinstance(name, str) and len(name) <= 253 and _SUBDOMAIN.fullmatch(name)):
        yield Problem("metadata.name", subdomain)
    if prefix and not (isinstance(prefix, str) and _SUBDOMAIN.fullmatch(prefix[:-1] + "a")):
        yield Problem("metadata.generateName", subdomain)
    if namespace and not namespaced:
        yield Problem("metadata.namespace", "must not be set: this kind belongs to no namespace")
    elif namespace and not (isinstance(namespace, str) and len(namespace) <= 63 and _LABEL.fullmatch(namespace)):
        yield Problem("metadata.namespace", "must be lower case letters, digits and '-', at most 63 characters")


def _map_problems(path: str, entries: Any, check: Any) -> Iterator[Problem]:
    if entries is None:
        return
    if not isinstance(entries, Mapping):
        yield Problem(path, "must be an object")
        return
    for key, value in entries.items():
        place = f"{path}[{key}]"
        if not _qualified_name(str(key)):
            yield Problem(place, "must have a key of an optional DNS prefix and '/', then up to 63 letters or digits")
        if value is not None and not isinstance(value, str):
            yield Problem(place, "must be a string: put it in quotes")
        elif value and (message := check(value)):
            yield Problem(place, message)


def _qualified_name(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not (0 < len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(name) <= 63 and _NAME.fullmatch(name) is not None


def _label_value(value: str) -> str | None:
    if len(value) <= 63 and _NAME.fullmatch(value):
        return None
    return "must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit"
