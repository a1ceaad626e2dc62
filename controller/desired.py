"""What a Workspace's container should be: the spec with defaults and host policy applied, and nothing else.

Two parts, told apart by how they change: `config_hash` covers what needs a new container, `Limits` and the name are
changed in place. Secrets appear by reference only: their values are read when a container is made.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controller import __version__, naming, policy
from controller.api import DesiredState, HostPolicy, PullPolicy, Recovery, UpdatePolicy, Workspace, WorkspaceSpec
from controller.api.quantity import parse_cpu, parse_memory
from controller.container_spec import (
    BindMount,
    ContainerSpec,
    EnvVar,
    KeyRef,
    NetworkSpec,
    Port,
    Probe,
    VolumeMount,
)
from controller.errors import ConfigurationError, WorkspaceError
from controller.observed import Limits

DEFAULT_NANO_CPUS = 1_000_000_000
DEFAULT_MEMORY = 1 << 30  # bytes
DEFAULT_PIDS = 512
DROPPED_CAPABILITIES = ("AUDIT_WRITE", "MKNOD", "NET_RAW")
MINIMAL_SHARES = 2  # the kernel's least

# What needs a new container when it changes. The rest of the spec is changed in place or concerns only us.
HASHED_FIELDS = (
    *("image", "command", "args", "workingDir", "tty", "env", "envFrom", "projectPath", "projectMountPath"),
    *("volumes", "ports", "securityContext", "network", "livenessProbe"),
)
LIST_KEYS = {"env": "name", "volumes": "name", "ports": "containerPort"}  # order of these lists means nothing


class UnreadableWorkspace(Workspace):
    """A Workspace whose spec this version of the controller can't read; the spec it has is not the real one."""

    problem: str


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


def make_desired(
    workspace: Workspace, host_policy: HostPolicy, cluster: str, namespace_labels: Mapping[str, str]
) -> Desired:
    """What `workspace` wants of its host. `refusal` is set where the host's policy says no."""
    meta, spec = workspace.metadata, workspace.spec
    digest = config_hash(spec)
    container = container_spec(workspace, host_policy, cluster, digest)
    return Desired(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        generation=meta.generation,
        host=spec.host,
        state=spec.desired_state,
        container_name=naming.container_name(meta.namespace, meta.name, meta.uid),
        container=container,
        config_hash=digest,
        pull_policy=spec.image_pull_policy,
        pull_secrets=tuple(secret.name for secret in spec.image_pull_secrets),
        update_policy=spec.update_policy,
        recovery=spec.recovery,
        grace=spec.termination_grace_period_seconds,
        restart_request=workspace.restart_request or "",
        deleting=meta.deletion_timestamp is not None,
        has_finalizer=naming.FINALIZER in meta.finalizers,
        abandon=meta.annotations.get(naming.ANNOTATION_ABANDON) == "true",
        refusal=_refusal(workspace, container, host_policy, namespace_labels),
        stop_refused=host_policy.enforcement == "Stop" and not isinstance(workspace, UnreadableWorkspace),
    )


def _refusal(
    workspace: Workspace, container: ContainerSpec, host_policy: HostPolicy, namespace_labels: Mapping[str, str]
) -> WorkspaceError | None:
    if isinstance(workspace, UnreadableWorkspace):
        return ConfigurationError(f"spec: {workspace.problem}", reason="InvalidSpec")
    return policy.violation(container, workspace.metadata.namespace, namespace_labels, host_policy)


def config_hash(spec: WorkspaceSpec) -> str:
    """A digest of what the container is made from. Unset and default fields are left out: a new controller
    version, or a default written out by hand, changes nothing. Neither does the order of keyed lists, which
    server-side apply may move.
    """
    fields = spec.model_dump(by_alias=True, mode="json", exclude_defaults=True, include=_HASHED_ATTRIBUTES)
    for name, key in LIST_KEYS.items():
        if name in fields:
            fields[name] = sorted(fields[name], key=operator.itemgetter(key))
    for volume in fields.get("volumes", ()):
        volume.pop("reclaimPolicy", None)
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def container_spec(workspace: Workspace, host_policy: HostPolicy, cluster: str, digest: str) -> ContainerSpec:
    """The spec in no engine's words, with our defaults: what is silent is filled here and nowhere else."""
    spec, namespace = workspace.spec, workspace.metadata.namespace
    security = spec.security_context
    return ContainerSpec(
        image=spec.image,
        entrypoint=tuple(spec.command),
        args=tuple(spec.args),
        working_dir=spec.working_dir or spec.project_mount_path,  # never the image's own, which nobody has checked
        tty=spec.tty,
        env=environment(spec),
        user=_user(security.run_as_user, security.run_as_group),
        read_only_root=security.read_only_root_filesystem,
        no_new_privileges=not security.allow_privilege_escalation,
        cap_add=tuple(sorted(security.capabilities.add)),
        cap_drop=_dropped(security.capabilities.add, security.capabilities.drop),
        binds=(BindMount(spec.project_path, spec.project_mount_path),) if spec.project_path else (),
        volumes=_volumes(workspace, cluster),
        ports=tuple(Port(p.name or "", p.container_port, p.protocol) for p in spec.ports),
        network=_network(spec, namespace, cluster, host_policy),
        probe=_probe(spec),
        limits=_limits(spec, host_policy),
        labels=_labels(workspace, cluster, digest),
        namespace=namespace,
    )


