"""SSH to a Docker host, as the SDK does it, but with the key and the known host that a Secret gives.

Imported for the first ssh:// host only: paramiko takes 15 MB (`controller.engine.lean`).
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import paramiko
from docker.constants import DEFAULT_NUM_POOLS
from docker.transport.sshconn import SSHHTTPAdapter

from controller.engine.connection import ONE_POOL, Connection, SshAccess, Tracked
from controller.errors import ConfigurationError

_KEEPALIVE = 10  # seconds
_TIMEOUT = 4.0  # seconds for each step until a channel is open
_PORT = 22


class SshAdapter(Tracked, SSHHTTPAdapter):
    """Never uses the controller's own keys, agent or configuration, and logs in again after a lost connection."""

    ssh_client: Any
    ssh_params: Any
    pools: Any

    def __init__(self, connection: Connection, url: str, access: SshAccess, pool_size: int) -> None:
        self.connection, self._access = connection, access
        super().__init__(url, pool_connections=DEFAULT_NUM_POOLS, max_pool_size=pool_size)

    def _create_paramiko_client(self, base_url: str) -> None:
        target = urlsplit(base_url)
        self.ssh_client = paramiko.SSHClient()
        self.ssh_client.set_missing_host_key_policy(paramiko.RejectPolicy())
        for name, key in known_hosts(self._access.known_hosts):
            self.ssh_client.get_host_keys().add(name, key.get_name(), key)
        self.ssh_params = {
            "hostname": target.hostname,
            "port": target.port or _PORT,
            "username": target.username,
            "pkey": private_key(self._access.private_key),
            "look_for_keys": False,
            "allow_agent": False,
            **dict.fromkeys(("timeout", "banner_timeout", "auth_timeout", "channel_timeout"), _TIMEOUT),
        }

    def _connect(self) -> None:
        self.ssh_client.connect(**self.ssh_params)
        transport = self.ssh_client.get_transport()
        transport.set_keepalive(_KEEPALIVE)
        transport.channel_timeout = _TIMEOUT
        self.connection.track(transport.sock, login=True)

    def close(self) -> None:
        self.ssh_client.close()  # first: its channels would each say goodbye over a login that may be cut
        super().close()

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        with self.pools.lock:
            transport = self.ssh_client.get_transport()
            if transport is None or not transport.is_active():
                self.pools.clear()
                self._connect()
        return super().get_connection(ONE_POOL, proxies)


def known_hosts(text: str) -> list[tuple[str, paramiko.PKey]]:
    """(host name, key) of each line of a known_hosts file; lines that can't be read are left out."""
    found = []
    for line in text.splitlines():
        with suppress(Exception):
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
            found += [(name, entry.key) for name in entry.hostnames or ()] if entry and entry.key else []
    return found


def private_key(text: str) -> paramiko.PKey:
    """Any kind of key that OpenSSH writes, without a passphrase. Raises ConfigurationError, which doesn't show it."""
    kinds: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
    for kind in kinds:
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text))
    raise ConfigurationError("the SSH private key can't be read: must be Ed25519, ECDSA or RSA, without a passphrase")
