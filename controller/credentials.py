"""Registry credentials from `imagePullSecrets` (kubernetes.io/dockerconfigjson), for one image."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from controller.engine.protocol import Credentials
from controller.errors import ConfigurationError
from controller.kube import Kube
from controller.policy import normalize_image

DOCKER_CONFIG_KEY = ".dockerconfigjson"
HUB_ALIASES = ("docker.io", "index.docker.io", "registry-1.docker.io")


async def credentials_for(kube: Kube, namespace: str, secrets: Iterable[str], image: str) -> Credentials | None:
    """The first credentials among `secrets` that fit the image's registry. A Secret that doesn't exist is passed over,
    as for a Pod: the image may be public, and if it is not, the registry's answer says so.

    Raises:
        ConfigurationError: a Secret exists but doesn't hold what an imagePullSecret must.
        ApiUnavailable: the API server didn't answer.
    """
    registry = normalize_image(image).split("/", 1)[0]
    for name in secrets:
        data = await kube.data("Secret", namespace, name)
        if data is None:
            continue
        found = _find(_auths(name, data.values.get(DOCKER_CONFIG_KEY)), registry)
        if found is not None:
            return _credentials(name, registry, found)
    return None


def _auths(secret: str, text: str | None) -> Mapping[str, Any]:
    try:
        auths = json.loads(text or "")["auths"]
    except (ValueError, KeyError, TypeError, RecursionError):
        auths = None
    if not isinstance(auths, dict):
        raise ConfigurationError(
            f"imagePullSecrets: Secret {secret!r} has no valid {DOCKER_CONFIG_KEY}; "
            "make it with `kubectl create secret docker-registry`",
            reason="InvalidImagePullSecret",
        )
    return auths


def _find(auths: Mapping[str, Any], registry: str) -> Mapping[str, Any] | None:
    for server, entry in auths.items():
        host = server.split("://", 1)[-1].split("/", 1)[0]
        same = host == registry or (host in HUB_ALIASES and registry in HUB_ALIASES)
        if same and isinstance(entry, dict):
            return entry
    return None


def _credentials(secret: str, registry: str, entry: Mapping[str, Any]) -> Credentials:
    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if not username and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except ValueError:
            raise _invalid(secret, registry, "an `auth`", "base64 of user:password") from None
    try:
        (username + password).encode()
    except UnicodeEncodeError:  # JSON can hold half a character
        raise _invalid(secret, registry, "a username or password", "text") from None
    return Credentials(registry, username, password)


def _invalid(secret: str, registry: str, what: str, wanted: str) -> ConfigurationError:
    message = f"imagePullSecrets: Secret {secret!r} has {what} for {registry} that is not {wanted}"
    return ConfigurationError(message, reason="InvalidImagePullSecret")
