"""The system under fault: a real API server and dockerd behind proxies, the controller as a process, an oracle."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from tests.faults.api import GROUP, MERGE, Api, Object
from tests.faults.oracle import Oracle, check_ready
from tests.faults.proxy import Proxy
from tests.waiting import eventually

SYSTEM, SERVICE_ACCOUNT = "workspace-system", "workspace-controller"
API = "aicli.dev/v1alpha1"
PATIENCE = 90.0  # seconds; for states that no bound of a fault applies to: the machine is shared
BOUND = 30.0  # seconds from the end of a fault until everything has converged (L1)
NOISE = 15.0  # seconds that a busy machine may add to a bound
LIMIT = 8  # operations at a time on a host
BUSY = {"command": ["sleep", "infinity"], "terminationGracePeriodSeconds": 2}  # a spec that ends at its stop signal


@dataclass
class Rig:
    """One test's view: everything in a namespace of its own."""

    cluster: ControlPlane
    api: Api
    engines: dict[str, Engine]  # by DockerHost
    kube_proxy: Proxy
    docker_proxies: dict[str, Proxy]  # by DockerHost
    oracle: Oracle
    namespace: str
    directory: Path
    kubeconfig: Path  # through the proxy
    start_process: Callable[..., Process]
    processes: list[Process] = field(default_factory=list)
    metrics: str = ""  # ADDRESS:PORT of the newest controller
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    # shorthands for what most tests use

    @property
    def engine(self) -> Engine:
        return self.engines["default"]

    @property
    def docker(self) -> Proxy:
        """The proxy in front of the shared engine."""
        return self.docker_proxies["default"]

    @property
    def controller(self) -> Process:
        """The newest controller."""
        return self.processes[-1]

    # the controller

    def start(self) -> Process:
        """Starts a controller."""
        process = self.start_process(self, *self.options, env=self.environment)
        self.processes.append(process)
        return process

    def restart(self) -> None:
        """Starts the newest controller again, after it ended."""
        self.controller.start()

    def kill(self) -> None:
        """SIGKILL to the newest controller; returns when it's gone."""
        self.controller.kill()

    def probe(self, path: str) -> int:
        """The status of /healthz or /readyz; 0 where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics}{path}", timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    # what users do

    def apply(self, name: str, spec: dict[str, Any] | None = None, *, strict: bool = False) -> Object:
        """Makes a Workspace; `spec` is added to one that sleeps. `strict` refuses unknown fields, as kubectl does."""
        meta = {"name": name, "namespace": self.namespace}
        body = {"apiVersion": API, "kind": "Workspace", "metadata": meta, "spec": BUSY | (spec or {})}
        return self.api.request("POST", self._path() + ("?fieldValidation=Strict" if strict else ""), body)

    def patch(self, name: str, changes: dict[str, Any]) -> Object:
        """Merges changes into a Workspace."""
        return self.api.request("PATCH", self._path(name), changes, MERGE)

    def edit(self, name: str, **spec: Any) -> Object:
        """Changes fields of a spec."""
        return self.patch(name, {"spec": spec})

    def annotate(self, name: str, **annotations: str) -> Object:
        """Sets annotations of ours: `restartedAt`, `abandon`."""
        return self.patch(name, {"metadata": {"annotations": {f"aicli.dev/{k}": v for k, v in annotations.items()}}})

    def delete(self, name: str) -> None:
        """Asks for a Workspace's deletion."""
        self.api.request("DELETE", self._path(name))

    def get(self, name: str) -> Object:
        """A Workspace as it is."""
        return self.api.request("GET", self._path(name))

    def status(self, name: str) -> Object:
        """Its status; empty before the first."""
        found: Object = self.get(name).get("status", {})
        return found

    def names(self) -> list[str]:
        """The Workspaces of the namespace."""
        return [item["metadata"]["name"] for item in self.api.workspaces(self.namespace)]

    # what is seen

    def converge(self, timeout: float = PATIENCE) -> None:
        """Waits until L1 holds."""
        eventually(lambda: self.oracle.check_converged(self.namespace), timeout, interval=0.25)

    def converge_one(self, name: str, timeout: float = PATIENCE) -> None:
        """Waits until one Workspace is Ready and runs, whatever the others are."""

        def check() -> None:
            check_ready(self.get(name))
            found = self.oracle.containers(self.namespace, name)
            assert [c["State"]["Status"] for c in found] == ["running"], f"{name}: {self.status(name)}"

        eventually(check, timeout, interval=0.2)

    def container(self, name: str, engine: str = "default") -> Object:
        """Inspect of a Workspace's one container."""
        found = self.oracle.containers(self.namespace, name, engine)
        assert len(found) == 1, f"{name} has {len(found)} containers: {self.status(name)}"
        return found[0]

    def running(self, name: str, timeout: float = PATIENCE) -> Object:
        """Waits until everything has converged; gives the inspect of one container."""
        self.converge(timeout)
        return self.container(name)

    def phase(self, name: str, phase: str, reason: str | None = None, timeout: float = PATIENCE) -> Object:
        """Waits for a phase (and the reason of Ready); gives the status."""

        def check() -> Object:
            status = self.status(name)
            ready: Object = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
            assert status.get("phase") == phase, status
            assert reason is None or ready.get("reason") == reason, status
            return status

        return eventually(check, timeout, interval=0.2)

    def shell(self, *arguments: str) -> str:
        """The docker command on the shared engine, past all proxies."""
        return self.engine.docker(*arguments).strip()

    def shell_on(self, engine: str, *arguments: str) -> str:
        """The docker command on another engine."""
        return self.engines[engine].docker(*arguments).strip()

    def status_writes(self, since: float) -> int:
        """Writes of Workspaces' status since a moment."""
        return sum("/workspaces/" in c.path and "/status" in c.path for c in self.kube_proxy.mutations(since))

    # the end

    def clean(self) -> None:
        """Deletes everything of this test, with a controller that works."""
        if self.oracle.stopped:
            return
        if not any(p.running for p in self.processes):
            self.restart()
        (names,) = eventually(lambda: (self.names(),), PATIENCE)  # refused while a CRD is being replaced
        eventually(self._all_deleted, PATIENCE + 2 * len(names), interval=0.3)
        for engine in self.engines:
            eventually(lambda engine=engine: not self.oracle.containers(self.namespace, engine=engine), PATIENCE)  # type: ignore[misc]

    def _all_deleted(self) -> bool:
        """Asks for the deletion of all that is there; whether nothing is."""
        names = self.names()
        for name in names:
            with contextlib.suppress(LookupError):
                self.delete(name)
        return not names

    def _path(self, name: str = "") -> str:
        return f"{GROUP}/namespaces/{self.namespace}/workspaces" + (f"/{name}" if name else "")


def through(kubeconfig: Path, proxy: Proxy, to: Path) -> Path:
    """A kubeconfig with the same login that goes through a proxy."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"] = {"server": proxy.url}
    to.write_text(yaml.safe_dump(config))
    return to


def host_body(name: str, endpoint: str, projects: Path, **policy: Any) -> str:
    """A DockerHost that allows everything that these tests need."""
    allowed = {
        "namespaces": {"matchNames": ["*"]},
        "projectPaths": [f"{projects}/{{namespace}}/*"],
        "images": ["*"],
        "maxResources": {"cpu": "2", "memory": "1Gi", "pids": 256},
        "ports": {"address": "127.0.0.1", "range": "20000-20000"},
    }
    spec = {"endpoint": endpoint, "policy": allowed | policy, "maxConcurrentOperations": LIMIT}
    return json.dumps({"apiVersion": API, "kind": "DockerHost", "metadata": {"name": name}, "spec": spec})


def prepare(cluster: ControlPlane) -> None:
    """CRDs and the controller's rights."""
    crds = str(REPOSITORY / "crds")
    cluster.kubectl("apply", "--server-side", "-f", crds)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", crds)
    cluster.kubectl("apply", "-k", str(REPOSITORY / "manifests" / "rbac"))
