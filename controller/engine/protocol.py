"""What an engine must be able to do. dockerd and the in-memory engine implement it and pass one contract suite.

All calls raise `controller.errors.WorkspaceError` subclasses and nothing else: `HostUnreachable` when there is no
answer, `CallTimeout` when the deadline passed (the outcome is then unknown), `ContainerGone` for what isn't there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from controller.api import HostPolicy
from controller.container_spec import ContainerSpec, NetworkSpec
from controller.observed import Container, Limits
from controller.usage import Stats


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What identifies an engine, and what it can't do."""

    engine_id: str
    root_dir: str
    version: str
    api_version: str
    cpus: int
    ignored_limits: frozenset[str] = frozenset()  # fields of Limits that this host's kernel drops, such as memory_swap


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a list. Any difference from the row before means that the container should be inspected again.

    `name` and `state` can also be compared with a snapshot; lists lag behind, so nothing is decided on them.
    """

    id: str
    uid: str  # of the Workspace
    name: str
    state: str
    detail: str  # all else that the row tells about what inspect would show


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something happened to a container of ours. Only a reason to look sooner."""

    container_id: str
    action: str  # create, start, die, pause, rename, update, destroy, oom, health_status, exec_start, exec_die, ...
    time: datetime  # the engine's clock
    name: str = ""  # the container's, after the event
    uid: str = ""  # of the Workspace that it was made for


@dataclass(frozen=True, slots=True)
class Credentials:
    """Registry credentials, for the length of one call. Never logged: repr shows nothing."""

    server: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the host."""

    id: str
    digests: tuple[str, ...]  # repository@sha256:..., empty for one that was made here
    from_registry: bool  # whether it was pulled: then each tenant must show the right to pull it
    labels: tuple[str, ...] = ()  # the keys of its labels, which the engine would give to containers


class CallObserver(Protocol):
    """Hears of each call that is sent to an engine, for metrics. Called on the event loop."""

    def began(self, operation: str) -> None: ...

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        """`outcome` is ok, error or timeout."""


class Engine(Protocol):
    """One container engine. Every method but `events` and `pull` is one call (or two) with a deadline of its own."""

    async def info(self) -> EngineInfo:
        """Who the engine is. The first call on a connection; raises HostUnreachable."""

    async def list(self) -> Sequence[Summary]:
        """All containers of our cluster, in every state. Deadline 4 s."""

    async def inspect(self, container: str) -> Container:
        """One container as it is now. Raises ContainerGone."""

    async def stats(self, container: str) -> Stats:
        """What it uses, sampled once; takes an engine a second or two. Raises ContainerGone, also for a stopped one."""

    def events(self) -> AsyncIterator[EngineEvent]:
        """Events of our containers. Yields once subscribed (a first event with an empty container_id); ends or raises
        HostUnreachable when the stream ends."""

    async def create(self, name: str, spec: ContainerSpec, env: Mapping[str, str], policy: HostPolicy) -> str:
        """Makes a container and gives its ID. The final body is checked against `policy` right before the call.

        A name held by a container of the same Workspace uid is adopted when its config hash fits. Raises NameConflict
        (held by a foreign one), PolicyViolation, ImageUnavailable, ProjectPathMissing, NoSpace. Deadline 60 s.
        """

    async def start(self, container: str) -> None:
        """Starts it; nothing when it runs. Raises PortInUse, ContainerCannotRun. Deadline 30 s."""

    async def signal(self, container: str, signal: str) -> None:
        """Sends a signal; nothing when it doesn't run. Never waits for the end. Deadline 10 s."""

    async def pause(self, container: str) -> None: ...

    async def unpause(self, container: str) -> None: ...

    async def update(self, container: str, limits: Limits) -> None:
        """Sets all limits, and the restart policy to `no`, in one call. Raises EngineConflict."""

    async def rename(self, container: str, name: str) -> None:
        """Raises NameConflict."""

    async def remove(self, container: str, uid: str) -> None:
        """Removes it, by force, once its labels were read again and carry our cluster ID and this uid.

        Returns only when the engine says that it isn't there. Raises IdentityMismatch, EngineConflict (removal in
        progress, busy mount). Deadline 30 s.
        """

    async def ensure_network(self, spec: NetworkSpec) -> str:
        """The ID of the namespace's bridge, made if missing on a free subnet of the pool. Raises NetworkUnavailable."""

    async def networks(self) -> Sequence[tuple[str, str, str]]:
        """(ID, namespace, mode) of each network of our cluster."""

    async def remove_network(self, network: str) -> None:
        """Removes a network of ours without containers; nothing when it isn't there. Raises EngineConflict."""

    async def remove_volume(self, volume: str) -> None:
        """Removes a named volume of ours; nothing when it isn't there. Raises EngineConflict, IdentityMismatch."""

    async def image(self, reference: str) -> Image | None:
        """The image if the host has it."""

    async def may_pull(self, reference: str, credentials: Credentials | None) -> bool:
        """Whether the registry would hand out the image, asked without pulling. Raises ImageError when it can't say."""

    def pull(self, reference: str, credentials: Credentials | None) -> AsyncIterator[str]:
        """Pulls, yielding progress in words. Raises ImageUnavailable, ImageError (registry down, a 2 min stall)."""

    async def close(self) -> None:
        """Closes connections; calls in flight end with HostUnreachable."""
