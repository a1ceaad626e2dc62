"""How the controller begins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.app import App
from controller.kube import ApiUnavailable, Gone
from controller.settings import Settings
from tests.virtual_time import virtual_time


class _Kube:
    """Gives its ID only when it is asked a third time."""

    def __init__(self, error: Exception) -> None:
        self.asked, self._error = 0, error

    async def cluster_id(self) -> str:
        self.asked += 1
        if self.asked < 3:
            raise self._error
        return "its-uid"


@pytest.mark.parametrize(
    "error",
    [ApiUnavailable("connection refused"), Gone('namespaces "kube-system" not found')],
    ids=["it is down", "it is new"],
)
@virtual_time
async def test_it_waits_for_an_api_server_that_is_not_ready_yet(error: Exception) -> None:
    kube: Any = _Kube(error)
    unused: Any = None
    assert await App(Settings(), kube, unused, unused)._cluster_id() == "its-uid"


@virtual_time
async def test_a_stop_does_not_wait_for_an_api_server_that_does_not_answer() -> None:
    class Silent:
        async def cluster_id(self) -> str:
            await asyncio.sleep(15)
            raise ApiUnavailable("no answer")

    kube: Any = Silent()
    unused: Any = None
    app = App(Settings(), kube, unused, unused)
    running = asyncio.create_task(app.run())
    await asyncio.sleep(1)
    app.stop()
    began = asyncio.get_running_loop().time()
    await running
    assert asyncio.get_running_loop().time() - began < 1
