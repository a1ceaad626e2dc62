"""Between our words and Docker's: ContainerSpec -> create body, inspect JSON -> Container. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Any

from controller import naming
from controller.api import HostPolicy
from controller.container_spec import ContainerSpec, Probe
from controller.engine.failures import is_network_gone
from controller.errors import ContainerGone
from controller.observed import Container, ContainerState, Health, Limits, PublishedPort
from controller.usage import Stats

LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
DEFAULT_STOP_SIGNAL = "SIGTERM"
HOSTNAME_LIMIT = 63  # characters, the kernel's for a host name is 64
_NANOSECONDS = 1_000_000_000
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


def create_body(
    cluster_id: str, spec: ContainerSpec, env: Mapping[str, str], policy: HostPolicy, network: str
) -> dict[str, Any]:
    """The body of POST /containers/create. `env` is complete and resolved; `network` an ID, or "" for none at all."""
    body: dict[str, Any] = {
        "Image": spec.image,
        "Hostname": _hostname(spec),
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Tty": spec.tty,
        "OpenStdin": spec.tty,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {**dict(spec.labels), naming.LABEL_CLUSTER: cluster_id},
        "Healthcheck": _healthcheck(spec.probe),
        "ExposedPorts": {_port_key(p.container_port, p.protocol): {} for p in spec.ports},
        "HostConfig": _host_config(cluster_id, spec, policy, network),
        **_command(spec),
    }
    if network and spec.network and spec.network.mode == "Namespace":
        body["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": [_hostname(spec)]}}}
    return body


def _command(spec: ContainerSpec) -> dict[str, list[str]]:
    """As in a Pod: `command` replaces the entrypoint, and then the image's own arguments don't apply either."""
    if spec.entrypoint:
        return {"Entrypoint": list(spec.entrypoint), "Cmd": list(spec.args)}
    return {"Cmd": list(spec.args)} if spec.args else {}


def _hostname(spec: ContainerSpec) -> str:
    name = dict(spec.labels).get(naming.LABEL_NAME, "")
    return name.split(".")[0][:HOSTNAME_LIMIT].rstrip("-")


def _healthcheck(probe: Probe | None) -> dict[str, Any]:
    if probe is None:
        return {"Test": ["NONE"]}  # else the image's own would run, three exec events each time
    return {
        "Test": ["CMD", *probe.command],
        "Interval": probe.period * _NANOSECONDS,
        "Timeout": probe.timeout * _NANOSECONDS,
        "Retries": probe.failure_threshold,
    }


def _host_config(cluster_id: str, spec: ContainerSpec, policy: HostPolicy, network: str) -> dict[str, Any]:
    return {
        "Init": True,
        "IpcMode": "private",
        "NetworkMode": network or "none",
        "RestartPolicy": {"Name": "no"},
        "LogConfig": LOG_CONFIG,
        "ReadonlyRootfs": spec.read_only_root,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "SecurityOpt": ["no-new-privileges"] if spec.no_new_privileges else [],
        "Mounts": _mounts(cluster_id, spec),
        "PortBindings": {
            _port_key(p.container_port, p.protocol): [{"HostIp": policy.ports.address, "HostPort": policy.ports.range}]
            for p in spec.ports
        },
        **limits_body(spec.limits),
    }


def limits_body(limits: Limits) -> dict[str, int]:
    """The resources of a create or an update."""
    return {
        "NanoCpus": limits.nano_cpus,
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "MemorySwap": limits.memory_swap,
        "MemoryReservation": limits.memory_reservation,
        "PidsLimit": limits.pids,
    }


def _mounts(cluster_id: str, spec: ContainerSpec) -> list[dict[str, Any]]:
    """By the Mounts API: a bind whose source is missing is refused, where `Binds` would make it as root."""
    workspace = dict(spec.labels).get(naming.LABEL_NAME, "")
    labels = {
        naming.LABEL_CLUSTER: cluster_id,
        naming.LABEL_NAMESPACE: spec.namespace,
        naming.LABEL_NAME: workspace,
    }
    binds = [
        {"Type": "bind", "Source": b.source, "Target": b.target, "BindOptions": {"Propagation": "rprivate"}}
        for b in spec.binds
    ]
    volumes = [
        {
            "Type": "volume",
            "Source": v.volume,
            "Target": v.target,
            "VolumeOptions": {"Labels": {**labels, naming.LABEL_VOLUME: v.short_name}},
        }
        for v in spec.volumes
    ]
    return [*binds, *volumes]


def _port_key(port: int, protocol: str) -> str:
    return f"{port}/{protocol.lower()}"


def container(inspected: Mapping[str, Any], active_tasks: int = 0) -> Container:
    """The snapshot that GET /containers/ID/json shows. Strings that many containers share are held once."""
    state, config, host_config = inspected["State"], inspected["Config"], inspected["HostConfig"]
    network = inspected.get("NetworkSettings") or {}
    return Container(
        id=intern(inspected["Id"]),
        name=intern(inspected["Name"].lstrip("/")),
        state=_state(state),
        labels={intern(key): intern(value) for key, value in (config.get("Labels") or {}).items()},
        image_id=intern(inspected["Image"]),
        created_at=parse_time(inspected["Created"]) or datetime.fromtimestamp(0, UTC),
        limits=_limits(host_config),
        started_at=parse_time(state.get("StartedAt", "")),
        finished_at=parse_time(state.get("FinishedAt", "")),
        exit_code=state.get("ExitCode", 0),
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error", ""),
        health=_health(state),
        restart_policy=(host_config.get("RestartPolicy") or {}).get("Name") or "no",
        stop_signal=config.get("StopSignal") or DEFAULT_STOP_SIGNAL,
        ip_address=_ip_address(network),
        ports=_ports(network),
        active_tasks=active_tasks,
    )


def stats(sampled: Mapping[str, Any]) -> Stats:
    """What one sample of a container's cgroups and interfaces says. Raises ContainerGone for one that doesn't run."""
    read_at = parse_time(sampled.get("read", ""))
    if read_at is None:
        raise ContainerGone("the container doesn't run")
    memory = sampled.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))  # cgroup v1, v2; as docker stats
    networks = (sampled.get("networks") or {}).values()
    return Stats(
        read_at=read_at,
        cpu_seconds=sampled["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
        memory_bytes=max(0, memory.get("usage", 0) - cache),
        pids=(sampled.get("pids_stats") or {}).get("current", 0),
        received_bytes=sum(network["rx_bytes"] for network in networks),
        transmitted_bytes=sum(network["tx_bytes"] for network in networks),
    )


def probe_command(inspected: Mapping[str, Any]) -> str | None:
    """The health check's command line as exec events show it; None without one."""
    test = (inspected["Config"].get("Healthcheck") or {}).get("Test") or []
    if not test or test[0] == "NONE":
        return None
    shell = inspected["Config"].get("Shell") or ["/bin/sh", "-c"]
    words = [*shell, *test[1:]] if test[0] == "CMD-SHELL" else test[1:]
    return " ".join(words)


