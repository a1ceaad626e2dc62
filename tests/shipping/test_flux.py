"""What Flux does with a folder of Workspaces and `wait: true`, done by Flux's own engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Stack, workspace
from tests.shipping import flux

LIMIT = "5m"  # which no test here gets near
SOON = 60.0  # seconds, on a busy machine
BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "missing-image": ({"image": "local/absent:1", "imagePullPolicy": "Never"}, "local/absent:1 isn't on the host"),
    "missing-secret": (
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent-keys", "key": "a"}}}]},
        "absent-keys",
    ),
    "forbidden-path": ({"projectPath": "/etc"}, "spec.projectPath"),
}


@pytest.fixture
def folder(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """Five Workspaces that become Ready; they are deleted at the end."""
    made = tmp_path / "team"
    made.mkdir()
    for number in range(5):
        (made / f"ws-{number}.yaml").write_text(yaml.safe_dump(workspace(f"ws-{number}")))
    yield made
    stack.kubectl("delete", "workspaces", "--all", "--timeout=60s")


@pytest.mark.timeout(1800)  # the first time it is built
def test_folder_is_applied_and_all_are_ready(stack: Stack, folder: Path) -> None:
    done = flux.apply(stack.cluster.kubeconfig, folder, stack.namespace, LIMIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" created") == 5
    assert all(stack.is_ready(f"ws-{number}") for number in range(5))
    again = flux.apply(stack.cluster.kubeconfig, folder, stack.namespace, LIMIT)
    assert (again.returncode, again.stdout.count(" unchanged")) == (0, 5), again.stderr + again.stdout


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", BROKEN)
def test_broken_workspace_fails_the_folder_soon_and_with_our_message(stack: Stack, folder: Path, name: str) -> None:
    spec, message = BROKEN[name]
    (folder / "broken.yaml").write_text(yaml.safe_dump(workspace("broken", spec)))
    began = time.monotonic()
    done = flux.apply(stack.cluster.kubeconfig, folder, stack.namespace, LIMIT)
    assert done.returncode == 1
    assert "failed early due to stalled resources" in done.stderr
    said = next(line for line in done.stderr.splitlines() if line.startswith(f"Workspace/{stack.namespace}/broken: "))
    assert ": Failed: " in said
    assert message in said
    assert time.monotonic() - began < SOON


def test_folder_that_is_mended_becomes_ready(stack: Stack, folder: Path) -> None:
    broken = workspace("broken", {"image": "local/absent:1", "imagePullPolicy": "Never"})
    (folder / "broken.yaml").write_text(yaml.safe_dump(broken))
    assert flux.apply(stack.cluster.kubeconfig, folder, stack.namespace, LIMIT).returncode == 1
    (folder / "broken.yaml").write_text(yaml.safe_dump(workspace("broken")))
    done = flux.apply(stack.cluster.kubeconfig, folder, stack.namespace, LIMIT)
    assert done.returncode == 0, done.stderr
