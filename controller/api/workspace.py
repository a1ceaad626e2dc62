"""Workspace: a developer's container, declared."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, WrapValidator

from controller.api.container import (
    EnvFromSource,
    EnvVar,
    LivenessProbe,
    Network,
    NetworkMode,
    Port,
    PullPolicy,
    Resources,
    SecurityContext,
    Volume,
)
from controller.api.fields import Argument, ContainerPath, HostPath, ImageReference, Name, PlainText, WorkingDir
from controller.api.meta import LocalReference, ObjectMeta
from controller.api.model import API_VERSION, HELD_ONCE, RESTARTED_AT, ApiModel, bounded, drop_unreadable
from controller.api.model import RESTART_REQUEST_LENGTH as REQUEST_LENGTH
from controller.api.rules import ListMap, Rule, RuledModel, Transition
from controller.api.workspace_status import WorkspaceStatus


class DesiredState(StrEnum):
    """What the owner wants the container to be."""

    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"


class UpdatePolicy(StrEnum):
    """When a change that needs a new container is applied."""

    RECREATE = "Recreate"
    ON_RESTART = "OnRestart"
    MANUAL = "Manual"


class FallbackAction(StrEnum):
    """What happens once the retries are spent."""

    STOP = "Stop"
    REMOVE = "Remove"
    IGNORE = "Ignore"


class Backoff(RuledModel):
    """Waiting times between restarts: the first is at once, the k-th waits min(initial x factor^(k-2), max)."""

    rules = (
        Rule(
            cel="self.initialSeconds <= self.maxSeconds",
            message="initialSeconds must not be above maxSeconds",
            holds=lambda backoff: backoff.initial_seconds <= backoff.max_seconds,
            field_path=".initialSeconds",
        ),
    )

    initial_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Seconds before the second restart in a row. Default: 10."""
    max_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """The longest wait, in seconds. Default: 300."""
    factor: Annotated[float, Field(ge=1, le=10)] = 2
    """Each wait is this many times the one before, 1 to 10. Default: 2."""


class Recovery(ApiModel):
    """What to do when the container exits or turns unhealthy without being asked to."""

    max_retries: Annotated[int, Field(ge=0, le=1000)] = 5
    """Restarts in a row before fallbackAction. Default: 5."""
    backoff: Backoff = Backoff()
    """Waiting times between restarts."""
    reset_after_seconds: Annotated[int, Field(ge=1, le=86400)] = 600
    """A run of this many seconds is a good one: the count of retries begins anew. Default: 600."""
    fallback_action: FallbackAction = FallbackAction.STOP
    """Once the retries are spent: Stop (the default) leaves the container exited, Remove removes it, Ignore goes on
    trying at the longest wait."""


_ENTRYPOINT = Rule(
    cel="size(self) == 0 || self[0] != ''",
    message="must begin with a program: Docker takes an empty one for no command at all",
    holds=lambda command: not command or command[0] != "",
)


