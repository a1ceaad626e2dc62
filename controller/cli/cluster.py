"""The API server, as the user: reads, patches, watches; what goes wrong is told in one line."""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec
from lightkube import Client
from lightkube.config.client_adapter import ExecAuth
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.resources.core_v1 import ConfigMap, Event, Namespace, Secret
from lightkube.types import PatchType

from controller.cli import kubeconfig
from controller.cli.failure import Failure
from controller.cli.options import Asked
from controller.cli.plugin import PluginAuth

Object = dict[str, Any]
FIELD_MANAGER = "kubectl-workspace"
TIMEOUT = 15.0  # seconds, for each request
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_PAGE = 500  # objects
_NOT_OF_AN_API = (msgspec.MsgspecError, json.JSONDecodeError, KeyError)  # of lightkube, for HTML, {} or no Content-Type
_GROUP, _VERSION = "aicli.dev", "v1alpha1"
_KINDS: dict[str, Any] = {
    "Workspace": create_namespaced_resource(_GROUP, _VERSION, "Workspace", "workspaces"),
    "WorkspaceOperation": create_namespaced_resource(_GROUP, _VERSION, "WorkspaceOperation", "workspaceoperations"),
    "DockerHost": create_global_resource(_GROUP, _VERSION, "DockerHost", "dockerhosts"),
}


class NotFound(Failure):
    """The object isn't there."""


class Forbidden(Failure):
    """The user has no right to it."""


class Cluster:
    """One API server. Every method raises Failure. `namespace` is the one to use where none is named."""

    def __init__(self, asked: Asked) -> None:
        config = kubeconfig.load(asked.kubeconfig, asked.context)
        self.namespace = _checked("namespace", asked.namespace or config.namespace)
        self._server = config.cluster.server
        with self._told():
            self._client = Client(config, timeout=httpx2.Timeout(TIMEOUT), field_manager=FIELD_MANAGER)
        http = self._client._client._client
        if isinstance(http.auth, ExecAuth):
            http.auth = PluginAuth(http.auth._exec)

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """One object. Raises NotFound, Forbidden."""
        _checked(kind, name)
        with self._told(kind, name, namespace):
            return _object(self._client.get(_KINDS[kind], name, **_scope(namespace)))

    def select(self, kind: str, namespace: str | None = "", selector: str | None = None) -> list[Object]:
        """Objects of a namespace (of all with None), sorted by namespace and name; `selector` as kubectl's -l."""
        params = {"limit": _PAGE, "labelSelector": selector}
        request = self._client._client.prepare_request("list", _KINDS[kind], namespace=_where(namespace), params=params)
        with self._told(kind, "", namespace or "", selector):
            found = [_object(item) for item in self._client._client.list(request)]
        return sorted(found, key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))

    def watch(self, kind: str, namespace: str | None, selector: str | None) -> Iterator[tuple[str, Object]]:
        """(ADDED | MODIFIED | DELETED, object), beginning with what is there now; ends when the stream ends."""
        params = {"labelSelector": selector}
        client = self._client._client
        request = client.prepare_request("list", _KINDS[kind], namespace=_where(namespace), watch=True, params=params)
        with self._told(kind, selector=selector):
            for event, item in client.watch(request):
                yield str(event), dict(item)

    def patch(self, kind: str, name: str, namespace: str, changes: Mapping[str, Any]) -> Object:
        """Merges the changes into the object; gives the new one."""
        with self._told(kind, name, namespace):
            patched = self._client.patch(
                _KINDS[kind], name, dict(changes), namespace=namespace, patch_type=PatchType.MERGE
            )
            return _object(patched)

    def create(self, obj: Mapping[str, Any]) -> Object:
        """Creates a namespaced object of ours; gives it as it was stored."""
        kind, namespace = obj["kind"], obj["metadata"]["namespace"]
        with self._told(kind):
            return _object(self._client.create(_KINDS[kind](dict(obj)), namespace=namespace))

    def events(self, namespace: str, uid: str) -> list[Object]:
        """The Events of one object, oldest first."""
        with self._told("Event"):
            listed = self._client.list(Event, namespace=namespace, fields={"involvedObject.uid": uid})
            found = [event.to_dict() for event in listed]
        return sorted(found, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))

    def source(self, kind: str, namespace: str, name: str) -> Object:
        """A Secret or a ConfigMap. Raises NotFound, Forbidden."""
        resource: Any = Secret if kind == "Secret" else ConfigMap
        with self._told(kind, _checked(kind, name), namespace):
            return dict(self._client.get(resource, name, namespace=namespace).to_dict())

    def namespace_meta(self, name: str) -> tuple[str, dict[str, str]]:
        """The uid and the labels of a namespace."""
        with self._told("Namespace", name):
            meta = self._client.get(Namespace, name).metadata
        assert meta is not None
        return str(meta.uid), dict(meta.labels or {})

    @contextmanager
    def _told(self, kind: str = "", name: str = "", namespace: str = "", selector: str | None = None) -> Iterator[None]:
        try:
            yield
        except ApiError as error:
            raise _refused(error, kind, name, namespace, selector) from error
        except httpx2.HTTPStatusError as error:
            raise _no_answer(error, kind, self._server) from error
        except _NOT_OF_AN_API as error:
            raise _no_api(self._server, "what it sent can't be read") from error
        except httpx2.InvalidURL as error:
            told = f"the server {self._server!r} of the kubeconfig is no URL ({error})"
            raise Failure(f"{told}: it should be one such as https://host:6443") from error
        except httpx2.HTTPError as error:
            raise Failure(
                f"the API server {self._server} can't be reached ({error or type(error).__name__}): is it running, "
                "and is the context right? (--context, --kubeconfig)"
            ) from error
        except (ConfigError, OSError, UnicodeError, binascii.Error) as error:
            raise Failure(f"the credentials of the kubeconfig can't be used: {error}") from error


