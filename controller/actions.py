"""The steps of a plan: small frozen actions, each one call with its reason. `str(action)` is what people read.

A `container` of None stands for the container that an earlier `Create` of the same plan makes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.container_spec import ContainerSpec
from controller.observed import Limits


@dataclass(frozen=True, slots=True)
class Action:
    """One call and why it is made."""

    reason: str = field(kw_only=True)

    @property
    def kind(self) -> str:
        """The verb, as metrics, logs and failures name it."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _OnContainer(Action):
    container: str | None

    @property
    def _target(self) -> str:
        return self.container[:12] if self.container else "the new container"

    def __str__(self) -> str:
        return f"{self.kind} {self._target}: {self.reason}"


@dataclass(frozen=True, slots=True)
class AddFinalizer(Action):
    """Before the first call that changes Docker, so that a delete can't slip past what we made."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer(Action):
    """After Docker answered that nothing is there any more (or the user let go)."""


@dataclass(frozen=True, slots=True)
class RecordRestart(Action):
    """Writes the restart request to the status before anything is stopped: a crash must not restart twice."""

    request: str


@dataclass(frozen=True, slots=True)
class EnsureImage(Action):
    """Has the image on the host, pulling it as the pull policy says. Not waited for: a pull may take long."""

    image: str

    def __str__(self) -> str:
        return f"EnsureImage {self.image}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Create(Action):
    """Makes a container, not started."""

    name: str
    spec: ContainerSpec

    def __str__(self) -> str:
        return f"Create {self.name} from {self.spec.image}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Start(_OnContainer):
    """Starts a created or exited container."""


@dataclass(frozen=True, slots=True)
class Signal(_OnContainer):
    """Sends the stop signal. Returns at once; the end of the grace period is a time to look again."""

    signal: str
    asked: bool = True  # False: the exit that follows counts as the container's own (it was unhealthy)

    def __str__(self) -> str:
        return f"Signal {self.signal} to {(self.container or '')[:12]}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Kill(_OnContainer):
    """SIGKILL, after the grace period."""


@dataclass(frozen=True, slots=True)
class Pause(_OnContainer):
    """Freezes a running container."""


@dataclass(frozen=True, slots=True)
class Unpause(_OnContainer):
    """Thaws a paused container."""


@dataclass(frozen=True, slots=True)
class Update(_OnContainer):
    """Changes limits in place; the container keeps running."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class Rename(_OnContainer):
    """Gives a container the name it should have."""

    name: str
    quiet: bool = False  # part of a replacement, which is told as such
    alongside: bool = False  # at the same time as the step before it: neither needs the other

    def __str__(self) -> str:
        return f"Rename {self._target} to {self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Remove(_OnContainer):
    """Removes a container by its ID, once its labels were checked again."""


@dataclass(frozen=True, slots=True)
class RemoveVolume(Action):
    """Removes a named volume whose reclaim policy is Delete."""

    volume: str

    def __str__(self) -> str:
        return f"RemoveVolume {self.volume}: {self.reason}"


KINDS: tuple[str, ...] = tuple(
    kind.__name__
    for kind in (
        *(AddFinalizer, RemoveFinalizer, RecordRestart, EnsureImage, Create, Start, Signal, Kill),
        *(Pause, Unpause, Update, Rename, Remove, RemoveVolume),
    )
)
"""All kinds of actions."""
