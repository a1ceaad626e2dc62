"""A tenant wants another tenant's host; somebody on the wire wants to be a host."""

import contextlib
import io
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from devcluster import Engine
from devcluster.pki import Authority, Pair
from tests.security.stack import PATIENCE, SYSTEM, Stack, Tenant
from tests.waiting import eventually

other_host = pytest.mark.threat("another tenant's host")
remote = pytest.mark.threat("remote Docker")
_TLS_HANDSHAKE = 0x16


class Wire:
    """A server on 127.0.0.1 or beside it that keeps what it is sent, and passes it on where it has a target."""

    def __init__(self, address: str = "127.0.0.1", target: int | None = None) -> None:
        self._server = socket.create_server((address, 0))
        self._target = target
        self.endpoint = f"tcp://{address}:{self._server.getsockname()[1]}"
        self.received: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Ends the server and its thread."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                connection.settimeout(3.0)
                with connection, contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        self.received.append(data)
        if self._target is None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nApi-Version: 1.41\r\n\r\nOK")
            return
        with socket.create_connection(("127.0.0.1", self._target), timeout=3.0) as upstream:
            while data:
                upstream.sendall(data)
                connection.sendall(upstream.recv(65536))
                data = connection.recv(65536)
                self.received.append(data)


@pytest.fixture
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """A plain server."""
    server = Wire()
    yield server
    server.close()


def _secret(stack: Stack, name: str, authority: Path, pair: Pair) -> None:
    data = {"ca.crt": authority.read_text(), "tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
    body = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "stringData": data}
    metadata = {"metadata": {"name": name, "namespace": SYSTEM}}
    stack.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body | metadata))


@pytest.fixture(scope="module")
def bobs_host(stack: Stack, remote_engine: Engine) -> str:
    """A host that lists bob's namespace alone, reached by TLS."""
    _secret(stack, "bobs", remote_engine.ca, remote_engine.client_certificate())
    policy = stack.policy(namespaces={"matchNames": ["team-b"]})
    spec = {"endpoint": remote_engine.tcp_endpoint, "tlsSecretRef": {"name": "bobs"}, "policy": policy}
    stack.apply_host("bobs", spec)
    eventually(lambda: stack.host_ready("bobs")["status"] == "True", PATIENCE)
    return "bobs"


@other_host
def test_a_host_that_does_not_list_the_namespace_is_refused(
    stack: Stack, remote_engine: Engine, bobs_host: str, alice: Tenant, bob: Tenant
) -> None:
    message = stack.refusal(alice, "intruder", {"host": bobs_host})
    assert "policy.namespaces" in message
    assert remote_engine.docker("ps", "-aq") == ""
    bob.apply("at-home", {"host": bobs_host})
    eventually(lambda: remote_engine.docker("ps", "-q"), PATIENCE)


@other_host
def test_a_workspace_does_not_move_to_another_host(stack: Stack, bobs_host: str, alice: Tenant) -> None:
    stack.start(alice, "mover")
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        alice.apply("mover", {"host": bobs_host})
    assert "spec.host" in refusal.value.stderr


@other_host
def test_a_tenant_labels_no_namespace_into_a_host(stack: Stack, alice: Tenant) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        alice.kubectl("label", "namespace", "team-a", "tier=trusted")
    assert "orbidden" in refusal.value.stderr


@other_host
def test_a_host_that_lists_nobody_is_for_nobody(stack: Stack, alice: Tenant) -> None:
    stack.apply_host("nobodys", {"endpoint": "unix:///run/nobodys.sock"})
    try:
        assert "policy.namespaces" in stack.refusal(alice, "intruder", {"host": "nobodys"})
    finally:
        stack.delete_host("nobodys")


