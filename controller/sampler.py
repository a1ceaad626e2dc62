"""Samples what containers use, at an interval: for metrics, and for the status of Workspaces that ask for it.

Off by default: a sample costs an engine one call of a second for each container. Sampling has a lane of its own in the
engine, so that it never holds up a reconciliation, and hosts never wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from controller import naming
from controller.engine.cache import HostCache
from controller.engine.protocol import Engine
from controller.errors import WorkspaceError
from controller.observed import Container
from controller.per_host import PerHost
from controller.scrape import UsageNow
from controller.usage import Sample, Stats, cpus_used

logger = logging.getLogger(__name__)
NEVER = datetime.min.replace(tzinfo=UTC)
AT_ONCE = 8  # samples of one host; an engine takes them all at the same tick


class SampledHost(Protocol):
    """The part of `controller.hosts.Host` that is needed."""

    @property
    def name(self) -> str: ...

    @property
    def engine(self) -> Engine: ...

    @property
    def cache(self) -> HostCache: ...


class Sampler:
    """Keeps the last sample of each running container. `on_sample(uid)` hears of each new one."""

    def __init__(
        self, hosts: Callable[[], Iterable[SampledHost]], interval: float, on_sample: Callable[[str], None]
    ) -> None:
        self._hosts, self._interval, self._on_sample = hosts, interval, on_sample
        self._samples: dict[str, tuple[Container, Sample]] = {}  # by container ID
        self._rounds = PerHost("usage")

    async def run(self) -> None:
        """Samples every `interval` seconds until cancelled; a host that is still busy with a round misses the next."""
        try:
            while True:
                await asyncio.sleep(self._interval)
                self._begin_rounds()
        finally:
            await self._rounds.cancel()

    def of(self, container: Container) -> Sample | None:
        """The last sample of a container's run, if there is one."""
        sampled, sample = self._samples.get(container.id, (None, None))
        return sample if sampled is not None and sampled.started_at == container.started_at else None

    def now(self) -> list[UsageNow]:
        """The last samples of what is known to run now, for a scrape: one of each Workspace, of the last run."""
        running = (container for host in self._hosts() if host.cache.is_known() for container in _running(host))
        rows = {}
        for container in sorted(running, key=lambda c: c.started_at or NEVER):
            if (sample := self.of(container)) is not None:
                row = _row(container, sample.stats)
                rows[row.namespace, row.workspace] = row
        return list(rows.values())

    def _begin_rounds(self) -> None:
        hosts = list(self._hosts())
        live = {container.id for host in hosts for container in _running(host)}
        self._samples = {key: sample for key, sample in self._samples.items() if key in live}
        for host in hosts:
            if host.cache.is_known():
                self._rounds.begin(host.name, partial(self._round, host))

    async def _round(self, host: SampledHost) -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._sample(host, container, slots) for container in _running(host)))

    async def _sample(self, host: SampledHost, container: Container, slots: asyncio.Semaphore) -> None:
        async with slots:
            if not host.cache.is_known():
                return
            try:
                stats = await host.engine.stats(container.id)
            except WorkspaceError as error:
                logger.debug("no sample", extra={"container": container.id[:12], "error": str(error)})
                self._samples.pop(container.id, None)
                return
        before = self.of(container)
        self._samples[container.id] = (container, Sample(stats, cpus_used(before.stats, stats) if before else None))
        self._on_sample(container.uid)


def _running(host: SampledHost) -> list[Container]:
    return [container for container in host.cache.all() if container.is_live]


def _row(container: Container, stats: Stats) -> UsageNow:
    return UsageNow(
        namespace=container.labels.get(naming.LABEL_NAMESPACE, ""),
        workspace=container.labels.get(naming.LABEL_NAME, ""),
        cpu_seconds=stats.cpu_seconds,
        memory_bytes=stats.memory_bytes,
        pids=stats.pids,
        received_bytes=stats.received_bytes,
        transmitted_bytes=stats.transmitted_bytes,
        active_tasks=container.active_tasks,
    )
