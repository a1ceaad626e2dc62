"""Every command that README and docs show: run here against an API server, or named below with who runs it instead."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, binaries
from devcluster.paths import REPOSITORY
from tests.e2e.conftest import Stack
from tests.shipping.test_docs import PAGES, blocks

# Beginnings of commands that are not run here, and why.
ELSEWHERE = {
    "make ": "CI runs `make test`; tests/devcluster runs what is behind `make up`",
    "docker build": "tests/shipping/test_image.py builds the image",
    "docker run": "tests/shipping/test_image.py runs the container",
    "docker save": "needs a Docker Engine at its usual socket",
    "ctr ": "needs a node",
    "pip wheel": "tests/shipping/base_image.py makes the wheels",
    "python3 -m venv": "tests/shipping/test_packaging.py installs into a new environment",
    "/opt/workspace-controller/bin/pip": "tests/shipping/test_packaging.py installs into a new environment",
    "useradd": "changes the machine",
    "install -": "changes the machine",
    "echo 'd /run/lock": "changes the machine",
    "systemd-tmpfiles": "changes the machine",
    "systemctl": "needs systemd as the first process",
    "stat -c": "needs a Docker Engine at its usual socket",
    "kubectl rollout status": "needs a node",
    "kubectl logs": "needs a node",
    "kubectl exec": "tests/shipping/test_image.py runs it in the image",
    "journalctl": "needs systemd as the first process",
    "curl -s 127.0.0.1:8081": "needs a controller at its usual address",
    "kubectl apply -f stop.yaml": "the file is the page's example; tests/controller and tests/e2e run operations",
    "kubectl wait wsop": "waits for that operation",
    "kubectl get wsop stop": "shows that operation",
    "kubectl wait workspace/shop-api": "the first Workspace of the README has a test of its own",
    "docker ps": "the first Workspace of the README has a test of its own",
}
# What a reader has when he comes to a command: files, a node, another cluster for the other overlay.
NODE = '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}'
OTHER_HOST = "kubectl delete dockerhost default --ignore-not-found"
BEFORE = {
    "kubectl label node NODE": f"kubectl create -f - <<< '{NODE}'",
    "kubectl create secret generic docker-1-tls": "touch ca.pem cert.pem key.pem",
    "kubectl apply --server-side -k manifests/overlays": OTHER_HOST,
    "kubectl apply -f manifests/samples/dockerhost.yaml": OTHER_HOST,
    "kubectl patch configmap": "kubectl create namespace argocd; kubectl create -n argocd configmap argocd-cm",
}


def commands(page: Path) -> Iterator[str]:
    """Each command of a page, on one line and without comments; here-documents are left out."""
    for text in blocks(page, "sh", "bash", "console"):
        shown = "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE)) if text.startswith("$ ") else text
        plain = re.sub(r"^.*<<'YAML'\n.*?^YAML$", "", shown.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL)
        yield from (line.partition("  #")[0].strip() for line in plain.splitlines() if line.strip())


def run_here(page: Path) -> list[str]:
    return [command for command in commands(page) if not command.startswith((*ELSEWHERE, "export "))]


def shell(script: str, folder: Path, kubeconfig: Path, **environment: str) -> str:
    """Run a script in a folder, with kubectl and our plugin on the PATH; returns its output."""
    path = f"{binaries.path('kubectl').parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "KUBECONFIG": str(kubeconfig)} | environment
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if run_here(page)], ids=lambda page: page.name)
def test_commands_of_the_page_work(page: Path, new_control_plane: Callable[..., ControlPlane], tmp_path: Path) -> None:
    cluster = new_control_plane()
    for name in ("crds", "manifests"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    for command in run_here(page):
        for beginning, preparation in BEFORE.items():
            if command.startswith(beginning):
                shell(preparation, tmp_path, cluster.kubeconfig)
        shell(command.replace(" NODE ", " node-1 "), tmp_path, cluster.kubeconfig)


def test_commands_that_are_not_run_are_still_shown_somewhere() -> None:
    shown = [command for page in PAGES for command in commands(page)]
    assert [known for known in (*ELSEWHERE, *BEFORE) if not any(one.startswith(known) for one in shown)] == []


def test_first_workspace_of_the_readme(stack: Stack) -> None:
    script = next(text for text in blocks(REPOSITORY / "README.md", "sh") if "name: shop-api" in text)
    login, rest = script.split("\n", 1)
    assert login == "export KUBECONFIG=$(make -s kubeconfig)"
    try:
        output = shell(rest, REPOSITORY, stack.cluster.kubeconfig, DOCKER_HOST=stack.engine.endpoint)
        assert "workspace.aicli.dev/shop-api condition met" in output
        assert "alpine:latest" in output
    finally:
        stack.cluster.kubectl("delete", "workspace", "shop-api", "-n", "default", "--timeout=60s")
