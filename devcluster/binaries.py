"""Where the programs come from: KUBEBUILDER_ASSETS, our cache, or a build from the Go modules pinned in go.mod."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from devcluster import files, golang, packages
from devcluster.paths import cache_dir
from devcluster.report import say

_HERE = Path(__file__).resolve().parent
_KUBERNETES = "k8s.io/kubernetes"
_MOBY = "github.com/moby/moby/v2"
_RUNC = "github.com/opencontainers/runc"


@dataclass(frozen=True)
class _Source:
    """How one program is built: the directory of its go.mod, its main package, what it needs from Debian."""

    module: Path
    package: str
    ldflags: str = "-s -w"
    tags: str = ""
    debian: tuple[str, ...] = ()  # to build with cgo


def _kubernetes(command: str) -> _Source:
    version = golang.required_module(_HERE, _KUBERNETES)
    stamp = (
        f"-X k8s.io/component-base/version.gitVersion={version} -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
    return _Source(_HERE, f"{_KUBERNETES}/cmd/{command}", ldflags=f"-s -w {stamp}")


def _moby(command: str) -> _Source:
    stamp = f"-X {_MOBY}/dockerversion.Version=29.0.0-beta.24"
    return _Source(_HERE / "engine29", f"{_MOBY}/cmd/{command}", ldflags=f"-s -w {stamp}")


def _source(name: str) -> _Source:
    match name:
        case "etcd":
            return _Source(_HERE, "go.etcd.io/etcd/server/v3")
        case "dockerd" | "docker-proxy":
            return _moby(name)
        case "runc":
            return _Source(_HERE / "engine29", _RUNC, tags="seccomp", debian=packages.RUNC_BUILD)
        case _:
            return _kubernetes(name)


CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
ENGINE29 = ("dockerd", "docker-proxy", "runc")


def path(name: str) -> Path:
    """Where a program of CONTROL_PLANE or ENGINE29 is, or will be once ``ensure`` has built it."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets) / name
    key = hashlib.sha256((_source(name).module / "go.mod").read_bytes()).hexdigest()[:12]
    return cache_dir() / "tools" / key / name


def ensure(names: Iterable[str]) -> None:
    """Build those of the programs that are nowhere yet: minutes, with progress shown. Raises DevclusterError."""
    if all(path(name).exists() for name in names):
        return
    with _build_lock():
        for name in names:
            if not path(name).exists():
                _build(_source(name), name, path(name))


def _build(source: _Source, name: str, target: Path) -> None:
    say(f"Building {name} from Go modules, once (all of the control plane: about 10 minutes on 2 cores)")
    packages.install(source.debian)
    target.parent.mkdir(parents=True, exist_ok=True)
    cgo = bool(source.debian)
    golang.build(source.module, source.package, target, ldflags=source.ldflags, tags=source.tags, cgo=cgo)


def _build_lock() -> AbstractContextManager[None]:
    """One build at a time for this user: two would take twice as long and do the same work."""
    return files.alone(cache_dir() / "tools" / "build.lock", "a build of another process")
