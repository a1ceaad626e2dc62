"""Image references as Docker understands them, and the patterns that allow them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from controller.errors import ConfigurationError

DEFAULT_REGISTRY = "docker.io"
_OLD_DEFAULT_REGISTRY = "index.docker.io"
_OFFICIAL = "library"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_NAME_LIMIT = 255  # characters, Docker's


def normalize_image(reference: str) -> str:
    """The one full form of an image reference: `alpine` is `docker.io/library/alpine:latest`.

    A digest wins over a tag beside it, as it does when Docker pulls. Image IDs are refused: they would name what lies
    on the host whoever may see it. Raises ConfigurationError (reason InvalidImageName).
    """
    name, at, digest = reference.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(reference, "the digest must be sha256: and 64 hexadecimal digits")
    name, tag = _split_tag(name)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(reference, "the tag must be letters, digits, '_', '.' and '-', at most 128")
    if _IMAGE_ID.fullmatch(name) or name == "sha256":
        raise _invalid(reference, "an image ID isn't a reference; write the image's name")
    registry, path = _split_registry(name)
    if not _DOMAIN.fullmatch(registry) or not _PATH.fullmatch(path) or len(name) > _NAME_LIMIT:
        raise _invalid(reference, "write it as [registry/]name[:tag] or [registry/]name@sha256:..., in lower case")
    return f"{registry}/{path}" + (f"@{digest}" if at else f":{tag or 'latest'}")


def image_allowed(reference: str, patterns: Sequence[str]) -> bool:
    """Whether some pattern matches the normalized `reference`. Raises ConfigurationError for what isn't a reference."""
    image = normalize_image(reference)
    return any(pattern == "*" or _pattern_regex(pattern).fullmatch(image) for pattern in patterns)


def image_pattern_problem(pattern: str) -> str | None:
    """Why a pattern can't be what the administrator means, or None."""
    if not pattern or any(c.isspace() or not c.isprintable() for c in pattern):
        return "must be an image reference in which '*' stands for any characters"
    if "?" in pattern or "[" in pattern.split("/", 1)[-1]:
        return "'*' is the only wildcard"
    return None


def _pattern_regex(pattern: str) -> re.Pattern[str]:
    """`*` never crosses a '/', so that no registry can be imitated by a path on another one; but a `*` that is the
    whole last component stands for all below. A short name means what it means to Docker: `alpine:*` is Docker Hub's,
    and `alpine` its tag latest."""
    first, slash, _ = pattern.partition("/")
    full = pattern if slash and "*" in first else "/".join(_split_registry(pattern))
    if "*" not in full and not re.search(r"[:@][^/]*$", full):
        full += ":latest"
    head, all_below = (full[:-1], ".+") if full.endswith("/*") else (full, "")
    return re.compile("[^/]*".join(map(re.escape, head.split("*"))) + all_below, re.DOTALL)


def _split_tag(name: str) -> tuple[str, str | None]:
    head, slash, last = name.rpartition("/")
    repository, colon, tag = last.partition(":")
    return head + slash + repository, tag if colon else None


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_registry = bool(slash) and (any(c in first for c in ".:") or first == "localhost" or first != first.lower())
    registry, path = (first, rest) if is_registry else (DEFAULT_REGISTRY, name)
    if registry == _OLD_DEFAULT_REGISTRY:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = f"{_OFFICIAL}/{path}"
    return registry, path


def _invalid(reference: str, rule: str) -> ConfigurationError:
    return ConfigurationError(f"{reference[:200]!r} is not an image reference: {rule}", reason="InvalidImageName")
