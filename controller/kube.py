"""Requests to the API server beside kopf's watches: patches with preconditions, reads, lists. Through lightkube.

Every patch carries the object's uid and resourceVersion: a write that was decided on an older object is refused (409)
instead of overwriting what somebody else wrote, and one of a former leader can't land.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
from lightkube import AsyncClient, KubeConfig
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.resources.core_v1 import ConfigMap, Event, Namespace, Secret
from lightkube.types import PatchType

from controller.api import GROUP, VERSION
from controller.errors import ReferenceForbidden
from controller.kube_connections import Connections

FIELD_MANAGER = "workspace-controller"
TIMEOUT = 15.0  # seconds until a request is answered at all
REQUESTS_AT_ONCE = 8  # more wait their turn: a burst of ours is none for the API server
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

KINDS: dict[str, Any] = {
    "Workspace": create_namespaced_resource(GROUP, VERSION, "Workspace", "workspaces"),
    "WorkspaceOperation": create_namespaced_resource(GROUP, VERSION, "WorkspaceOperation", "workspaceoperations"),
    "DockerHost": create_global_resource(GROUP, VERSION, "DockerHost", "dockerhosts"),
    "Namespace": Namespace,
}
NAMESPACED = ("Workspace", "WorkspaceOperation")


class _Version(msgspec.Struct):
    """All that is read of an object's metadata; the rest of it, managedFields above all, is only skipped."""

    name: str
    uid: str
    resourceVersion: str
    namespace: str = ""


class _Item(msgspec.Struct):
    metadata: _Version


class _Versions(msgspec.Struct):
    items: list[_Item] | None


_VERSIONS = msgspec.json.Decoder(_Versions)


class Conflict(Exception):
    """The object has changed since it was read (409): decide again on the newer one."""


class Gone(Exception):
    """The object isn't there any more (404), or another one has its name."""


class ApiUnavailable(Exception):
    """The API server did not answer, or answered that it can't now (5xx, 429). Try again later."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One version of one object."""

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Data:
    """What a Secret or ConfigMap holds, and which version of it. Never logged."""

    version: str  # uid:resourceVersion
    values: Mapping[str, str]

    def only(self, keys: Collection[str] | None) -> Data:
        """Without the values that nobody asks for (None: all are): a Secret may be as large as 1 MB."""
        if keys is None:
            return self
        return Data(self.version, {key: value for key, value in self.values.items() if key in keys})

    def __repr__(self) -> str:
        return f"Data({self.version})"


def kubeconfig() -> KubeConfig:
    """Which API server, as whom: what KUBECONFIG names, else the account of the Pod we run in, else ~/.kube/config.

    (lightkube would take the account first.) Raises lightkube's ConfigError.
    """
    named = os.environ.get("KUBECONFIG")
    if named and os.pathsep in named and not os.path.exists(named):
        raise ConfigError(f"KUBECONFIG names several files ({named}), of which the controller takes one: name that one")
    return KubeConfig.from_file(named) if named else KubeConfig.from_env()


