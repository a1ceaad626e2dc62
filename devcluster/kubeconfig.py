"""Kubeconfig files for one cluster."""

import base64
from pathlib import Path
from typing import Any

import yaml

from devcluster import files
from devcluster.pki import Pair


def with_certificate(path: Path, server: str, ca: Path, user: Pair) -> Path:
    """Write a kubeconfig that logs in with a client certificate."""
    login = {"client-certificate-data": _encoded(user.certificate), "client-key-data": _encoded(user.key)}
    return _write(path, server, ca, login)


def with_token(path: Path, server: str, ca: Path, token: str) -> Path:
    """Write a kubeconfig that logs in with a bearer token."""
    return _write(path, server, ca, {"token": token})


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, server: str, ca: Path, login: dict[str, str]) -> Path:
    """Replace the file in one step, and only when its content changes: others may be reading it."""
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "devcluster", "cluster": {"server": server, "certificate-authority-data": _encoded(ca)}}],
        "users": [{"name": "user", "user": login}],
        "contexts": [{"name": "devcluster", "context": {"cluster": "devcluster", "user": "user"}}],
        "current-context": "devcluster",
    }
    text = yaml.safe_dump(content, sort_keys=False)
    if not path.exists() or path.read_bytes() != text.encode():
        files.replace(path, text.encode(), mode=0o600)
    return path
