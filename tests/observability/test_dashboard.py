"""Each panel of the dashboard shows data, from a real Prometheus that reads a real controller."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import ControlPlane, Engine, Process, packages
from devcluster.paths import REPOSITORY
from devcluster.ports import free_port
from tests.observability.prometheus import Prometheus
from tests.waiting import eventually

DASHBOARD = REPOSITORY / "manifests/components/dashboard/workspace-controller.json"
VARIABLES = {"$__rate_interval": "10m"} | dict.fromkeys(("$cluster", "$job", "$namespace", "$host"), ".*")
# (the interval is longer than the test takes on a busy machine)


@dataclass
class Scene:
    """A controller with Workspaces that come, fail and are repaired, and a Prometheus that watches."""

    cluster: ControlPlane
    engine: Engine
    prometheus: Prometheus
    address: str

    def apply(self, kind: str, name: str, **spec: Any) -> None:
        metadata = {"name": name} if kind == "DockerHost" else {"name": name, "namespace": "default"}
        made = {"apiVersion": "aicli.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        self.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(made))

    def live(self, number: int) -> None:
        """A bit of life: a Workspace that becomes Ready and is killed, and one whose image isn't there."""
        self.apply("Workspace", f"good-{number}", command=["sleep", "infinity"])
        self.apply("Workspace", f"bad-{number}", image="missing:none", imagePullPolicy="Never")
        self.cluster.kubectl("wait", "--for=condition=Ready", f"workspace/good-{number}", "--timeout=60s")
        (name,) = self.engine.docker("ps", "--format", "{{.Names}}", "--filter", f"name=good-{number}").split()
        self.engine.docker("kill", name)
        eventually(lambda: "1" in self._get(f"good-{number}", "{.status.restartCount}"), timeout=60)
        self.engine.docker("exec", "--detach", name, "sleep", "300")

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    def _get(self, name: str, path: str) -> str:
        return self.cluster.kubectl("get", "workspace", name, "-o", f"jsonpath={path}")


@pytest.fixture
def scene(
    new_control_plane: Callable[[], ControlPlane],
    new_engine: Callable[[], Engine],
    controller_process: Callable[..., Process],
    tmp_path: Path,
) -> Iterator[Scene]:
    cluster, engine, address = new_control_plane(), new_engine(), f"127.0.0.1:{free_port()}"
    prometheus = Prometheus(tmp_path, address)
    made = Scene(cluster, engine, prometheus, address)
    policy = {"namespaces": {"matchNames": ["*"]}, "images": ["*"]}
    made.apply("DockerHost", "default", endpoint=engine.endpoint, policy=policy)
    controller_process(cluster.kubeconfig, "--listen", address, "--usage-interval", "2")
    prometheus.start()
    yield made
    prometheus.stop()


def _queries() -> Iterator[tuple[str, str]]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def shows_data(scene: Scene, title: str, expression: str) -> None:
    assert scene.prometheus.query(expression), f"{title}: {expression}"


def test_each_panel_of_the_dashboard_shows_data(scene: Scene) -> None:
    for number in range(3):
        scene.live(number)
        eventually(lambda: scene.prometheus.query("up == 1"), timeout=30)
    for title, expression in _queries():
        assert "$" not in expression, title
        eventually(lambda: shows_data(scene, title, expression), timeout=60)  # noqa: B023 - it is called at once
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scene.metrics(), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_metric_of_the_dashboard_and_the_alerts_is_documented() -> None:
    documented = (REPOSITORY / "docs/metrics.md").read_text()
    rules = (REPOSITORY / "manifests/components/alerts/rules.yaml").read_text()
    words = {word for text in (DASHBOARD.read_text(), rules) for word in _metrics_in(text)}
    assert words
    assert not [word for word in sorted(words) if f"`{word}`" not in documented]


def _metrics_in(text: str) -> Iterator[str]:
    separated = "".join(character if character.isalnum() or character == "_" else " " for character in text)
    for word in separated.split():
        if word.startswith(("workspace_controller_", "workspace_cpu", "workspace_memory", "workspace_network")):
            yield word.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")


def test_promtool_is_there() -> None:
    packages.install(packages.OBSERVABILITY)
    subprocess.run(["promtool", "--version"], check=True, capture_output=True)
