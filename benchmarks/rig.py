"""What is measured: a control plane, a Docker engine and the controller, each a process of its own, all private."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import yaml
from lightkube import AsyncClient, KubeConfig

from benchmarks import processors
from benchmarks.workspaces import NAMESPACE, Workspaces
from controller.api import API_VERSION, GROUP
from controller.kube import KINDS
from devcluster import ControlPlane, Engine, Process
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from devcluster.reaper import reaper
from tests.waiting import eventually_async

CONTROLLER_USER = "bench-controller"
WRITES = "workspace_controller_api_writes_total"
SETTLED = 1.6  # seconds without a write: Events of a busy controller come one a second
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [CONTROLLER_USER]}, {"level": "None"}],
}


class Controller:
    """The controller as a process of its own."""

    def __init__(self, kubeconfig: Path, directory: Path, number: int = 0) -> None:
        self._port = free_port()
        command = [sys.executable, "-m", "controller.main", "--listen", f"127.0.0.1:{self._port}"]
        env = {"KUBECONFIG": str(kubeconfig), "PYTHONUNBUFFERED": "1"}
        self.process = Process(f"controller-{number}", command, directory, env=env, cwd=REPOSITORY)

    async def start(self) -> None:
        """Starts it and waits until it is ready."""
        self.process.start()
        await eventually_async(self.ready, timeout=120.0)

    async def ready(self) -> bool:
        """What /readyz says."""
        return (await self._get("/readyz"))[0] == 200

    async def metrics(self) -> str:
        """What Prometheus would read."""
        return (await self._get("/metrics"))[1]

    def cpu_seconds(self) -> float:
        """CPU time since its start."""
        return processors.of_process(self.process.pid)

    def rss_bytes(self) -> int:
        """Memory that is resident now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def _get(self, path: str) -> tuple[int, str]:
        try:
            url = f"http://127.0.0.1:{self._port}{path}"
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""


class Rig:
    """Everything that runs; `ours` are the Workspaces that the controller works on."""

    def __init__(self, directory: Path, cluster: ControlPlane, engine: Engine) -> None:
        self.directory, self.cluster, self.engine = directory, cluster, engine
        config = KubeConfig.from_file(cluster.kubeconfig).get()
        self.client = AsyncClient(config=config, timeout=httpx2.Timeout(120.0))
        self.ours = Workspaces(self.client, GROUP)
        kubeconfig = cluster.user_kubeconfig(CONTROLLER_USER, ["system:masters"])
        self.controller_kubeconfig = kubeconfig
        self.controller = Controller(kubeconfig, directory)

    @asynccontextmanager
    async def without_engine(self) -> AsyncIterator[None]:
        """Meanwhile the real engine is no host of the controller's, which would list what is on it too."""
        host: Any = KINDS["DockerHost"]
        await self.client.delete(host, "default")
        try:
            yield
        finally:
            await self.client.create(host(dockerhost(self.engine.endpoint)))

    async def settled(self) -> None:
        """Waits until the controller writes nothing any more: Events come when the work is done, and would take the
        cores from whoever is next."""
        before = -1.0
        while (now := sum_of(await self.controller.metrics(), WRITES)) != before:
            before = now
            await asyncio.sleep(SETTLED)

    def cpu(self) -> Counter[str]:
        """CPU seconds so far, of the machine and of what is there for Workspaces alone."""
        servers = [Process(name, [], self.cluster.directory) for name in ("kube-apiserver", "etcd")]
        parts = {"controller": self.controller.process} | {server.name: server for server in servers}
        used = {name: processors.of_process(process.pid) for name, process in parts.items()}
        return Counter({processors.ALL: processors.of_machine()} | used)

    def audit(self) -> Counter[tuple[str, str]]:
        """(verb, resource) of all that the controller has asked of the API server."""
        lines = (self.directory / "audit.log").read_text().splitlines()
        return Counter(_request(json.loads(line)) for line in lines)

    def docker_calls(self) -> Counter[str]:
        """All that the engine was asked, from its own log, while `log_calls` was on: `GET /containers/{id}/json`."""
        lines = self.engine.process.log.read_text(errors="replace").splitlines()
        return Counter(_call(line.partition("Calling ")[2]) for line in lines if "Calling " in line)

    def log_calls(self, on: bool) -> None:
        """Has the engine log each call, or not."""
        settings = self.engine.directory / "daemon.json"
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"debug": on}))
        self.engine.process.signal(signal.SIGHUP)
        time.sleep(1.0)


def dockerhost(endpoint: str, name: str = "default") -> dict[str, Any]:
    """A host that lets the benchmarks do all they do."""
    policy = {"namespaces": {"matchNames": ["*"]}, "images": ["*"]}
    return {
        "apiVersion": API_VERSION,
        "kind": "DockerHost",
        "metadata": {"name": name},
        "spec": {"endpoint": endpoint, "policy": policy},
    }


@asynccontextmanager
async def rig(*, start_controller: bool = True) -> AsyncIterator[Rig]:
    """Starts everything, and ends everything, also when this process is killed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, reaper(Path(folder)):
        directory = Path(folder) / "rig"
        directory.mkdir()
        (directory / "audit.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
        audit = [f"--audit-policy-file={directory}/audit.yaml", f"--audit-log-path={directory}/audit.log"]
        cluster = ControlPlane(directory / "control-plane", fsync=False, apiserver_args=audit)
        engine = Engine(directory / "engine")
        try:
            await asyncio.gather(asyncio.to_thread(cluster.start), asyncio.to_thread(engine.start))
            async with _running(Rig(directory, cluster, engine), start_controller) as made:
                yield made
        finally:
            cluster.kill()
            engine.cleanup()


@asynccontextmanager
async def _running(made: Rig, start_controller: bool) -> AsyncIterator[Rig]:
    await asyncio.to_thread(_prepare, made)
    watching = asyncio.create_task(made.ours.watcher.run())
    try:
        if start_controller:
            await made.controller.start()
        yield made
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.to_thread(made.controller.process.stop)


def _prepare(made: Rig) -> None:
    kubectl = made.cluster.kubectl
    kubectl("apply", "--server-side", "-f", str(REPOSITORY / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(REPOSITORY / "crds"))
    kubectl("create", "namespace", NAMESPACE)
    kubectl("apply", "-f", "-", stdin=json.dumps(dockerhost(made.engine.endpoint)))


def sum_of(metrics: str, name: str) -> float:
    """Of all series of a metric."""
    lines = (line for line in metrics.splitlines() if line.startswith((name + "{", name + " ")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _request(line: dict[str, Any]) -> tuple[str, str]:
    target = line.get("objectRef") or {}
    resource = target.get("resource", line["requestURI"])
    refused = f"({line['responseStatus']['code']})" if line["responseStatus"]["code"] >= 400 else None
    return line["verb"], "/".join(filter(None, [resource, target.get("subresource"), refused]))


def _call(text: str) -> str:
    """The method and the path without version, IDs and query."""
    method, _, path = text.rstrip('"').strip().partition(" ")
    parts = path.partition("?")[0].split("/")[2:]
    named = parts[1:2] and parts[1] not in ("json", "create", "prune")
    return f"{method} /" + "/".join("{id}" if index == 1 and named else part for index, part in enumerate(parts))