_HASHED_ATTRIBUTES = {
    name for name, field in WorkspaceSpec.model_fields.items() if (field.alias or name) in HASHED_FIELDS
}


def environment(spec: WorkspaceSpec) -> tuple[EnvVar, ...]:
    """The environment, by reference. envFrom first: an entry of `env` wins over it, as in a Pod."""
    variables = [
        EnvVar(name=e.prefix or "", source=KeyRef("ConfigMap", e.config_map_ref.name, None, e.config_map_ref.optional))
        for e in spec.env_from
    ]
    variables += [EnvVar(e.name, e.value or "", _key_ref(e.value_from)) for e in spec.env]
    return tuple(variables)


def _key_ref(source: Any) -> KeyRef | None:
    if source is None:
        return None
    if source.secret_key_ref is not None:
        ref = source.secret_key_ref
        return KeyRef("Secret", ref.name, ref.key, ref.optional)
    ref = source.config_map_key_ref
    return KeyRef("ConfigMap", ref.name, ref.key, ref.optional)


def _user(user: int | None, group: int | None) -> str:
    """Docker's `user[:group]`. A group without a user runs as root of that group, as in a Pod of a root image."""
    if user is None and group is None:
        return ""
    return f"{user or 0}" + (f":{group}" if group is not None else "")


def _dropped(added: Sequence[str], dropped: Sequence[str]) -> tuple[str, ...]:
    """Our own default drops, but for those that are asked for (host policy has its say on them elsewhere)."""
    defaults = set(DROPPED_CAPABILITIES) - set(added)
    return tuple(sorted(defaults | set(dropped)))


def _volumes(workspace: Workspace, cluster: str) -> tuple[VolumeMount, ...]:
    meta = workspace.metadata
    return tuple(
        VolumeMount(
            volume=naming.volume_name(cluster, meta.namespace, meta.name, v.name),
            short_name=v.name,
            target=v.mount_path,
            delete_with_workspace=v.reclaim_policy == "Delete",
        )
        for v in workspace.spec.volumes
    )


def _network(spec: WorkspaceSpec, namespace: str, cluster: str, host_policy: HostPolicy) -> NetworkSpec | None:
    mode = spec.network.mode
    if mode == "None":
        return None
    pool = host_policy.address_pool
    return NetworkSpec(naming.network_name(cluster, namespace, mode), namespace, str(mode), pool.base, pool.size)


def _probe(spec: WorkspaceSpec) -> Probe | None:
    probe = spec.liveness_probe
    if probe is None:
        return None
    return Probe(tuple(probe.exec.command), probe.period_seconds, probe.timeout_seconds, probe.failure_threshold)


def _limits(spec: WorkspaceSpec, host_policy: HostPolicy) -> Limits:
    """All limits, always: asked for, or our defaults within the host's policy.

    Requests that are silent follow the limits, as in a Pod; being explicit also makes them comparable with inspect.
    """
    asked, most = spec.resources.limits, host_policy.max_resources
    requests = spec.resources.requests
    cpu_request = parse_cpu(requests.cpu) if requests.cpu else 0
    memory_request = parse_memory(requests.memory) if requests.memory else 0
    cpus = parse_cpu(asked.cpu) if asked.cpu else min(max(DEFAULT_NANO_CPUS, cpu_request), parse_cpu(most.cpu))
    memory = (
        parse_memory(asked.memory)
        if asked.memory
        else min(max(DEFAULT_MEMORY, memory_request), parse_memory(most.memory))
    )
    return Limits(
        nano_cpus=cpus,
        cpu_shares=max(MINIMAL_SHARES, (cpu_request or cpus) * 1024 // 1_000_000_000),
        memory=memory,
        memory_swap=memory,  # memory and swap together: no swap
        memory_reservation=memory_request or memory,
        pids=asked.pids or min(DEFAULT_PIDS, most.pids),
    )


def _labels(workspace: Workspace, cluster: str, digest: str) -> tuple[tuple[str, str], ...]:
    meta = workspace.metadata
    return (
        (naming.LABEL_CLUSTER, cluster),
        (naming.LABEL_NAMESPACE, meta.namespace),
        (naming.LABEL_NAME, meta.name),
        (naming.LABEL_UID, meta.uid),
        (naming.LABEL_HOST, workspace.spec.host),
        (naming.LABEL_CONFIG_HASH, digest),
        (naming.LABEL_CONTROLLER_VERSION, __version__),
    )
