"""The image: built as anyone would build it, and run as the container that it will be."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from controller import __version__
from devcluster import ControlPlane, Engine
from devcluster.paths import REPOSITORY
from tests.e2e.conftest import Stack
from tests.shipping import base_image
from tests.shipping.conftest import build
from tests.shipping.relay import relay
from tests.shipping.test_docs import blocks
from tests.waiting import eventually

OVERLAY = REPOSITORY / "manifests" / "overlays" / "local-socket"
REPLICAS = {"replica-1": "127.0.0.1", "replica-2": "127.0.0.2"}  # their names and addresses
MEGABYTE = 1024 * 1024


@pytest.fixture
def socket_group(engine: Engine) -> str:
    """A group that owns the engine's socket, as on a usual Docker host."""
    group = 4242
    engine.socket.chmod(0o660)
    os.chown(engine.socket, 0, group)
    engine.socket.parent.chmod(0o755)
    return str(group)


@pytest.fixture
def replicas(
    image: str, engine: Engine, new_control_plane: Callable[..., ControlPlane], socket_group: str, tmp_path: Path
) -> Iterator[Stack]:
    """What `kubectl apply -k` deploys, with Docker in the kubelet's place: two replicas, as the Deployment says."""
    cluster = new_control_plane()
    cluster.kubectl("apply", "-k", str(OVERLAY))
    cluster.kubectl("create", "namespace", "team")
    config = tmp_path / "kubeconfig"
    config.write_text(cluster.service_account_kubeconfig("workspace-system", "workspace-controller").read_text())
    config.chmod(0o644)
    container = deployed(cluster)
    assert container["securityContext"]["readOnlyRootFilesystem"]
    options = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    options += ["--network", "host", "--group-add", socket_group, "--health-interval", "1s"]
    environment = {"KUBECONFIG": "/kubeconfig", "POD_NAMESPACE": "workspace-system"}
    options += [part for name, value in environment.items() for part in ("-e", f"{name}={value}")]
    options += ["-v", f"{config}:/kubeconfig:ro", "-v", f"{engine.socket}:/var/run/docker.sock"]
    with relay(engine, urlsplit(cluster.url).port or 0):
        for name, address in REPLICAS.items():
            arguments = [argument.replace("$(POD_IP)", address) for argument in container["args"]]
            engine.docker("run", "--detach", "--name", name, "--hostname", name, *options, image, *arguments)
        stack = Stack(cluster, engine, None, "team")  # type: ignore[arg-type]
        try:
            yield stack
        finally:
            sys.stdout.writelines(logs(engine, name) for name in REPLICAS)  # pytest shows it where the test fails
            engine.remove_containers()


def deployed(cluster: ControlPlane) -> dict[str, Any]:
    """The container of the Deployment."""
    text = cluster.kubectl("-n", "workspace-system", "get", "deployment", "workspace-controller", "-o", "json")
    found: dict[str, Any] = json.loads(text)["spec"]["template"]["spec"]["containers"][0]
    return found


def leader(stack: Stack) -> str:
    """The name of the replica that holds the Lease; empty while nobody does."""
    text = stack.cluster.kubectl("-n", "workspace-system", "get", "lease", "-o", "json")
    holder = json.loads(text)["items"][0]["spec"].get("holderIdentity") or ""
    return next((name for name in REPLICAS if name in holder), "")


def test_image_runs_as_nobody_and_holds_neither_tests_nor_build_tools(image: str, engine: Engine) -> None:
    config = json.loads(engine.docker("image", "inspect", image))[0]["Config"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    listed = engine.docker("run", "--rm", "--entrypoint", "ls", image, "/", "/opt/workspace-controller/bin")
    assert {"workspace-controller", "kubectl-workspace"} <= set(listed.split())
    assert not {"src", "build", "pip", "wheels"} & set(listed.split())


def test_image_adds_little_to_its_base(image: str, engine: Engine) -> None:
    sizes = [json.loads(engine.docker("image", "inspect", name))[0]["Size"] for name in (image, "local/python:slim")]
    assert sizes[0] - sizes[1] < 120 * MEGABYTE


def test_image_tells_its_version(image: str, engine: Engine) -> None:
    assert engine.docker("run", "--rm", image, "--version").strip() == __version__


def test_stage_of_the_inner_loop_runs_the_code_that_is_put_in(image: str, engine: Engine, context: Path) -> None:
    build(engine, context, base_image.load(engine), "workspace-controller:dev", target="dev")
    config = json.loads(engine.docker("image", "inspect", "workspace-controller:dev"))[0]["Config"]
    assert config["Entrypoint"][:2] == ["python3", "reload.py"]
    started = config["Entrypoint"][config["Entrypoint"].index("--") + 1 :]
    changed = "echo '__version__ = \"changed\"' > controller/__init__.py"
    command = f"{changed} && {' '.join(started)} --version"
    output = engine.docker("run", "--rm", "--entrypoint", "sh", "workspace-controller:dev", "-c", command)
    assert output.strip() == "changed"


def test_replicas_run_workspaces_and_hand_over_without_disturbing_them(replicas: Stack) -> None:
    stack, engine = replicas, replicas.engine
    stack.apply("shop")
    stack.ready("shop")
    eventually(lambda: state(engine, "replica-1")["Health"]["Status"] == "healthy", timeout=60)
    assert not [name for name in REPLICAS if "the watch ended" in logs(engine, name)]
    for name, address in REPLICAS.items():
        assert "readyz check passed" in engine.docker("exec", "-e", f"POD_IP={address}", name, *asking_for_readiness())
    before = stack.container("shop")
    first = leader(stack)
    engine.docker("stop", "--time", "20", first)
    assert state(engine, first)["ExitCode"] == 0
    eventually(lambda: leader(stack) not in ("", first))
    stack.apply("later")
    stack.ready("later")
    after = stack.container("shop")
    assert (after["Id"], after["State"]["StartedAt"]) == (before["Id"], before["State"]["StartedAt"])
    stack.kubectl("delete", "workspace", "shop", "later", "--timeout=60s")
    assert stack.containers("shop") == []


def asking_for_readiness() -> list[str]:
    """What the runbook runs in a Pod."""
    text = next(text for text in blocks(REPOSITORY / "docs" / "runbook.md", "sh") if "kubectl exec" in text)
    words = shlex.split(text.replace("\\\n", " "))
    return words[words.index("--") + 1 :]


def logs(engine: Engine, name: str) -> str:
    """What a replica has logged, to stderr."""
    command = ["docker", "--host", engine.endpoint, "logs", name]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout


def state(engine: Engine, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", name))[0]["State"]
    return found
