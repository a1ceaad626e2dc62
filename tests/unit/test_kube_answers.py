"""What comes instead of the API server's answers is no answer, and ends nothing: a proxy says all sorts of things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from lightkube import KubeConfig
from lightkube.config.models import Cluster, User

from controller import references as module
from controller.app import App
from controller.kube import ApiUnavailable, Kube
from controller.references import References
from controller.settings import Settings

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: str = "", kind: str = "application/json") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *([f"Content-Type: {kind}"] if kind else [])]
    return "\r\n".join([*head, "", body]).encode()


ANSWERS = {
    "503 without Content-Type": answer("503 Service Unavailable", kind=""),
    "502 with an empty JSON body": answer("502 Bad Gateway"),
    "503 with JSON that is no Status": answer("503 Service Unavailable", '{"message": "upstream"}'),
    "200 with an empty object": answer("200 OK", "{}"),
    "200 with null": answer("200 OK", "null"),
    "200 with a page": answer("200 OK", "<html></html>", "text/html"),
    "a Secret's value that is null": answer("200 OK", '{"metadata": {}, "data": {"a": null}}'),
    "a Secret's value that is no base64": answer("200 OK", '{"metadata": {}, "data": {"a": "x"}}'),
}


@asynccontextmanager
async def proxy(said: bytes) -> AsyncIterator[Kube]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with serving(serve) as kube:
        yield kube


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Kube]:
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        kube = Kube(KubeConfig.from_one(cluster=Cluster(server=url), user=User(token="t")))
        yield kube
        await kube.close()


@pytest.mark.parametrize("said", ANSWERS.values(), ids=ANSWERS)
async def test_it_is_an_api_server_that_did_not_answer(said: bytes) -> None:
    async with proxy(said) as kube:
        with pytest.raises(ApiUnavailable):
            await kube.data("Secret", "team", "a")


@pytest.mark.parametrize("said", list(ANSWERS.values())[:6], ids=list(ANSWERS)[:6])
async def test_the_start_waits(said: bytes) -> None:
    unused: Any = None
    async with proxy(said) as kube:
        waiting = asyncio.create_task(App(Settings(), kube, unused, unused)._cluster_id())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        waiting.cancel()


async def test_a_connection_outlives_a_pause() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError, asyncio.CancelledError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer("200 OK", '{"metadata": {"uid": "u", "resourceVersion": "1"}}'))
        writer.close()

    async with serving(serve) as kube:
        await kube.data("Secret", "team", "a")
        await asyncio.sleep(5.5)  # httpx2 closes them after 5 s
        await kube.data("Secret", "team", "a")
    assert connections == 1


async def test_secrets_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECHECK_SECONDS", 0.1)
    source = ("team", "Secret", "s")
    async with proxy(ANSWERS["503 without Content-Type"]) as kube:
        references = References(kube, lambda: {source}, lambda _: None)
        references._versions[source] = "uid:1"
        loop = asyncio.create_task(references.run())
        await asyncio.sleep(0.5)
        assert not loop.done()
        loop.cancel()
