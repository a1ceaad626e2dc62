"""The whole thing: a real API server, a real Docker Engine, kubectl, and the controller as a process of its own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from tests.clean import wipe
from tests.waiting import eventually

_numbers = itertools.count(1)
OPEN_POLICY = {
    "namespaces": {"matchNames": ["*"]},
    "images": ["*"],
    "projectPaths": ["/srv/projects/{namespace}/*"],
}


@dataclass
class Stack:
    """One controller with its API server and engine, seen by kubectl and docker as a user would."""

    cluster: ControlPlane
    engine: Engine
    controller: Process
    namespace: str

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args, stdin=stdin)

    def docker(self, *args: str) -> str:
        return self.engine.docker(*args).strip()

    def apply(self, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(workspace(name, spec, **metadata)))

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        self.kubectl("patch", "workspace", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", "workspace", name, "-o", "json"))
        return found

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.get(name).get("status", {}))

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        return next(c for c in self.status(name)["conditions"] if c["type"] == kind)

    def is_ready(self, name: str) -> bool:
        """Ready for the generation that is in force."""
        found = self.get(name)
        conditions = {c["type"]: c["status"] for c in found["status"].get("conditions", ())}
        return (
            conditions.get("Ready") == "True"
            and found["status"]["observedGeneration"] == found["metadata"]["generation"]
        )

    def ready(self, name: str, timeout: float = 60) -> None:
        eventually(lambda: self.is_ready(name), timeout=timeout)

    def containers(self, name: str) -> list[dict[str, Any]]:
        """Every container of the Workspace, inspected."""
        labels = (f"label=aicli.dev/name={name}", f"label=aicli.dev/namespace={self.namespace}")
        filters = [part for label in labels for part in ("--filter", label)]
        ids = self.docker("ps", "-aq", "--no-trunc", *filters).split()
        return json.loads(self.docker("inspect", *ids)) if ids else []

    def container(self, name: str) -> dict[str, Any]:
        """The one container of the Workspace."""
        found = self.containers(name)
        assert len(found) == 1, [c["Name"] for c in found]
        return found[0]


def workspace(name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A Workspace that stops quickly, unless its spec says otherwise."""
    spec = {"terminationGracePeriodSeconds": 1, "network": {"mode": "None"}} | (spec or {})
    return {
        "apiVersion": "aicli.dev/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def docker_host(name: str, endpoint: str, **policy: Any) -> str:
    """A DockerHost as YAML, with a policy that allows what the tests need."""
    return yaml.safe_dump(
        {
            "apiVersion": "aicli.dev/v1alpha1",
            "kind": "DockerHost",
            "metadata": {"name": name},
            "spec": {"endpoint": endpoint, "policy": OPEN_POLICY | policy},
        }
    )


def with_its_own_rights(cluster: ControlPlane) -> Path:
    """A kubeconfig with the rights that the shipped manifests give the controller, and no others."""
    cluster.kubectl("apply", "-k", str(REPOSITORY / "manifests" / "rbac"))
    return cluster.service_account_kubeconfig("workspace-system", "workspace-controller")


@pytest.fixture
def make_stack(
    controller_process: Callable[..., Process],
) -> Iterator[Callable[..., Stack]]:
    """Starts a controller for a control plane and an engine, with the DockerHost `default` and a namespace."""

    def make(cluster: ControlPlane, engine: Engine, *args: str, kubeconfig: Path | None = None) -> Stack:
        wipe(cluster)  # the endpoint of a DockerHost never changes: another engine is another object
        cluster.kubectl("apply", "-f", "-", stdin=docker_host("default", engine.endpoint))
        namespace = f"e2e-{next(_numbers)}"
        cluster.kubectl("create", "namespace", namespace)
        controller = controller_process(kubeconfig or with_its_own_rights(cluster), *args)
        stack = Stack(cluster, engine, controller, namespace)
        made.append(stack)
        cluster.kubectl("wait", "dockerhost/default", "--for=condition=Ready", "--timeout=60s")
        return stack

    made: list[Stack] = []
    yield make
    for stack in made:
        if stack.cluster.running:  # its own fixture may have ended it before this one
            stack.cluster.kubectl("delete", "namespace", stack.namespace, "--wait=false")


@pytest.fixture
def stack(make_stack: Callable[..., Stack], own_cluster: ControlPlane, engine: Engine) -> Iterator[Stack]:
    """The module's control plane and the session's engine, under a new controller."""
    made = make_stack(own_cluster, engine)
    yield made
    made.controller.stop()  # or it would make anew what is removed
    engine.remove_containers()


@pytest.fixture(scope="module")
def own_cluster(control_plane: ControlPlane) -> ControlPlane:
    """The session's control plane; modules that break theirs override this."""
    return control_plane
