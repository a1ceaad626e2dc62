"""Parts of a Workspace's spec that describe its container, with the names and meaning of a Pod's fields."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.fields import (
    Argument,
    Capability,
    ContainerPath,
    DataKey,
    EnvName,
    EnvValue,
    Label,
    Name,
    PortName,
)
from controller.api.model import ApiModel
from controller.api.quantity import CpuLimit, CpuRequest, Memory, cel_in_order, parse_quantity
from controller.api.rules import Rule, RuledModel


class PullPolicy(StrEnum):
    """When the image is pulled before a container is made."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class Protocol(StrEnum):
    """Transport of a port."""

    TCP = "TCP"
    UDP = "UDP"


class ReclaimPolicy(StrEnum):
    """What becomes of a volume with its Workspace."""

    RETAIN = "Retain"
    DELETE = "Delete"


class NetworkMode(StrEnum):
    """Who a Workspace can reach."""

    ISOLATED = "Isolated"
    NAMESPACE = "Namespace"
    NONE = "None"


class KeySelector(ApiModel):
    """One value of a Secret or ConfigMap in the Workspace's namespace."""

    name: Name
    """Name of the object, in the Workspace's namespace."""
    key: DataKey
    """Key in its data."""
    optional: bool = False
    """If true, a missing object or key leaves the variable unset. Default: false, the Workspace waits for it."""


class EnvVarSource(RuledModel):
    """Where a variable's value is read from when the container is made."""

    rules = (
        Rule(
            cel="has(self.secretKeyRef) != has(self.configMapKeyRef)",
            message="must have exactly one of secretKeyRef and configMapKeyRef",
            holds=lambda source: (source.secret_key_ref is None) != (source.config_map_key_ref is None),
        ),
    )

    secret_key_ref: KeySelector | None = None
    """A key of a Secret. A changed Secret restarts nothing; status.pendingChanges names it."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap. A changed ConfigMap restarts nothing; status.pendingChanges names it."""


class EnvVar(RuledModel):
    """A variable of the container's environment."""

    rules = (
        Rule(
            cel="!(has(self.value) && has(self.valueFrom))",
            message="must not have both value and valueFrom",
            holds=lambda variable: variable.value is None or variable.value_from is None,
        ),
    )

    name: EnvName
    """Name: letters, digits, '-', '_' and '.', not a digit first."""
    value: EnvValue | None = None
    """The value as it is. Default: empty. For secrets use valueFrom."""
    value_from: EnvVarSource | None = None
    """Reads the value from a Secret or ConfigMap when the container is made."""


class OptionalReference(ApiModel):
    """A whole object of the Workspace's namespace."""

    name: Name
    """Name of the object, in the Workspace's namespace."""
    optional: bool = False
    """If true, a missing object is passed over. Default: false, the Workspace waits for it."""


class EnvFromSource(ApiModel):
    """All keys of a ConfigMap as variables. Secrets are read key by key only, by env.valueFrom."""

    prefix: EnvName | None = None
    """Put before each key. Default: nothing."""
    config_map_ref: OptionalReference
    """The ConfigMap whose keys become variables; env wins over it, and later entries over earlier ones."""


class Volume(ApiModel):
    """A named Docker volume that outlives the container."""

    name: Label
    """Name within the Workspace. A Workspace created again under its name finds what was retained."""
    mount_path: ContainerPath
    """Absolute path in the container, not under /proc, /sys or /dev."""
    reclaim_policy: ReclaimPolicy = ReclaimPolicy.RETAIN
    """Retain (the default) keeps the volume when the Workspace is deleted, Delete removes it with its data."""


class Port(ApiModel):
    """A port of the container that is published on the host."""

    name: PortName
    """Name within the Workspace, up to 15 characters."""
    container_port: Annotated[int, Field(ge=1, le=65535)]
    """Port that the process in the container listens on. The host's port is chosen from its range: see status.ports."""
    protocol: Protocol = Protocol.TCP
    """TCP (the default) or UDP."""


