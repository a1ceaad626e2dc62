"""The process: settings, logs, signals, exit code."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from lightkube import AsyncClient
from lightkube.core.exceptions import ConfigError

import controller.engine.lean as lean  # first of all
from controller import __version__, logs
from controller.app import App
from controller.connect import connector
from controller.filelock import FileLock, lock_path
from controller.kube import Kube, kubeconfig
from controller.lease import Leadership, Lease, Onlooker
from controller.settings import Settings, parse

lean.settle()
logger = logging.getLogger(__name__)
LEAVES_WITHIN = 3.0  # seconds, once all is done: a thread may hang in the lookup of a host's name for longer
_M_ARENA_MAX = -8  # glibc's malloc.h


def main() -> None:
    """Runs the controller until SIGTERM or SIGINT. Exit code 1: it could not go on; start it again."""
    settings = parse()
    _share_heaps()
    logs.configure(settings.log_format, settings.log_level)
    sys.exit(asyncio.run(_run(settings)))


def _share_heaps() -> None:
    """glibc gives threads heaps of their own, and each keeps the most that it ever held: long lists, read now in one
    thread and now in another, would take ten times the memory. Nothing is done with other C libraries."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


async def _run(settings: Settings) -> int:
    code = 0
    try:
        await _control(settings)
        logger.info("stopped")
    except ConfigError as error:
        logger.error("the kubeconfig can't be used", extra={"error": str(error)})
        code = 1
    except Exception as error:
        logger.error("the controller can't go on; its supervisor should start it again", exc_info=error)
        code = 1
    leaving = threading.Timer(LEAVES_WITHIN, os._exit, (code,))  # Python waits for its threads
    leaving.daemon = True
    leaving.start()
    return code


async def _control(settings: Settings) -> None:
    logger.info("starting", extra={"version": __version__})
    config = kubeconfig()

    def leadership(cluster: str, on_change: Callable[[bool], None]) -> Leadership:
        if settings.dry_run:
            return Onlooker(on_change)
        if settings.leader_elect:
            return Lease(AsyncClient(config=config.get()), settings.namespace, on_change)
        return FileLock(lock_path(cluster), on_change)

    app = App(
        settings,
        Kube(config),
        lambda cluster, kube, metrics: connector(cluster, kube, settings.namespace, metrics),
        leadership,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    await app.run()


if __name__ == "__main__":
    main()
