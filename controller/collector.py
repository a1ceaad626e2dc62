"""Looks at everything at once, every 20 s: what a watch has missed, and what is on a host without a Workspace.

A container of ours whose Workspace is gone is removed only after a complete, successful list of Workspaces: never
because a list failed or was partial.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from controller import naming
from controller.api import NetworkMode, Workspace
from controller.clock import wait_for_event
from controller.errors import EngineConflict, WorkspaceError
from controller.health import Missed
from controller.hosts import Host, Hosts
from controller.kube import ApiUnavailable, Gone, Kube
from controller.namespaces import Namespaces
from controller.observed import Container
from controller.per_host import PerHost
from controller.store import Key, Store
from controller.users import Users

logger = logging.getLogger(__name__)
ROUND_SECONDS = 20.0  # S5 leaves 30 s from a Workspace's end to its container's
RETRY_SECONDS = 2.0  # after a round that failed: until the first one nothing is done at all
FIRST_LIST_SECONDS = 3.0  # that the watch may take to bring what is there
NETWORKS_AGAIN = 600.0  # seconds, after which a network that somebody was in is tried again
REMOVE_AT_ONCE = 8  # orphans of one host
FETCH_AT_ONCE = 20  # objects; where more are out of date, one list is cheaper than many reads


class Collector:
    """Compares lists with what we hold, and collects what nobody wants any more."""

    def __init__(
        self,
        kube: Kube,
        stores: Sequence[Store[Any]],
        users: Users,
        hosts: Hosts,
        namespaces: Namespaces,
        may_act: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._kube, self._stores, self._users, self._hosts = kube, stores, users, hosts
        self._namespaces, self._may_act, self._clock = namespaces, may_act, clock
        self._now = asyncio.Event()
        self._collecting = PerHost("collect")
        self.last_list: dict[str, float] = {}  # by kind, monotonic
        self.missed = Missed()  # what lists show and the watch didn't bring
        self.watched: Callable[[str], float] = lambda kind: float("-inf")  # when the watch last brought anything
        self._told = False
        self.on_synced: Callable[[], None] = lambda: None  # told once, when everything was listed for the first time

    def soon(self) -> None:
        """Has the next round begin now."""
        self._now.set()

    async def run(self) -> None:
        """Rounds until cancelled."""
        try:
            await self._rounds()
        finally:
            await self._collecting.cancel()

    async def _rounds(self) -> None:
        while True:
            self._now.clear()
            wait = ROUND_SECONDS
            try:
                await self.round()
            except ApiUnavailable as error:
                logger.warning("the API server can't be listed", extra={"error": str(error)})
                wait = RETRY_SECONDS
            except Exception:  # a right that is missing for now, a CRD that is gone: no reason to end
                logger.exception("the round failed; the next one comes soon")
                wait = RETRY_SECONDS
            await wait_for_event(self._now, wait)

    async def round(self) -> None:
        """One look at everything. Raises ApiUnavailable; then nothing is collected."""
        listed = {store.kind: await self._compare(store) for store in self._stores}
        if not self._told:
            self._told = True
            self.on_synced()
        unread = {uid for uid, _ in listed["Workspace"].values()} - self._users.uids()
        for host in self._hosts:
            if self._may_act() and host.cache.is_known():
                self._collecting.begin(host.name, partial(self._collect, host, unread))
        await self._namespaces.refresh()  # last: where it is refused, orphans are collected all the same

    async def _compare(self, store: Store[Any]) -> Mapping[Key, tuple[str, str]]:
        known_before = store.refs()
        versions = await self._kube.list_versions(store.kind)
        if not store.synced and not await self._is_brought(store, versions):
            for raw in await self._kube.list_objects(store.kind):
                store.apply(raw)
        stale = store.compare(versions, known_before)
        self.last_list[store.kind] = self._clock()
        missed = [key for key in stale if not store.was_taken_back(key)]  # the watch may well have brought the others
        self.missed.listed(store.kind, versions, missed, self._clock(), self.watched(store.kind))
        if stale:
            await self._fetch(store, stale)
        return versions

    async def _is_brought(self, store: Store[Any], listed: Iterable[Key]) -> bool:
        """Whether the watch brings all that is listed soon: it begins with a list of its own, so a second is waste."""
        keys, patience = list(listed), self._clock() + FIRST_LIST_SECONDS
        while not all(map(store.knows, keys)):
            if self._clock() > patience:
                return False
            await asyncio.sleep(0.05)
        return True

    async def _fetch(self, store: Store[Any], stale: list[Key]) -> None:
        if len(stale) > FETCH_AT_ONCE:
            for raw in await self._kube.list_objects(store.kind):
                store.apply(raw)
            return
        for namespace, name in stale:
            try:
                store.apply(await self._kube.get(store.kind, namespace, name))
            except Gone:
                continue

    async def _collect(self, host: Host, unread: set[str]) -> None:
        """`unread`: the uids of Workspaces that are there, but could not be read: nothing of theirs is an orphan."""
        wanted = {w.metadata.uid for w in self._users_of(host)} | unread
        try:
            slots = asyncio.Semaphore(REMOVE_AT_ONCE)  # one that can't be removed holds up the others for no deadline
            await asyncio.gather(*(self._remove(host, c, slots) for c in orphans(host.cache.all(), wanted)))
            await self._collect_networks(host)
        except Exception:
            logger.exception("collecting failed; the next round tries again", extra={"host": host.name})

    def _users_of(self, host: Host) -> list[Workspace]:
        """Also those of hosts that aren't known: where the endpoints of two lead to one engine, theirs are here."""
        names = [name for name in self._users.hosts() if name == host.name or not self._hosts.is_known(name)]
        return [workspace for name in names for workspace in self._users.of(name)]

    def _is_elsewhere_too(self, host: Host, container: Container) -> bool:
        """Whether another host shows it: then the endpoint of one leads to the other's engine, unnoticed so far."""
        return any(other.cache.has(container.id) for other in self._hosts if other is not host)

    async def _remove(self, host: Host, container: Container, slots: asyncio.Semaphore) -> None:
        async with slots:
            if self._may_act() and not self._is_elsewhere_too(host, container):
                await self._remove_orphan(host, container)

    async def _remove_orphan(self, host: Host, container: Container) -> None:
        labels, began = container.labels, self._clock()
        workspace = "/".join((labels.get(naming.LABEL_NAMESPACE, ""), labels.get(naming.LABEL_NAME, "")))
        said = {"workspace": workspace, "container": container.id[:12], "host": host.name}
        try:
            async with host.cache.while_known():
                await host.engine.remove(container.id, container.uid)
            host.cache.forget(container.id)
        except WorkspaceError as error:
            logger.warning("an orphan stays for now", extra=said | {"error": str(error)})
            return
        seconds = round(self._clock() - began, 3)
        logger.info("Remove", extra=said | {"reason": "its Workspace is gone", "seconds": seconds})

    async def _collect_networks(self, host: Host) -> None:
        """Asks the host only after the set of wanted networks has changed, or one was used: a Workspace may have come
        and gone between two rounds. And again after ten minutes where one could not be removed."""
        wanted = frozenset(
            (workspace.metadata.namespace, str(mode))
            for workspace in self._users_of(host)
            for mode in _modes(workspace)
            if mode is not NetworkMode.NONE
        )
        state = (wanted, host.networks_used)
        if host.networks_checked == state and self._clock() < host.networks_due:
            return
        if any(self._is_elsewhere_too(host, container) for container in host.cache.all()):
            return  # so may its networks be
        try:
            async with host.cache.while_known():
                made = await host.engine.networks()
            unwanted = [network for network in made if network[1:] not in wanted]
            stays = [network for network in unwanted if not await self._remove_network(host, *network)]
        except WorkspaceError as error:
            logger.warning("networks stay for now", extra={"host": host.name, "error": str(error)})
            return
        host.networks_checked = state
        host.networks_due = self._clock() + NETWORKS_AGAIN if stays else float("inf")

    async def _remove_network(self, host: Host, network: str, namespace: str, mode: str) -> bool:
        """Whether it is gone; one that is still used (by somebody else's container) stays for now."""
        if not self._may_act():
            return False
        began = self._clock()
        try:
            async with host.cache.while_known():
                await host.engine.remove_network(network)
        except EngineConflict:
            return False
        said = {"namespace": namespace, "mode": mode, "network": network[:12], "host": host.name}
        seconds = round(self._clock() - began, 3)
        logger.info("RemoveNetwork", extra=said | {"reason": "no Workspace wants it", "seconds": seconds})
        return True


def _modes(workspace: Workspace) -> Iterable[NetworkMode]:
    """The networks that its container may be in: while changes wait, not only the one that is asked for."""
    return NetworkMode if workspace.status.pending_changes else (workspace.spec.network.mode,)


def orphans(containers: Iterable[Container], wanted: set[str]) -> list[Container]:
    """The containers that no Workspace wants. All carry our cluster ID: the cache lists no others."""
    return [c for c in containers if c.labels.get(naming.LABEL_UID) not in wanted]
