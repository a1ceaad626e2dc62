"""etcd, kube-apiserver and kube-controller-manager as child processes: a real control plane on 127.0.0.1."""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from devcluster import binaries, files, kubeconfig, ports
from devcluster.pki import Authority, Pair, service_account_key
from devcluster.process import Process, StartError

_CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "clusterrole-aggregation-controller",
    "root-ca-certificate-publisher-controller",
    "validatingadmissionpolicy-status-controller",
)
_PORTS = ("etcd", "etcd-peer", "apiserver", "controller-manager")
_ADMIN_GROUP = "system:masters"
_BIND_RACE = "address already in use"


class ControlPlane:
    """A control plane whose data, keys, ports and logs are in ``directory``; started there again, it goes on.

    Its processes outlive this Python process; another ControlPlane of the same directory finds them.
    """

    def __init__(self, directory: Path, *, fsync: bool = True, apiserver_args: Sequence[str] = ()) -> None:
        """``fsync=False`` is quicker and loses data only when the machine crashes: for tests."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fsync = fsync
        self._apiserver_args = tuple(apiserver_args)
        self._authority = Authority(directory / "pki", "cluster-ca")
        # etcd trusts every certificate of its authority, so it must not be the one that signs users.
        self._etcd_authority = Authority(directory / "pki", "etcd-ca")
        self.service_account_key = service_account_key(directory / "pki" / "service-account.key")
        self._server = self._authority.server("kube-apiserver")
        self._etcd_pair = self._etcd_authority.server("etcd")
        self._configure()

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signs the API server and its users."""
        return self._authority.certificate

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self._ports['apiserver']}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.user_kubeconfig("admin", [_ADMIN_GROUP])

    @property
    def running(self) -> bool:
        """Whether all three processes are there."""
        return all(process.running for process in self._processes())

    def start(self) -> None:
        """Start what does not run and wait until the API server is ready and namespaces work. Raises StartError."""
        binaries.ensure(binaries.CONTROL_PLANE)
        attempts = 3
        while True:
            self._choose_ports()
            try:
                return self._start_once()
            except StartError as error:
                attempts -= 1
                if _BIND_RACE not in str(error) or not attempts:
                    raise
                self.stop()  # those that had their ports: all are chosen anew

    def stop(self) -> None:
        """Stop the processes, the API server before the etcd that it needs; data stays."""
        for process in self._processes():
            process.stop()

    def kill(self) -> None:
        """End the processes at once; for tests that do not need the data again."""
        for process in self._processes():
            process.kill()

    def user_kubeconfig(self, name: str, groups: Sequence[str] = ()) -> Path:
        """The path of a kubeconfig with a client certificate for this user name and these groups."""
        pair = self._authority.client(name, groups)
        path = self.directory / f"{pair.certificate.stem.removeprefix('client-')}.kubeconfig"
        return kubeconfig.with_certificate(path, self.url, self.ca, pair)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """The path of a kubeconfig with a fresh token (24 h) of a ServiceAccount that exists."""
        token = self.kubectl("create", "token", name, "--namespace", namespace, "--duration", "24h").strip()
        path = self.directory / f"serviceaccount-{namespace}-{name}.kubeconfig"
        return kubeconfig.with_token(path, self.url, self.ca, token)

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator and return its stdout. Raises CalledProcessError, stderr in its notes."""
        command = [str(binaries.path("kubectl")), "--kubeconfig", str(self.kubeconfig), *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            error = subprocess.CalledProcessError(done.returncode, ["kubectl", *args], done.stdout, done.stderr)
            error.add_note(done.stderr)
            raise error
        return done.stdout

    def get(self, path: str) -> bytes:
        """GET a path of the API server as administrator, such as ``/metrics``. Raises urllib.error.URLError."""
        return _fetch(self.url + path, self.ca, self._authority.client("admin", [_ADMIN_GROUP]))

    def compact(self) -> None:
        """Forget all history in etcd: a watch that goes on from an old resourceVersion is answered 410 Gone.

        The API server still answers from its watch cache, unless it was started again or has ``--watch-cache=false``.
        """
        header = self._etcd_call("range", {"key": "AA==", "limit": "1"})["header"]
        self._etcd_call("compaction", {"revision": header["revision"], "physical": True})

    def _etcd_call(self, method: str, body: dict[str, Any]) -> Any:
        url = f"https://127.0.0.1:{self._ports['etcd']}/v3/kv/{method}"
        return json.loads(_fetch(url, self._etcd_authority.certificate, self._etcd_pair, json.dumps(body).encode()))

    def _processes(self) -> tuple[Process, Process, Process]:
        return self.controller_manager, self.apiserver, self.etcd

    def _start_once(self) -> None:
        self.etcd.start()
        self.apiserver.start()
        self.controller_manager.start()

    def _choose_ports(self) -> None:
        """Keep the ports of the last time, so that kubeconfigs stay right, unless somebody else has taken one."""
        if not any(process.running for process in self._processes()):
            if not ports.become_free(self._ports.values()):
                self._ports_file.unlink(missing_ok=True)
            self._configure()

    def _configure(self) -> None:
        self._ports = self._read_ports()
        self.etcd = self._etcd()
        self.apiserver = self._apiserver()
        self.controller_manager = self._controller_manager()

    @property
    def _ports_file(self) -> Path:
        return self.directory / "ports.json"

    def _read_ports(self) -> dict[str, int]:
        kept = files.read_json(self._ports_file)
        if isinstance(kept, dict) and all(isinstance(kept.get(name), int) for name in _PORTS):
            return kept
        chosen = {name: ports.free_port() for name in _PORTS}
        files.replace(self._ports_file, json.dumps(chosen).encode())
        return chosen

    def _etcd(self) -> Process:
        client, peer = (f"https://127.0.0.1:{self._ports[name]}" for name in ("etcd", "etcd-peer"))
        pair, ca = self._etcd_pair, self._etcd_authority.certificate
        argv = ["--name=etcd", f"--data-dir={self.directory / 'etcd'}", "--log-level=warn"]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", "--client-cert-auth"]
        argv += [f"--cert-file={pair.certificate}", f"--key-file={pair.key}", f"--trusted-ca-file={ca}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", "--peer-client-cert-auth"]
        argv += [f"--peer-cert-file={pair.certificate}", f"--peer-key-file={pair.key}", f"--peer-trusted-ca-file={ca}"]
        argv += [f"--initial-cluster=etcd={peer}"]
        if not self._fsync:
            argv += ["--unsafe-no-fsync"]
        return self._process("etcd", argv, lambda: b"true" in _fetch(f"{client}/health", ca, pair))

    def _apiserver(self) -> Process:
        pair, etcd = self._server, self._etcd_pair
        argv = ["--bind-address=127.0.0.1", f"--secure-port={self._ports['apiserver']}"]
        argv += [f"--tls-cert-file={pair.certificate}", f"--tls-private-key-file={pair.key}"]
        argv += [f"--client-ca-file={self.ca}", "--authorization-mode=RBAC", "--allow-privileged=true"]
        argv += [f"--etcd-servers=https://127.0.0.1:{self._ports['etcd']}"]
        argv += [f"--etcd-cafile={self._etcd_authority.certificate}"]
        argv += [f"--etcd-certfile={etcd.certificate}", f"--etcd-keyfile={etcd.key}"]
        argv += ["--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16"]
        argv += [f"--service-account-key-file={self.service_account_key}"]
        argv += [f"--service-account-signing-key-file={self.service_account_key}"]
        # No node can reach 127.0.0.1, so the Service "kubernetes" gets no endpoint.
        argv += ["--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        return self._process("kube-apiserver", [*argv, *self._apiserver_args], self._apiserver_ready)

    def _apiserver_ready(self) -> bool:
        return self.get("/readyz") == b"ok"

    def _controller_manager(self) -> Process:
        user = self._authority.client("system:kube-controller-manager")
        config = kubeconfig.with_certificate(self.directory / "controller-manager", self.url, self.ca, user)
        port, pair = self._ports["controller-manager"], self._server
        argv = [f"--kubeconfig={config}", f"--controllers={','.join(_CONTROLLERS)}"]
        argv += ["--use-service-account-credentials"]
        argv += ["--bind-address=127.0.0.1", f"--secure-port={port}", "--leader-elect=false"]
        argv += [f"--tls-cert-file={pair.certificate}", f"--tls-private-key-file={pair.key}"]
        argv += [f"--service-account-private-key-file={self.service_account_key}", f"--root-ca-file={self.ca}"]
        argv += ["--kube-api-qps=200", "--kube-api-burst=400"]
        # A quota on a kind that was declared a moment ago isn't counted before the next round: every 5 min by default.
        argv += ["--resource-quota-sync-period=10s"]
        return self._process("kube-controller-manager", argv, self._namespaces_work)

    def _namespaces_work(self) -> bool:
        return bool(self.get("/api/v1/namespaces/default/serviceaccounts/default"))

    def _process(self, name: str, argv: Sequence[str], ready: Callable[[], bool]) -> Process:
        command = [str(binaries.path(name)), *argv]
        # The API server would wait a minute for the connections of its watchers to end.
        return Process(name, command, self.directory, ready=lambda: _answers(ready), stop_timeout=5.0)


def _answers(ready: Callable[[], bool]) -> bool:
    try:
        return bool(ready())
    except OSError:  # URLError, connection refused, timeout
        return False


def _fetch(url: str, ca: Path, user: Pair, body: bytes | None = None) -> bytes:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(user.certificate, user.key)
    with urllib.request.urlopen(url, data=body, context=context, timeout=5) as answer:
        content: bytes = answer.read()
        return content
