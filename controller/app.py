"""Puts the parts together: stores fed by the watch, queues, hosts, and the loops that run beside them."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from controller.api import DockerHost, ObjectMeta, Workspace, WorkspaceOperation, WorkspaceSpec, WorkspaceStatus
from controller.collector import Collector
from controller.desired import UnreadableWorkspace
from controller.dockerhosts import DockerHostReconciler
from controller.events import Recorder
from controller.hosts import Connect, Hosts
from controller.kube import ApiUnavailable, Kube
from controller.namespaces import Namespaces
from controller.operations.reconciler import OperationReconciler
from controller.queue import KeyedQueue
from controller.reconcile import Reconciler, World
from controller.references import References, Source
from controller.settings import Settings
from controller.store import Key, Store
from controller.watch import Watch

logger = logging.getLogger(__name__)
GRACE = 8.0  # seconds for work in flight after SIGTERM; together with the rest under 10
START_RETRY = 2.0


class App:
    """One controller. `run` returns after `stop`, or raises when it can't go on and should be started again."""

    def __init__(self, settings: Settings, kube: Kube, connect: Callable[[str, Kube], Connect]) -> None:
        self._settings, self._kube, self._connect = settings, kube, connect
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
                return await self._kube.cluster_id()
            except ApiUnavailable as error:
                logger.warning("waiting for the API server", extra={"error": str(error)})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), START_RETRY)
        return None

    def _build(self, cluster: str) -> None:
        clock = asyncio.get_running_loop().time
        self.workspaces: Store[Workspace] = Store("Workspace", parse_workspace, self._workspace_changed)
        self.dockerhosts: Store[DockerHost] = Store("DockerHost", DockerHost.model_validate, self._dockerhost_changed)
        self.operations: Store[WorkspaceOperation] = Store(
            "WorkspaceOperation", WorkspaceOperation.model_validate, self._operation_changed
        )
        self._users: dict[str, set[Key]] = defaultdict(set)  # by host
        self._keys: dict[str, Key] = {}  # by uid
        self.hosts = Hosts(self._connect(cluster, self._kube), self._host_changed, self._pulled)
        self._namespaces = Namespaces(self._kube, self._namespace_changed)
        self._references = References(self._kube, self._sources, self._source_changed)
        self._recorder = Recorder(self._kube)
        self._dockerhost_reconciler = DockerHostReconciler(
            self._kube, self.dockerhosts, self.hosts, self._users_of, self._may_act
        )
        self._operation_reconciler = OperationReconciler(self._kube, self.operations, self.workspaces, self._may_act)
        world = World(
            cluster=cluster,
            kube=self._kube,
            workspaces=self.workspaces,
            hosts=self.hosts,
            references=self._references,
            namespaces=self._namespaces,
            hold_host=self._dockerhost_reconciler.hold,
            recorder=self._recorder,
            may_act=self._may_act,
        )
        self._reconciler = Reconciler(world)
        self.queue: KeyedQueue[Key] = KeyedQueue(self._reconcile)
        self._host_queue: KeyedQueue[Key] = KeyedQueue(self._reconcile_host)
        self._operation_queue: KeyedQueue[Key] = KeyedQueue(self._reconcile_operation)
        self._collector = Collector(
            self._kube,
            (self.workspaces, self.dockerhosts, self.operations),
            self.workspaces,
            self.hosts,
            self._namespaces,
            self._may_act,
            clock,
        )
        self._watch = Watch(self._deliver)

    def _loops(self) -> dict[str, Any]:
        return {
            "collector": self._collector.run(),
            "references": self._references.run(),
            "events": self._recorder.run(),
        }

    async def _close(self, tasks: list[asyncio.Task[Any]]) -> None:
        queues: tuple[KeyedQueue[Key], ...] = (self.queue, self._host_queue, self._operation_queue)
        await asyncio.gather(*(queue.close(GRACE) for queue in queues))
        await self._recorder.close()  # before its task is cancelled: it tells what is due
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.hosts.close()
        await self._watch.close(1.0)
        await self._kube.close()

    def _may_act(self) -> bool:
        """Not before the hosts and Workspaces were listed once: half a picture must not be acted on."""
        return self.workspaces.synced and self.dockerhosts.synced

    # workers

    async def _reconcile(self, key: Key) -> None:
        self.queue.wake_at(key, await self._reconciler.reconcile(key))

    async def _reconcile_host(self, key: Key) -> None:
        self._host_queue.wake_at(key, await self._dockerhost_reconciler.reconcile(key))

    async def _reconcile_operation(self, key: Key) -> None:
        self._operation_queue.wake_at(key, await self._operation_reconciler.reconcile(key))

    # what changed: each only says whose turn it is

    def _deliver(self, kind: str, event: str | None, raw: Mapping[str, Any]) -> None:
        stores: dict[str, Store[Any]] = {
            "Workspace": self.workspaces,
            "DockerHost": self.dockerhosts,
            "WorkspaceOperation": self.operations,
        }
        if kind in stores:
            stores[kind].apply(raw, deleted=event == "DELETED")

    def _workspace_changed(self, key: Key) -> None:
        entry = self.workspaces.get(key)
        if entry is None:
            self._workspace_gone(key)
        else:
            host = entry.object.spec.host
            self._keys[entry.ref.uid] = key
            if key not in self._users[host]:
                self._users[host].add(key)
                self._host_queue.add(("", host))
        self.queue.add(key)
        for operation in self._operation_reconciler.concerned(key):
            self._operation_queue.add(operation)

    def _workspace_gone(self, key: Key) -> None:
        for uid in [uid for uid, known in self._keys.items() if known == key]:
            del self._keys[uid]
            self._reconciler.forget(uid)
        for host, users in self._users.items():
            if key in users:
                users.discard(key)
                self._host_queue.add(("", host))
        self.queue.forget(key)
        self._collector.soon()

    def _operation_changed(self, key: Key) -> None:
        self._operation_queue.add(key)

    def _dockerhost_changed(self, key: Key) -> None:
        self._host_queue.add(key)
        for user in self._users[key[1]]:
            self.queue.add(user)

    def _host_changed(self, host: str, uid: str) -> None:
        self._host_queue.add(("", host))
        if uid:
            key = self._keys.get(uid)
            if key is not None:
                self.queue.add(key)
            return
        for key in self._users[host]:
            self.queue.add(key)

    def _pulled(self, waiters: set[Any]) -> None:
        for key in waiters:
            self.queue.add(key)

    def _namespace_changed(self, namespace: str) -> None:
        for key in self.workspaces:
            if key[0] == namespace:
                self.queue.add(key)

    def _source_changed(self, source: Source) -> None:
        self._namespace_changed(source[0])

    def _users_of(self, host: str) -> list[Workspace]:
        entries = [self.workspaces.get(key) for key in self._users[host]]
        return [entry.object for entry in entries if entry is not None]

    def _sources(self) -> set[Source]:
        found: set[Source] = set()
        for workspace in self.workspaces.values():
            namespace = workspace.metadata.namespace
            for source in workspace.spec.env_from:
                found.add((namespace, "ConfigMap", source.config_map_ref.name))
            for variable in workspace.spec.env:
                if variable.value_from is None:
                    continue
                if variable.value_from.secret_key_ref is not None:
                    found.add((namespace, "Secret", variable.value_from.secret_key_ref.name))
                elif variable.value_from.config_map_key_ref is not None:
                    found.add((namespace, "ConfigMap", variable.value_from.config_map_key_ref.name))
        return found


def parse_workspace(raw: Mapping[str, Any]) -> Workspace:
    """A Workspace as the API server has it. One that an older or newer CRD let in and that we can't read is kept with
    its problem, so that it is shown as refused instead of being forgotten (and its container taken for an orphan)."""
    try:
        return Workspace.model_validate(raw)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        logger.warning("a Workspace can't be read", extra={"workspace": raw["metadata"]["name"], "error": wrong})
        meta = ObjectMeta.model_validate(raw["metadata"])
        status = WorkspaceStatus.model_validate(raw.get("status") or {})
        spec = WorkspaceSpec.model_construct(host=str(raw.get("spec", {}).get("host", "default")))
        return UnreadableWorkspace(metadata=meta, spec=spec, status=status, problem=wrong)
