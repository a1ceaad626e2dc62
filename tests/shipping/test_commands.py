"""Every command that README and docs show: run here against an API server, or named below with who runs it instead.

That is each line of the shell blocks, and each `kubectl` command within the text but those in UNFINISHED. Not looked at
are other programs' commands within the text (`docker info`, `git tag`): they are an administrator's on machines of his
own, or a release. What has to be typed in to get on stands in a block; tests/shipping/test_docs.py sees that the block
says so.
"""

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
from tests.shipping import kubeconform
from tests.shipping.test_docs import PAGES, SHELL, blocks, inline

# Beginnings of commands that are not run here, and why.
ELSEWHERE = {
    "make ": "CI runs `make test`; tests/devcluster runs what is behind `make up`",
    "docker build": "tests/shipping/test_image.py builds the image",
    "docker run": "tests/shipping/test_image.py runs the container",
    "docker exec": "tests/shipping/test_image.py runs it in the image",
    "docker save": "needs a Docker Engine at its usual socket",
    "ctr ": "needs a node",
    "~/.local/share/workspace-cli/bin/pip": "tests/shipping/test_packaging.py installs into a new environment",
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
    "kubectl workspace logs NAME": "tests/cli/test_inside.py reads a container's output",
}
# Within the text: they name a command and leave out what it works on, or never end.
UNFINISHED = {
    "kubectl apply --server-side -k",
    "kubectl create secret docker-registry",
    "kubectl delete workspace",
    "kubectl get workspaces -l",
    "kubectl get workspaces --watch",
    "kubectl get workspaces -A --watch",
    "kubectl wait --for=condition=Complete",
    "kubectl wait --for=condition=Ready",
    "kubectl workspace start|stop|restart",
    "kubectl workspace stop --wait",
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
    for text in blocks(page, *SHELL):
        shown = "\n".join(re.findall(r"^\$ (.*)$", text, re.MULTILINE)) if text.startswith("$ ") else text
        plain = re.sub(r"^.*<<'YAML'\n.*?^YAML$", "", shown.replace("\\\n", " "), flags=re.MULTILINE | re.DOTALL)
        yield from (line.partition("  #")[0].strip() for line in plain.splitlines() if line.strip())


def within(page: Path) -> Iterator[str]:
    """Each whole command of kubectl within the text: with more than a verb."""
    for command in inline(page, "kubectl"):
        words = command.removeprefix("kubectl ").removeprefix("workspace ").split()
        if len(words) > 1 and command not in UNFINISHED:
            yield command


def run_here(commands: Iterator[str]) -> list[str]:
    return [command for command in commands if not command.startswith((*ELSEWHERE, "export "))]


def shell(script: str, folder: Path, kubeconfig: Path, **environment: str) -> str:
    """Run a script in a folder, with kubectl and our plugin on the PATH; returns its output."""
    folders = [binaries.path("kubectl").parent, Path(sys.executable).parent]
    if "kubeconform " in script:
        folders.append(kubeconform.folder())
    path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "KUBECONFIG": str(kubeconfig)} | environment
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the commands name."""
    for name in ("crds", "manifests", "schemas"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if run_here(commands(page))], ids=lambda page: page.name)
def test_commands_of_the_page_work(page: Path, new_control_plane: Callable[..., ControlPlane], checkout: Path) -> None:
    cluster = new_control_plane()
    for command in run_here(commands(page)):
        for beginning, preparation in BEFORE.items():
            if command.startswith(beginning):
                shell(preparation, checkout, cluster.kubeconfig)
        shell(command.replace(" NODE ", " node-1 "), checkout, cluster.kubeconfig)


def test_commands_within_the_text_work(new_control_plane: Callable[..., ControlPlane], checkout: Path) -> None:
    cluster = new_control_plane()
    for folder in ("manifests/overlays/local-socket", "manifests/samples"):
        cluster.kubectl("apply", "--server-side", "-k", str(checkout / folder))
    sample = (checkout / "manifests/samples/workspace.yaml").read_text()
    cluster.kubectl("apply", "-f", "-", stdin=sample.replace("name: sample", "name: shop-api"))
    names = {"dockerhost NAME": "dockerhost default", "NAMESPACE": "default", "NAME": "sample"}
    for command in dict.fromkeys(command for page in PAGES for command in run_here(within(page))):
        for name, value in names.items():
            command = re.sub(rf"\b{name}\b", value, command)
        shell(command, checkout, cluster.kubeconfig)


def test_kustomizations_of_the_pages_can_be_built(checkout: Path) -> None:
    texts = [text for page in PAGES for text in blocks(page, "yaml") if "kind: Kustomization" in text]
    ours = [text for text in texts if "kustomize.config.k8s.io" in text]
    assert len(ours) == 1
    for number, text in enumerate(ours):
        folder = checkout / f"overlay-{number}"
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(text)
        made = shell(f"kubectl kustomize {folder}", checkout, checkout / "no-kubeconfig")
        assert "image: registry.example.com/workspace-controller:" in made


def test_commands_that_are_not_run_are_still_shown_somewhere() -> None:
    shown = [command for page in PAGES for command in (*commands(page), *inline(page, "kubectl"))]
    assert [known for known in (*ELSEWHERE, *BEFORE) if not any(one.startswith(known) for one in shown)] == []
    assert UNFINISHED - set(shown) == set()


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