class WorkspaceSpec(RuledModel):
    """What the owner asks for."""

    rules = (
        Rule(
            cel="!has(self.volumes) || (self.volumes.all(v, self.volumes.exists_one(w, w.mountPath == v.mountPath))"
            " && !(has(self.projectPath) && self.volumes.exists(v, v.mountPath == self.projectMountPath)))",
            message="volumes must have mount paths of their own, other than projectMountPath",
            holds=lambda spec: _mounts_differ(spec),
            field_path=".volumes",
        ),
        Rule(
            cel="!has(self.ports) || self.ports.all(p, self.ports.exists_one(q, q.containerPort == p.containerPort"
            " && (has(q.protocol) ? q.protocol : 'TCP') == (has(p.protocol) ? p.protocol : 'TCP')))",
            message="ports must not name the same containerPort and protocol twice",
            holds=lambda spec: len({(port.container_port, port.protocol) for port in spec.ports}) == len(spec.ports),
            field_path=".ports",
        ),
        Rule(
            cel="self.network.mode != 'None' || !has(self.ports) || size(self.ports) == 0",
            message="ports can't be published without a network: remove ports or choose another network.mode",
            holds=lambda spec: spec.network.mode is not NetworkMode.NONE or not spec.ports,
            field_path=".ports",
        ),
    )

    desired_state: DesiredState = DesiredState.RUNNING
    """Running (the default), Paused (frozen, keeps its memory) or Stopped (the container is kept, or not made)."""
    owner: PlainText | None = None
    """Whose it is, for people to read. Grants nothing."""
    host: Annotated[
        Name,
        Transition("self == oldSelf", "host can't be changed: make a new Workspace", lambda new, old: new == old),
    ] = "default"
    """The DockerHost it runs on. Immutable. Default: default."""
    image: ImageReference = "alpine:latest"
    """Image, as for `docker pull`. Default: alpine:latest."""
    image_pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    """When the image is pulled: Always, IfNotPresent (the default) or Never."""
    image_pull_secrets: Annotated[tuple[LocalReference, ...], Field(max_length=16), ListMap(("name",))] = ()
    """Secrets of type kubernetes.io/dockerconfigjson with the credentials of the image's registry."""
    command: Annotated[tuple[Argument, ...], Field(max_length=256), _ENTRYPOINT] = ()
    """Entrypoint, not run in a shell. Default: the image's."""
    args: Annotated[tuple[Argument, ...], Field(max_length=1024)] = ()
    """Arguments of the entrypoint. Default: the image's, unless command is given."""
    working_dir: WorkingDir | None = None
    """Working directory of the process, absolute. Default: projectMountPath; the image's own is not used."""
    tty: bool = True
    """Gives the process a terminal and an open stdin, so that a bare shell stays up. Default: true."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=1000), ListMap(("name",))] = ()
    """Environment variables. A change makes a new container, as updatePolicy says."""
    env_from: Annotated[tuple[EnvFromSource, ...], Field(max_length=32)] = ()
    """ConfigMaps whose keys all become variables."""
    project_path: HostPath | None = None
    """Directory of the Docker host that is mounted at projectMountPath. It must exist, and match the host's policy."""
    project_mount_path: ContainerPath = "/workspace"
    """Where projectPath appears in the container. Default: /workspace."""
    volumes: Annotated[tuple[Volume, ...], Field(max_length=32), ListMap(("name",))] = ()
    """Docker volumes of this Workspace, which outlive its container."""
    ports: Annotated[tuple[Port, ...], Field(max_length=64), ListMap(("name",))] = ()
    """Ports to publish on the host's address; the ports chosen there are in status.ports."""
    resources: Annotated[Resources, HELD_ONCE] = Resources()
    """CPU, memory and processes: requests and limits. Limits change without a restart."""
    security_context: Annotated[SecurityContext, HELD_ONCE] = SecurityContext()
    """Rights of the container's processes, within the host's policy."""
    network: Annotated[Network, HELD_ONCE] = Network()
    """Who the container can reach."""
    liveness_probe: LivenessProbe | None = None
    """Tells whether the container still works. Default: none, and the image's own health check is switched off."""
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=3600)] = 10
    """Seconds between the stop signal and SIGKILL, 0 to 3600. Default: 10."""
    update_policy: UpdatePolicy = UpdatePolicy.RECREATE
    """When changes that need a new container are applied: Recreate (the default) at once, OnRestart at the next
    restart, Manual at a restart request. Until then status.pendingChanges lists them."""
    recovery: Annotated[Recovery, HELD_ONCE] = Recovery()
    """What to do when the container exits or turns unhealthy without being asked to."""


def _mounts_differ(spec: WorkspaceSpec) -> bool:
    paths = [volume.mount_path for volume in spec.volumes]
    if spec.project_path is not None:
        paths.append(spec.project_mount_path)
    return len(set(paths)) == len(paths)


ReadableStatus = Annotated[WorkspaceStatus, WrapValidator(drop_unreadable)]
"""Read as far as possible."""


class Workspace(ApiModel):
    """A developer workspace: a container on a Docker host, kept as declared."""

    api_version: Literal["aicli.dev/v1alpha1"] = API_VERSION
    kind: Literal["Workspace"] = "Workspace"
    metadata: ObjectMeta
    spec: WorkspaceSpec
    """What is asked for."""
    status: ReadableStatus = WorkspaceStatus()
    """What was found, written by the controller."""

    @property
    def restart_request(self) -> str | None:
        """Value of the restart annotation, bounded as status.lastRestartRequest is, so that the two can be compared."""
        value: Any = self.metadata.annotations.get(RESTARTED_AT)
        return None if value is None else bounded(value, REQUEST_LENGTH)
