"""The DockerHost objects: their status (conditions, engine, counts) and the finalizer that keeps a used one."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from controller import conditions as cond
from controller import naming, policy
from controller.api import DockerHost, DockerHostStatus, Workspace
from controller.clock import mono
from controller.errors import HostTerminating, WorkspaceError
from controller.hosts import Host, Hosts
from controller.kube import ApiUnavailable, Conflict, Gone, Kube, ObjectRef, merge_patch
from controller.observed import Container, ContainerState
from controller.retrying import API_RETRY, GONE_RETRY, catch_up
from controller.store import Entry, Key, Store

logger = logging.getLogger(__name__)
COUNT_EVERY = 5.0  # seconds between two counts; each container that changes wakes its host
PATIENCE = 30.0  # seconds with a host that takes calls and doesn't answer: to connect anew cuts what it may be doing


class DockerHostReconciler:
    """Keeps each DockerHost's status true. `users(host)` gives the Workspaces that name it."""

    def __init__(
        self,
        kube: Kube,
        store: Store[DockerHost],
        hosts: Hosts,
        users: Callable[[str], Iterable[Workspace]],
        may_act: Callable[[], bool],
    ) -> None:
        self._kube, self._store, self._hosts, self._users, self._may_act = kube, store, hosts, users, may_act
        self._counted: dict[str, float] = {}  # by name, monotonic
        self._held: asyncio.Lock = asyncio.Lock()
        self._holding: Counter[str] = Counter()  # by name: Workspaces whose finalizer is being written

    async def reconcile(self, key: Key) -> float | None:
        """Connects to or lets go of a host, and writes its status. Gives the time to look again (the loop's clock)."""
        entry = self._store.get(key)
        if entry is None:
            self._counted.pop(key[1], None)
            await self._hosts.remove(key[1])
            return None
        self._hosts.apply(entry.object)
        if not self._may_act():
            return self._keep_connected(entry)  # who takes over finds hosts that answer
        try:
            return _earliest(await self._write(entry), self._look_again(key))
        except Conflict:
            return await catch_up(self._kube, self._store, key)
        except Gone:
            return mono() + GONE_RETRY
        except ApiUnavailable as error:
            logger.warning("the API server did not answer", extra={"host": key[1], "error": str(error)})
            return mono() + API_RETRY

    def _look_again(self, key: Key) -> float | None:
        """One that is being deleted goes once nothing is on it any more: many things can bring that about."""
        entry = self._store.get(key)
        return mono() + COUNT_EVERY if entry is not None and _waits_to_go(entry.object) else None

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Has the DockerHost keep its finalizer, before something is made on its host: while this is entered, and then
        for as long as a Workspace of its has a finalizer.

        Raises HostTerminating, Conflict, Gone.
        """
        self._holding[name] += 1
        try:
            await self._hold(name)
            yield
        finally:
            self._holding[name] -= 1

    async def _hold(self, name: str) -> None:
        async with self._held:
            entry = self._store.get(("", name))
            if entry is None:
                raise Gone(f"DockerHost {name!r}")
            if entry.object.metadata.deletion_timestamp is not None:
                raise HostTerminating(
                    f"spec.host: DockerHost {name!r} is being deleted: make a new Workspace with another host"
                )
            finalizers = entry.object.metadata.finalizers
            if naming.HOST_FINALIZER not in finalizers:
                await self._keep(entry.ref, [*finalizers, naming.HOST_FINALIZER])

    async def _keep(self, ref: ObjectRef, finalizers: list[str]) -> None:
        try:
            self._store.apply(await self._kube.set_finalizers(ref, finalizers))
        except Conflict:  # it is the DockerHost that is newer: who tries again looks at the Workspace alone
            await catch_up(self._kube, self._store, ("", ref.name))
            raise

    async def _write(self, entry: Entry[DockerHost]) -> float | None:
        name = entry.ref.name
        if await self._release(entry):
            return None
        host = self._hosts.get(name)
        silent = host is None or not host.cache.is_known()
        if silent and name not in self._hosts.problems and not self._hosts.is_settled(name):
            return self._hosts.settles_at(name)  # too early to say anything: it was only just asked
        again = self._keep_connected(entry)
        problem = self._hosts.problems.get(name)
        wait = self._counted.get(name, float("-inf")) + COUNT_EVERY - mono()
        if wait > 0 and _only_counts(entry.object, host, problem):
            return mono() + wait
        self._counted[name] = mono()
        workspaces = sum(1 for _ in self._users(name))
        new = host_status(entry.object, host, problem, workspaces, datetime.now(UTC))
        if new != entry.object.status:
            changes = merge_patch(entry.object.status.to_dict(), new.to_dict())
            self._store.apply(await self._kube.patch_status(entry.ref, changes))
        return again

    def _keep_connected(self, entry: Entry[DockerHost]) -> float | None:
        """Connects anew to a host that is silent, with the Secrets of now. Gives the time to look again (the loop's
        clock)."""
        host = self._hosts.get(entry.ref.name)
        if host is None or host.cache.is_known() or not _has_secrets(entry.object):
            return None
        if not self._hosts.is_settled(host.name):  # it was only just asked
            return self._hosts.settles_at(host.name)
        left = PATIENCE - self._hosts.silent_for(host) if host.cache.hangs else 0.0
        if left > 0:
            return mono() + left
        self._hosts.renew(host.name)
        return None

    async def _release(self, entry: Entry[DockerHost]) -> bool:
        """Lets a DockerHost that is being deleted go once no Workspace has anything on it."""
        if not _waits_to_go(entry.object):
            return False
        users = self._users(entry.ref.name)
        if self._holding[entry.ref.name] or any(naming.FINALIZER in w.metadata.finalizers for w in users):
            return False
        left = [f for f in entry.object.metadata.finalizers if f != naming.HOST_FINALIZER]
        await self._kube.set_finalizers(entry.ref, left)
        return True


def _waits_to_go(host: DockerHost) -> bool:
    meta = host.metadata
    return meta.deletion_timestamp is not None and naming.HOST_FINALIZER in meta.finalizers


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _only_counts(wanted: DockerHost, host: Host | None, problem: WorkspaceError | None) -> bool:
    """Whether the status is up to date but for how many containers there are."""
    situation, previous = _situation(wanted, host, problem), wanted.status
    is_said = _ready(previous) == (situation.ready, situation.reason)
    return is_said and previous.observed_generation >= wanted.metadata.generation


def _has_secrets(host: DockerHost) -> bool:
    """Whether a lost connection may come from Secrets that were rotated."""
    return host.spec.tls_secret_ref is not None or host.spec.ssh_secret_ref is not None


def host_status(
    wanted: DockerHost, host: Host | None, problem: WorkspaceError | None, workspaces: int, now: datetime
) -> DockerHostStatus:
    """What a DockerHost's status should say. `last_contact` moves only together with something else."""
    previous = wanted.status
    known = host is not None and host.cache.is_known()
    update: dict[str, object] = {
        "observed_generation": max(wanted.metadata.generation, previous.observed_generation),
        "workspaces": workspaces,
        "conditions": cond.conditions(
            _situation(wanted, host, problem), previous.conditions, wanted.metadata.generation, now
        ),
    }
    if host is not None:
        update["engine_version"], update["api_version"] = host.info.version, host.info.api_version
    if host is not None and known:
        update["running"] = Counter(map(_is_running, host.cache.all()))[True]
    new = DockerHostStatus(**{**dict(previous), **update})
    if new != previous and host is not None and host.cache.contact_age() != float("inf"):
        contact = now - timedelta(seconds=host.cache.contact_age())
        new = DockerHostStatus(**{**dict(new), "last_contact": contact})
    return new


def _situation(wanted: DockerHost, host: Host | None, problem: WorkspaceError | None) -> cond.Situation:
    wrong = policy.policy_problems(wanted.spec.policy)
    if wrong:
        return cond.stalled("", "InvalidPolicy", "; ".join(wrong))
    if host is None and problem is not None:
        make = cond.stalled if problem.definitive else cond.on_its_way
        return make("", problem.reason, str(problem))
    if host is None:
        return cond.unknown("Connecting", "not connected yet")
    if not host.cache.is_known():
        return cond.on_its_way("", "HostUnreachable", host.cache.problem)
    return cond.as_declared("Connected", f"Docker Engine {host.info.version} answers")


def _ready(status: DockerHostStatus) -> tuple[str, str]:
    ready = next((c for c in status.conditions if c.type == "Ready"), None)
    return (str(ready.status), ready.reason) if ready else ("", "")


def _is_running(container: Container) -> bool:
    return container.state is ContainerState.RUNNING
