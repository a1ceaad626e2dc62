"""One healthy (spec, policy, body); each test changes one thing."""

import copy
from typing import Any

from controller import naming
from controller.api import HostPolicy
from controller.container_spec import BindMount, ContainerSpec, NetworkSpec, Port, VolumeMount
from controller.observed import Limits

GI = 1 << 30
VOLUME = naming.volume_name("c1", "team-a", "shop", "cache")


def host_policy(**changes: Any) -> HostPolicy:
    """A policy as an administrator writes it; `changes` in YAML's names."""
    policy: dict[str, Any] = {
        "namespaces": {"matchNames": ["*"]},
        "projectPaths": ["/srv/projects/{namespace}/*"],
        "images": ["*"],
        "maxResources": {"cpu": "4", "memory": "8Gi", "pids": 4096},
        "ports": {"address": "127.0.0.1", "range": "20000-29999"},
        "addressPool": {"base": "10.210.0.0/16", "size": 24},
    }
    return HostPolicy.model_validate(policy | changes)


def workspace_spec() -> ContainerSpec:
    """What an ordinary Workspace shop of namespace team-a asks for."""
    return ContainerSpec(
        image="alpine:latest",
        entrypoint=(),
        args=(),
        working_dir="/workspace",
        tty=True,
        env=(),
        user="1000:1000",
        read_only_root=False,
        no_new_privileges=True,
        cap_add=(),
        cap_drop=("AUDIT_WRITE", "MKNOD", "NET_RAW"),
        binds=(BindMount("/srv/projects/team-a/shop", "/workspace"),),
        volumes=(VolumeMount(VOLUME, "cache", "/cache", delete_with_workspace=False),),
        ports=(Port("http", 8080, "TCP"),),
        network=NetworkSpec("ws-team-a-isolated-1", "team-a", "Isolated", "10.210.0.0/16", 24),
        probe=None,
        limits=Limits(1_000_000_000, 1024, GI, GI, GI // 2, 512),
        labels=tuple(_LABELS.items()),
        namespace="team-a",
    )


def container_body() -> dict[str, Any]:
    """The body that the Workspace's container is made from."""
    return copy.deepcopy(_BODY)


_LABELS = {
    naming.LABEL_CLUSTER: "c1",
    naming.LABEL_NAMESPACE: "team-a",
    naming.LABEL_NAME: "shop",
    naming.LABEL_UID: "0f0f0f0f-0000-4000-8000-000000000001",
}
_BODY: dict[str, Any] = {
    "Image": "alpine:latest",
    "Hostname": "shop",
    "User": "1000:1000",
    "WorkingDir": "/workspace",
    "Tty": True,
    "OpenStdin": True,
    "Env": ["A=b", "EMPTY="],
    "Labels": _LABELS,
    "Healthcheck": {"Test": ["NONE"]},
    "ExposedPorts": {"8080/tcp": {}},
    "HostConfig": {
        "Init": True,
        "IpcMode": "private",
        "NetworkMode": "a" * 64,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
        "ReadonlyRootfs": False,
        "CapAdd": [],
        "CapDrop": ["AUDIT_WRITE", "MKNOD", "NET_RAW"],
        "SecurityOpt": ["no-new-privileges"],
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/srv/projects/team-a/shop",
                "Target": "/workspace",
                "BindOptions": {"Propagation": "rprivate"},
            },
            {
                "Type": "volume",
                "Source": VOLUME,
                "Target": "/cache",
                "VolumeOptions": {"Labels": {naming.LABEL_VOLUME: "cache"}},
            },
        ],
        "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20000-29999"}]},
        "NanoCpus": 1_000_000_000,
        "CpuShares": 1024,
        "Memory": GI,
        "MemorySwap": GI,
        "MemoryReservation": GI // 2,
        "PidsLimit": 512,
    },
}
