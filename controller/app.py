"""Puts the parts together: stores fed by the watch, queues, hosts, and the loops that run beside them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from controller.api import DockerHost, Workspace, WorkspaceOperation, WorkspaceOperationStatus
from controller.collector import Collector
from controller.dockerhosts import DockerHostReconciler
from controller.events import Recorder
from controller.hosts import Connect, Hosts
from controller.kube import ApiUnavailable, Gone, Kube
from controller.lease import Leadership
from controller.metrics import Metrics
from controller.namespaces import Namespaces
from controller.operations.reconciler import OperationReconciler
from controller.queue import KeyedQueue
from controller.reading import parse_operation, parse_workspace, sources_of
from controller.reconcile import World
from controller.reconciler import Reconciler
from controller.references import References, Source
from controller.sampler import Sampler
from controller.settings import Settings
from controller.store import Key, Store
from controller.usage import is_wanted
from controller.users import Users
from controller.vitals import Vitals
from controller.watch import Watch
from controller.web import LoopLag, Server

logger = logging.getLogger(__name__)
GRACE = 7.0  # seconds for work in flight after SIGTERM; together with the rest under 10
START_RETRY = 2.0
AWAY = ""  # instead of a namespace
CALM = 4  # Workspaces that may be worked on at once while Events are still told without delay

T = TypeVar("T")
MakeConnect = Callable[[str, Kube, Metrics], Connect]  # for a cluster ID
MakeLeadership = Callable[[str, Callable[[bool], None]], Leadership]  # for a cluster ID; hears of changes


class App:
    """One controller. `run` returns after `stop`, or raises when it can't go on and should be started again."""

    def __init__(
        self, settings: Settings, kube: Kube, make_connect: MakeConnect, make_leadership: MakeLeadership
    ) -> None:
        self._settings, self.kube = settings, kube
        self._make_connect, self._make_leadership = make_connect, make_leadership
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends `run` gracefully."""
        self._stopping.set()

    async def run(self) -> None:
        """Runs until stopped."""
        cluster = await self._cluster_id()
        if cluster is None:
            return
        self._build(cluster)
        async with Server(self._settings.address, self.vitals.facts, self.kube.cluster_id, self.metrics.exposition):
            await self._run()

    async def _run(self) -> None:
        loops = [asyncio.create_task(loop, name=name) for name, loop in self._loops().items()]
        self._watch.start()
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            ended, _ = await asyncio.wait([stopping, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stopping}:
                task.result()
                raise RuntimeError(f"{task.get_name()} has ended")
        finally:
            await self._close([stopping, *loops])

    async def _cluster_id(self) -> str | None:
        """Waits for the API server: one that isn't up yet is no reason to give up."""
        while not self._stopping.is_set():
            try:
                return await self._unless_stopped(self.kube.cluster_id())
            except (ApiUnavailable, Gone) as error:  # a new control plane makes kube-system a moment after its start
                logger.warning("waiting for the API server", extra={"error": str(error)})
            await self._unless_stopped(asyncio.sleep(START_RETRY))
        return None

    async def _unless_stopped(self, question: Coroutine[Any, Any, T]) -> T | None:
        asking, stopping = asyncio.create_task(question), asyncio.create_task(self._stopping.wait())
        await asyncio.wait([asking, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if asking.done():
            return asking.result()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return None

    def _build(self, cluster: str) -> None:
        kube, clock = self.kube, asyncio.get_running_loop().time
        self.metrics = Metrics(lambda: self.vitals.state())
        kube.on_write = self.metrics.wrote
        self.leadership = self._make_leadership(cluster, self._led)
        self.workspaces: Store[Workspace] = Store("Workspace", parse_workspace, self._workspace_changed)
        self.dockerhosts: Store[DockerHost] = Store("DockerHost", DockerHost.model_validate, self._dockerhost_changed)
        self.operations: Store[WorkspaceOperation] = Store(
            "WorkspaceOperation", parse_operation, self._operation_changed
        )
        self.stores: Mapping[str, Store[Any]] = {
            s.kind: s for s in (self.workspaces, self.dockerhosts, self.operations)
        }
        self._declared: dict[Key, tuple[str, int]] = {}  # (uid, generation) of each DockerHost
        self.users = Users(self.workspaces)
        self.hosts = Hosts(self._make_connect(cluster, kube, self.metrics), self._host_changed, self._pulled)
        self._namespaces = Namespaces(kube, self._namespace_changed)
        self._references = References(kube, lambda: sources_of(self.workspaces.values()), self._source_changed)
        self.recorder = Recorder(kube, self._is_busy)
        self.sampler = Sampler(
            lambda: self.hosts if self.may_act() else (), self._settings.usage_interval, self._sampled
        )
        self._build_reconcilers(cluster)
        self.collector = Collector(
            kube, tuple(self.stores.values()), self.users, self.hosts, self._namespaces, self.may_change, clock
        )
        self.collector.on_synced = self._everything_changed
        self._watch = Watch(self._deliver)
        self.collector.watched = lambda kind: self._watch.last_event.get(kind, float("-inf"))
        self._lag = LoopLag()
        self.vitals = Vitals(self, self._watch, self._lag)

    def _build_reconcilers(self, cluster: str) -> None:
        self._dockerhost_reconciler = DockerHostReconciler(
            self.kube, self.dockerhosts, self.hosts, self.users.of, self.may_change
        )
        self._operation_reconciler = OperationReconciler(
            self.kube,
            self.operations,
            self.workspaces,
            self.may_change,
            self._operated,
        )
        self.workspaces.on_any_change = self._workspace_seen
        world = World(
            cluster=cluster,
            kube=self.kube,
            workspaces=self.workspaces,
            hosts=self.hosts,
            references=self._references,
            namespaces=self._namespaces,
            hold_host=self._dockerhost_reconciler.hold,
            recorder=self.recorder,
            metrics=self.metrics,
            sample_of=self.sampler.of if self._settings.usage_interval > 0 else None,
            may_act=self.may_act,
            dry_run=self._settings.dry_run,
        )
        self._reconciler = Reconciler(world)
        self.queues: Mapping[str, KeyedQueue[Key]] = {
            "workspaces": KeyedQueue(self._reconcile, self._group_of, lambda group: group[1] == AWAY),
            "dockerhosts": KeyedQueue(self._reconcile_host),
            "operations": KeyedQueue(self._reconcile_operation),
        }
        for name, queue in self.queues.items():
            queue.on_wait = lambda seconds, name=name: self.metrics.waited(name, seconds)  # type: ignore[misc]

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        loops = {
            "leadership": self._lead(),
            "collector": self.collector.run(),
            "references": self._references.run(),
            "events": self.recorder.run(),
            "lag": self._lag.run(),
        }
        if self._settings.usage_interval > 0:
            loops["sampler"] = self.sampler.run()
        return loops

    async def _lead(self) -> None:
        """An onlooker's run ends at once, and a lock's where it is released; leading goes on until we end."""
        await self.leadership.run()
        await asyncio.Event().wait()

    async def _close(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Work in flight first, then leadership, so that nobody takes over while we still act."""
        await asyncio.gather(*(queue.close(GRACE) for queue in self.queues.values()))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.leadership.release()
        await self.recorder.close()
        await self.hosts.close()
        await self._watch.close(0.5)
        await self.kube.close()

    def may_act(self) -> bool:
        """Only the leader; and not before everything was listed once: half a picture must not be acted on."""
        return self.leadership.may_act() and all(store.synced for store in self.stores.values())

    def may_change(self) -> bool:
        """Whether something may be changed: in a dry run nothing is."""
        return self.may_act() and not self._settings.dry_run

    def leads(self) -> bool:
        """Whether this is the process that acts; a dry run stands beside it."""
        return self.leadership.may_act() and not self._settings.dry_run

    def _is_busy(self) -> bool:
        return self.queues["workspaces"].working > CALM

    # workers

    def _group_of(self, key: Key) -> tuple[str, str]:
        """The host and the namespace: neither a slow host nor a busy tenant takes the workers of others. All that are
        on a host that is away have few together: there is nothing to do but to say so."""
        entry = self.workspaces.get(key)
        host = entry.object.spec.host if entry is not None else ""
        return (host, AWAY if self.hosts.is_away(host) else key[0])

    async def _reconcile(self, key: Key) -> None:
        self.queues["workspaces"].wake_at(key, await self._reconciler.reconcile(key))

    async def _reconcile_host(self, key: Key) -> None:
        self.queues["dockerhosts"].wake_at(key, await self._dockerhost_reconciler.reconcile(key))

    async def _reconcile_operation(self, key: Key) -> None:
        self.queues["operations"].wake_at(key, await self._operation_reconciler.reconcile(key))

    # what changed: each only says whose turn it is

    def _deliver(self, kind: str, event: str | None, raw: Mapping[str, Any]) -> None:
        self.stores[kind].apply(raw, deleted=event == "DELETED")

    def _led(self, leading: bool) -> None:
        logger.info("leading" if leading else "not leading any more")
        self._reconciler.forget_all()  # also of what was still under way when we ceased to lead
        if leading:
            self._everything_changed()
        else:
            self._operation_reconciler.forget_all()

    def _everything_changed(self) -> None:
        for name, store in (
            ("dockerhosts", self.dockerhosts),
            ("workspaces", self.workspaces),
            ("operations", self.operations),
        ):
            for key in store:
                self.queues[name].add(key)

    def _workspace_changed(self, key: Key) -> None:
        entry = self.workspaces.get(key)
        if entry is None:
            self._workspace_gone(key)
        self.queues["workspaces"].add(key)
        if entry is not None and self.users.came(key, entry):
            self.queues["dockerhosts"].add(("", entry.object.spec.host))

    def _workspace_gone(self, key: Key) -> None:
        gone = self.users.gone(key)
        if gone is not None:
            self._reconciler.forget(gone.uid)
            self.metrics.gone(gone.uid)
            self.queues["dockerhosts"].add(("", gone.host))
            host = self.hosts.get(gone.host)
            if host is not None:
                host.puller.forget(key)
                if host.cache.observed(gone.uid).containers:  # somebody took its finalizer away
                    self.collector.soon()
        self.queues["workspaces"].forget(key)

    def _workspace_seen(self, key: Key) -> None:
        """Every version of a Workspace: what is measured and what operations wait for (it is Ready now) comes first in
        the answer to our own write."""
        entry = self.workspaces.get(key)
        if entry is not None:
            self.metrics.seen(entry.object, asyncio.get_running_loop().time(), counts=self.leads())
        for operation in self._operation_reconciler.concerned(key):
            self.queues["operations"].add(operation)

    def _operated(
        self, operation: WorkspaceOperation, previous: WorkspaceOperationStatus, new: WorkspaceOperationStatus
    ) -> None:
        self.recorder.operation_changed(operation, previous, new)
        self.metrics.operated(operation, previous, new)

    def _operation_changed(self, key: Key) -> None:
        self.queues["operations"].add(key)

    def _dockerhost_changed(self, key: Key) -> None:
        """Its Workspaces hear of what is declared only: what its status says we have written, every 5 s in a burst."""
        self.queues["dockerhosts"].add(key)
        entry = self.dockerhosts.get(key)
        before = self._declared.pop(key, None)
        if entry is None:
            self.metrics.without(key[1])
            return  # its Workspaces hear of it once the host was let go of
        self._declared[key] = (entry.ref.uid, entry.object.metadata.generation)
        if self._declared[key] != before:
            self._host_changed(key[1], "")

    def _host_changed(self, host: str, uid: str) -> None:
        """Something of the host's containers changed; `uid` "" means all of them. The host's own numbers can wait."""
        keys = self.users.keys_on(host) if not uid else [self.users.key_of(uid)]
        for key in keys:
            if key is not None:
                self.queues["workspaces"].add(key)
        self.queues["dockerhosts"].add(("", host))

    def _sampled(self, uid: str) -> None:
        key = self.users.key_of(uid)
        entry = self.workspaces.get(key) if key is not None else None
        if key is not None and entry is not None and is_wanted(entry.object.metadata.annotations):
            self.queues["workspaces"].add(key)

    def _pulled(self, waiters: set[Any]) -> None:
        for key in waiters:
            self.queues["workspaces"].add(key)

    def _namespace_changed(self, namespace: str) -> None:
        for key in self.workspaces:
            if key[0] == namespace:
                self.queues["workspaces"].add(key)

    def _source_changed(self, source: Source) -> None:
        self._namespace_changed(source[0])
