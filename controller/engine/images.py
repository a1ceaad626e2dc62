"""Images of a Docker host: what is there, who may pull, and pulling with progress."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import docker.errors

from controller.engine.connection import Connection
from controller.engine.deadlines import CALL_DEADLINES
from controller.engine.failures import engine_failure, explanation, is_status, pull_failure
from controller.engine.protocol import Credentials, Image
from controller.engine.transport import Call, Transport, json_lines
from controller.errors import CallTimeout, ImageError, WorkspaceError
from controller.policy import normalize_image

_MEGABYTE = 1_000_000
_TELLS_ORIGIN = (1, 53)  # API version


def find_image(call: Call, reference: str) -> Image | None:
    """The image if the host has it. Asked in the engine's own API version, as older ones hide where it's from."""
    path, name = "/images/{0}/json", normalize_image(reference)
    try:
        answer = call.connection.request("GET", path, name, timeout=call.deadline, versioned=False)
    except docker.errors.APIError as error:
        if is_status(error, 404):
            return None
        raise
    found, version = answer.json(), answer.headers.get("Api-Version", "1.41")
    labels = (found.get("Config") or {}).get("Labels") or ()
    return Image(found["Id"], tuple(found.get("RepoDigests") or ()), _was_pulled(found, version, name), tuple(labels))


def _was_pulled(found: Mapping[str, Any], api_version: str, name: str) -> bool:
    """Whether it came from the repository that `name` names; the same image pushed elsewhere says nothing of this name.

    The containerd store (it alone has descriptors) gives digests even to images that were made here. Since API 1.53 it
    tells where an image came from; an older one doesn't, so the answer is the safe one.
    """
    repository = _name_and_tag(name)[0]
    if identity := found.get("Identity"):
        sources = [_repository(pulled.get("Repository") or name) for pulled in identity.get("Pull") or ()]
        return any(_without_port(source) == _without_port(repository) for source in sources)
    if found.get("Descriptor") and tuple(map(int, api_version.split("."))) >= _TELLS_ORIGIN:
        return False
    return any(_repository(digest) == repository for digest in found.get("RepoDigests") or ())


def _repository(reference: str) -> str:
    return _name_and_tag(normalize_image(reference))[0]


def _without_port(repository: str) -> str:
    """containerd remembers a registry by its host name alone."""
    return re.sub(r"^([^/]*):\d+/", r"\1/", repository)


def may_pull(connection: Connection, reference: str, credentials: Credentials | None) -> bool:
    """Whether the registry would hand it out. Raises ImageError when it can't be asked."""
    deadline = CALL_DEADLINES["may_pull"]
    name = normalize_image(reference)
    try:
        connection.request("GET", "/distribution/{0}/json", name, timeout=deadline, headers=_headers(credentials))
    except docker.errors.APIError as error:
        failure = pull_failure(explanation(error), reference)
        if failure.reason in ("ImageNotFound", "ImageAccessDenied"):
            return False  # the registry's own answer; one that can't be reached has given none
        raise failure from error
    return True


def pull(transport: Transport, reference: str, credentials: Credentials | None, stall: float) -> AsyncIterator[str]:
    """Pulls, yielding progress in words. `stall`: seconds without progress after which it's given up."""
    name = normalize_image(reference)
    progress = PullProgress(time.monotonic)

    def stalled() -> ImageError:
        return ImageError(f"pull of {reference}: no progress for {stall:g} s ({progress})")

    def read(connection: Connection) -> Iterator[str]:
        for message in _pull_messages(connection, name, credentials, stall):
            if "error" in message:
                raise pull_failure(str(message["error"]), reference)
            if progress.take(message):
                yield str(progress)
            if progress.idle() > stall:
                raise stalled()

    def failure(error: Exception) -> WorkspaceError:
        if isinstance(error, docker.errors.APIError):
            return pull_failure(explanation(error), reference)
        meant = engine_failure(error, "pull", stall)
        return stalled() if isinstance(meant, CallTimeout) else meant

    return transport.stream(read, failure)


def _pull_messages(
    connection: Connection, name: str, credentials: Credentials | None, stall: float
) -> Iterator[Mapping[str, Any]]:
    repository, tag = _name_and_tag(name)
    params = {"fromImage": repository, "tag": tag}
    headers = _headers(credentials)
    return json_lines(
        connection.request("POST", "/images/create", timeout=stall, params=params, headers=headers, stream=True)
    )


class PullProgress:
    """Sums up what an engine tells of a pull's layers. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock()
        self._layers: dict[str, tuple[str, int, int]] = {}  # status, bytes, of bytes

    def take(self, message: Mapping[str, Any]) -> bool:
        """Takes in one message; whether it tells of progress. Countdowns to a new try are none."""
        layer, status = message.get("id", ""), message.get("status", "")
        detail = message.get("progressDetail") or {}
        state = (status, detail.get("current") or 0, detail.get("total") or 0)
        if status.startswith(("Retrying", "Waiting")) or self._layers.get(layer) == state:
            return False
        self._layers[layer] = state
        self._last = self._clock()
        return True

    def idle(self) -> float:
        """Seconds without progress."""
        return self._clock() - self._last

    def __str__(self) -> str:
        layers = [state for layer, state in self._layers.items() if layer and "Pulling from" not in state[0]]
        done = sum(status in ("Pull complete", "Already exists") for status, _, _ in layers)
        moving = [(at, total) for status, at, total in layers if status == "Downloading" and total]
        text = f"{done} of {len(layers)} layers" if layers else "asking the registry"
        if moving:
            at, total = (sum(column) / _MEGABYTE for column in zip(*moving, strict=True))
            text += f", downloading {at:.1f} of {total:.1f} MB"
        return text


def _headers(credentials: Credentials | None) -> dict[str, str]:
    if credentials is None:
        return {}
    login = {
        "username": credentials.username,
        "password": credentials.password,
        "serveraddress": credentials.server,
    }
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(login).encode()).decode()}


def _name_and_tag(normalized: str) -> tuple[str, str]:
    """The engine takes a digest in the tag's place; without either it would pull every tag."""
    name, _, digest = normalized.partition("@")
    if digest:
        return name, digest
    name, _, tag = normalized.rpartition(":")
    return name, tag
