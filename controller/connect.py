"""Makes the engine that a DockerHost names, with the TLS or SSH secrets of the controller's own namespace."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

from controller.api import MOST_OPERATIONS, DockerHost
from controller.engine.connection import SshAccess, TlsFiles
from controller.engine.dockerd import DockerdEngine
from controller.engine.protocol import Engine
from controller.errors import ConfigurationError, HostUnreachable
from controller.hosts import Connect
from controller.kube import ApiUnavailable, Data, Kube
from controller.metrics import DockerCalls, Metrics

TLS_KEYS = ("ca.crt", "tls.crt", "tls.key")
SSH_KEYS = ("ssh-privatekey", "known_hosts")


def connector(cluster: str, kube: Kube, namespace: str, metrics: Metrics) -> Connect:
    """What connects to DockerHosts. Secrets are read at each connect, so a rotated one is picked up by the next."""

    async def connect(host: DockerHost) -> Engine:
        spec = host.spec
        observer = metrics.calls_of(host.metadata.name)
        tls, ssh = spec.tls_secret_ref, spec.ssh_secret_ref
        if tls is not None:
            data = await _secret(kube, namespace, tls.name, TLS_KEYS)
            make = partial(_with_tls, cluster, spec.endpoint, data, observer)
        elif ssh is not None:
            data = await _secret(kube, namespace, ssh.name, SSH_KEYS)
            access = SshAccess(data.values[SSH_KEYS[0]], data.values[SSH_KEYS[1]])
            make = partial(_engine, cluster, spec.endpoint, observer, ssh=access)
        else:
            make = partial(_engine, cluster, spec.endpoint, observer)
        return make(max_operations=spec.max_concurrent_operations or await _four_times_the_cpus(make))

    return connect


async def _four_times_the_cpus(make: Callable[..., Engine]) -> int:
    """What an engine gains from: half as many leave cores idle, more only wait inside it (docs/performance.md)."""
    engine = make(max_operations=1)
    try:
        return min(4 * (await engine.info()).cpus, MOST_OPERATIONS)
    finally:
        await engine.close()


def _engine(
    cluster: str, endpoint: str, observer: DockerCalls, *, max_operations: int, ssh: SshAccess | None = None
) -> Engine:
    return DockerdEngine(cluster, endpoint, ssh=ssh, max_operations=max_operations, observer=observer)


async def _secret(kube: Kube, namespace: str, name: str, keys: tuple[str, ...]) -> Data:
    try:
        data = await kube.data("Secret", namespace, name)
    except ApiUnavailable as error:
        raise HostUnreachable(f"Secret {name!r} can't be read now: {error}") from error
    missing = [key for key in keys if data is None or key not in data.values]
    if data is None or missing:
        what = "does not exist" if data is None else f"has no key {', '.join(missing)}"
        raise ConfigurationError(
            f"Secret {name!r} in namespace {namespace!r} {what}; it needs {', '.join(keys)}", reason="SecretNotFound"
        )
    return data


def _with_tls(cluster: str, endpoint: str, data: Data, observer: DockerCalls, *, max_operations: int) -> Engine:
    """The SDK reads certificates from files; they live as long as the engine, where only we can read them."""
    folder = tempfile.TemporaryDirectory(prefix="workspace-controller-tls-")
    paths = [Path(folder.name) / key for key in TLS_KEYS]
    for path in paths:
        path.touch(mode=0o600)
        path.write_bytes(data.values[path.name].encode(errors="surrogateescape"))  # as the Secret has it
    engine = DockerdEngine(cluster, endpoint, tls=TlsFiles(*paths), max_operations=max_operations, observer=observer)
    weakref.finalize(engine, folder.cleanup)
    return engine
