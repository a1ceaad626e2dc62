"""What a Workspace's container should be: the spec with defaults and host policy applied, and nothing else.

Two parts, told apart by how they change: `config_hash` covers what needs a new container, `Limits` and the name are
changed in place. Secrets appear by reference only: their values are read when a container is made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from controller import naming, policy
from controller.api import DesiredState, DockerHost, HostPolicy, PullPolicy, Recovery, UpdatePolicy, Workspace
from controller.api import WorkspaceSpec
from controller.api.quantity import parse_cpu, parse_memory
from controller.errors import WorkspaceError
from controller.observed import Limits

DEFAULT_NANO_CPUS = 1_000_000_000
DEFAULT_MEMORY = 1 << 30
DEFAULT_PIDS = 512
DEFAULT_DROPPED_CAPABILITIES = ("AUDIT_WRITE", "MKNOD", "NET_RAW")


@dataclass(frozen=True, slots=True)
class Desired:
    """All that plan and status need to know of what is wanted."""

    namespace: str
    name: str
    uid: str
    generation: int
    host: str
    state: DesiredState
    container_name: str
    container: ContainerSpec
    config_hash: str
    pull_policy: PullPolicy
    pull_secrets: tuple[str, ...]
    update_policy: UpdatePolicy
    recovery: Recovery
    grace: int  # seconds
    restart_request: str
    deleting: bool
    has_finalizer: bool
    abandon: bool
    refusal: WorkspaceError | None = None  # why no container may be made or started
    stop_refused: bool = False  # the host's policy wants what it refuses stopped
