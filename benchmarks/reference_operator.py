"""A plain kopf operator for Workspaces, as most people write one: what the controller is put beside.

A handler for each change calls the Docker SDK, in kopf's threads; a timer looks at each container every 5 s. It makes
the same containers (`BENCH_BODY`: JSON of POST /containers/create) on the engine at `DOCKER_HOST`, and tells as much in
the status as the benchmarks read. All settings are kopf's own. It has no memory of what it did, no limits and no care
for hosts that don't answer.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import kopf

KIND = (os.environ["BENCH_GROUP"], "v1alpha1", "workspaces")  # a copy of the Workspace, in a group of its own
BODY: dict[str, Any] = json.loads(Path(os.environ["BENCH_BODY"]).read_text())
UID = "bench.uid"
client: Any = docker.DockerClient(os.environ["DOCKER_HOST"], version="1.41")


@kopf.on.create(*KIND)
@kopf.on.resume(*KIND)
def create(spec: Any, body: Any, patch: Any, **_: Any) -> None:
    """Makes the container, or finds it."""
    container = _find(body) or _make(spec, body)
    if container.status != "running":
        container.start()
    _tell(body, patch, container)


@kopf.on.update(*KIND, field="spec")
def update(spec: Any, body: Any, patch: Any, **_: Any) -> None:
    """Makes it anew."""
    _end(spec, _find(body))
    container = _make(spec, body)
    container.start()
    _tell(body, patch, container)


@kopf.on.delete(*KIND)
def delete(spec: Any, body: Any, **_: Any) -> None:
    """Stops and removes it."""
    _end(spec, _find(body))


@kopf.timer(*KIND, interval=5.0)
def repair(body: Any, patch: Any, **_: Any) -> None:
    """Starts it where it has ended."""
    found = _find(body)
    if found is not None and found.status == "exited":
        found.start()
        _tell(body, patch, found, restarts=body.get("status", {}).get("restartCount", 0) + 1)


def _find(body: Any) -> Any:
    found = client.containers.list(all=True, filters={"label": f"{UID}={body['metadata']['uid']}"})
    return found[0] if found else None


def _end(spec: Any, found: Any) -> None:
    """As gently as the Workspace asks for."""
    if found is not None:
        found.stop(timeout=spec["terminationGracePeriodSeconds"])
        found.remove(force=True)


def _make(spec: Any, body: Any) -> Any:
    config = BODY | {"Image": spec["image"], "Labels": BODY["Labels"] | {UID: body["metadata"]["uid"]}}
    made = client.api.create_container_from_config(config, name=f"ref-{body['metadata']['uid']}")
    return client.containers.get(made["Id"])


def _tell(body: Any, patch: Any, container: Any, restarts: int = 0) -> None:
    generation, now = body["metadata"]["generation"], datetime.now(UTC).isoformat(timespec="seconds")
    ready = {"type": "Ready", "status": "True", "reason": "Running", "message": "", "observedGeneration": generation}
    patch.status["conditions"] = [ready | {"lastTransitionTime": now}]
    patch.status["observedGeneration"] = generation
    patch.status["containerID"] = container.id
    patch.status["phase"] = "Running"
    patch.status["restartCount"] = restarts
