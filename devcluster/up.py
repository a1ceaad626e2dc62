"""``make up``, ``make down`` and ``make clean``, each in the order in which things depend on each other."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from controller import filelock
from devcluster import local_engine, session
from devcluster.paths import REPOSITORY, state_dir
from devcluster.process import StartError
from devcluster.report import DevclusterError, say

_SAMPLES = REPOSITORY / "manifests" / "samples"
_MANAGER = "--field-manager=make-up"
_READY_SECONDS = 120


def up(*, with_controller: bool) -> None:
    """Have everything running; with the controller, wait until the sample Workspace is Ready. Idempotent."""
    session.start_cluster()
    local_engine.ensure()
    local_engine.ensure_image()
    _apply_crds()
    _apply_samples()
    _remember()
    if with_controller:
        _restart_controller_if_changed()
        _start_controller()
        sys.stdout.write(session.kubectl("get", "workspaces", "--all-namespaces") + "\n")
    sys.stdout.write("\n".join(_next_steps(with_controller)) + "\n")


def run_controller() -> None:
    """Become the controller, in the foreground."""
    if session.supervisor().running:
        raise DevclusterError("A controller runs already; stop it with `make down`, then `make up CONTROLLER=0`.")
    if session.external_kubeconfig() is None and not session.embedded().running:
        raise DevclusterError("The control plane does not run; start it with `make up CONTROLLER=0`.")
    os.environ["KUBECONFIG"] = str(session.kubeconfig())
    os.execv(sys.executable, [sys.executable, "-m", "controller.main"])


def down() -> None:
    """Stop the controller, the embedded control plane, and the dockerd that ``up`` started; containers live on."""
    _stop_controller()
    session.embedded().stop()
    local_engine.stop()
    say("Stopped. Workspaces' containers and the control plane's data are kept; `make clean` removes both.")


def clean() -> None:
    """Remove the containers of the embedded control plane's Workspaces, then the control plane with its data."""
    _stop_controller()
    made = session.remembered()
    with contextlib.nullcontext() if made is None else _no_controller_acts(made.cluster):
        if made is not None:
            _remove_containers(made)
        session.embedded().stop()
    local_engine.stop()
    shutil.rmtree(state_dir())


def status() -> None:
    """Say what runs, and where it logs."""
    cluster = session.embedded()
    processes = [cluster.etcd, cluster.apiserver, cluster.controller_manager, *local_engine.processes()]
    for process in [*processes, session.supervisor(), session.controller()]:
        pid = process.pid
        sys.stdout.write(f"{process.name:24} {f'pid {pid}' if pid else 'not running':14} {process.log}\n")


@contextlib.contextmanager
def _no_controller_acts(cluster: str) -> Iterator[None]:
    """Hold the lock that controllers of the cluster wait for: one would make again what is removed meanwhile."""
    path = filelock.lock_path(cluster)
    try:
        lock = filelock.take(path)
    except OSError as error:
        raise DevclusterError(
            f"Whether a controller runs can't be told: {path}: {error.strerror}. Mend that, and run this again."
        ) from error
    if lock is None:
        pid = filelock.holder(path)
        known = f"pid {pid}, " if pid else ""
        raise DevclusterError(
            f"A controller of this control plane runs ({known}it holds {path}) and would make the containers again. "
            "End it first, then run this again: `make run-local` ends with Ctrl-C."
        )
    try:
        yield
    finally:
        os.close(lock)


def _remove_containers(made: session.Made) -> None:
    if made.endpoint == local_engine.endpoint():
        local_engine.ensure()
    if not local_engine.answers(made.endpoint):
        raise DevclusterError(
            f"The Docker Engine at {made.endpoint} has containers of this control plane and does not answer. "
            "Start it and run this again."
        )
    local_engine.remove_containers(made.endpoint, made.cluster)


def _apply_crds() -> None:
    crds = str(REPOSITORY / "crds")
    session.kubectl("apply", "--server-side", "--force-conflicts", _MANAGER, "-f", crds)
    session.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crds)


def _apply_samples() -> None:
    documents = [yaml.safe_load((_SAMPLES / f"{name}.yaml").read_text()) for name in ("dockerhost", "workspace")]
    documents[0]["spec"]["endpoint"] = local_engine.endpoint()
    text = yaml.safe_dump_all(document for document in documents if not _is_somebodys(document))
    if text:
        session.kubectl("apply", "--server-side", "--force-conflicts", _MANAGER, "-f", "-", stdin=text)


def _is_somebodys(sample: dict[str, Any]) -> bool:
    """Whether it is there already on a cluster that isn't ours: its administrators decide what a host lets in."""
    if session.external_kubeconfig() is None:
        return False
    kind, name = sample["kind"].lower(), sample["metadata"]["name"]
    namespace = sample["metadata"].get("namespace", "default")
    there = bool(session.kubectl("get", kind, name, "--namespace", namespace, "--ignore-not-found", "-o", "name"))
    if there:
        say(f"{sample['kind']} {name} is there already and stays as it is")
    return there


def _remember() -> None:
    """Only the embedded control plane is ever removed, so only its containers are ours to remove with it."""
    if session.external_kubeconfig() is None:
        cluster = session.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
        session.remember(session.Made(cluster, local_engine.endpoint()))


def _stop_controller() -> None:
    session.supervisor().stop()
    session.controller().stop()  # its supervisor may have been killed


def _restart_controller_if_changed() -> None:
    """Stop a controller that runs with older code or for another cluster than this ``make up``."""
    stamp = state_dir() / "controller.stamp"
    newest = max(path.stat().st_mtime_ns for path in (REPOSITORY / "controller").rglob("*.py"))
    now = f"{session.kubeconfig()} {newest}"
    if not stamp.exists() or stamp.read_text() != now:
        _stop_controller()
    stamp.write_text(now)


def _start_controller() -> None:
    """Start the controller unless it runs, and wait for it and for the sample Workspace."""
    say("Waiting for the controller and the sample Workspace")
    wait = ("wait", "--for=condition=Ready", "workspace/sample", "-n", "default", f"--timeout={_READY_SECONDS}s")
    try:
        session.supervisor().start()
        session.kubectl(*wait)
    except (StartError, subprocess.CalledProcessError) as error:
        process = session.controller()
        table = session.kubectl("get", "workspace", "sample", "-n", "default", "-o", "wide")
        raise DevclusterError(
            f"The sample Workspace did not become Ready:\n{table}\n"
            f"The controller's log {process.log} ends with:\n{process.tail()}"
        ) from error


def _next_steps(with_controller: bool) -> Iterator[str]:
    if session.external_kubeconfig() is None:
        yield "Use it:    export KUBECONFIG=$(make -s kubeconfig)"
    else:
        yield "Use it:    kubectl get workspaces"
    yield 'Change it: kubectl patch workspace sample --type merge -p \'{"spec":{"desiredState":"Paused"}}\''
    yield "Stop it:   make down" if with_controller else "Go on:     make controller"
