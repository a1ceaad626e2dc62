"""One connection pool to a Docker Engine: the SDK's client over a unix socket, TLS or SSH, that can be cut off.

A thread that waits in a socket can only be woken by shutting that socket down, so each one is known here.
"""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import requests
from docker.tls import TLSConfig
from docker.transport import UnixHTTPAdapter
from requests.adapters import HTTPAdapter

from controller.engine.failures import version_asked_for
from controller.errors import ConfigurationError

T = TypeVar("T")
API_VERSION = "1.41"  # Docker 20.10's; most engines still speak it, others (29.0 to 29.2) say what they ask for
CONNECT_TIMEOUT = 4.0  # seconds, until the host has accepted the connection
ONE_POOL = "http+docker://localhost"  # of all paths; the SDK has a pool for each, and would connect for each container


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the authority of the engine's certificate, and our own client certificate."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SshAccess:
    """A private key and the known_hosts lines of the host, as text. Unknown hosts are refused."""

    private_key: str = field(repr=False)
    known_hosts: str


class Connection:
    """A pool of sockets to one engine, usable from many threads. Opened by its first request."""

    def __init__(
        self, endpoint: str, tls: TlsFiles | None = None, ssh: SshAccess | None = None, *, pool_size: int = 1
    ) -> None:
        self._endpoint, self._tls, self._ssh, self._pool_size = endpoint, tls, ssh, pool_size
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self._logins: weakref.WeakSet[Any] = weakref.WeakSet()  # sockets that carry those of SSH
        self._known = threading.Lock()  # of these two sets; never held for long
        self._client: Any = None
        self._lock = threading.Lock()
        self._aborted = False
        self.asked = threading.local()  # `fresh`: whether this thread's request wants a new connection

    def request(
        self,
        method: str,
        path: str,
        *args: str,
        timeout: float,
        params: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        versioned: bool = True,
        fresh: bool = False,
    ) -> requests.Response:
        """One request; `args` fill the braces of `path`. Raises the SDK's and requests' exceptions.

        `fresh`: on a connection that is made for it. An engine that is stopping accepts none, but still does all that
        it is asked for on those that are open.
        """
        client = self._connected()
        self.asked.fresh = fresh

        def ask() -> requests.Response:
            response: requests.Response = client.request(
                method,
                client._url(path, *args, versioned_api=versioned),
                params=params,
                json=body,
                headers=headers,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                stream=stream,
            )
            client._raise_for_status(response)
            return response

        return in_its_version(client, ask)

    def wait_forever(self) -> None:
        """From now on a read may take as long as it likes: for streams, once they are open."""
        with self._known:
            sockets = list(self._sockets)
        for sock in sockets:
            sock.settimeout(None)

    def abort(self) -> None:
        """Wakes every thread that waits for an answer, with an error; no request can be made any more. Never waits:
        a login that is under way goes on to its end, and then to nothing."""
        self._aborted = True
        with self._known:
            sockets = list(self._logins) or list(self._sockets)  # to shut a channel down takes an answer of the host
        for sock in sockets:
            with suppress(OSError, EOFError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes what is open, after `abort`. May wait for a login that is under way."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def track(self, sock: Any, *, login: bool = False) -> None:
        """A socket was opened; `login`: one that carries others, and is gone when they are."""
        with self._known:
            (self._logins if login else self._sockets).add(sock)
        if self._aborted:
            sock.close()

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None and not self._aborted:
                self._client = self._make()
            if self._aborted:  # perhaps while it was made
                raise requests.exceptions.ConnectionError("the connection is closed")
            return self._client

    def _make(self) -> Any:
        scheme, _, rest = self._endpoint.partition("://")
        if scheme == "unix":
            client = docker.APIClient(base_url=self._endpoint, version=API_VERSION)
            client.mount("http+docker://", _UnixAdapter(self, f"http+unix://{rest}", self._pool_size))
        elif scheme == "tcp" and self._tls:
            files = TLSConfig(
                client_cert=(str(self._tls.certificate), str(self._tls.key)), ca_cert=str(self._tls.ca), verify=True
            )
            client = docker.APIClient(base_url=self._endpoint, version=API_VERSION, tls=files)
            client.mount("https://", _TlsAdapter(self, self._pool_size))
        elif scheme == "ssh" and self._ssh:
            from controller.engine.ssh import SshAdapter

            # Made for a unix socket, as the SDK would log in with whatever keys the controller's own user has.
            client = docker.APIClient(base_url="unix:///ssh", version=API_VERSION)
            client.mount("http+docker://", SshAdapter(self, self._endpoint, self._ssh, self._pool_size))
        else:
            raise ConfigurationError(
                f"endpoint {self._endpoint!r}: must be unix:///path, tcp://host:port with TLS, or ssh://user@host"
            )
        client.trust_env = False  # no proxies, no .netrc
        return client


def in_its_version(client: Any, ask: Callable[[], T]) -> T:
    """What `ask` gives; once more, in another version of the API, where the engine refuses this one. It has done
    nothing then. An engine that was renewed meanwhile may ask for another version than before, too."""
    try:
        return ask()
    except docker.errors.APIError as error:
        version = version_asked_for(error)
        if version is None or _number(version) < _number(API_VERSION):
            raise
        client._version = version
        return ask()


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


class Tracked(HTTPAdapter):
    """Tells the Connection of each socket that is opened, and opens one anew where a request asks for that."""

    connection: Connection

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not hasattr(pool, "tracked"):
            pool.tracked = True
            pool._new_conn = self._tracking(pool._new_conn)
            pool._get_conn = self._renewing(pool._get_conn)
        return pool

    def _renewing(self, take: Any) -> Any:
        def take_for_request(*args: Any, **kwargs: Any) -> Any:
            taken = take(*args, **kwargs)
            if self.connection.asked.fresh:
                taken.close()  # it connects again when it is used
            return taken

        return take_for_request

    def _tracking(self, new_connection: Any) -> Any:
        def make() -> Any:
            made = new_connection()
            connect = made.connect

            def connect_and_tell() -> None:
                connect()
                self.connection.track(made.sock)

            made.connect = connect_and_tell
            return made

        return make


class _UnixAdapter(Tracked, UnixHTTPAdapter):
    def __init__(self, connection: Connection, url: str, pool_size: int) -> None:
        self.connection = connection
        UnixHTTPAdapter.__init__(self, url, max_pool_size=pool_size)

    def get_connection(self, url: Any, proxies: Any = None) -> Any:
        return super().get_connection(ONE_POOL, proxies)


class _TlsAdapter(Tracked):
    def __init__(self, connection: Connection, pool_size: int) -> None:
        self.connection = connection
        super().__init__(pool_maxsize=pool_size)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # A host that vanished without a word must not hold a quiet event stream for ever.
        options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        ]
        super().init_poolmanager(*args, **kwargs, socket_options=options)
