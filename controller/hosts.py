"""The Docker hosts that we are connected to: one engine, cache and puller each.

Hosts are independent of each other in everything: connections, limits and back-off. What one does, or that it hangs,
changes nothing for another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from controller.api import DockerHost, HostPolicy
from controller.engine.cache import HostCache
from controller.engine.protocol import Engine, EngineInfo
from controller.engine.pulls import ImagePuller
from controller.engine.snapshots import UNKNOWN_AFTER
from controller.errors import ConfigurationError, HostUnreachable, WorkspaceError
from controller.observed import Observed

logger = logging.getLogger(__name__)
RECONNECT = (1.0, 15.0)  # seconds between tries to connect: the first and the longest
CLOSES_WITHIN = 5.0  # seconds; a connection that takes longer to end is left to itself


class Connect(Protocol):
    """Makes an engine for a DockerHost, reading its Secrets. Raises ConfigurationError; need not connect yet."""

    async def __call__(self, host: DockerHost) -> Engine: ...


@dataclass(slots=True)
class Host:
    """One connected engine."""

    name: str
    engine: Engine
    cache: HostCache
    puller: ImagePuller
    info: EngineInfo
    policy: HostPolicy
    made_from: object  # the part of the DockerHost's spec that the connection was made from
    networks_used: int = 0  # how often a container was made on one of its networks
    networks_checked: object = None  # what was wanted and used when its networks were last gone through
    networks_due: float = float("inf")  # when (monotonic) to go through them again: one could not be removed
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    asking: asyncio.Task[None] | None = None  # what engine it is, where that may have changed

    def observed(self, uid: str) -> Observed:
        """What the host has for a Workspace."""
        return replace(self.cache.observed(uid), ignored_limits=self.info.ignored_limits)


class Hosts:
    """All hosts by name. `on_change(host, uid)` hears of changed containers; uid "" means the host as a whole."""

    def __init__(
        self, connect: Connect, on_change: Callable[[str, str], None], on_pulled: Callable[[set[object]], None]
    ):
        self._connect, self._on_change, self._on_pulled = connect, on_change, on_pulled
        self._wanted: dict[str, DockerHost] = {}
        self._wanted_since: dict[str, float] = {}  # monotonic
        self._hosts: dict[str, Host] = {}
        self._connecting: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.problems: dict[str, WorkspaceError] = {}  # by host: why there is no connection

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._hosts.values()))

    def get(self, name: str) -> Host | None:
        """The host if it was connected once; it may be unreachable now."""
        return self._hosts.get(name)

    def policy_of(self, name: str) -> HostPolicy | None:
        """The policy of a declared host, connected or not; None where no such DockerHost exists."""
        wanted = self._wanted.get(name)
        return wanted.spec.policy if wanted is not None else None

    def observed(self, name: str, uid: str) -> Observed:
        """What the host has for a Workspace; unknown while we aren't connected to it."""
        host, problem = self._hosts.get(name), self.problems.get(name)
        if host is None:
            because = str(problem or f"DockerHost {name!r}: connecting")
            settled = isinstance(problem, ConfigurationError) or self.is_settled(name)
            return Observed(known=False, settled=settled, unknown_because=because)
        seen = host.observed(uid)
        return seen if seen.known else replace(seen, settled=seen.settled and self.is_settled(name))

    def is_settled(self, name: str) -> bool:
        """Whether a host that isn't known may be called unreachable: not while it was only just asked, nor while it
        answers and many containers are looked at for the first time."""
        host = self._hosts.get(name)
        looking = host is not None and not host.cache.is_known() and host.cache.contact_age() < UNKNOWN_AFTER
        return not looking and self._wanted_since.get(name, 0.0) + UNKNOWN_AFTER <= time.monotonic()

    def is_known(self, name: str) -> bool:
        """Whether what the host has is known."""
        host = self._hosts.get(name)
        return host is not None and host.cache.is_known()

    def is_away(self, name: str) -> bool:
        """Whether it is declared, and what it has isn't known."""
        return name in self._wanted and not self.is_known(name)

    def settles_at(self, name: str) -> float:
        """When (monotonic) to ask again whether a host is settled."""
        return max(self._wanted_since.get(name, 0.0) + UNKNOWN_AFTER, time.monotonic() + 1)

    def apply(self, wanted: DockerHost) -> None:
        """Takes in a DockerHost: connects to a new one, applies a changed policy to a known one."""
        name = wanted.metadata.name
        before = self._wanted.get(name)
        if before is not None and before.metadata.uid != wanted.metadata.uid:
            self._replaced(name)
        self._wanted[name] = wanted
        self._wanted_since.setdefault(name, time.monotonic())
        host = self._hosts.get(name)
        if host is not None:
            if host.policy != wanted.spec.policy:
                host.policy = wanted.spec.policy
                self._on_change(name, "")  # whoever looked before this saw the old one
            if host.made_from != _connection(wanted):
                self._wanted_since[name] = time.monotonic()
                self.renew(name)
        elif name not in self._connecting:
            self._connecting[name] = asyncio.create_task(self._connect_until_done(name), name=f"connect {name}")

    def silent_for(self, host: Host) -> float:
        """Seconds since it last answered a list, or since it was connected to."""
        return min(host.cache.contact_age(), time.monotonic() - self._wanted_since.get(host.name, 0.0))

    def renew(self, name: str) -> None:
        """Connects afresh, with the Secrets as they are now: they may have been rotated."""
        host = self._hosts.get(name)
        if host is not None and name not in self._connecting:
            if host.cache.is_known():
                self._wanted_since[name] = time.monotonic()  # nobody need be told of the moment without it
            self._connecting[name] = asyncio.create_task(self._renew(name), name=f"renew {name}")

    async def remove(self, name: str) -> None:
        """Lets go of a host that is no longer declared. Its containers stay."""
        was_declared = name in self._wanted
        host = self._forget(name)
        if was_declared:
            self._on_change(name, "")
        if host is not None:
            await self._let_go(host)

    def _replaced(self, name: str) -> None:
        """It was deleted and made again, perhaps with another endpoint, before we heard of the deletion."""
        host = self._forget(name)
        if host is not None:
            self._begin_to_close(host)

    def _forget(self, name: str) -> Host | None:
        self._wanted.pop(name, None)
        self._wanted_since.pop(name, None)
        self.problems.pop(name, None)
        task = self._connecting.pop(name, None)
        if task is not None:
            task.cancel()
        return self._hosts.pop(name, None)

    async def close(self) -> None:
        """Lets go of all hosts."""
        for name in [*self._hosts, *self._connecting]:
            host = self._forget(name)
            if host is not None:
                self._begin_to_close(host)
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSES_WITHIN)

    async def _renew(self, name: str) -> None:
        host = self._hosts.pop(name)
        if not host.cache.is_known():
            self.problems[name] = HostUnreachable(host.cache.problem)  # as before: nothing new is known of it
        self._on_change(name, "")
        await self._let_go(host)
        await self._connect_until_done(name)

    async def _connect_until_done(self, name: str) -> None:
        wait, longest = RECONNECT
        while name in self._wanted:
            try:
                await self._connect_once(self._wanted[name])
            except WorkspaceError as error:
                self._not_connected(name, error)
            except Exception as error:  # whatever it is, it must not be the last try
                logger.exception("connecting to the host failed", extra={"host": name})
                self._not_connected(name, HostUnreachable(f"connecting failed: {type(error).__name__}"))
            else:
                self.problems.pop(name, None)
                self._connecting.pop(name, None)
                self._on_change(name, "")
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, longest)

    def _not_connected(self, name: str, error: WorkspaceError) -> None:
        if str(self.problems.get(name)) != str(error):
            logger.warning("can't connect to the host", extra={"host": name, "error": str(error)})
        self.problems[name] = error
        self._on_change(name, "")

    async def _connect_once(self, wanted: DockerHost) -> None:
        name = wanted.metadata.name
        engine = await self._connect(wanted)
        try:
            info = await engine.info()
            self._check_unique(name, info)
        except BaseException:
            await engine.close()
            raise
        cache = HostCache(engine, on_change=lambda uid: self._on_change(name, uid))
        puller = ImagePuller(engine, self._on_pulled, host=name)
        host = Host(name, engine, cache, puller, info, self._wanted[name].spec.policy, _connection(wanted))
        cache.on_subscribed = lambda: self._subscribed(host)
        host.tasks.append(asyncio.create_task(self._run_cache(host), name=f"cache {name}"))
        self._hosts[name] = host
        self._wanted_since[name] = time.monotonic()  # it is given its time to be listed, whatever was before
        logger.info("connected", extra={"host": name, "engine": info.version, "api": info.api_version})

    def _subscribed(self, host: Host) -> None:
        """An event stream that ended may have been all that was seen of a restart of the engine."""
        if host.cache.stats.subscriptions > 1:
            self._ask(host)

    def _ask(self, host: Host) -> None:
        if host.asking is None or host.asking.done():
            host.asking = asyncio.create_task(self._ask_who_it_is(host), name=f"ask {host.name}")
            host.tasks = [*(task for task in host.tasks if not task.done()), host.asking]

    async def _ask_who_it_is(self, host: Host) -> None:
        """An engine that was away may have been upgraded, or the endpoint may lead to another one now."""
        asked = host.cache.stats.subscriptions
        info = await self._info_of(host)
        while info is None or asked != host.cache.stats.subscriptions:  # the stream has ended again meanwhile
            await asyncio.sleep(RECONNECT[1])
            asked = host.cache.stats.subscriptions
            info = await self._info_of(host)
        before, host.info = host.info, info
        if _identity(info) != _identity(before):
            logger.warning("the endpoint leads to another engine", extra={"host": host.name})
            self.renew(host.name)
        elif info != before:
            self._on_change(host.name, "")

    async def _info_of(self, host: Host) -> EngineInfo | None:
        try:
            return await host.engine.info()
        except WorkspaceError as error:
            logger.warning("the host doesn't say what it is", extra={"host": host.name, "error": str(error)})
            return None

    def _check_unique(self, name: str, info: EngineInfo) -> None:
        """Two DockerHosts on one engine would each take the other's containers for duplicates."""
        for other in self._hosts.values():
            if _identity(other.info) == _identity(info) and other.name != name:
                self._ask(other)  # it may be another one by now
                raise ConfigurationError(
                    f"DockerHost {other.name!r} is the same Docker Engine ({info.engine_id}): keep one of the two",
                    reason="DuplicateEngine",
                )

    async def _run_cache(self, host: Host) -> None:
        task = asyncio.current_task()
        while task is None or not task.cancelling():  # of a cancelled group in which something fails we hear only that
            try:
                await host.cache.run()
            except Exception:
                logger.exception("the host's cache failed and is started again", extra={"host": host.name})
            await asyncio.sleep(1)

    async def _let_go(self, host: Host) -> None:
        """Whatever its end takes, nobody waits for it for long."""
        await asyncio.wait([self._begin_to_close(host)], timeout=CLOSES_WITHIN)

    def _begin_to_close(self, host: Host) -> asyncio.Task[None]:
        task = asyncio.create_task(self._close(host), name=f"close {host.name}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _close(self, host: Host) -> None:
        try:
            for task in host.tasks:
                task.cancel()
            await asyncio.gather(*host.tasks, return_exceptions=True)
            await host.puller.close()
            await host.engine.close()
        except Exception:
            logger.exception("closing the connection failed", extra={"host": host.name})


def _identity(info: EngineInfo) -> object:
    return info.engine_id, info.root_dir


def _connection(wanted: DockerHost) -> object:
    spec = wanted.spec
    return spec.endpoint, spec.tls_secret_ref, spec.ssh_secret_ref, spec.max_concurrent_operations