def parse_time(text: str) -> datetime | None:
    """RFC 3339 with nanoseconds, cut to microseconds; Go's zero time is None."""
    match = _TIME.fullmatch(text)
    if match is None or match[1].startswith("0001-"):
        return None
    fraction = (match[2] or "")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{match[1]}.{fraction}{match[3]}").astimezone(UTC)


def _state(state: Mapping[str, Any]) -> ContainerState:
    if not state.get("Running") and is_network_gone(state.get("Error", "")):
        return ContainerState.DEAD  # whatever Docker calls it: it can only be removed
    try:
        return ContainerState(state["Status"])
    except ValueError:  # "stopping", should an engine ever say so: its process still exists
        return ContainerState.RUNNING if state.get("Running") else ContainerState.EXITED


def _health(state: Mapping[str, Any]) -> Health:
    try:
        return Health((state.get("Health") or {}).get("Status", "none"))
    except ValueError:
        return Health.NONE


def _limits(host_config: Mapping[str, Any]) -> Limits:
    return Limits(
        nano_cpus=host_config.get("NanoCpus") or 0,
        cpu_shares=host_config.get("CpuShares") or 0,
        memory=host_config.get("Memory") or 0,
        memory_swap=host_config.get("MemorySwap") or 0,
        memory_reservation=host_config.get("MemoryReservation") or 0,
        pids=host_config.get("PidsLimit") or 0,
    )


def _ip_address(network: Mapping[str, Any]) -> str:
    for endpoint in (network.get("Networks") or {}).values():
        if address := (endpoint or {}).get("IPAddress"):
            return str(address)
    return ""


def _ports(network: Mapping[str, Any]) -> tuple[PublishedPort, ...]:
    found = []
    for key, bindings in (network.get("Ports") or {}).items():
        port, _, protocol = key.partition("/")
        found += [
            PublishedPort(int(port), protocol.upper(), b["HostIp"], int(b["HostPort"]))
            for b in bindings or []
            if b.get("HostPort")
        ]
    return tuple(sorted(found, key=lambda p: (p.container_port, p.protocol, p.host_ip, p.host_port)))
