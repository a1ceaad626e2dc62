"""A watch that ends is started again, whatever it left behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast

import kopf
import pytest
from kopf._cogs.aiokits import aioadapters
from kopf._cogs.clients import errors
from kopf._core.intents import causes

from controller import watch
from tests.waiting import eventually_async


async def test_an_operator_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    lives: list[int] = []

    async def operator(*, stop_flag: Any, **_: Any) -> None:
        """As kopf's: waits for its flag beside the watchers, of which one fails."""
        waiting = asyncio.create_task(aioadapters.wait_flag(stop_flag))
        await asyncio.sleep(0.01)
        lives.append(1)
        waiting.cancel()
        raise RuntimeError("injected: the watch-stream ended in an ERROR")

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(watch, "RESTART_AFTER", (0.01, 0.02))
    watching = watch.Watch(lambda kind, event, raw: None)
    watching.start()
    try:
        await eventually_async(lambda: len(lives) >= 3, 10.0)
    finally:
        await watching.close(5.0)
    assert not watching.is_alive


async def test_an_operator_that_waits_for_a_task_which_took_its_end_for_a_pause_ends_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lives: list[int] = []

    async def deaf() -> None:
        """As kopf's watchers in the middle of a request: the first cancellation is lost."""
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def operator(*, registry: kopf.OperatorRegistry, **_: Any) -> None:
        """As kopf's when a watcher has failed: its cleanup, then one cancellation for what is left."""
        lives.append(1)
        left = asyncio.create_task(deaf())
        await asyncio.sleep(0.01)
        for handler in registry._activities.get_all_handlers():
            if handler.activity is causes.Activity.CLEANUP:
                await cast(Any, handler.fn)()
        left.cancel()
        await asyncio.wait({left})
        raise RuntimeError("injected: the watch-stream ended in an ERROR")

    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(watch, "RESTART_AFTER", (0.01, 0.02))
    monkeypatch.setattr(watch, "INSIST_EVERY", 0.05)
    watching = watch.Watch(lambda kind, event, raw: None)
    watching.start()
    try:
        await eventually_async(lambda: len(lives) >= 3, 10.0)
    finally:
        await watching.close(5.0)


async def test_what_an_api_server_does_not_stream_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    streamed: list[bool] = []

    async def operator(*, settings: kopf.OperatorSettings, stop_flag: Any, **_: Any) -> None:
        streamed.append(settings.watching.initial_streaming)
        if settings.watching.initial_streaming:
            raise errors.APIUnprocessableEntityError("sendInitialEvents: Forbidden", status=422, headers={})
        await aioadapters.wait_flag(stop_flag)

    monkeypatch.setattr(kopf, "operator", operator)
    watching = watch.Watch(lambda kind, event, raw: None)
    watching.start()
    try:
        await eventually_async(lambda: len(streamed) == 2, 10.0)
    finally:
        await watching.close(5.0)
    assert streamed == [True, False]


@pytest.mark.parametrize(("host", "address"), [("10.96.0.1", "10.96.0.1"), ("fd00::1", "[fd00::1]")])
def test_in_a_pod_the_api_server_is_where_the_kubelet_says(
    monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    in_cluster = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: None)
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: in_cluster)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    found = watch._login()
    assert found is not None
    assert (found.server, found.token) == (f"https://{address}:6443", "t")
