"""What skaffold reads in skaffold.yaml: its published JSON schema, and the configuration that a profile makes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from devcluster import golang
from devcluster.paths import REPOSITORY, cache_dir

CONFIG = REPOSITORY / "skaffold.yaml"
# The schema is taken out of the release's own Go module, whose contents this sum vouches for.
_MODULE = "github.com/GoogleContainerTools/skaffold/v2@v2.23.0"
_SUM = "h1:JaU5j50XIg5U/tRTCkLnLdIcqihACw1qn71uFzbkh0c="


def config(profile: str | None = None) -> dict[str, Any]:
    """skaffold.yaml as it is with a profile: its patches applied, and no profiles left."""
    found: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    profiles = {one["name"]: one for one in found.pop("profiles", ())}
    if profile is not None:
        assert set(profiles[profile]) <= {"name", "patches"}, "a profile that merges is more than this can do"
        for patch in profiles[profile]["patches"]:
            _apply(found, patch)
    return found


def schema(version: str) -> dict[str, Any]:
    """The JSON schema that was published for an apiVersion, such as skaffold/v4beta14; kept in the cache."""
    name = version.removeprefix("skaffold/")
    kept = cache_dir() / "schemas" / _MODULE.rpartition("@")[2] / f"{name}.json"
    if not kept.exists():
        text = (_module() / "docs-v2" / "content" / "en" / "schemas" / f"{name}.json").read_bytes()
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_bytes(text)
        part.rename(kept)
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def _module() -> Path:
    """The unpacked module. Nothing of it is built; outside of any go.mod, so that its dependencies aren't asked for."""
    go = golang.toolchain(REPOSITORY / "devcluster") / "go"
    env = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "GONOSUMDB": "*"}
    command = [go, "mod", "download", "-json", _MODULE]
    done = subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["Sum"] == _SUM
    return Path(told["Dir"])


def _apply(document: Any, patch: dict[str, Any]) -> None:
    """A step of RFC 6902, as far as we use it. What is not there can be neither removed nor replaced."""
    *parents, last = (int(key) if key.isdigit() else key for key in patch["path"].strip("/").split("/"))
    for key in parents:
        document = document[key]
    if patch["op"] in ("remove", "replace"):
        del document[last]
    if patch["op"] == "remove":
        return
    if isinstance(document, list):
        document.insert(last, patch["value"])
    else:
        document[last] = patch["value"]
