"""What is there is taken in once, also from an API server that doesn't stream it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
import yaml

from controller.engine.memory_host import MemoryHost
from devcluster import ControlPlane
from tests.controller.in_memory import running
from tests.controller.test_operations import HOST
from tests.waiting import eventually_async


@pytest.mark.parametrize(("arguments", "streams"), [([], True), (["--feature-gates=WatchList=false"], False)])
async def test_a_watch_brings_what_is_there_and_what_comes(
    new_control_plane: Callable[..., ControlPlane], monkeypatch: pytest.MonkeyPatch, arguments: list[str], streams: bool
) -> None:
    cluster = await asyncio.to_thread(lambda: new_control_plane(apiserver_args=arguments))
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def apply(name: str) -> None:
        spec = {"host": "memory"}
        made = {"apiVersion": "aicli.dev/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}
        cluster.kubectl("apply", "-n", "default", "-f", "-", stdin=yaml.safe_dump(made))

    await asyncio.to_thread(lambda: cluster.kubectl("apply", "-f", "-", stdin=json.dumps(HOST)))
    await asyncio.to_thread(apply, "before")
    host = MemoryHost()
    async with running(host) as app:
        await eventually_async(lambda: len(host.containers) == 1)
        seen = app._watch.last_event["Workspace"]
        await asyncio.to_thread(apply, "after")
        await eventually_async(lambda: len(host.containers) == 2)
        assert app._watch.last_event["Workspace"] > seen
        assert app._watch._streaming is streams
        assert app._watch.restarts == 0
