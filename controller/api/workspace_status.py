"""Status of a Workspace: what the controller found, as of `observed_generation`."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.container import Protocol
from controller.api.meta import Conditions
from controller.api.model import Deadline, LongText, MicroTimestamp, ShortText, StatusModel, Timestamp
from controller.api.rules import ListMap

MAX_PENDING_CHANGES = 64


class Phase(StrEnum):
    """One word for people; programs read the conditions."""

    PENDING = "Pending"
    PULLING = "Pulling"
    CREATING = "Creating"
    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    BACK_OFF = "BackOff"
    FAILED = "Failed"
    UNKNOWN = "Unknown"
    TERMINATING = "Terminating"


class ErrorClass(StrEnum):
    """Where to look for the cause of an error."""

    DOCKER = "Docker"
    NETWORK = "Network"
    STORAGE = "Storage"
    IMAGE = "Image"
    CONFIGURATION = "Configuration"
    GENERIC = "Generic"


class PortStatus(StatusModel):
    """A published port."""

    name: ShortText
    """Name of the port in spec.ports."""
    container_port: int
    """Port in the container."""
    protocol: Protocol = Protocol.TCP
    """TCP or UDP."""
    host_ip: Annotated[ShortText | None, Field(alias="hostIP")] = None
    """Address of the host that it is published on."""
    host_port: int | None = None
    """Port of the host that was chosen."""


class LastTermination(StatusModel):
    """How the container last ended."""

    exit_code: int | None = None
    """Exit code of the process; 128 + n if signal n ended it."""
    reason: ShortText | None = None
    """One word: Completed, Error, OOMKilled, ..."""
    finished_at: MicroTimestamp | None = None
    """When it ended."""
    oom_killed: bool | None = None
    """True if the kernel killed it for lack of memory."""


class LastError(StatusModel):
    """The error that keeps the Workspace from what was asked for; gone when it is as declared."""

    error_class: Annotated[ErrorClass | None, Field(alias="class")] = None
    """Where to look: Docker, Network, Storage, Image or Configuration (Generic is not used yet)."""
    reason: ShortText | None = None
    """One word in CamelCase, for programs."""
    message: LongText | None = None
    """What is wrong, where, and what to do."""
    time: Timestamp | None = None
    """When it was first seen."""


class Usage(StatusModel):
    """What the container uses, where sampling is switched on; the live figures are Prometheus metrics."""

    cpu: ShortText | None = None
    """CPUs, such as 250m."""
    memory: ShortText | None = None
    """Memory without the page cache, such as 122880Ki."""
    pids: int | None = None
    """Processes and threads."""
    sampled_at: Timestamp | None = None
    """When it was measured."""


class WorkspaceStatus(StatusModel):
    """What was found. Written only when it differs."""

    observed_generation: int = -1
    """The metadata.generation that this status is about; -1 before the first."""
    phase: Phase | None = None
    """One word for people; programs read the conditions."""
    conditions: Conditions = ()
    """Ready, Reconciling and Stalled, as kstatus, Flux and Argo CD read them."""
    host: ShortText | None = None
    """The DockerHost that has the container."""
    container_id: Annotated[ShortText | None, Field(alias="containerID")] = None
    """ID of the container."""
    container_name: ShortText | None = None
    """Name of the container on its host."""
    container_state: ShortText | None = None
    """The container's state in Docker's words: created, running, paused, exited, ..."""
    image_id: Annotated[ShortText | None, Field(alias="imageID")] = None
    """Digest of the image that the container was made from."""
    ip_address: Annotated[ShortText | None, Field(alias="ipAddress")] = None
    """Address of the container on its network."""
    ports: Annotated[tuple[PortStatus, ...], Field(max_length=64), ListMap(("name",))] = ()
    """Published ports."""
    started_at: MicroTimestamp | None = None
    """Since when the container runs; absent when it doesn't."""
    restart_count: Annotated[int, Field(ge=0)] = 0
    """Restarts after ends that nobody had asked for, since the Workspace was made."""
    retries: Annotated[int, Field(ge=0)] = 0
    """Restarts since the last good run."""
    next_retry_at: Deadline | None = None
    """When the next try is due."""
    last_restart_request: ShortText | None = None
    """Value of the annotation aicli.dev/restartedAt that was last acted on."""
    pending_changes: Annotated[tuple[ShortText, ...], Field(max_length=MAX_PENDING_CHANGES)] = ()
    """What waits for a restart to be applied: fields of the spec, Secrets, ConfigMaps."""
    last_termination: LastTermination | None = None
    """How the container last ended."""
    last_error: LastError | None = None
    """The error that keeps the Workspace from what was asked for."""
    active_tasks: Annotated[int | None, Field(ge=0)] = None
    """Exec sessions that run in the container."""
    usage: Usage | None = None
    """What the container uses: only with the annotation aicli.dev/usage=true, and where the controller samples
    (--usage-interval)."""
    last_updated: Timestamp | None = None
    """When this status was last written."""

    @property
    def is_ready(self) -> bool:
        """Whether it says that all is as declared (in the spec of `observed_generation`)."""
        return any(condition.type == "Ready" and condition.status == "True" for condition in self.conditions)
