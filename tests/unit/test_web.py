"""The three paths, over a real socket."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from controller import web
from controller.health import Facts
from controller.web import LoopLag, Server
from tests.waiting import eventually_async


class Controller:
    """What the server looks at."""

    facts = Facts(api_age=1.0, watching=True, leading=True, loop_lag=0.0)
    asked = 0
    answers = True

    async def ask(self) -> None:
        self.asked += 1
        if not self.answers:
            await asyncio.Event().wait()
        self.facts = replace(self.facts, api_age=0.0)


@pytest.fixture
def controller() -> Controller:
    return Controller()


@pytest.fixture
async def client(controller: Controller) -> AsyncIterator[aiohttp.ClientSession]:
    async def metrics() -> bytes:
        return b"a_metric 1\n"

    server = Server(("127.0.0.1", 0), lambda: controller.facts, controller.ask, metrics)
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session


async def test_health_is_told_in_lines_and_by_the_code(client: aiohttp.ClientSession, controller: Controller) -> None:
    async with client.get("/healthz") as answer:
        assert answer.status == 200
        assert "[+]watching ok" in await answer.text()
    controller.facts = replace(controller.facts, watching=False)
    async with client.get("/healthz") as answer:
        assert answer.status == 503
        assert (await answer.text()).endswith("healthz check failed\n")


async def test_readiness_asks_the_api_server_only_when_nothing_else_has(
    client: aiohttp.ClientSession, controller: Controller
) -> None:
    async with client.get("/readyz") as answer:
        assert answer.status == 200
    assert controller.asked == 0
    controller.facts = replace(controller.facts, api_age=17.0)
    async with client.get("/readyz") as answer:
        assert answer.status == 200
    assert controller.asked == 1


async def test_readiness_fails_when_the_api_server_does_not_answer(
    client: aiohttp.ClientSession, controller: Controller
) -> None:
    controller.facts, controller.answers = replace(controller.facts, api_age=17.0), False
    async with client.get("/readyz") as answer:
        assert answer.status == 503
        assert "[-]api-server failed: answered 17 s ago" in await answer.text()


async def test_metrics_are_served_as_prometheus_reads_them(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert await answer.read() == b"a_metric 1\n"


async def test_the_loop_knows_how_late_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LAG_INTERVAL", 1.0)
    lag = LoopLag()
    task = asyncio.create_task(lag.run())
    await asyncio.sleep(0.9)
    blocking = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(_block, blocking)
    await blocking
    await eventually_async(lambda: lag.seconds > 0.1, timeout=5)
    task.cancel()


def _block(done: asyncio.Future[None]) -> None:
    time.sleep(0.4)
    done.set_result(None)
