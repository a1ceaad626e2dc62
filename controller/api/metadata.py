"""Kubernetes' own rules for metadata, for validation without an API server."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from controller.api.problem import Problem

Check = Callable[[str, Any], Iterator[Problem]]
"""What is wrong with a value at a path."""

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{1,2}):([0-9]{2}):([0-9]{2})([.,][0-9]+)?"
    r"(Z|[-+]([01][0-9]|2[0-4]):([0-5][0-9]|60))"  # Go takes 24 hours and 60 minutes here
)
_MAX_ANNOTATIONS = 256 * 1024
_MAX_GENERATED = 58  # characters of generateName that go into the name, before five random ones
_DNS_NAME = "must be a DNS name: lower case letters, digits, '-' and '.', at most 253 characters"
_QUALIFIED = "an optional DNS prefix and '/', then up to 63 letters or digits"


def metadata_problems(metadata: Any, namespaced: bool) -> Iterator[Problem]:
    """What the API server would refuse in `metadata` of an object that is created."""
    if metadata is None:
        yield Problem("metadata", "is required, with a name")
        return
    yield from _METADATA("metadata", metadata)
    if not isinstance(metadata, Mapping):
        return
    yield from _name_problems(metadata, namespaced)
    yield from _map_problems("metadata.labels", metadata.get("labels"), _qualified_name, _label_value)
    annotations = metadata.get("annotations")
    yield from _map_problems("metadata.annotations", annotations, _annotation_key, lambda value: None)
    if isinstance(annotations, Mapping):
        size = sum(len(str(key).encode()) + len(str(value).encode()) for key, value in annotations.items())
        if size > _MAX_ANNOTATIONS:
            yield Problem("metadata.annotations", f"must not be more than {_MAX_ANNOTATIONS} bytes")
    yield from _owner_problems(_items(metadata, "ownerReferences"))
    yield from _finalizer_problems(_items(metadata, "finalizers"))


def _anything(path: str, value: Any) -> Iterator[Problem]:
    yield from ()


def _string(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(path, "must be a string: put it in quotes")


def _boolean(path: str, value: Any) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield Problem(path, "must be true or false")


def _integer(path: str, value: Any) -> Iterator[Problem]:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not -(2**63) <= value < 2**63:
        yield Problem(path, "must be an integer")


def _time(path: str, value: Any) -> Iterator[Problem]:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is not None:
            year, *others = (int(match[group]) for group in range(1, 7))
            datetime(2000 + year % 400, *others)  # type: ignore[arg-type]  # there is no year 0; leap years recur
            return
    except ValueError:
        pass
    yield Problem(path, "must be a time such as 2026-01-31T08:00:00Z")


def _list_of(check: Check) -> Check:
    def of_items(path: str, value: Any) -> Iterator[Problem]:
        if not isinstance(value, list | tuple):
            yield Problem(path, "must be a list")
            return
        for index, item in enumerate(value):
            if item is not None:
                yield from check(f"{path}[{index}]", item)

    return of_items


def _object_of(fields: Mapping[str, Check]) -> Check:
    def of_fields(path: str, value: Any) -> Iterator[Problem]:
        if not isinstance(value, Mapping):
            yield Problem(path, "must be an object")
            return
        for name, child in value.items():
            place = f"{path}.{name}"
            if name not in fields:
                yield Problem(place, "is not a field of this API: check its spelling and place")
            elif child is not None:
                yield from fields[name](place, child)

    return of_fields


def _fields(check: Check, *names: str) -> dict[str, Check]:
    return dict.fromkeys(names, check)


_OWNER = _object_of(
    {**_fields(_string, "apiVersion", "kind", "name", "uid"), **_fields(_boolean, "controller", "blockOwnerDeletion")}
)
_MANAGED = _object_of(
    {
        **_fields(_string, "manager", "operation", "apiVersion", "fieldsType", "subresource"),
        "time": _time,
        "fieldsV1": _anything,
    }
)
_METADATA = _object_of(
    {
        **_fields(_string, "name", "generateName", "namespace", "uid", "resourceVersion", "selfLink"),
        **_fields(_integer, "generation", "deletionGracePeriodSeconds"),
        **_fields(_time, "creationTimestamp", "deletionTimestamp"),
        **_fields(_anything, "labels", "annotations"),
        "ownerReferences": _list_of(_OWNER),
        "finalizers": _list_of(_string),
        "managedFields": _list_of(_MANAGED),
    }
)


def _name_problems(metadata: Mapping[str, Any], namespaced: bool) -> Iterator[Problem]:
    name, prefix, namespace = (metadata.get(field) for field in ("name", "generateName", "namespace"))
    if name in (None, "") and prefix in (None, ""):
        yield Problem("metadata.name", "is required")
    if name and isinstance(name, str) and not _is_subdomain(name):
        yield Problem("metadata.name", _DNS_NAME)
    if prefix and isinstance(prefix, str) and not (_is_prefix(prefix) and (name or _makes_a_name(prefix))):
        yield Problem("metadata.generateName", _DNS_NAME)
    if namespace and not namespaced:
        yield Problem("metadata.namespace", "must not be set: this kind belongs to no namespace")
    elif isinstance(namespace, str) and namespace and not (len(namespace) <= 63 and _LABEL.fullmatch(namespace)):
        yield Problem("metadata.namespace", "must be lower case letters, digits and '-', at most 63 characters")


def _is_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def _is_prefix(prefix: str) -> bool:
    """Kubernetes passes over one '-' at the end, and over the character before it."""
    return _is_subdomain(prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix)


def _makes_a_name(prefix: str) -> bool:
    return _is_subdomain(prefix[:_MAX_GENERATED] + "a")


def _map_problems(path: str, entries: Any, is_key: Callable[[str], bool], check: Any) -> Iterator[Problem]:
    if entries is None:
        return
    if not isinstance(entries, Mapping):
        yield Problem(path, "must be an object")
        return
    for key, value in entries.items():
        place = f"{path}[{key}]"
        if not is_key(str(key)):
            yield Problem(place, f"must have a key of {_QUALIFIED}")
        if value is not None and not isinstance(value, str):
            yield Problem(place, "must be a string: put it in quotes")
        elif value and (message := check(value)):
            yield Problem(place, message)


def _qualified_name(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _is_subdomain(prefix):
        return False
    return len(name) <= 63 and _NAME.fullmatch(name) is not None


def _annotation_key(key: str) -> bool:
    return _qualified_name(key.lower())


def _label_value(value: str) -> str | None:
    if len(value) <= 63 and _NAME.fullmatch(value):
        return None
    return "must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit"


def _items(metadata: Mapping[str, Any], field: str) -> list[Any]:
    value = metadata.get(field)
    return list(value) if isinstance(value, list | tuple) else []


def _owner_problems(owners: list[Any]) -> Iterator[Problem]:
    for index, owner in enumerate(owners):
        if owner is None or isinstance(owner, Mapping):
            yield from _reference_problems(f"metadata.ownerReferences[{index}]", owner or {})
    in_control = [owner for owner in owners if isinstance(owner, Mapping) and owner.get("controller") is True]
    if any(owner != in_control[0] for owner in in_control):  # the same one twice is one
        yield Problem("metadata.ownerReferences", "must not have more than one with controller: true")


def _reference_problems(path: str, owner: Mapping[str, Any]) -> Iterator[Problem]:
    for field in ("apiVersion", "kind", "name", "uid"):
        if owner.get(field) in (None, ""):
            yield Problem(f"{path}.{field}", "is required")
    group, _, version = str(owner.get("apiVersion") or "v1").rpartition("/")
    if not version or "/" in group:
        yield Problem(f"{path}.apiVersion", "must be group/version, or a version alone")
    if (group, version, owner.get("kind")) == ("", "v1", "Event"):
        yield Problem(path, "must not be an Event: none can own an object")


def _finalizer_problems(finalizers: list[Any]) -> Iterator[Problem]:
    for index, finalizer in enumerate(finalizers):
        if finalizer is None or (isinstance(finalizer, str) and not _qualified_name(finalizer)):
            yield Problem(f"metadata.finalizers[{index}]", f"must be {_QUALIFIED}")
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        yield Problem("metadata.finalizers", "must not have both orphan and foregroundDeletion")
