"""Runs the health script that Argo CD would run, with the Lua that Argo CD's is like."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import yaml

from devcluster import packages
from devcluster.paths import REPOSITORY

CONFIG = REPOSITORY / "manifests" / "gitops" / "argocd-cm.yaml"


def health(kind: str, objects: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """What the script of a kind says of each object: status and message."""
    packages.install(("lua5.4",))
    script = yaml.safe_load(CONFIG.read_text())["data"][f"resource.customizations.health.aicli.dev_{kind}"]
    judged = [f'obj = {_lua(found)}; h = health(); print(h.status .. "\\t" .. h.message)' for found in objects]
    text = "\n".join([f"function health()\n{script}\nend", *judged])
    done = subprocess.run(["lua5.4", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [dict(zip(("status", "message"), line.split("\t"), strict=True)) for line in done.stdout.splitlines()]


def _lua(value: Any) -> str:
    """A value of JSON as a Lua literal."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(_lua, value)) + "}"
    if isinstance(value, str):
        return '"' + "".join(f"\\u{{{ord(c):x}}}" for c in value) + '"'
    return "nil" if value is None else json.dumps(value)
