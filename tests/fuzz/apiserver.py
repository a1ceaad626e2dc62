"""An API server in memory, as far as the controller can tell: versions, generations, preconditions, finalizers, watch.

`Client` stands in for `controller.kube.Kube`. Faults: it can be down, lose the replies of writes, or fall silent on the
watch.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from controller.errors import ReferenceForbidden
from controller.kube import ApiUnavailable, Conflict, Data, Gone, ObjectRef

Object = dict[str, Any]
Key = tuple[str, str, str]  # kind, namespace, name
CLUSTER = "00000000-0000-0000-0000-000000000001"


class ApiServer:
    """The objects, and who watches them."""

    def __init__(self, wall: Callable[[], datetime]) -> None:
        self._wall = wall
        self.objects: dict[Key, Object] = {}
        self.down = False
        self.lost_replies = 0  # so many of the next writes are made, but their answer is lost
        self.forbidden = False  # whether Secrets and ConfigMaps may not be read
        self.sealed = False  # whether reads of Secrets fail for now
        self.silent = False  # watches bring nothing
        self.unlisted: Counter[str] = Counter()  # so many of the next lists of a kind fail
        self.watcher: Callable[[str, str | None, Object], None] = lambda kind, event, raw: None
        self.on_write: Callable[[Object | None, Object], None] = lambda before, after: None
        self.writes: list[str] = []
        self._versions = itertools.count(100)
        self._uids = itertools.count(1)

    # what users do

    def create(self, kind: str, namespace: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> None:
        """Makes an object; nothing where the name is taken."""
        if (kind, namespace, name) in self.objects:
            return
        number = next(self._uids)
        meta: Object = {"name": name, "namespace": namespace, "uid": f"{number:08d}-0000-0000-0000-000000000000"}
        meta |= {"generation": 1, "creationTimestamp": self._now(), **metadata}
        raw = {"metadata": meta, "spec": copy.deepcopy(dict(spec)), "status": {"observedGeneration": -1}}
        self._store(kind, None, raw, "ADDED")

    def edit(self, kind: str, namespace: str, name: str, change: Callable[[Object], None]) -> bool:
        """A user's change of spec or metadata; False where the object isn't there."""
        before = self.objects.get((kind, namespace, name))
        if before is None:
            return False
        raw = copy.deepcopy(before)
        change(raw)
        if raw["spec"] != before["spec"]:
            raw["metadata"]["generation"] += 1
        if raw != before:
            self._store(kind, before, raw, "MODIFIED")
        return True

    def delete(self, kind: str, namespace: str, name: str) -> None:
        """As `kubectl delete --wait=false`."""

        def mark(raw: Object) -> None:
            raw["metadata"].setdefault("deletionTimestamp", self._now())

        self.edit(kind, namespace, name, mark)

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [copy.deepcopy(raw) for (k, _, _), raw in self.objects.items() if k == kind]

    def tell_all(self) -> None:
        """What a watch that is opened again brings: what is there, and nothing about what has gone."""
        for (kind, _, _), raw in list(self.objects.items()):
            self.watcher(kind, None, copy.deepcopy(raw))

    # what the controller does

    def patch(self, ref: ObjectRef, changes: Mapping[str, Any], *, status: bool) -> Object:
        """A merge patch with preconditions. Raises Gone, Conflict."""
        before = self.objects.get((ref.kind, ref.namespace, ref.name))
        if before is None:
            raise Gone(ref.name)
        meta = before["metadata"]
        if (meta["uid"], meta["resourceVersion"]) != (ref.uid, ref.resource_version):
            raise Conflict(ref.name)
        raw = copy.deepcopy(before)
        _merge(raw, {"status": changes["status"]} if status else changes)
        if raw == before:
            return copy.deepcopy(before)
        self.writes.append(f"{'status' if status else 'patch'} {ref.kind} {ref.name}")
        self.on_write(before, raw)
        return self._store(ref.kind, before, raw, "MODIFIED")

    def remove(self, ref: ObjectRef) -> Object:
        """Deletes this very object; nothing where the name is free. Raises Conflict."""
        found = self.objects.get((ref.kind, ref.namespace, ref.name))
        if found is not None and found["metadata"]["uid"] != ref.uid:
            raise Conflict(ref.name)
        self.delete(ref.kind, ref.namespace, ref.name)
        return {}

    def _store(self, kind: str, before: Object | None, raw: Object, event: str) -> Object:
        meta = raw["metadata"]
        meta["resourceVersion"] = str(next(self._versions))
        key = (kind, meta["namespace"], meta["name"])
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.objects.pop(key, None)
            event = "DELETED"
        else:
            self.objects[key] = raw
        if not self.silent:
            self.watcher(kind, event, copy.deepcopy(raw))
        return copy.deepcopy(raw)

    def _now(self) -> str:
        return self._wall().strftime("%Y-%m-%dT%H:%M:%SZ")


class Client:
    """One controller's connection. `around` is told of each mutating call before and after it has taken effect."""

    def __init__(self, server: ApiServer, around: Callable[[str, bool], Awaitable[None]]) -> None:
        self._server, self._around = server, around
        self.last_answer = 0.0
        self.on_write: Callable[[str, str], None] = lambda kind, verb: None

    async def patch_status(self, ref: ObjectRef, changes: Mapping[str, Any]) -> Object:
        return await self._write("status", lambda: self._server.patch(ref, {"status": dict(changes)}, status=True))

    async def patch(self, ref: ObjectRef, changes: Mapping[str, Any], manager: str = "") -> Object:
        return await self._write("patch", lambda: self._server.patch(ref, changes, status=False))

    async def set_finalizers(self, ref: ObjectRef, finalizers: list[str]) -> Object:
        changes = {"metadata": {"finalizers": finalizers}}
        return await self._write("finalizers", lambda: self._server.patch(ref, changes, status=False))

    async def delete(self, ref: ObjectRef) -> None:
        await self._write("delete", lambda: self._server.remove(ref))

    async def list_objects(self, kind: str) -> list[Object]:
        self._check()
        return self._server.of(kind)

    async def list_versions(self, kind: str) -> dict[tuple[str, str], tuple[str, str]]:
        self._check()
        if self._server.unlisted[kind]:
            self._server.unlisted[kind] -= 1
            raise ApiUnavailable("no answer to this list")
        metas = [raw["metadata"] for raw in self._server.of(kind)]
        return {(m["namespace"], m["name"]): (m["uid"], m["resourceVersion"]) for m in metas}

    async def list_metadata(self, kind: str, namespace: str) -> list[Object]:
        self._check()
        return [raw["metadata"] for raw in self._server.of(kind) if raw["metadata"]["namespace"] == namespace]

    async def get(self, kind: str, namespace: str, name: str) -> Object:
        self._check()
        raw = self._server.objects.get((kind, namespace, name))
        if raw is None:
            raise Gone(name)
        return copy.deepcopy(raw)

    async def data(self, kind: str, namespace: str, name: str) -> Data | None:
        self._check()
        if self._server.sealed:
            raise ApiUnavailable("what encrypts Secrets does not answer")
        if self._server.forbidden:
            raise ReferenceForbidden(f"{kind} {name!r} can't be read", reason=f"{kind}Forbidden")
        return None

    async def labels_of_namespaces(self) -> dict[str, dict[str, str]]:
        self._check()
        return {}

    async def write_event(self, event: Any, *, first: bool) -> None:
        self._check()

    async def event_count(self, namespace: str, name: str) -> int:
        return 0

    async def _write(self, what: str, work: Callable[[], Object]) -> Object:
        self._check()
        await self._around(what, False)
        done = work()
        await self._around(what, True)
        if self._server.lost_replies:
            self._server.lost_replies -= 1
            raise ApiUnavailable("the reply was lost")
        return done

    def _check(self) -> None:
        if self._server.down:
            raise ApiUnavailable("connection refused")


def _merge(target: Object, changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, Mapping):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value)
        else:
            target[key] = copy.deepcopy(value)
