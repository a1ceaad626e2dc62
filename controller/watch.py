"""kopf carries the watches: one `on.event` handler per kind, which only hands the object on.

kopf runs on a thread and an event loop of its own. Its shutdown cancels every task of its loop, and its watchers can
die while the process lives (docs/decisions): here neither touches our workers, and a watcher that ended is started
again. Objects are handed to the main loop, which decides everything.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import kopf

from controller.api import GROUP, VERSION
from controller.kube import FIELD_MANAGER

logger = logging.getLogger(__name__)
PLURALS = {"Workspace": "workspaces", "DockerHost": "dockerhosts", "WorkspaceOperation": "workspaceoperations"}
Deliver = Callable[[str, str | None, Mapping[str, Any]], None]  # kind, event type, object
RESTART_AFTER = (1.0, 30.0)  # seconds; the first wait and the longest
INVALID = 422  # HTTP status; from a server without WatchList (before Kubernetes 1.34, or switched off)
INSIST_EVERY = 1.0  # seconds between cancellations of what an operator that ends has left behind


class ErrorBackoffs:
    """Waits between kopf's tries of a request: endless, capped and jittered. A finite list would end the watch."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.2
        while True:
            yield delay * random.uniform(0.5, 1.0)
            delay = min(delay * 2, 10.0)


class Watch:
    """kopf's operator on its own thread, started again whenever it ends."""

    def __init__(self, deliver: Deliver) -> None:
        self._main = asyncio.get_running_loop()
        self._deliver = deliver
        self._stop = threading.Event()
        self._end: Callable[[], object] = lambda: None  # ends the operator that runs now
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self.last_event: dict[str, float] = {}  # by kind, monotonic seconds
        self.restarts = 0
        self._streaming = True  # what is there comes with the watch, object by object, and not in a list before it

    def start(self) -> None:
        """Starts watching."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the watching thread lives."""
        return self._thread.is_alive()

    async def close(self, grace: float) -> None:
        """Stops watching; waits at most `grace` seconds (the thread is a daemon: it can't hold up the exit)."""
        self._stop.set()
        with suppress(RuntimeError):  # its loop is closed
            self._end()
        await asyncio.to_thread(self._thread.join, grace)

    def _run(self) -> None:
        wait, longest = RESTART_AFTER
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                asyncio.run(self._operate())
            except Exception as error:
                if self._streaming and getattr(error, "status", None) == INVALID:
                    logger.info("the API server doesn't stream what is there: it is listed instead")
                    self._streaming = False
                    continue
                logger.exception("the watch ended and is started again")
            wait = RESTART_AFTER[0] if time.monotonic() - began > longest else min(wait * 2, longest)
            self.restarts += 1
            self._stop.wait(wait)

    async def _operate(self) -> None:
        """One life of the operator. Its flag is its loop's own: kopf waits for a threading.Event in a thread, and the
        loop of an operator that failed would never close because of it."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(ended.set)
        if self._stop.is_set():
            return
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(_login)
        for kind, plural in PLURALS.items():
            self._register(registry, kind, plural)
        ending = _tells_its_end(registry)
        operator = kopf.operator(
            registry=registry,
            settings=_settings(self._streaming),
            identity=cast(Any, FIELD_MANAGER),  # or kopf asks who we are: in an image the user has no name
            clusterwide=True,
            standalone=True,
            stop_flag=ended,
        )
        await _until_ended(operator, ending)

    def _register(self, registry: kopf.OperatorRegistry, kind: str, plural: str) -> None:
        @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=f"watch-{plural}")
        async def _handle(event: kopf.RawEvent, **_: Any) -> None:
            self.last_event[kind] = time.monotonic()
            self._main.call_soon_threadsafe(self._deliver, kind, event["type"], event["object"])


def _tells_its_end(registry: kopf.OperatorRegistry) -> asyncio.Event:
    """Set once the operator's own tasks have ended, whether they failed or were stopped."""
    ending = asyncio.Event()

    @kopf.on.cleanup(registry=registry, id="ending")
    async def _ending(**_: Any) -> None:
        ending.set()

    return ending


async def _until_ended(operator: Coroutine[Any, Any, None], ending: asyncio.Event) -> None:
    """Runs an operator to its end. Raises what it raises.

    kopf cancels what a failed watcher leaves behind, once, and waits. Another watcher that is in the middle of a
    request takes that for a pause (its pause-waiter is cancelled with it), begins anew and waits for credentials that
    nobody brings any more: nothing would be watched ever again. So all that is left is cancelled until it has ended.
    """
    told = asyncio.create_task(ending.wait(), name="ending")
    running = asyncio.create_task(operator, name="operator")
    try:
        await asyncio.wait({told, running}, return_when=asyncio.FIRST_COMPLETED)
        while not running.done():
            await asyncio.wait({running}, timeout=INSIST_EVERY)
            for task in asyncio.all_tasks() - {running, asyncio.current_task()}:
                task.cancel()
    finally:
        told.cancel()
    await running


def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    """As `kube.kubeconfig`: what KUBECONFIG names, else the account of the Pod we run in, else ~/.kube/config."""
    account = None
    if not os.environ.get("KUBECONFIG"):
        account = _by_environment(kopf.login_with_service_account(**arguments))
    return account or kopf.login_with_kubeconfig(**arguments)


def _by_environment(found: kopf.ConnectionInfo | None) -> kopf.ConnectionInfo | None:
    """kopf finds the API server by the cluster's DNS, which not every pod has; all others by what the kubelet sets."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if found is None or not host:
        return found
    return replace(found, server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")


class _NothingKept(kopf.DiffBaseStorage):
    """No differences are asked for; kopf would copy each object that comes, all of it, to find them."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        raise NotImplementedError("only what handlers of changes have handled is stored, and there are none")


def _settings(streaming: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NothingKept()
    settings.posting.enabled = False  # our own events are aggregated; kopf's are not
    settings.scanning.disabled = True  # no rights on CRDs needed; the kinds are known and must exist before
    settings.networking.error_backoffs = ErrorBackoffs()
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.watching.inactivity_timeout = 70.0  # seconds until a silent connection counts as dead; not below 62
    settings.watching.reconnect_backoff = 0.5  # seconds; a stream that is closed at once must not become a busy loop
    settings.watching.initial_streaming = streaming
    settings.queueing.worker_limit = 50  # tasks for objects: thousands come at once, and each is only handed on
    settings.queueing.idle_timeout = 0.001  # seconds that such a task waits for more of its object
    settings.queueing.exit_timeout = 1.0
    return settings
