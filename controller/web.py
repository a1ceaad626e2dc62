"""/healthz, /readyz and /metrics over HTTP. Loopback unless a setting says otherwise: none of it is for tenants."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from controller.health import Facts, as_text, liveness, passed, readiness

ASK_AFTER = 5.0  # seconds without an answer of the API server after which a readiness probe asks for one
ASK_TIMEOUT = 2.0  # seconds
LAG_INTERVAL = 4.0  # seconds between two looks at how late the event loop is: each wakes a process that may be at rest
LAG_LOOKS = round(60 / LAG_INTERVAL)  # of a minute, the worst is told: scrapes are rare, and none while it is blocked


class Server:
    """Serves the three paths while it is entered. Raises OSError where the address can't be had.

    `ask_api` makes the API server answer anything, or raises; it is called only when a probe finds that nothing else
    has spoken with it lately, so that an idle controller stays silent.
    """

    def __init__(
        self,
        address: tuple[str, int],
        facts: Callable[[], Facts],
        ask_api: Callable[[], Awaitable[object]],
        metrics: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._address, self._facts, self._ask_api, self._metrics = address, facts, ask_api, metrics
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Server:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that is listened on; of use where 0 was asked for."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def _healthz(self, request: web.Request) -> web.Response:
        checks = liveness(self._facts())
        return web.Response(text=as_text("healthz", checks), status=200 if passed(checks) else 503)

    async def _readyz(self, request: web.Request) -> web.Response:
        if self._facts().api_age > ASK_AFTER:
            with contextlib.suppress(Exception):  # no answer: the age tells
                async with asyncio.timeout(ASK_TIMEOUT):
                    await self._ask_api()
        checks = readiness(self._facts())
        return web.Response(text=as_text("readyz", checks), status=200 if passed(checks) else 503)

    async def _scrape(self, request: web.Request) -> web.Response:
        return web.Response(body=await self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class LoopLag:
    """How late the event loop is: what a call that blocks it costs everyone."""

    def __init__(self) -> None:
        self._looks = deque([0.0], maxlen=LAG_LOOKS)

    @property
    def seconds(self) -> float:
        """The worst of the last minute."""
        return max(self._looks)

    async def run(self) -> None:
        """Looks every few seconds until cancelled."""
        while True:
            due = time.monotonic() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._looks.append(max(0.0, time.monotonic() - due))
