"""A connection that is cut off: whoever does it never waits, not even for a login that is under way."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from controller.engine.connection import Connection


class _Client:
    """As the SDK's, as far as it comes."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_login_that_is_under_way_holds_up_nobody_who_cuts_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    began, may_end, client = threading.Event(), threading.Event(), _Client()

    def login(self: Connection) -> Any:
        began.set()
        assert may_end.wait(30)
        return client

    monkeypatch.setattr(Connection, "_make", login)
    connection = Connection("ssh://user@docker.example.com")
    with ThreadPoolExecutor(2) as threads:
        asking = threads.submit(connection.request, "GET", "/info", timeout=30.0)
        assert began.wait(30)
        threads.submit(connection.abort).result(10)
        may_end.set()
        with pytest.raises(requests.exceptions.ConnectionError, match="closed"):
            asking.result(30)
    connection.close()
    assert client.closed
