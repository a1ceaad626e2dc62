"""What ``make up`` works with: the cluster that KUBECONFIG names, or the embedded one of this checkout."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path

from devcluster import binaries, files, ports
from devcluster import supervisor as supervision
from devcluster.controlplane import ControlPlane
from devcluster.paths import REPOSITORY, state_dir
from devcluster.process import Process
from devcluster.report import DevclusterError, say

_USUAL_PORT = 8081  # the controller's own default


@dataclass(frozen=True)
class Made:
    """What ``make up`` has made containers for: the cluster's ID and the engine's endpoint, for ``make clean``."""

    cluster: str
    endpoint: str


@cache
def embedded() -> ControlPlane:
    """The embedded control plane of this checkout, running or not."""
    return ControlPlane(state_dir() / "control-plane")


def external_kubeconfig() -> Path | None:
    """The kubeconfig of somebody else's cluster, when KUBECONFIG names one."""
    asked = os.environ.get("KUBECONFIG")
    if not asked:
        return None
    if os.pathsep in asked and not Path(asked).exists():
        raise DevclusterError(f"KUBECONFIG names several files ({asked}), of which one is needed here: name that one.")
    return Path(asked).absolute() if Path(asked).resolve() != embedded().kubeconfig.resolve() else None


def kubeconfig() -> Path:
    """The kubeconfig in use."""
    return external_kubeconfig() or embedded().kubeconfig


def start_cluster() -> None:
    """Start the embedded control plane, or check that the other one answers. Raises DevclusterError."""
    external = external_kubeconfig()
    if external is None:
        binaries.ensure(binaries.CONTROL_PLANE)
        if not embedded().running:
            say("Starting the control plane")
        embedded().start()
        return
    if not shutil.which("kubectl"):
        binaries.ensure(["kubectl"])
    try:
        kubectl("get", "--raw", "/readyz")
    except subprocess.CalledProcessError as error:
        raise DevclusterError(
            f"The cluster of KUBECONFIG={external} does not answer ({error.stderr.strip()}). "
            "Mend that, or unset KUBECONFIG to use the embedded control plane."
        ) from error


def kubectl(*args: str, stdin: str | None = None) -> str:
    """Run kubectl against the cluster in use. Raises CalledProcessError."""
    built = binaries.path("kubectl")
    command = [str(built) if built.exists() else "kubectl", "--kubeconfig", str(kubeconfig()), *args]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def controller() -> Process:
    """The controller that the supervisor starts."""
    return supervision.controller(state_dir(), _controller_port())


def supervisor() -> Process:
    """The supervisor of the controller, started against the cluster in use; ready when the controller is."""
    port = _controller_port()
    command = [sys.executable, "-m", "devcluster.supervisor", str(state_dir()), str(port)]
    env = {"KUBECONFIG": str(kubeconfig())}
    return Process("supervisor", command, state_dir(), env=env, cwd=REPOSITORY, ready=lambda: _controller_ready(port))


def _controller_port() -> int:
    """The port of its metrics: the usual one, unless that was taken when the first controller was started here."""
    file = state_dir() / "controller.port"
    kept = files.read_json(file)
    if isinstance(kept, int):
        return kept
    chosen = _USUAL_PORT if ports.is_free(_USUAL_PORT) else ports.free_port()
    files.replace(file, str(chosen).encode())
    return chosen


def _controller_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:  # URLError
        return False


def remember(made: Made) -> None:
    """Note for which cluster and engine containers are made."""
    files.replace(_made_file(), json.dumps([made.cluster, made.endpoint]).encode())


def remembered() -> Made | None:
    """What was noted by the last ``make up`` with the embedded control plane."""
    match files.read_json(_made_file()):
        case [str(cluster), str(endpoint)]:
            return Made(cluster, endpoint)
    if _made_file().exists():
        say(
            f"{_made_file()} is damaged: which containers were made is not known. "
            "See for any that are left: docker ps --all --filter label=aicli.dev/cluster"
        )
    return None


def _made_file() -> Path:
    return embedded().directory / "made.json"
