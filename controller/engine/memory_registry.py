"""Images of the in-memory engine: how their processes behave, and the registry that they can be pulled from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from controller.engine.protocol import Credentials, Image
from controller.errors import ImageError, ImageUnavailable
from controller.policy import normalize_image


@dataclass(frozen=True, slots=True)
class Program:
    """How the process of an image behaves."""

    ignores: frozenset[str] = frozenset()  # signals such as SIGTERM
    exits_at_once: int | None = None  # with this code, right after each start
    cannot_run: str = ""  # why it can't be started
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True)
class _Pushed:
    image: Image
    program: Program
    users: Mapping[str, str] | None  # passwords by name; None for a public image


class MemoryRegistry:
    """All registries of the world."""

    def __init__(self) -> None:
        self.down = ""  # why it can't be reached, "" when it can
        self._pushed: dict[str, _Pushed] = {}
        self._pushes = 0

    def push(self, reference: str, program: Program | None = None, users: Mapping[str, str] | None = None) -> Image:
        """Puts a new image there, in the place of what had the reference."""
        self._pushes += 1
        name = normalize_image(reference)
        image_id = "sha256:" + hashlib.sha256(f"{name} {self._pushes}".encode()).hexdigest()
        image = Image(image_id, (f"{repository(name)}@{image_id}",), from_registry=True)
        self._pushed[name] = _Pushed(image, program or Program(), users)
        return image

    def look_up(self, reference: str, credentials: Credentials | None) -> tuple[Image, Program]:
        """What a pull gets. Raises ImageUnavailable (not there, or not for these credentials), ImageError (down)."""
        if self.down:
            raise ImageError(self.down)
        found = self._pushed.get(normalize_image(reference))
        if found is None:
            raise ImageUnavailable(f"the registry has no image {reference}", reason="ImageNotFound")
        if found.users is not None and (
            credentials is None or found.users.get(credentials.username) != credentials.password
        ):
            raise ImageUnavailable(f"the registry refuses access to {reference}", reason="ImageAccessDenied")
        return found.image, found.program


def repository(normalized: str) -> str:
    """The reference without its tag or digest."""
    name = normalized.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
