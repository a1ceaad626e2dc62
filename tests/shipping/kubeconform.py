"""kubeconform as a program, built once from the pinned module in kubeconform/."""

from __future__ import annotations

import hashlib
from pathlib import Path

from devcluster import golang
from devcluster.paths import cache_dir

_SOURCE = Path(__file__).with_name("kubeconform")


def folder() -> Path:
    """Where it is, for the PATH."""
    text = b"".join((_SOURCE / name).read_bytes() for name in ("go.mod", "go.sum"))
    target = cache_dir() / "tools" / hashlib.sha256(text).hexdigest()[:12] / "kubeconform"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        golang.build(_SOURCE, "github.com/yannh/kubeconform/cmd/kubeconform", target, ldflags="-s -w")
    return target.parent
