"""The image: built as anyone would build it, and run as the container that it will be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from controller import __version__
from devcluster import ControlPlane, Engine
from tests.e2e.conftest import Stack, docker_host
from tests.shipping.relay import relay
from tests.waiting import eventually

NAME = "workspace-controller"
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
def running(
    image: str, engine: Engine, control_plane: ControlPlane, socket_group: str, tmp_path: Path
) -> Iterator[Engine]:
    """The controller as a container: nobody's user, no capability, nothing to write to but /tmp."""
    control_plane.kubectl("apply", "-k", "manifests/rbac")
    control_plane.kubectl("apply", "-f", "-", stdin=docker_host("default", "unix:///var/run/docker.sock"))
    config = tmp_path / "kubeconfig"
    token_user = control_plane.service_account_kubeconfig("workspace-system", "workspace-controller")
    config.write_text(token_user.read_text())
    config.chmod(0o644)
    options = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    mounts = [
        "-v",
        f"{engine.socket}:/var/run/docker.sock",
        "-v",
        f"{config}:/kubeconfig:ro",
        "-e",
        "KUBECONFIG=/kubeconfig",
    ]
    with relay(engine, urlsplit(control_plane.url).port or 0):
        engine.docker(
            "run",
            "--detach",
            "--name",
            NAME,
            "--network",
            "host",
            "--group-add",
            socket_group,
            *options,
            *mounts,
            "--health-interval",
            "1s",
            image,
            "--leader-elect",
            "--log-format",
            "json",
        )
        yield engine
        engine.docker("rm", "--force", NAME)


def test_image_runs_as_nobody_and_holds_neither_tests_nor_build_tools(image: str, engine: Engine) -> None:
    config = json.loads(engine.docker("image", "inspect", image))[0]["Config"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    listed = engine.docker("run", "--rm", "--entrypoint", "ls", image, "/", "/opt/workspace-controller/bin")
    assert "workspace-controller" in listed
    assert not {"src", "build", "pip", "wheels"} & set(listed.split())


def test_image_adds_little_to_its_base(image: str, engine: Engine) -> None:
    sizes = [json.loads(engine.docker("image", "inspect", name))[0]["Size"] for name in (image, "local/python:slim")]
    assert sizes[0] - sizes[1] < 120 * MEGABYTE


def test_image_tells_its_version(image: str, engine: Engine) -> None:
    assert engine.docker("run", "--rm", image, "--version").strip() == __version__


def test_container_runs_a_workspace_and_is_healthy(
    running: Engine, control_plane: ControlPlane, namespace: str
) -> None:
    stack = Stack(control_plane, running, None, namespace)  # type: ignore[arg-type]
    stack.apply("shop")
    try:
        stack.ready("shop")
        eventually(lambda: state(running)["Health"]["Status"] == "healthy", timeout=60)
    except AssertionError as error:
        error.add_note(running.docker("logs", NAME))
        raise
    stack.kubectl("delete", "workspace", "shop", "--timeout=30s")
    assert stack.containers("shop") == []


def test_container_stops_at_once_and_well(running: Engine) -> None:
    eventually(lambda: state(running)["Health"]["Status"] == "healthy", timeout=60)
    running.docker("stop", "--time", "20", NAME)
    assert state(running)["ExitCode"] == 0


def state(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.docker("inspect", NAME))[0]["State"]
    return found
