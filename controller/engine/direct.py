"""A person's own access to a Docker Engine: look at one Workspace's containers, read their logs, run a command inside.

With the person's credentials, never the controller's: the local socket, the certificates of $DOCKER_CERT_PATH or
~/.docker for TLS, the ssh command with its agent and configuration for SSH. Blocking, for a command-line tool.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import requests
from docker.tls import TLSConfig

from controller import naming
from controller.engine import translate
from controller.engine.connection import API_VERSION, in_its_version
from controller.engine.dockerd import ignored_limits
from controller.engine.failures import engine_failure
from controller.engine.ssh_command import SshCommandAdapter
from controller.errors import ConfigurationError, ContainerGone, HostUnreachable
from controller.observed import Container
from controller.usage import Stats

TIMEOUT = 10  # seconds, for each call
STDOUT, STDERR = 1, 2
_ENDS_WITHIN = 1.0  # seconds from the end of a command's output until the engine knows its exit code, at most
_LOOK_AGAIN = 0.1  # seconds
_RESIZE_TIMEOUT = 1.0  # seconds
_CUT = "the connection was lost; the command goes on in the container: look for it there before you run it again"
_CHUNK = 65536
_FRAME = struct.Struct(">BxxxL")


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines. `tail`: the last so many, None for all; `since`: those after it."""

    follow: bool = False
    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False


class DirectEngine:
    """One engine as a person reaches it. Every method raises WorkspaceError."""

    def __init__(self, endpoint: str) -> None:
        """Connects. Raises HostUnreachable, ConfigurationError (no certificates, no such kind of endpoint)."""
        self.endpoint = endpoint
        with _told("connect"):
            self._client: Any = _client(endpoint)
            self._client.trust_env = False
            self._info = self._ask_first()

    @property
    def ignored_limits(self) -> frozenset[str]:
        """Fields of Limits that the host's kernel drops."""
        return ignored_limits(self._info)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _ask_first(self) -> Any:
        try:
            return in_its_version(self._client, self._client.info)
        except (requests.RequestException, OSError) as error:
            if not self.endpoint.startswith("ssh:"):
                raise
            what = f"ssh found no engine there (what it said is above; try `ssh {self.endpoint} docker version`)"
            raise HostUnreachable(what) from error

    def containers(self, uid: str) -> list[Container]:
        """The containers of a Workspace, in every state; the one that runs (or is the newest) first."""
        with _told("list"):
            rows = self._client.containers(all=True, filters={"label": f"{naming.LABEL_UID}={uid}"})
        found = []
        for row in rows:
            with suppress(ContainerGone), _told("inspect"):
                found.append(translate.container(self._client.inspect_container(row["Id"])))
        return sorted(found, key=lambda c: (c.is_live, c.created_at), reverse=True)

    def stats(self, container: str) -> Stats:
        """One sample. Raises ContainerGone for one that doesn't run."""
        with _told("stats"):
            return translate.stats(self._client.stats(container, stream=False, one_shot=True))

    def logs(self, container: str, query: LogQuery) -> Iterator[bytes]:
        """The output, both streams in order, in pieces as they come."""
        params: dict[str, Any] = {"stdout": 1, "stderr": 1, "follow": int(query.follow)}
        params |= {"timestamps": int(query.timestamps), "tail": "all" if query.tail is None else query.tail}
        if query.since is not None:
            params["since"] = f"{query.since.timestamp():.6f}"
        with _told("logs"):
            url = self._client._url("/containers/{0}/logs", container)
            response = self._client._get(url, params=params, stream=True, timeout=(TIMEOUT, None))
            self._client._raise_for_status(response)
            pieces = response.iter_content(chunk_size=None)  # as they come
            if self._client._check_is_tty(container):
                yield from pieces
                return
            frames = _Frames()
            for piece in pieces:
                yield from (data for _, data in frames.take(piece))

    def run(self, container: str, command: Sequence[str], *, stdin: bool, tty: bool) -> Session:
        """Starts a command inside. Raises EngineError where the engine can't."""
        with _told("exec"):
            made = self._client.exec_create(container, list(command), stdin=stdin, tty=tty)
            url = self._client._url("/exec/{0}/start", made["Id"])
            headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
            body = {"Tty": tty, "Detach": False}
            response = self._client._post_json(url, headers=headers, data=body, stream=True)
            self._client._raise_for_status(response)
        return Session(self._client, made["Id"], response, tty)