def _never_ready(stack: Stack, name: str, spec: dict[str, object]) -> str:
    """Why the host isn't ready, once the controller has tried it."""
    stack.apply_host(name, spec | {"policy": stack.policy()})
    try:

        def told() -> str:
            condition = stack.host_ready(name)
            assert condition["status"] != "True"
            assert condition["reason"] not in ("Pending", "Connecting")
            return str(condition["message"])

        return eventually(told, PATIENCE)
    finally:
        stack.delete_host(name)


@remote
@pytest.mark.parametrize(
    "spec",
    [
        {"endpoint": "tcp://127.0.0.1:2375"},
        {"endpoint": "tcp://127.0.0.1:2376"},
        {"endpoint": "http://127.0.0.1:2375"},
        {"endpoint": "https://127.0.0.1:2376"},
        {"endpoint": "npipe:////./pipe/docker_engine"},
        {"endpoint": "127.0.0.1:2375"},
        {"endpoint": "TCP://127.0.0.1:2375"},
        {"endpoint": "ssh://root@127.0.0.1"},
        {"endpoint": "ssh://-oProxyCommand=id@127.0.0.1"},
        {"endpoint": "unix://../docker.sock"},
        {"endpoint": "tcp://127.0.0.1:2376", "tlsVerify": False},
        {"endpoint": "tcp://127.0.0.1:2376", "tlsSecretRef": {"name": "x", "namespace": "team-a"}},
    ],
    ids=str,
)
def test_an_unverified_endpoint_is_refused(stack: Stack, spec: dict[str, object]) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        stack.apply_host("unverified", spec)
    assert "spec." in refusal.value.stderr


@remote
def test_a_server_of_another_authority_is_refused(stack: Stack, remote_engine: Engine, tmp_path: Path) -> None:
    other = Authority(tmp_path / "pki", "other-ca")
    _secret(stack, "other-ca", other.certificate, remote_engine.client_certificate())
    spec = {"endpoint": remote_engine.tcp_endpoint, "tlsSecretRef": {"name": "other-ca"}}
    assert "certificate" in _never_ready(stack, "other-ca", spec).lower()


@remote
def test_a_server_of_another_name_is_refused(stack: Stack, remote_engine: Engine) -> None:
    """The certificate is for 127.0.0.1, and the server is reached as 127.0.0.2."""
    relay = Wire("127.0.0.2", int(remote_engine.tcp_endpoint.rpartition(":")[2]))
    try:
        _secret(stack, "other-name", remote_engine.ca, remote_engine.client_certificate())
        spec = {"endpoint": relay.endpoint, "tlsSecretRef": {"name": "other-name"}}
        assert "certificate" in _never_ready(stack, "other-name", spec).lower()
        assert relay.received
    finally:
        relay.close()


@remote
def test_a_client_of_another_authority_is_refused_by_the_host(
    stack: Stack, remote_engine: Engine, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "pki", "other-ca")
    _secret(stack, "other-client", remote_engine.ca, other.client("intruder"))
    spec = {"endpoint": remote_engine.tcp_endpoint, "tlsSecretRef": {"name": "other-client"}}
    why = _never_ready(stack, "other-client", spec)
    assert why.startswith("no connection to the engine"), why  # not that it is the same engine as another's


@remote
def test_keys_that_are_rotated_are_taken_without_a_restart(
    stack: Stack, remote_engine: Engine, bobs_host: str, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "pki", "other-ca")
    _secret(stack, "rotated", other.certificate, other.client("old"))
    spec = {"endpoint": remote_engine.tcp_endpoint, "tlsSecretRef": {"name": "rotated"}, "policy": stack.policy()}
    stack.apply_host("rotated", spec)
    try:
        eventually(lambda: "certificate" in stack.host_ready("rotated")["message"].lower(), PATIENCE)
        _secret(stack, "rotated", remote_engine.ca, remote_engine.client_certificate())
        # Now it gets through, and learns that this engine is another DockerHost's already.
        eventually(lambda: stack.host_ready("rotated")["reason"] == "DuplicateEngine", PATIENCE)
        assert bobs_host in stack.host_ready("rotated")["message"]
    finally:
        stack.delete_host("rotated")


