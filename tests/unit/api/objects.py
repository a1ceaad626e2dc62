"""Objects to try, and what is expected of them."""

from dataclasses import dataclass
from typing import Any

from controller.api import API_VERSION

Object = dict[str, Any]
HEX64 = "a" * 64


@dataclass(frozen=True)
class Case:
    """`refused_at` is the field that the message must name; None if the object is accepted."""

    words: str
    obj: Object
    refused_at: str | None = None


@dataclass(frozen=True)
class Change:
    """`old` is stored, then replaced by `new`."""

    words: str
    old: Object
    new: Object
    refused_at: str | None = None


def workspace(metadata: Object | None = None, /, **spec: Any) -> Object:
    """A Workspace with these fields in its spec."""
    return manifest("Workspace", spec, metadata or {})


def docker_host(metadata: Object | None = None, /, **spec: Any) -> Object:
    """A DockerHost, at a local socket unless told otherwise."""
    return manifest("DockerHost", {"endpoint": "unix:///var/run/docker.sock"} | spec, metadata or {})


def operation(metadata: Object | None = None, /, **spec: Any) -> Object:
    """A WorkspaceOperation that stops one Workspace unless told otherwise."""
    return manifest("WorkspaceOperation", {"operation": "Stop", "names": ["a"]} | spec, metadata or {})


def manifest(kind: str, spec: Object, metadata: Object) -> Object:
    """An object of a kind."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "case"} | metadata, "spec": spec}


FULL = workspace(
    {"labels": {"app": "shop"}, "annotations": {"aicli.dev/restartedAt": "2026-01-01T00:00:00Z"}},
    desiredState="Paused",
    owner="Zoë <zoe@example.com>",
    host="big.example.com",
    image=f"registry.example.com:5000/team/app:1.2_3@sha256:{HEX64}",
    imagePullPolicy="Always",
    imagePullSecrets=[{"name": "regcred"}],
    command=["sh", "-c", "echo 'a'\necho b"],
    args=["", "x\ty"],
    workingDir="/",
    tty=False,
    env=[
        {"name": "EMPTY"},
        {"name": "my.app-Name_1", "value": "a\nb"},
        {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k.json"}}},
    ],
    envFrom=[{"prefix": "P_", "configMapRef": {"name": "c", "optional": True}}, {"configMapRef": {"name": "c"}}],
    projectPath="/srv/projects/team-a/.hidden/über uns",
    projectMountPath="/home/dev/work",
    volumes=[
        {"name": "cache", "mountPath": "/home/dev/work/cache", "reclaimPolicy": "Delete"},
        {"name": "data", "mountPath": "/data"},
    ],
    ports=[
        {"name": "dns-tcp", "containerPort": 53},
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
    ],
    resources={"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": 2, "memory": "2Gi", "pids": 512}},
    securityContext={
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": True,
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]},
    },
    network={"mode": "Namespace"},
    livenessProbe={"exec": {"command": ["true"]}, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 1},
    terminationGracePeriodSeconds=0,
    updatePolicy="OnRestart",
    recovery={
        "maxRetries": 0,
        "backoff": {"initialSeconds": 1, "maxSeconds": 1, "factor": 1.5},
        "resetAfterSeconds": 60,
        "fallbackAction": "Ignore",
    },
)
