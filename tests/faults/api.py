"""The API server as the tests themselves talk to it: directly, as administrator, and never through the controller."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from devcluster import ControlPlane

GROUP = "/apis/aicli.dev/v1alpha1"
MERGE = "application/merge-patch+json"
Object = dict[str, Any]


class Refused(LookupError):
    """The API server said no, or nothing (code 0). A LookupError, so that `eventually` goes on."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """One administrator. Every request is a connection of its own."""

    def __init__(self, cluster: ControlPlane) -> None:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        user = config["users"][0]["user"]
        self.url: str = config["clusters"][0]["cluster"]["server"]
        self._tls = ssl.create_default_context(cafile=str(cluster.ca))
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / "crt", Path(folder) / "key"]
            for file, key in zip(files, ("client-certificate-data", "client-key-data"), strict=True):
                file.write_bytes(base64.b64decode(user[key]))
            self._tls.load_cert_chain(files[0], files[1])

    def request(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Object:
        """The answer's JSON. Raises Refused."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content}, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=15) as answer:
                found: Object = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from error
        except (OSError, http.client.HTTPException) as error:
            raise Refused(0, repr(error)) from error

    def workspaces(self, namespace: str | None = None) -> list[Object]:
        """All Workspaces (of a namespace)."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        items: list[Object] = self.request("GET", f"{GROUP}{scope}/workspaces")["items"]
        return items

    def watch(self, version: str, seconds: int) -> Iterator[Object]:
        """Events of Workspaces after a version, for some seconds. Raises OSError, HTTPException, ValueError."""
        path = f"{GROUP}/workspaces?watch=1&resourceVersion={version}&timeoutSeconds={seconds}"
        with urllib.request.urlopen(self.url + path, context=self._tls, timeout=seconds + 10) as stream:
            for line in stream:
                yield json.loads(line)
