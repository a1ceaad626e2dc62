"""Plain HTTP to the API server, as kubectl speaks it: strict about unknown fields."""

import base64
import json
from pathlib import Path
from typing import Any

import requests
import yaml

from controller.api import API_VERSION
from controller.api.crd import KINDS

STRICT = {"fieldValidation": "Strict", "fieldManager": "tests"}


class Api(requests.Session):
    """The API server, as administrator; paths are relative to it."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        super().__init__()
        self.trust_env = False  # REQUESTS_CA_BUNDLE would win over verify
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server: str = cluster["server"]
        self.verify = _file(cluster, "certificate-authority", directory)
        self.cert = (_file(user, "client-certificate", directory), _file(user, "client-key", directory))
        self.headers["Content-Type"] = "application/json"

    def request(self, method: str, url: str, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        return super().request(method, self.server + url, *args, **options)


def _file(entry: dict[str, str], key: str, directory: Path) -> str:
    if f"{key}-data" not in entry:
        return entry[key]
    (directory / key).write_bytes(base64.b64decode(entry[f"{key}-data"]))
    return str(directory / key)


def collection(obj: dict[str, Any], namespace: str) -> str:
    """The path of the objects of this kind."""
    kind = next(kind for kind in KINDS if kind.model.__name__ == obj["kind"])
    return f"/apis/{API_VERSION}/" + (f"namespaces/{namespace}/" if kind.namespaced else "") + kind.plural


def create(api: Api, obj: dict[str, Any], namespace: str, **params: str) -> requests.Response:
    """Create an object as kubectl does: unknown fields are refused."""
    return api.post(collection(obj, namespace), data=json.dumps(obj), params=STRICT | params)


def created(api: Api, obj: dict[str, Any], namespace: str, **params: str) -> dict[str, Any]:
    """Create an object that must be accepted; returns what is stored."""
    response = create(api, obj, namespace, **params)
    assert response.status_code == 201, response.text
    stored: dict[str, Any] = response.json()
    return stored