class Session:
    """A command that runs inside a container: bytes in, bytes out, and how it ended.

    Use it from one thread: wait with select for `reader`, then `read`; for `writer`, then `send`.
    """

    def __init__(self, client: Any, number: str, response: Any, tty: bool) -> None:
        self._client, self._number, self._response, self._tty = client, number, response, tty
        self._file = response.raw._fp.fp  # buffered: what came with the headers is in it
        self._socket: Any = getattr(self._file.raw, "_sock", None)  # None over SSH: pipes of the ssh process
        self._ssh: Any = getattr(self._file, "channel", None)
        self._frames = _Frames()
        self._first = self._buffered()

    @property
    def reader(self) -> int:
        """The file descriptor to wait on."""
        return int(self._file.fileno())

    @property
    def writer(self) -> int:
        """The file descriptor to wait on before `send`."""
        return int(self._ssh.proc.stdin.fileno() if self._ssh else self._socket.fileno())

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to read that select can't see."""
        return bool(self._first) or bool(hasattr(self._socket, "pending") and self._socket.pending())

    def read(self) -> list[tuple[int, bytes]] | None:
        """(STDOUT or STDERR, bytes) pieces; None at the end. With a terminal all is STDOUT."""
        data, self._first = self._first or self._receive(), b""
        if not data:
            return None
        if self._tty:
            return [(STDOUT, data)]
        return list(self._frames.take(data))

    def send(self, data: bytes) -> int:
        """Sends as much as goes at once; gives how much that was."""
        with _told("exec"):
            if self._ssh:
                return os.write(self.writer, data[: 4096 - 1])  # less than a pipe takes whenever it takes anything
            return int(self._socket.send(data[:_CHUNK]))

    def end_input(self) -> None:
        """No more bytes will come."""
        with suppress(OSError):
            if self._ssh:
                self._ssh.proc.stdin.close()
            else:
                socket.socket.shutdown(self._socket, socket.SHUT_WR)  # an SSLSocket's own would end reading too

    def resize(self, rows: int, columns: int) -> None:
        """Tells the size of the terminal, if the engine takes it soon: bytes wait meanwhile."""
        with suppress(docker.errors.DockerException, requests.RequestException, OSError):
            url = self._client._url("/exec/{0}/resize", self._number)
            self._client._post(url, params={"h": rows, "w": columns}, timeout=_RESIZE_TIMEOUT).close()

    def exit_code(self) -> int:
        """How the command ended. Raises HostUnreachable where it goes on: then it's the connection that ended."""
        until = time.monotonic() + _ENDS_WITHIN
        with _told("exec"):
            while (code := self._client.exec_inspect(self._number)["ExitCode"]) is None:
                if time.monotonic() >= until:
                    raise HostUnreachable(_CUT)
                time.sleep(_LOOK_AGAIN)
        return int(code)

    def _receive(self) -> bytes:
        with _told("exec"):
            return self._socket.recv(_CHUNK) if self._socket else os.read(self.reader, _CHUNK)

    def _buffered(self) -> bytes:
        """What was read together with the headers; from here on the file's buffer isn't used."""
        if self._socket:
            self._socket.settimeout(0)
        else:
            os.set_blocking(self.reader, False)
        try:
            return bytes(self._file.read1(len(self._file.peek()))) if self._file.peek() else b""
        except OSError:  # nothing there yet, in TLS' words
            return b""
        finally:
            if self._socket:
                self._socket.settimeout(None)
            else:
                os.set_blocking(self.reader, True)


class _Frames:
    """Takes apart what an engine sends for a container or command without a terminal: frames of either stream."""

    def __init__(self) -> None:
        self._partial = b""

    def take(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are complete now."""
        self._partial += data
        while len(self._partial) >= _FRAME.size:
            stream, length = _FRAME.unpack_from(self._partial)
            end = _FRAME.size + length
            if len(self._partial) < end:
                return
            yield stream, self._partial[_FRAME.size : end]
            self._partial = self._partial[end:]


def _client(endpoint: str) -> Any:
    scheme, _, rest = endpoint.partition("://")
    common: dict[str, Any] = {"version": "auto", "timeout": TIMEOUT, "max_pool_size": 32}
    if scheme == "unix":
        if not Path(rest).is_socket():
            raise ConfigurationError(f"there is no socket {rest} on this machine")
        return docker.APIClient(endpoint, **common)
    if scheme == "tcp":
        return docker.APIClient(endpoint, **common, tls=_certificates())
    if scheme == "ssh":
        return _ssh_client(endpoint)
    raise ConfigurationError(f"{endpoint!r} is no endpoint: must be unix:///path, tcp://host:port or ssh://user@host")


def _ssh_client(endpoint: str) -> Any:
    if shutil.which("ssh") is None:
        raise ConfigurationError("there is no ssh command on this machine")
    try:
        adapter = SshCommandAdapter(endpoint, TIMEOUT)
    except ValueError as error:
        raise ConfigurationError(f"{endpoint!r} is no endpoint: {error}") from error
    client = docker.APIClient("unix:///ssh", version=API_VERSION, timeout=TIMEOUT)  # asks nothing yet
    client.mount("http+docker://", adapter)
    return client


def _certificates() -> TLSConfig:
    folder = Path(os.environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise ConfigurationError(f"your certificates are missing: {', '.join(missing)} ($DOCKER_CERT_PATH names it)")
    pair = (str(files["cert"]), str(files["key"]))
    return TLSConfig(client_cert=pair, ca_cert=str(files["ca"]), verify=True)


@contextmanager
def _told(kind: str) -> Iterator[None]:
    """Exceptions of the SDK and the network as our own."""
    try:
        yield
    except Exception as error:
        raise engine_failure(error, kind, TIMEOUT) from error
