"""The real stack under attack: an API server, Docker engines, the controller with its own rights, and two tenants."""

import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller import naming
from devcluster import ControlPlane, Engine, Process, binaries
from tests.security.api import Api
from tests.waiting import eventually

SYSTEM = "workspace-system"
SERVICE_ACCOUNT = "workspace-controller"
PATIENCE = 60.0  # seconds; a busy machine is no attack
API = "aicli.dev/v1alpha1"
HOSTS = f"/apis/{API}/dockerhosts"


@dataclass(frozen=True)
class Tenant:
    """Who may edit one namespace, by Kubernetes' own role, and nothing else."""

    namespace: str
    kubeconfig: Path
    api: Api

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """kubectl with the tenant's own rights, in their namespace. Raises CalledProcessError, stderr in its notes."""
        command = [str(binaries.path("kubectl")), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            error = subprocess.CalledProcessError(done.returncode, ["kubectl", *args], done.stdout, done.stderr)
            error.add_note(done.stderr)
            raise error
        return done.stdout

    def apply(self, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> None:
        """Applies a Workspace; it ends at once when it is to be gone."""
        asked = {"terminationGracePeriodSeconds": 0} | (spec or {})
        body = {"apiVersion": API, "kind": "Workspace", "metadata": {"name": name} | metadata, "spec": asked}
        self.api.apply(self._workspaces, body)

    def secret(self, name: str, values: dict[str, str], kind: str = "Opaque") -> None:
        """Makes a Secret."""
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": values}
        self.api.apply(f"/api/v1/namespaces/{self.namespace}/secrets", body)

    def workspace(self, name: str) -> dict[str, Any]:
        """The Workspace as it is now."""
        return self.api.get(f"{self._workspaces}/{name}")

    def status(self, name: str) -> dict[str, Any]:
        """Its status; empty before the first."""
        found: dict[str, Any] = self.workspace(name).get("status", {})
        return found

    def delete(self, name: str) -> None:
        """Deletes the Workspace and waits until it is gone."""
        self.api.request("DELETE", f"{self._workspaces}/{name}")
        eventually(lambda: name not in self.names(), PATIENCE)

    def delete_all(self) -> None:
        """Deletes every Workspace of the namespace and waits until they are gone."""
        if self.names():
            self.api.request("DELETE", self._workspaces)
            eventually(lambda: not self.names(), PATIENCE)

    def names(self) -> list[str]:
        """The Workspaces that there are."""
        return [item["metadata"]["name"] for item in self.api.get(self._workspaces)["items"]]

    @property
    def _workspaces(self) -> str:
        return f"/apis/{API}/namespaces/{self.namespace}/workspaces"


@dataclass(frozen=True)
class Stack:
    """Everything that an attack needs to be made, and to be looked at. The oracle never asks the controller."""

    cluster: ControlPlane
    admin: Api
    engine: Engine
    controller: Process
    listen: str
    projects: Path
    alice: Tenant
    bob: Tenant

    def containers(self, namespace: str, name: str | None = None) -> list[dict[str, Any]]:
        """Inspect of each container that carries the labels of a namespace (and a Workspace), in any state."""
        labels = [f"{naming.LABEL_NAMESPACE}={namespace}"] + ([f"{naming.LABEL_NAME}={name}"] if name else [])
        return self.engine.containers(labels)

    def running(self, tenant: Tenant, name: str) -> dict[str, Any]:
        """Inspect of the one container of a Workspace, once it runs."""
        return eventually(lambda: self._running(tenant, name), PATIENCE)

    def start(self, tenant: Tenant, name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
        """Applies a Workspace and gives the inspect of its container, once it runs."""
        tenant.apply(name, spec, **metadata)
        return self.running(tenant, name)

    def execute(self, container: dict[str, Any], *command: str, user: str | None = None) -> tuple[int, str]:
        """Runs a command in a container: (exit code, stdout and stderr)."""
        words = ["docker", "--host", self.engine.endpoint, "exec", *(["--user", user] if user else [])]
        done = subprocess.run(
            [*words, container["Id"], *command], capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def refusal(self, tenant: Tenant, name: str, spec: dict[str, Any], **metadata: Any) -> str:
        """The message that a Workspace is refused with, by the API server or on its status; nothing was made for it."""
        try:
            tenant.apply(name, spec, **metadata)
        except subprocess.CalledProcessError as error:
            return str(error.stderr)
        message = eventually(lambda: self._failed(tenant, name), PATIENCE)
        assert self.containers(tenant.namespace, name) == []
        tenant.delete(name)
        return message

    def metrics(self) -> str:
        """What Prometheus would read."""
        with urllib.request.urlopen(f"http://{self.listen}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def project(self, namespace: str, name: str) -> Path:
        """A project's directory, made by the administrator."""
        path = self.projects / namespace / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def apply_host(self, name: str, spec: dict[str, Any]) -> None:
        """Applies a DockerHost, as its administrator."""
        body = {"apiVersion": API, "kind": "DockerHost", "metadata": {"name": name}, "spec": spec}
        self.admin.apply(HOSTS, body)

    def delete_host(self, name: str) -> None:
        """Deletes a DockerHost and waits until it is gone."""
        self.admin.request("DELETE", f"{HOSTS}/{name}")
        gone = lambda: name not in [host["metadata"]["name"] for host in self.admin.get(HOSTS)["items"]]  # noqa: E731
        eventually(gone, PATIENCE)

    def host_ready(self, name: str) -> dict[str, Any]:
        """A DockerHost's condition Ready; LookupError before the first."""
        status = self.admin.get(f"{HOSTS}/{name}").get("status", {})
        conditions: dict[str, dict[str, Any]] = {c["type"]: c for c in status.get("conditions", [])}
        return conditions["Ready"]

    def policy(self, **changes: Any) -> dict[str, Any]:
        """The policy of the shared host, as most administrators would write it."""
        return {
            "namespaces": {"matchNames": ["*"]},
            "projectPaths": [f"{self.projects}/{{namespace}}/*"],
            "images": ["*"],
            "enforcement": "Report",
            "maxResources": {"cpu": "2", "memory": "1Gi", "pids": 256},
        } | changes

    def _running(self, tenant: Tenant, name: str) -> dict[str, Any]:
        uid = tenant.workspace(name)["metadata"]["uid"]
        mine = [c for c in self.containers(tenant.namespace, name) if c["Config"]["Labels"][naming.LABEL_UID] == uid]
        assert mine, f"no container yet: {tenant.status(name)}"
        assert [c["State"]["Status"] for c in mine] == ["running"], tenant.status(name)
        return mine[0]

    def _failed(self, tenant: Tenant, name: str) -> str:
        status = tenant.status(name)
        assert status.get("phase") == "Failed", status
        assert status["lastError"]["class"] == "Configuration", status
        return str(status["lastError"]["message"])
