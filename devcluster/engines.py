"""Private Docker engines for tests, each in a network namespace of its own, with everything else of its own too."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import docker
import docker.errors

from devcluster import binaries, leftovers, netns, packages, ports, sample
from devcluster.pki import Authority, Pair
from devcluster.process import Process

Version = Literal["debian", "29"]
_ACTIVATE = Path(__file__).with_name("activate.py")
SETTINGS_FILE = "daemon.json"  # marks the directory of an engine
_RUN = Path("/run/devcluster")  # short: the path of a unix socket has at most 107 characters
_CONTAINERD = """
version = 2
root = "{root}/containerd"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{run}/containerd.sock"
[ttrpc]
  address = "{run}/containerd.sock.ttrpc"
"""


class Engine:
    """A dockerd with data in ``directory``; it can be stopped, killed, paused and started again.

    ``process`` is dockerd itself, ``containerd`` its containerd, which lives on when dockerd ends, as on a server.
    Needs root. Call ``cleanup`` at the end.
    """

    def __init__(
        self,
        directory: Path,
        version: Version = "debian",
        *,
        live_restore: bool = False,
        settings: Mapping[str, Any] | None = None,
        args: Sequence[str] = (),
        tls: bool = False,
        least_api: str = "",
    ) -> None:
        """``settings`` are daemon.json's keys, ``args`` options of dockerd; ``tls`` adds ``tcp_endpoint``.

        ``least_api``: the oldest version of the API that it speaks, where that is not dockerd's own choice.
        """
        name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]
        self.directory = directory.resolve()
        self.version = version
        self._least_api = least_api
        self.namespace = f"devcluster-{name}"
        self._run = _RUN / name
        self.socket = self._run / "docker.sock"
        self._settings = {"live-restore": live_restore, "shutdown-timeout": 5} | dict(settings or {})
        self._authority = Authority(self.directory / "pki", "engine-ca") if tls else None
        self._port = ports.free_port() if tls else None
        self.containerd = Process("containerd", self._containerd_argv(), self.directory, env=self._environment())
        self.process = Process(
            "dockerd", self._argv(args), self.directory, env=self._environment(), ready=self._ready, stop_timeout=60.0
        )

    @property
    def endpoint(self) -> str:
        """What a DockerHost names: ``unix:///run/...``."""
        return f"unix://{self.socket}"

    @property
    def tcp_endpoint(self) -> str:
        """``tcp://127.0.0.1:PORT`` of the test's own network namespace; asks for a client certificate."""
        return f"tcp://127.0.0.1:{self._port}"

    @property
    def ca(self) -> Path:
        """The certificate that the TCP endpoint's server certificate is verified by."""
        return self._tls_authority().certificate

    def client_certificate(self, user: str = "client") -> Pair:
        """A certificate that the TCP endpoint accepts."""
        return self._tls_authority().client(user)

    @property
    def enter(self) -> list[str]:
        """The words before a command that must run in the engine's network, to reach its containers and ports."""
        return netns.enter(self.namespace)

    @property
    def running(self) -> bool:
        """Whether dockerd runs."""
        return self.process.running

    def start(self, *, sample_image: bool = True) -> None:
        """Start dockerd (again), wait until it answers, load the sample image if it is not there. Raises StartError."""
        packages.install_engine(packages.SAMPLE_IMAGE)
        if self.version == "29":
            binaries.ensure(binaries.ENGINE29)
        self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.mkdir(parents=True, exist_ok=True)
        netns.add(self.namespace)
        (self.directory / SETTINGS_FILE).write_text(json.dumps(self._settings))
        (self._run / "containerd.toml").write_text(_CONTAINERD.format(root=self.directory, run=self._run))
        self.containerd.start()
        if not self.process.running:
            (self._run / "docker.pid").unlink(missing_ok=True)  # dockerd takes the pid of a zombie for a running one
        self.process.start()
        if sample_image and not self.has_image(sample.IMAGE):
            self.load(sample.archive())

    def stop(self) -> None:
        """Stop dockerd (not containerd) as an administrator would: containers stop too, unless live-restore is on."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL dockerd; its containers live on under their shims until the next start."""
        self.process.kill()

    def pause(self) -> None:
        """Freeze dockerd: connections are accepted by the kernel and never answered."""
        self.process.pause()

    def resume(self) -> None:
        """Let a frozen dockerd go on."""
        self.process.resume()

    def client(self, timeout: int = 60) -> docker.APIClient:
        """A client of the Docker SDK for the oracle of a test; ``timeout`` in seconds. Close it."""
        return docker.APIClient(base_url=self.endpoint, version=self._least_api or "1.41", timeout=timeout)

    def containers(self, labels: list[str], timeout: int = 60) -> list[dict[str, Any]]:
        """Inspect of each container that has all ``labels``, in any state; one that goes meanwhile is left out."""
        found = []
        with contextlib.closing(self.client(timeout)) as client:
            for row in client.containers(all=True, filters={"label": labels}):
                with contextlib.suppress(docker.errors.NotFound):
                    found.append(client.inspect_container(row["Id"]))
        return found

    def docker(self, *args: str, stdin: str | None = None) -> str:
        """Run the docker command line against this engine and return its stdout. Raises CalledProcessError."""
        done = subprocess.run(
            ["docker", "--host", self.endpoint, *args], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            error = subprocess.CalledProcessError(done.returncode, ["docker", *args], done.stdout, done.stderr)
            error.add_note(done.stderr)
            raise error
        return done.stdout

    def load(self, archive: Path) -> None:
        """Load an image archive, such as ``sample.archive(...)`` makes."""
        self.docker("load", "--quiet", "--input", str(archive))

    def has_image(self, reference: str) -> bool:
        """Whether the engine has an image of this name."""
        with contextlib.closing(self.client()) as client:
            try:
                client.inspect_image(reference)  # type: ignore[no-untyped-call]
            except docker.errors.ImageNotFound:
                return False
            return True

    def remove_containers(self) -> None:
        """Remove every container, and the networks and volumes that are not built in: the engine is as new.

        Raises docker.errors.APIError where a container can't be removed for 30 s.
        """
        deadline = time.monotonic() + 30
        with contextlib.closing(self.client()) as client:
            while found := client.containers(all=True, quiet=True):
                for container in found:
                    _remove(client, container["Id"], insist=time.monotonic() > deadline)
            client.prune_networks()  # type: ignore[no-untyped-call]
            for volume in client.volumes()["Volumes"] or []:
                client.remove_volume(volume["Name"], force=True)

    def cleanup(self) -> None:
        """End everything at once: no process, container, mount, control group or namespace is left, only the logs."""
        containers = [entry.name for entry in self.directory.glob("data/containers/*")]
        leftovers.kill_processes_of(self._run)
        for directory in (self._run, self.directory):
            leftovers.unmount_below(directory)
        leftovers.remove_control_groups(containers)
        netns.delete(self.namespace)
        shutil.rmtree(self._run, ignore_errors=True)
        for data in ("data", "containerd"):
            shutil.rmtree(self.directory / data, ignore_errors=True)
        (self.directory / SETTINGS_FILE).unlink(missing_ok=True)

    def _containerd_argv(self) -> list[str]:
        return [*self.enter, "containerd", "--config", str(self._run / "containerd.toml")]

    def _argv(self, args: Sequence[str]) -> list[str]:
        dockerd = str(binaries.path("dockerd")) if self.version == "29" else "dockerd"
        argv = [dockerd, "--host", self.endpoint, "--data-root", str(self.directory / "data")]
        argv += ["--exec-root", str(self._run / "exec"), "--pidfile", str(self._run / "docker.pid")]
        argv += ["--containerd", str(self._run / "containerd.sock")]
        argv += ["--config-file", str(self.directory / SETTINGS_FILE), *args]
        if self._authority is None:
            return [*self.enter, *argv]
        server = self._authority.server("dockerd")
        argv += ["--host", "fd://", "--tlsverify", "--tlscacert", str(self.ca)]
        argv += ["--tlscert", str(server.certificate), "--tlskey", str(server.key)]
        return [sys.executable, str(_ACTIVATE), str(self._port), *self.enter, *argv]

    def _environment(self) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        if self.version == "29":
            path = f"{binaries.path('dockerd').parent}:{path}"
        return {"PATH": path} | ({"DOCKER_MIN_API_VERSION": self._least_api} if self._least_api else {})

    def _ready(self) -> bool:
        try:
            with contextlib.closing(self.client(timeout=2)) as client:
                return bool(client.ping())
        except (docker.errors.DockerException, OSError):
            return False

    def _tls_authority(self) -> Authority:
        if self._authority is None:
            raise ValueError("this Engine was made without tls=True")
        return self._authority


def _remove(client: docker.APIClient, container: str, *, insist: bool) -> None:
    """Remove one container; one that is being removed already, or is gone, is left for the next look."""
    try:
        client.remove_container(container, force=True, v=True)
    except docker.errors.APIError as error:
        if insist or error.status_code not in (404, 409):
            raise
        time.sleep(0.1)
