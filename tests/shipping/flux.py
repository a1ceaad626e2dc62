"""Flux's own engine (fluxcd/pkg/ssa with kstatus) as a program, built once from the pinned modules in flux/."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from devcluster import golang
from devcluster.paths import cache_dir

_SOURCE = Path(__file__).with_name("flux")


def apply(kubeconfig: Path, folder: Path, namespace: str, timeout: str) -> subprocess.CompletedProcess[str]:
    """Do with a folder what kustomize-controller does for `wait: true`; changes are on stdout, errors on stderr."""
    command = [_binary(), folder, namespace, timeout]
    env = os.environ | {"KUBECONFIG": str(kubeconfig)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def _binary() -> Path:
    text = b"".join((_SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    target = cache_dir() / "tools" / hashlib.sha256(text).hexdigest()[:12] / "flux-apply"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        golang.build(_SOURCE, ".", target, ldflags="-s -w")
    return target