class ResourceRequests(ApiModel):
    """What the container gets when the host is busy."""

    cpu: CpuRequest | None = None
    """CPUs, such as 250m or 2: its share against others when CPU is scarce (CPU shares)."""
    memory: Memory | None = None
    """Memory, such as 256Mi: what it keeps when memory is scarce (memory reservation)."""


class ResourceLimits(ApiModel):
    """What the container never exceeds; changed without a restart."""

    cpu: CpuLimit | None = None
    """CPUs, such as 500m or 2. Default: 1, or the host policy's maximum if that is less."""
    memory: Memory | None = None
    """Memory, such as 512Mi or 2Gi, swap included; more is OOM-killed. Default: 1Gi, within the host's policy."""
    pids: Annotated[int | None, Field(ge=1, le=4194304)] = None
    """Processes and threads. Default: 512, within the host's policy."""


def _not_above(field: str) -> Rule:
    return Rule(
        cel=f"!(has(self.requests) && has(self.requests.{field}) && has(self.limits) && has(self.limits.{field}))"
        f" || {cel_in_order(f'self.requests.{field}', f'self.limits.{field}')}",
        message=f"requests.{field} must not be above limits.{field}",
        holds=lambda resources: _ordered(getattr(resources.requests, field), getattr(resources.limits, field)),
        field_path=f".requests.{field}",
    )


def _ordered(low: str | None, high: str | None) -> bool:
    return low is None or high is None or parse_quantity(low) <= parse_quantity(high)


class Resources(RuledModel):
    """CPU, memory and processes."""

    rules = (_not_above("cpu"), _not_above("memory"))

    requests: ResourceRequests = ResourceRequests()
    """What the container gets when the host is busy."""
    limits: ResourceLimits = ResourceLimits()
    """What the container never exceeds; changed without a restart."""


class Capabilities(ApiModel):
    """Changes to the default capabilities: Docker's less NET_RAW, MKNOD and AUDIT_WRITE. Written without CAP_."""

    add: Annotated[tuple[Capability, ...], Field(max_length=64)] = ()
    """Capabilities to add; each must be allowed by the host's policy."""
    drop: Annotated[tuple[Capability, ...], Field(max_length=64)] = ()
    """Capabilities to take away; ALL takes away every one that add doesn't name."""


class SecurityContext(RuledModel):
    """Rights of the container's processes. There is no privileged mode."""

    rules = (
        Rule(
            cel="!has(self.runAsGroup) || has(self.runAsUser)",
            message="runAsGroup needs runAsUser: Docker takes a group only together with a user",
            holds=lambda context: context.run_as_group is None or context.run_as_user is not None,
            field_path=".runAsGroup",
        ),
    )

    run_as_user: Annotated[int | None, Field(ge=0, le=2147483647)] = None
    """Numeric user ID. Default: the image's user."""
    run_as_group: Annotated[int | None, Field(ge=0, le=2147483647)] = None
    """Numeric group ID, with runAsUser. Default: the group of the image's user."""
    read_only_root_filesystem: bool = False
    """If true, only the project and the volumes can be written to. Default: false."""
    allow_privilege_escalation: bool = False
    """If true, setuid programs work, where the host's policy allows it. Default: false (no-new-privileges)."""
    capabilities: Capabilities = Capabilities()
    """Linux capabilities to add and drop."""


class ExecAction(ApiModel):
    """A command in the container."""

    command: Annotated[tuple[Argument, ...], Field(min_length=1, max_length=256)]
    """Program and arguments, without a shell. Exit code 0 means healthy."""


class LivenessProbe(ApiModel):
    """Docker health check. An unhealthy container is restarted as if it had exited."""

    exec: ExecAction
    """The command that tells whether the container is healthy."""
    period_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Seconds between two probes. Default: 10."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 1
    """Seconds after which a probe counts as failed. Default: 1."""
    failure_threshold: Annotated[int, Field(ge=1, le=100)] = 3
    """Failed probes in a row that make the container unhealthy. Default: 3."""


class Network(ApiModel):
    """The network of the Workspace."""

    mode: NetworkMode = NetworkMode.ISOLATED
    """Isolated (the default): reaches out, but no other Workspace. Namespace: also the Workspaces of its namespace
    in this mode, by name. None: no network."""
