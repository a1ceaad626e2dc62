"""The largest operations, on a real API server and etcd."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from controller.api import OperationResult, ResultState, WorkspaceOperation, WorkspaceOperationStatus
from controller.api.operation import MAX_TARGETS
from controller.engine.memory_host import MemoryHost
from controller.history import Now
from controller.kube import Kube, ObjectRef, kubeconfig
from controller.operations.fit import fit, is_too_big
from controller.operations.summary import summarize
from devcluster import ControlPlane
from tests.conftest import Kubectl
from tests.controller.in_memory import running
from tests.waiting import eventually_async

NOW = Now(datetime(2026, 1, 1, tzinfo=UTC), 0.0)


@pytest.fixture(autouse=True)
def api_server(control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))


def create(kubectl: Kubectl, namespace: str, **spec: object) -> WorkspaceOperation:
    item = {"apiVersion": "aicli.dev/v1alpha1", "kind": "WorkspaceOperation", "metadata": {"name": "big"}, "spec": spec}
    out = kubectl("-n", namespace, "create", "-f", "-", "-o", "json", stdin=json.dumps(item))
    return WorkspaceOperation.model_validate_json(out)


async def test_a_name_for_each_of_five_thousand_gets_its_result(kubectl: Kubectl, namespace: str) -> None:
    names = [f"workspace-that-is-not-there-{number:05}" for number in range(MAX_TARGETS)]

    async def status() -> WorkspaceOperationStatus:
        found = json.loads(await asyncio.to_thread(kubectl, "-n", namespace, "get", "wsop", "big", "-o", "json"))
        read = WorkspaceOperationStatus.model_validate(found["status"])
        assert read.completion_time is not None
        return read

    async with running(MemoryHost()):
        await asyncio.to_thread(create, kubectl, namespace, operation="Start", names=names)
        ended = await eventually_async(status, timeout=120, interval=1)
    assert (ended.progress, ended.failed) == ("5000/5000", 5000)
    assert {result.reason for result in ended.results} == {"NotFound"}
    assert all((result.message or "").startswith("there is no Workspace") for result in ended.results)


@pytest.mark.parametrize("char", ["x", "<", "é", '"'], ids=["plain", "html", "é", "quote"])
async def test_the_longest_messages_of_five_thousand_are_stored(kubectl: Kubectl, namespace: str, char: str) -> None:
    names = [f"workspace-{number:05}" for number in range(MAX_TARGETS)]
    operation = create(kubectl, namespace, operation="Start", names=names, suspend=True)
    results = [
        OperationResult(
            name=name, uid="0" * 36, state=ResultState.FAILED, reason="PolicyViolation", message=char * 256,
            start_time=NOW.wall, completion_time=NOW.wall,
        )
        for name in names
    ]  # fmt: skip
    full = summarize(operation, operation.status.model_copy(update={"start_time": NOW.wall}), results, NOW)
    assert not is_too_big(operation, full)
    meta = operation.metadata
    kube = Kube(kubeconfig())
    try:
        ref = ObjectRef("WorkspaceOperation", namespace, meta.name, meta.uid, meta.resource_version)
        stored = await kube.patch_status(ref, fit(operation, full))
    finally:
        await kube.close()
    assert len(stored["status"]["results"]) == MAX_TARGETS
