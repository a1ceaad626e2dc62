"""How the controller begins."""

from __future__ import annotations

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
