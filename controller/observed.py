"""What an engine has for one Workspace: a frozen snapshot, with its age. Unknown is not absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from controller import naming


class ContainerState(StrEnum):
    """Docker's states, in Docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Health(StrEnum):
    """What the container's probe says; NONE where it has none."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Limits:
    """What can be changed while a container runs. CPU in billionths of a core, memory in bytes; 0 is 'not set'."""

    nano_cpus: int
    cpu_shares: int
    memory: int
    memory_swap: int
    memory_reservation: int
    pids: int


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A container port and the address and port of the host it is published on."""

    container_port: int
    protocol: str
    host_ip: str
    host_port: int


@dataclass(frozen=True, slots=True)
class Container:
    """One container as inspect showed it. Times are the engine's clock, in UTC."""

    id: str
    name: str
    state: ContainerState
    labels: Mapping[str, str]
    image_id: str
    created_at: datetime
    limits: Limits
    started_at: datetime | None = None
    finished_at: datetime | None = None  # of the last run that ended, also while it runs again
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    health: Health = Health.NONE
    restart_policy: str = "no"
    stop_signal: str = "SIGTERM"
    ip_address: str = ""
    ports: tuple[PublishedPort, ...] = ()
    active_tasks: int = 0  # exec sessions that run in it, health checks not counted

    @property
    def uid(self) -> str:
        """The uid of the Workspace that the container belongs to."""
        return self.labels.get(naming.LABEL_UID, "")

    @property
    def config_hash(self) -> str:
        """The hash of what the container was made from."""
        return self.labels.get(naming.LABEL_CONFIG_HASH, "")

    @property
    def is_live(self) -> bool:
        """Whether a process of it exists or may exist: what S1 counts."""
        return self.state in (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING)

    @property
    def is_dead(self) -> bool:
        """Whether it can only be removed."""
        return self.state in (ContainerState.DEAD, ContainerState.REMOVING)


@dataclass(frozen=True, slots=True)
class Observed:
    """Every container of one Workspace on its host. `known` is False where the host has not answered lately."""

    containers: tuple[Container, ...] = ()
    known: bool = True
    settled: bool = True  # False: too early to call the host unreachable, it was only just asked
    ignored_limits: frozenset[str] = frozenset()  # fields of Limits that this host does not enforce
    age: float = 0.0  # seconds since the host's last complete list
    unknown_because: str = ""
