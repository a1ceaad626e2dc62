"""From an older version to this one and back, over running Workspaces: nobody notices."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from tests.e2e.conftest import Stack, docker_host, workspace
from tests.waiting import eventually

GIT = ("git", "-c", "safe.directory=*")  # a checkout may be somebody else's, mounted into a container
RUNNING = 50
FIRST = "22fce85"  # the first commit that ran all of these; what is upgraded from as long as there is no tag
SECRET = {"secretKeyRef": {"name": "keys", "key": "C"}}
VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"env": [{"name": "A", "value": "1"}], "command": ["sleep"], "args": ["1000"]},
    {"resources": {"limits": {"cpu": "100m", "memory": "32Mi", "pids": 20}, "requests": {"cpu": "50m"}}},
    {"volumes": [{"name": "cache", "mountPath": "/cache", "reclaimPolicy": "Delete"}]},
    {"securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "readOnlyRootFilesystem": True}},
    {"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 60}, "command": ["sleep", "1000"]},
    {"network": {"mode": "Isolated"}, "ports": [{"name": "http", "containerPort": 8080}]},
    {"envFrom": [{"configMapRef": {"name": "settings"}}], "env": [{"name": "C", "valueFrom": SECRET}]},
    {"workingDir": "/tmp", "updatePolicy": "Manual", "recovery": {"maxRetries": 2}},
    {"owner": "ann", "securityContext": {"capabilities": {"drop": ["ALL"]}}},
)
RESTING = {"paused": {"desiredState": "Paused"}, "stopped": {"desiredState": "Stopped"}}


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the version before this one."""
    folder = tmp_path_factory.mktemp("older")
    command = [*GIT, "archive", previous(), "controller", "crds"]
    packed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.fail(f"the history is needed (git fetch --unshallow --tags): {packed.stderr.decode()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def previous() -> str:
    """The last tag before this commit."""
    command = [*GIT, "describe", "--tags", "--abbrev=0", "HEAD^"]
    described = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return described.stdout.strip() or FIRST


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[Path, ControlPlane], Process]]:
    """Starts the controller of a folder; it is stopped at the end."""
    started: list[Process] = []

    def start(folder: Path, cluster: ControlPlane) -> Process:
        command = [sys.executable, "-m", "controller.main", "--listen", f"127.0.0.1:{free_port()}"]
        environment = {"KUBECONFIG": str(cluster.kubeconfig), "PYTHONPATH": str(folder)}
        process = Process(f"controller-{len(started)}", command, tmp_path, env=environment, cwd=folder)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.stop()


def apply_crds(cluster: ControlPlane, folder: Path) -> None:
    crds = str(folder / "crds")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)


def containers(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """By name: what would change if somebody had touched them."""
    ids = engine.docker("ps", "-aq", "--no-trunc", "--filter", "label=aicli.dev/uid").split()
    found = json.loads(engine.docker("inspect", *ids))
    return {
        one["Name"]: (one["Id"], one["State"]["StartedAt"], one["State"]["Status"], one["RestartCount"])
        for one in found
    }


def settled(stack: Stack, count: int) -> None:
    """All are Ready for the generation in force, and none was ever restarted."""
    found = json.loads(stack.kubectl("get", "workspaces", "-o", "json"))["items"]
    ready = [
        one["metadata"]["name"]
        for one in found
        if one["status"].get("observedGeneration") == one["metadata"]["generation"]
        and any((c["type"], c["status"]) == ("Ready", "True") for c in one["status"].get("conditions", ()))
    ]
    assert len(ready) == count, sorted({one["metadata"]["name"] for one in found} - set(ready))
    assert [one["metadata"]["name"] for one in found if one["status"].get("restartCount")] == []


def many() -> str:
    """RUNNING Workspaces of all VARIANTS and the RESTING ones, as YAML."""
    running = [workspace(f"ws-{number}", VARIANTS[number % len(VARIANTS)]) for number in range(RUNNING)]
    return yaml.safe_dump_all([*running, *(workspace(name, spec) for name, spec in RESTING.items())])


def test_upgrade_and_downgrade_touch_no_container(
    new_control_plane: Callable[..., ControlPlane], engine: Engine, older: Path, run: Callable[..., Process]
) -> None:
    cluster, count = new_control_plane(), RUNNING + len(RESTING)
    apply_crds(cluster, older)
    cluster.kubectl("create", "namespace", "team")
    cluster.kubectl("apply", "-f", "-", stdin=docker_host("default", engine.endpoint))
    stack = Stack(cluster, engine, run(older, cluster), "team")
    stack.kubectl("create", "configmap", "settings", "--from-literal=B=2")
    stack.kubectl("create", "secret", "generic", "keys", "--from-literal=C=3")
    stack.kubectl("apply", "-f", "-", stdin=many())
    try:
        eventually(lambda: settled(stack, count), timeout=300, interval=1)
        before = containers(engine)
        for number, folder in enumerate((REPOSITORY, older), start=1):
            stack.controller.stop()
            apply_crds(cluster, REPOSITORY)
            stack.controller = run(folder, cluster)
            stack.apply(f"later-{number}")
            stack.ready(f"later-{number}")
            eventually(lambda number=number: settled(stack, count + number), timeout=60, interval=1)
            after = containers(engine)
            assert {name: after.get(name) for name in before} == before
    except AssertionError as error:
        error.add_note(stack.controller.tail(60))
        raise
    finally:
        stack.controller.stop()
        engine.remove_containers()