def _checked(what: str, name: str) -> str:
    """The name if it can be one: others would end up in the path of the request."""
    if not _NAME.fullmatch(name):
        raise NotFound(f"{name!r} can't be the name of a {what}: lower case letters, digits, '-' and '.' only")
    return name


def _object(answer: Mapping[str, Any]) -> Object:
    """As lightkube gives it, unlooked at. Raises KeyError for JSON of something else, such as {"status": "ok"}."""
    return {**answer, "metadata": answer["metadata"]}


def _scope(namespace: str) -> dict[str, str]:
    return {"namespace": namespace} if namespace else {}


def _where(namespace: str | None) -> str | None:
    return "*" if namespace is None else namespace or None


def _refused(error: ApiError, kind: str, name: str, namespace: str, selector: str | None) -> Failure:
    code, message = error.status.code, str(error.status.message or error)
    if code == 400 and selector:
        return Failure(f"-l {selector!r} is no selector: {error.status.message}; one is team=a,tier!=test")
    if code == 404 and name:
        place = f" in namespace {namespace!r}" if namespace else ""
        hint = f"; `kubectl workspace list -n {namespace}` shows those that are" if kind == "Workspace" else ""
        return NotFound(f"there is no {kind} {name!r}{place}{hint}")
    if code == 401:
        return Failure("the API server does not accept these credentials: log in again, or choose a --context")
    if code == 403:
        return Forbidden(f"{message} (ask the cluster's administrator for the right)")
    return Failure(f"the API server refuses: {message}")


def _no_answer(error: httpx2.HTTPStatusError, kind: str, server: str) -> Failure:
    """About a status without an object that explains it."""
    code, told = error.response.status_code, f"{error.response.status_code} {error.response.reason_phrase}"
    if code == 404:
        return Failure(f"{server} knows no {kind}s: is it the right --context? If so, apply the CRDs (folder crds/)")
    return _no_api(server, told) if error.response.is_redirect else Failure(f"{server} answered {told}")


def _no_api(server: str, why: str) -> Failure:
    return Failure(
        f"what answered at {server} is no Kubernetes API ({why}): is a proxy or a login page in between? Check the "
        "server of the --context, and HTTPS_PROXY and NO_PROXY"
    )
