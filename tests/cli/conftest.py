"""One controller with its API server and engine for all verbs; the command as its user runs it."""

import itertools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import ControlPlane, Engine, Process, binaries
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from tests.clean import wipe
from tests.cli.commands import Answer, run
from tests.e2e.conftest import docker_host, with_its_own_rights, workspace
from tests.waiting import eventually

_numbers = itertools.count(1)
WAIT = ("--wait", "--timeout", "90s")


@dataclass(frozen=True)
class Desk:
    """A namespace, and the command in it."""

    cluster: ControlPlane
    engine: Engine
    namespace: str
    kubeconfig: Path

    def __call__(self, verb: str, *args: str, stdin: str | None = None) -> Answer:
        """`kubectl workspace VERB ARGS` in this process, in the namespace."""
        return run(verb, "-n", self.namespace, *args, stdin=stdin, env={"KUBECONFIG": str(self.kubeconfig)})

    def ok(self, verb: str, *args: str) -> str:
        """The output of a command that must succeed."""
        answer = self(verb, *args)
        assert answer.code == 0, answer
        return answer.out

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """kubectl as administrator, in the namespace."""
        return self.cluster.kubectl("-n", self.namespace, *args, stdin=stdin)

    def apply(self, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> None:
        """Applies a Workspace that stops quickly."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(workspace(name, spec, **metadata)))

    def running(self, *names: str, **metadata: Any) -> None:
        """Has Workspaces that are Ready."""
        for name in names:
            self.apply(name, {"command": ["sh", "-c", "echo one; echo two; exec sleep 3600"], "tty": False}, **metadata)
        self.kubectl("wait", "--for=condition=Ready", "--timeout=90s", *(f"workspace/{name}" for name in names))

    def get(self, name: str) -> dict[str, Any]:
        """The Workspace as it is now."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "workspace", name, "-o", "json"))
        return found

    @property
    def environment(self) -> dict[str, str]:
        """For the command as a process of its own: kubectl with the plugin on its PATH."""
        path = os.pathsep.join(
            [str(Path(sys.executable).parent), str(binaries.path("kubectl").parent), os.environ["PATH"]]
        )
        return {"PATH": path, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.kubeconfig.parent), "TERM": "xterm"}


@pytest.fixture(scope="package")
def controller(
    control_plane: ControlPlane, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """A controller that works for all tests of the package."""
    wipe(control_plane)  # the endpoint of a DockerHost never changes, and other folders have engines of their own
    control_plane.kubectl("apply", "-f", "-", stdin=docker_host("default", engine.endpoint))
    command = [sys.executable, "-m", "controller.main", "--listen", f"127.0.0.1:{free_port()}"]
    command += ["--log-level", "debug", "--log-format", "json"]
    environment = {"KUBECONFIG": str(with_its_own_rights(control_plane)), "PYTHONUNBUFFERED": "1"}
    process = Process("controller", command, tmp_path_factory.mktemp("controller"), env=environment, cwd=REPOSITORY)
    process.start()
    control_plane.kubectl("wait", "dockerhost/default", "--for=condition=Ready", "--timeout=60s")
    yield process
    process.stop()
    engine.remove_containers()


@pytest.fixture
def desk(controller: Process, control_plane: ControlPlane, engine: Engine) -> Iterator[Desk]:
    """A namespace of its own."""
    with _desk(control_plane, engine) as made:
        yield made


@pytest.fixture(scope="module")
def shared(controller: Process, control_plane: ControlPlane, engine: Engine) -> Iterator[Desk]:
    """A namespace with a Workspace `calm` that runs, for tests that change nothing."""
    with _desk(control_plane, engine) as made:
        made.running("calm", labels={"team": "a"})
        yield made


@contextmanager
def _desk(cluster: ControlPlane, engine: Engine) -> Iterator[Desk]:
    made = Desk(cluster, engine, f"cli-{next(_numbers)}", cluster.kubeconfig)
    cluster.kubectl("create", "namespace", made.namespace)
    try:
        yield made
    finally:
        made.kubectl("delete", "workspaces", "--all", "--wait=false")
        cluster.kubectl("delete", "namespace", made.namespace, "--wait=false")
        eventually(lambda: not made.kubectl("get", "workspaces", "-o", "name"))