class Kube:
    """The API server, for one process. All methods raise ApiUnavailable where there is no useful answer."""

    def __init__(self, config: KubeConfig) -> None:
        self._slots = asyncio.Semaphore(REQUESTS_AT_ONCE)
        server = config.get()
        self._client = AsyncClient(
            config=server,
            timeout=httpx2.Timeout(TIMEOUT),
            field_manager=FIELD_MANAGER,
            transport=_connections(server),
        )
        self.last_answer = float("-inf")  # monotonic seconds; any answer counts, a refusal too
        self.on_write: Callable[[str, str], None] = lambda kind, verb: None  # told each write that was made

    async def close(self) -> None:
        """Closes the connections."""
        client: Any = self._client
        await client._client.close()

    async def cluster_id(self) -> str:
        """The uid of the kube-system namespace: what tells this cluster from every other one."""

        async def read() -> str:
            namespace: Any = await self._client.get(Namespace, "kube-system")
            return str(namespace.metadata.uid)

        return str(await self._call(read()))

    async def patch_status(self, ref: ObjectRef, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Merges `changes` into the status; gives the new object. Raises Conflict, Gone."""
        return await self._patch(ref, {"status": dict(changes)}, KINDS[ref.kind].Status)

    async def patch(self, ref: ObjectRef, changes: Mapping[str, Any], manager: str = FIELD_MANAGER) -> dict[str, Any]:
        """Merges `changes` into the object; gives the new object. Raises Conflict, Gone."""
        return await self._patch(ref, changes, KINDS[ref.kind], manager)

    async def set_finalizers(self, ref: ObjectRef, finalizers: list[str]) -> dict[str, Any]:
        """Replaces the finalizers. Raises Conflict, Gone."""
        return await self._patch(ref, {"metadata": {"finalizers": finalizers}}, KINDS[ref.kind])

    async def delete(self, ref: ObjectRef) -> None:
        """Deletes the object, in whatever version it is; nothing where it is gone. Raises Conflict (another uid)."""
        try:
            await self._call(self._delete(ref))
        except Gone:
            return
        self.on_write(ref.kind, "delete")

    async def list_metadata(self, kind: str, namespace: str = "*") -> list[dict[str, Any]]:
        """metadata of all objects of a kind in a namespace, or in all: complete, or an error."""
        found: list[dict[str, Any]] = await self._call(self._listed_metadata(kind, namespace))
        return found

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """One object as it is now. Raises Gone."""
        found = await self._call(self._client.get(KINDS[kind], name, **_namespace(namespace)))
        return dict(found)

    async def list_objects(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind, in all namespaces: complete, or an error."""
        return [dict(item) for item in await self._list(kind)]

    async def list_versions(self, kind: str) -> dict[tuple[str, str], tuple[str, str]]:
        """(namespace, name) -> (uid, resourceVersion) of all objects of a kind: complete, or an error."""
        metas = (item.metadata for item in await self._call(self._versions(kind)))
        return {(meta.namespace, meta.name): (meta.uid, meta.resourceVersion) for meta in metas}

    async def namespace_labels(self, name: str) -> dict[str, str]:
        """The labels of a namespace; empty where it is gone."""
        try:
            namespace = await self._call(self._client.get(Namespace, name))
        except Gone:
            return {}
        return dict(namespace.metadata.labels or {})

    async def labels_of_namespaces(self) -> dict[str, dict[str, str]]:
        """The labels of all namespaces by name."""
        return {item.metadata.name: dict(item.metadata.labels or {}) for item in await self._list("Namespace")}

    async def data(self, kind: str, namespace: str, name: str) -> Data | None:
        """A Secret's or ConfigMap's values as text; None where it doesn't exist. Raises ReferenceForbidden."""
        try:
            found: Data = await self._call(self._read_data(kind, namespace, name))
        except Gone:
            return None
        except ApiError as error:
            if error.status.code == 403:
                raise ReferenceForbidden(
                    f"{kind} {name!r} in namespace {namespace!r} can't be read: the controller's account has no "
                    "right to `get` it; its administrator can grant that",
                    reason=f"{kind}Forbidden",
                ) from error
            raise
        return found

    async def _read_data(self, kind: str, namespace: str, name: str) -> Data:
        found: Any = await self._client.get(Secret if kind == "Secret" else ConfigMap, name, namespace=namespace)
        values = dict(found.data or {})
        if kind == "Secret":
            values = {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in values.items()}
        return Data(f"{found.metadata.uid}:{found.metadata.resourceVersion}", values)

    async def write_event(self, event: Event, *, first: bool) -> None:
        """Creates an Event, or merges a higher count into one that was created. Raises Conflict (it exists), Gone."""
        meta = event.metadata
        assert meta is not None
        if first:
            await self._call(self._client.create(event))
        else:
            patch = {"count": event.count, "lastTimestamp": event.to_dict()["lastTimestamp"], "message": event.message}
            call = self._client.patch(
                Event, str(meta.name), patch, namespace=meta.namespace, patch_type=PatchType.MERGE
            )
            await self._call(call)
        self.on_write("Event", "create" if first else "patch")

    async def event_count(self, namespace: str, name: str) -> int:
        """How often an Event has occurred so far. Raises Gone."""
        nothing: dict[str, Any] = {}  # an empty patch reads with the right to patch, without one to get
        found = await self._call(
            self._client.patch(Event, name, nothing, namespace=namespace, patch_type=PatchType.MERGE)
        )
        return int(found.count or 0)

    async def _patch(
        self, ref: ObjectRef, body: Mapping[str, Any], resource: Any, manager: str = FIELD_MANAGER
    ) -> dict[str, Any]:
        precondition = {"uid": ref.uid, "resourceVersion": ref.resource_version}
        body = {**body, "metadata": {**body.get("metadata", {}), **precondition}}
        client: Any = self._client
        call = client.patch(
            resource, ref.name, body, patch_type=PatchType.MERGE, field_manager=manager, **_namespace(ref.namespace)
        )
        result = dict(await self._call(call))
        self.on_write(ref.kind, "patch")
        return result

    async def _delete(self, ref: ObjectRef) -> None:
        client: Any = self._client._client  # lightkube's delete knows no preconditions
        request = client.prepare_request("delete", KINDS[ref.kind], name=ref.name, **_namespace(ref.namespace))
        request.data = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": ref.uid}}
        answer = await client.send(client.build_adapter_request(request))
        client.handle_response("delete", answer, request)

    async def _list(self, kind: str) -> list[Any]:
        resource: Any = KINDS[kind]
        scope: dict[str, Any] = {"namespace": "*"} if kind in NAMESPACED else {}
        _, _, items = await self._call(self._client._client.request("list", resource, **scope))
        return list(items)

    async def _versions(self, kind: str) -> list[_Item]:
        return _VERSIONS.decode((await self._metadata(kind, "*")).content).items or []

    async def _metadata(self, kind: str, namespace: str) -> Any:
        client: Any = self._client._client
        scope = {"namespace": namespace} if kind in NAMESPACED else {}
        request = client.prepare_request("list", KINDS[kind], headers={"Accept": METADATA_ONLY}, **scope)
        answer = await client.send(client.build_adapter_request(request))
        client.raise_for_status(answer)
        return answer

    async def _listed_metadata(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        items = msgspec.json.decode((await self._metadata(kind, namespace)).content)["items"]
        return [item["metadata"] for item in items or ()]  # null where there are none, which lightkube's list refuses

    async def _call(self, call: Any) -> Any:
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            call.close()  # it was never begun
            raise
        try:
            answer = await call
            self.last_answer = time.monotonic()
            return answer
        except ApiError as error:
            if error.status.code is not None and error.status.code < 500:
                self.last_answer = time.monotonic()
            raise _translated(error) from error
        except httpx2.HTTPError as error:
            raise ApiUnavailable(f"the API server can't be reached: {error!r}") from error
        except Exception as error:  # a token that is being renewed; whatever a proxy sends that lightkube can't read
            raise ApiUnavailable(f"no answer that can be used: {error!r}") from error
        finally:
            self._slots.release()


def _connections(server: SingleConfig | None) -> Connections | None:
    """None where a proxy may lead to the server: httpx2 knows how."""
    if server is None or server.user is None or {"http", "https", "all"} & urllib.request.getproxies().keys():
        return None
    return Connections(verify_cluster(server.cluster, server.user, server.abs_file))


def _namespace(namespace: str) -> dict[str, str]:
    return {"namespace": namespace} if namespace else {}


def _translated(error: ApiError) -> Exception:
    code = error.status.code
    if code in (404, 410):
        return Gone(str(error))
    if code == 409 or (code == 422 and "metadata.uid" in str(error)):
        return Conflict(str(error))
    if code is None or code == 429 or code >= 500:
        return ApiUnavailable(str(error))
    return error


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) that makes `new` of `old`: removed keys are null, lists are replaced whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            nested = merge_patch(before, value)
            if nested:
                patch[key] = nested
        elif value != before or key not in old:
            patch[key] = value
    return patch
