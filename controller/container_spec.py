"""What a container is made from, in no engine's words. Pure data, shared by desired, policy, plan and the engines."""

from __future__ import annotations

from dataclasses import dataclass

from controller.observed import Limits


@dataclass(frozen=True, slots=True)
class KeyRef:
    """A key of a Secret or ConfigMap in the Workspace's namespace. `key` is None for all keys (envFrom)."""

    kind: str  # Secret | ConfigMap
    name: str
    key: str | None
    optional: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r}" + (f" key {self.key!r}" if self.key else "")


@dataclass(frozen=True, slots=True)
class EnvVar:
    """One variable (or, from a whole ConfigMap, several with a prefix as `name`)."""

    name: str
    value: str = ""
    source: KeyRef | None = None


@dataclass(frozen=True, slots=True)
class BindMount:
    """A directory of the host."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A named volume; `volume` is its name on the host, `short_name` the one in the spec."""

    volume: str
    short_name: str
    target: str
    delete_with_workspace: bool


@dataclass(frozen=True, slots=True)
class Port:
    """A container port to publish; the host's address and port are the policy's business."""

    name: str
    container_port: int
    protocol: str  # TCP | UDP


@dataclass(frozen=True, slots=True)
class Probe:
    """A command that tells whether the container is healthy. Times in seconds."""

    command: tuple[str, ...]
    period: int
    timeout: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The bridge that a namespace's Workspaces of one mode share on a host."""

    name: str
    namespace: str
    mode: str  # Isolated | Namespace
    pool_base: str
    pool_size: int


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything a container is made from, in no engine's words."""

    image: str
    entrypoint: tuple[str, ...]
    args: tuple[str, ...]
    working_dir: str
    tty: bool
    env: tuple[EnvVar, ...]
    user: str  # "uid[:gid]", empty for the image's own
    read_only_root: bool
    no_new_privileges: bool
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    binds: tuple[BindMount, ...]
    volumes: tuple[VolumeMount, ...]
    ports: tuple[Port, ...]
    network: NetworkSpec | None  # None: no network at all
    probe: Probe | None
    limits: Limits
    labels: tuple[tuple[str, str], ...]
    namespace: str

    @property
    def references(self) -> tuple[KeyRef, ...]:
        """Each distinct Secret and ConfigMap that the environment is read from (`key` is None), sorted."""
        found = {(v.source.kind, v.source.name) for v in self.env if v.source}
        return tuple(KeyRef(kind, name, None) for kind, name in sorted(found))
