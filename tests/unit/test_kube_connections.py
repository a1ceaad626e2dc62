"""The connections to the API server: what is sent, what comes back, and that nothing is waited for without end."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl

import httpx2
import pytest

from controller import kube_connections
from controller.kube_connections import Connections

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WAITS = httpx2.Timeout(0.3)  # seconds


@asynccontextmanager
async def client_of(serve: Serve) -> AsyncIterator[httpx2.AsyncClient]:
    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transport = Connections(ssl.create_default_context())
        async with httpx2.AsyncClient(base_url=url, transport=transport, timeout=WAITS) as client:
            yield client


def saying(*parts: bytes, every: float = 0.0) -> tuple[Serve, list[bytes]]:
    """A server that says these for each request, and the heads of the requests that it was asked."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(every)

    return serve, heads


async def test_a_request_goes_out_as_it_was_made() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(7))
        writer.write(b"HTTP/1.1 201 Created\r\nWarning: 299 - a\r\nWarning: 299 - b\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with client_of(serve) as client:
        query = {"labelSelector": "a in (b,c)", "fieldManager": "x+y/z"}
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = await client.patch("/apis/g/v1/a%2Fb", params=query, content=b'{"a":1}', headers=headers)
    line, *head = asked[0].decode().split("\r\n")
    verb, path, _ = line.split()
    assert (verb, path.partition("?")[0]) == ("PATCH", "/apis/g/v1/a%2Fb")
    assert dict(parse_qsl(path.partition("?")[2])) == query
    assert "Content-Type: application/merge-patch+json".lower() in [each.lower() for each in head]
    assert head[-1] == '{"a":1}'
    assert (answer.status_code, answer.json()) == (201, {})
    assert answer.headers.get_list("warning") == ["299 - a", "299 - b"]


async def test_what_comes_compressed_is_unpacked_once() -> None:
    body = gzip.compress(b'{"items": []}')
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with client_of(saying(head, body)[0]) as client:
        assert (await client.get("/")).json() == {"items": []}


async def test_where_an_answer_leads_is_not_gone_to() -> None:
    """A token would go there too."""
    serve, heads = saying(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")
    async with client_of(serve) as client:
        assert (await client.get("/")).status_code == 302
    assert len(heads) == 1


ENDS = {
    "says nothing": saying(),
    "stops in the middle": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
    "says something else": saying(b"SSH-2.0-OpenSSH\r\n\r\n"),
}


@pytest.mark.parametrize("serve", [serve for serve, _ in ENDS.values()], ids=ENDS)
async def test_a_server_that(serve: Serve) -> None:
    async with client_of(serve) as client, asyncio.timeout(5.0):
        with pytest.raises(httpx2.TransportError):
            await client.get("/")


async def test_a_connection_that_ends_in_the_middle() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")

    async with client_of(serve) as client:
        with pytest.raises(httpx2.NetworkError):
            await client.get("/")


async def test_nobody_listens() -> None:
    transport = Connections(ssl.create_default_context())
    async with httpx2.AsyncClient(transport=transport, timeout=WAITS) as client:
        with pytest.raises(httpx2.NetworkError, match=r"127\.0\.0\.1"):
            await client.get("http://127.0.0.1:1/")


async def test_an_answer_that_drips_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_connections, "LONGEST", 1.0)
    drops = (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", *[b"."] * 99)
    async with client_of(saying(*drops, every=0.1)[0]) as client, asyncio.timeout(5.0):
        with pytest.raises(httpx2.TimeoutException):
            await client.get("/")


async def test_a_long_answer_may_take_longer_than_its_first_word() -> None:
    drops = (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", *[b"."] * 8)
    async with client_of(saying(*drops, every=0.1)[0]) as client:
        assert (await client.get("/")).text == "........"


async def test_a_request_that_is_never_taken_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_connections, "LONGEST", 1.0)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()  # and reads nothing

    async with client_of(serve) as client, asyncio.timeout(5.0):
        with pytest.raises(httpx2.TimeoutException):
            await client.post("/", content=b"x" * 32_000_000)
        ended.set()