@remote
def test_nothing_is_ever_said_in_the_clear(stack: Stack, remote_engine: Engine, wire: Wire) -> None:
    _secret(stack, "clear", remote_engine.ca, remote_engine.client_certificate())
    _never_ready(stack, "clear", {"endpoint": wire.endpoint, "tlsSecretRef": {"name": "clear"}})
    assert wire.received
    assert all(data[0] == _TLS_HANDSHAKE for data in wire.received if data)


@remote
def test_keys_that_are_missing_are_told(stack: Stack, wire: Wire) -> None:
    message = _never_ready(stack, "keyless", {"endpoint": wire.endpoint, "tlsSecretRef": {"name": "no-such-secret"}})
    assert "no-such-secret" in message
    assert wire.received == []


@remote
def test_keys_are_read_from_the_controllers_namespace_alone(
    stack: Stack, remote_engine: Engine, alice: Tenant, wire: Wire
) -> None:
    pair = remote_engine.client_certificate()
    data = {"ca.crt": remote_engine.ca.read_text(), "tls.crt": pair.certificate.read_text()}
    alice.secret("planted", data | {"tls.key": pair.key.read_text()}, "kubernetes.io/tls")
    message = _never_ready(stack, "planted", {"endpoint": wire.endpoint, "tlsSecretRef": {"name": "planted"}})
    assert "planted" in message
    assert wire.received == []


class SshServer(paramiko.ServerInterface):
    """An SSH server with a host key of its own, which counts who wants to log in."""

    def __init__(self) -> None:
        self.key = paramiko.ECDSAKey.generate()
        self.logins = 0
        self.seen = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Nobody gets in, but who comes as far as here has trusted our host key."""
        self.logins += 1
        return int(paramiko.AUTH_FAILED)

    def close(self) -> None:
        """Ends the server and its threads."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
        for transport in self._transports:
            transport.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.seen += 1
                transport = paramiko.Transport(connection)
                self._transports.append(transport)
                transport.add_server_key(self.key)
                with contextlib.suppress(paramiko.SSHException, EOFError):
                    transport.start_server(threading.Event(), self)


@pytest.fixture
def ssh_server() -> Iterator[SshServer]:
    """Somebody on the wire who says that they are the host."""
    server = SshServer()
    yield server
    server.close()


def _ssh_host(stack: Stack, server: SshServer, known: paramiko.PKey | None) -> str:
    """What a host behind `server` is refused with, when `known` is the key that the Secret says it has."""
    private = io.StringIO()
    paramiko.ECDSAKey.generate().write_private_key(private)
    line = f"[127.0.0.1]:{server.port} {known.get_name()} {known.get_base64()}\n" if known else "# nobody is known\n"
    data = {"ssh-privatekey": private.getvalue(), "known_hosts": line}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "by-ssh"}, "stringData": data}
    stack.admin.apply(f"/api/v1/namespaces/{SYSTEM}/secrets", body)
    endpoint = f"ssh://root@127.0.0.1:{server.port}"
    return _never_ready(stack, "by-ssh", {"endpoint": endpoint, "sshSecretRef": {"name": "by-ssh"}})


@remote
@pytest.mark.parametrize("known", ["another key", "no key"])
def test_an_unknown_host_key_is_refused_before_any_login(stack: Stack, ssh_server: SshServer, known: str) -> None:
    assert _ssh_host(stack, ssh_server, paramiko.ECDSAKey.generate() if known == "another key" else None)
    assert ssh_server.seen > 0
    assert ssh_server.logins == 0


@remote
def test_a_host_that_refuses_our_key_is_told_without_it(stack: Stack, ssh_server: SshServer) -> None:
    message = _ssh_host(stack, ssh_server, ssh_server.key)
    assert ssh_server.logins > 0
    assert "PRIVATE KEY" not in message
