"""SSH by the user's own ssh command, as the SDK does it, but with an end to the wait for a host that doesn't answer."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any
from urllib.parse import urlsplit

from docker.transport import SSHHTTPAdapter
from docker.transport.sshconn import SSHConnection, SSHConnectionPool, SSHSocket

CONNECT_TIMEOUT = 10  # seconds until the host has answered; what the user types meanwhile does not count
ALIVE_INTERVAL, ALIVE_COUNT = 5, 3  # seconds between signs of life that are asked for, and how many may be missed
_NOT_FOR_SSH = ("LD_LIBRARY_PATH", "SSL_CERT_FILE")  # made for this Python


class SshCommandAdapter(SSHHTTPAdapter):
    """Each connection is an ssh process that runs `docker system dial-stdio` on the host."""

    def __init__(self, endpoint: str, timeout: int) -> None:
        """Connects nothing yet. Raises ValueError for an endpoint that isn't ssh://[user@]host[:port]."""
        super().__init__(endpoint, timeout=timeout, shell_out=True)
        arguments(self.ssh_host)

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        return _Pool(timeout=self.timeout, maxsize=self.max_pool_size, host=self.ssh_host)


class _Pool(SSHConnectionPool):
    timeout: Any

    def _new_conn(self) -> Any:
        return _Connection(timeout=self.timeout, host=self.ssh_host)


class _Connection(SSHConnection):
    sock: Any

    def connect(self) -> None:
        self.sock = _Pipe(str(self.ssh_host))
        self.sock.connect()


class _Pipe(SSHSocket):
    proc: Any

    def __init__(self, host: str) -> None:
        super().__init__("")
        self.arguments = arguments(host)

    def connect(self) -> None:  # type: ignore[override]
        self.proc = subprocess.Popen(
            self.arguments,
            env={name: value for name, value in os.environ.items() if name not in _NOT_FOR_SSH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=_ignore_interrupts,
        )


def arguments(host: str) -> list[str]:
    """The command for `[user@]host[:port]`. Raises ValueError."""
    target = urlsplit(f"ssh://{host}")
    if not target.hostname or target.path.strip("/"):
        raise ValueError("must be ssh://user@host or ssh://user@host:port")
    options = {"ConnectTimeout": CONNECT_TIMEOUT, "ServerAliveInterval": ALIVE_INTERVAL}
    options["ServerAliveCountMax"] = ALIVE_COUNT
    command = ["ssh", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    if target.username:
        command += ["-l", target.username]
    if target.port:
        command += ["-p", str(target.port)]
    return [*command, "--", target.hostname, "docker system dial-stdio"]


def _ignore_interrupts() -> None:
    """Ctrl-C is for the command inside, not for the connection to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
