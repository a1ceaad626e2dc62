"""Connections to the API server: aiohttp's, below lightkube and its HTTP client, which do all the rest.

httpx2 takes a request through layers of Python down to the bytes, which was most of what it cost: half of it is left
(docs/performance.md). aiohttp, which kopf's watches use too, does it in C.
"""

from __future__ import annotations

import ssl

import aiohttp
import httpx2

KEEP_OPEN = 30.0  # seconds that a connection may be idle: longer than from one list of the collector to the next
LONGEST = 60.0  # seconds for a whole request, however long a list is: an answer that drips must end


class Connections(httpx2.AsyncBaseTransport):
    """A transport of httpx2 that keeps connections open. `context`: whom we trust, and who we are.

    As many requests are made at a time as are asked for. It belongs to the event loop of its first request.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Makes one request and reads its answer. Raises httpx2's TimeoutException, NetworkError."""
        try:
            return await self._answer(request)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error) or "no answer in time", request=request) from error
        except aiohttp.ClientError as error:
            raise httpx2.NetworkError(str(error), request=request) from error

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        waits = request.extensions["timeout"]
        asking = self._opened().request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=request.content or None,
            allow_redirects=False,  # httpx2 decides
            timeout=aiohttp.ClientTimeout(total=LONGEST, sock_connect=waits["connect"], sock_read=waits["read"]),
        )
        async with asking as answer:
            body = await answer.read()
        return httpx2.Response(answer.status, headers=list(answer.headers.items()), content=body, request=request)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._context, limit=0, keepalive_timeout=KEEP_OPEN)
            # httpx2 has the cookies, and unpacks what came compressed.
            jar = aiohttp.DummyCookieJar()
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=jar, auto_decompress=False)
        return self._session
