"""A connection that is cut off (whoever does it never waits, not even for a login), and the version that is spoken."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker.errors
import pytest
import requests

from controller.engine.connection import API_VERSION, Connection


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


class _Engine:
    """The SDK's client of an engine that speaks the versions of the API from `least` to `most`."""

    def __init__(self, least: str, most: str) -> None:
        self.least, self.most, self._version = least, most, API_VERSION
        self.asked: list[str] = []

    def _url(self, path: str, *args: str, versioned_api: bool) -> str:
        return self._version

    def request(self, method: str, url: str, **options: Any) -> str:
        self.asked.append(url)
        return url

    def _raise_for_status(self, version: str) -> None:
        for is_wrong, words, limit in (
            (version < self.least, "old. Minimum", self.least),
            (version > self.most, "new. Maximum", self.most),
        ):
            if is_wrong:
                answer = requests.Response()
                answer.status_code = 400
                said = f"client version {version} is too {words} supported API version is {limit}"
                raise docker.errors.APIError("refused", answer, said)


def test_an_engine_that_refuses_our_version_of_the_api_is_spoken_to_in_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Engine(least="1.44", most="1.52")
    monkeypatch.setattr(Connection, "_make", lambda self: engine)
    connection = Connection("unix:///run/docker.sock")
    for _ in range(2):
        connection.request("GET", "/info", timeout=1.0)
    assert engine.asked == ["1.41", "1.44", "1.44"]
    engine.least, engine.most = "1.24", "1.43"  # it was replaced by an older one
    connection.request("GET", "/info", timeout=1.0)
    assert engine.asked[3:] == ["1.44", "1.43"]


def test_an_engine_that_is_too_old_is_refused_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _Engine(least="1.12", most="1.40")
    monkeypatch.setattr(Connection, "_make", lambda self: engine)
    with pytest.raises(docker.errors.APIError, match=r"Maximum supported API version is 1\.40"):
        Connection("unix:///run/docker.sock").request("GET", "/info", timeout=1.0)
    assert engine.asked == ["1.41"]
