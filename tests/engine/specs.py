"""Container specs and policies for the engine's tests: one healthy example, of which each test changes one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller import naming
from controller.api import HostPolicy
from controller.container_spec import ContainerSpec
from controller.observed import Limits

CLUSTER = "cluster-a"
MIB = 1 << 20


def policy(**changes: Any) -> HostPolicy:
    """A policy that allows what the tests ask for; keys as in YAML."""
    allowed = {
        "namespaces": {"matchNames": ["*"]},
        "projectPaths": ["/srv/projects/{namespace}/*"],
        "images": ["*"],
    }
    return HostPolicy.model_validate(allowed | changes)


def labels(uid: str = "uid-1", config_hash: str = "hash-1", cluster: str = CLUSTER) -> tuple[tuple[str, str], ...]:
    """What marks a container of the Workspace team-a/shop."""
    return (
        (naming.LABEL_CLUSTER, cluster),
        (naming.LABEL_NAMESPACE, "team-a"),
        (naming.LABEL_NAME, "shop"),
        (naming.LABEL_UID, uid),
        (naming.LABEL_HOST, "default"),
        (naming.LABEL_CONFIG_HASH, config_hash),
    )


def limits(**changes: int) -> Limits:
    """One CPU, 64 MiB, 64 pids."""
    healthy = Limits(
        nano_cpus=1_000_000_000,
        cpu_shares=1024,
        memory=64 * MIB,
        memory_swap=64 * MIB,
        memory_reservation=64 * MIB,
        pids=64,
    )
    return replace(healthy, **changes)


def spec(uid: str = "uid-1", config_hash: str = "hash-1", **changes: Any) -> ContainerSpec:
    """A container that sleeps, without network."""
    healthy = ContainerSpec(
        image="alpine:latest",
        entrypoint=("sleep", "infinity"),
        args=(),
        working_dir="/tmp",
        tty=False,
        env=(),
        user="",
        read_only_root=False,
        no_new_privileges=True,
        cap_add=(),
        cap_drop=("AUDIT_WRITE", "MKNOD", "NET_RAW"),
        binds=(),
        volumes=(),
        ports=(),
        network=None,
        probe=None,
        limits=limits(),
        labels=labels(uid, config_hash),
        namespace="team-a",
    )
    return replace(healthy, **changes)
