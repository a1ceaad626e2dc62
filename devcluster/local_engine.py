"""The machine's own Docker Engine for ``make up``: found, or on Debian as root installed and started."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import docker
import docker.errors

from devcluster import packages, sample
from devcluster.paths import state_dir
from devcluster.process import Process, start_time
from devcluster.report import DevclusterError, say

_DEFAULT = "unix:///var/run/docker.sock"
_CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
_PID_FILE = Path("/var/run/docker.pid")
_PULL_SECONDS = 20


def endpoint() -> str:
    """Where the engine is: ``DOCKER_HOST`` when it names a unix socket, else Docker's usual one."""
    asked = os.environ.get("DOCKER_HOST", "")
    return asked if asked.startswith("unix://") else _DEFAULT


def ensure() -> None:
    """Have an engine that answers. Raises DevclusterError that says what to do where we can't start one."""
    if answers():
        return
    _refuse_what_we_cannot_start()
    packages.install_engine()
    if answers():  # the package has started it
        return
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "start", "docker"], check=False)
    else:
        say("Starting dockerd")
        _start_child()
    if not answers():
        raise DevclusterError(f"Docker was started but does not answer at {endpoint()}; see: journalctl -u docker")


def answers(base_url: str | None = None) -> bool:
    """Whether an engine answers there now."""
    try:
        with _client(base_url or endpoint(), timeout=5) as client:
            return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False


def stop() -> None:
    """Stop the dockerd that ``ensure`` started; containers live on and are found again by the next one."""
    dockerd, containerd = processes()
    if dockerd.running or containerd.running:
        dockerd.stop()
        containerd.stop()
        _remove_dead_socket()  # a dockerd started later would wait for it


def processes() -> tuple[Process, Process]:
    """The dockerd and the containerd that ``ensure`` starts where no init system does."""
    dockerd = Process("dockerd", ["dockerd", "--live-restore"], state_dir(), ready=answers, stop_timeout=60.0)
    return dockerd, Process("containerd", ["containerd"], state_dir(), ready=_CONTAINERD_SOCKET.exists)


def ensure_image(reference: str = sample.IMAGE) -> None:
    """Have the sample image: pulled, or made on this machine when no registry can be reached."""
    with _client(endpoint(), timeout=_PULL_SECONDS) as client:
        try:
            client.inspect_image(reference)  # type: ignore[no-untyped-call]
            return
        except docker.errors.ImageNotFound:
            say(f"Pulling {reference}")
        try:
            client.pull(reference)
            return
        except (docker.errors.DockerException, OSError) as error:
            why = getattr(error, "explanation", None) or error  # the engine's own words, without the SDK's
            say(f"It can't be pulled ({why}); making {reference} from Debian's busybox")
    with sample.archive(reference).open("rb") as archive, _client(endpoint(), timeout=60) as client:
        _loaded(client.load_image(archive), reference)  # type: ignore[no-untyped-call]


def _loaded(answer: Iterable[Mapping[str, Any]], reference: str) -> None:
    """Reads the engine's answer to its end: only then the image is there. Raises DevclusterError."""
    for line in answer:
        if "error" in line:
            raise DevclusterError(f"The engine can't load {reference}: {line['error']}")


def remove_containers(base_url: str, cluster: str) -> None:
    """Remove the containers and networks with this cluster's label; volumes hold data and are only named."""
    mine = {"label": [f"aicli.dev/cluster={cluster}"]}
    with _client(base_url, timeout=60) as client:
        for container in client.containers(all=True, filters=mine):
            say(f"Removing container {container['Names'][0].lstrip('/')}")
            client.remove_container(container["Id"], force=True)
        for network in client.networks(filters=mine):
            client.remove_network(network["Id"])
        volumes = [volume["Name"] for volume in client.volumes(filters=mine)["Volumes"] or []]
    if volumes:
        say(f"Volumes are kept; remove them with: docker volume rm {' '.join(volumes)}")


@contextlib.contextmanager
def _client(base_url: str, timeout: int) -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url=base_url, version="auto", timeout=timeout)
    try:
        yield client
    finally:
        client.close()


def _refuse_what_we_cannot_start() -> None:
    path = Path(urlparse(endpoint()).path)
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise DevclusterError(f"You may not use Docker at {path}: join the group docker, or run this as root.")
    if endpoint() != _DEFAULT:
        raise DevclusterError(f"No Docker Engine answers at DOCKER_HOST={endpoint()}: start it, or unset DOCKER_HOST.")
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise DevclusterError(
            f"No Docker Engine answers at {path}. Start it (sudo systemctl start docker), or install Docker; "
            "as root on Debian this command does both."
        )


def _start_child() -> None:
    """containerd is a process of its own, as under an init system, so that it outlives a dockerd that is killed."""
    dockerd, containerd = processes()
    if not dockerd.running:
        _refuse_a_second_dockerd()
        _PID_FILE.unlink(missing_ok=True)
    if not containerd.running and not _somebody_accepts(_CONTAINERD_SOCKET):
        _remove_dead_socket()
        containerd.start()
    dockerd.start()


def _refuse_a_second_dockerd() -> None:
    """One that is only slow to answer has its containers in the same folder as ours would: two would ruin it."""
    pid = _pid_of_dockerd()
    if pid is not None:
        raise DevclusterError(
            f"A dockerd (pid {pid} in {_PID_FILE}) runs and does not answer at {endpoint()}. "
            f"Wait until it does, or see its log and end it (kill {pid}); then run this again."
        )


def _pid_of_dockerd() -> int | None:
    """The pid that Docker's pid file names, unless its dockerd has ended: the number may be another program's now."""
    try:
        pid = int(_PID_FILE.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if name == "dockerd" and start_time(pid) is not None else None


def _remove_dead_socket() -> None:
    if not _somebody_accepts(_CONTAINERD_SOCKET):
        _CONTAINERD_SOCKET.unlink(missing_ok=True)


def _somebody_accepts(path: Path) -> bool:
    """Whether a server accepts there; one whose queue is full (it is paused, or busy) does, when it gets to it."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
