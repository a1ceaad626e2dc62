"""Which cluster, and what is said when it isn't to be had."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli import kubeconfig
from controller.cli.cluster import Cluster
from controller.cli.failure import Failure
from controller.cli.options import Asked
from devcluster.ports import free_port
from tests.cli.commands import run


def write(path: Path, name: str, server: str = "https://127.0.0.1:1", **user: Any) -> Path:
    """A kubeconfig with one context."""
    content = {
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_variable_kubeconfig_may_name_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write(tmp_path / "a", "a"), tmp_path / "missing", write(tmp_path / "b", "b")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
    assert kubeconfig.load(None, None).namespace == "ns-a"
    assert kubeconfig.load(None, "b").namespace == "ns-b"


def test_files_that_a_kubeconfig_names_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "pki").mkdir()
    for name in ("pki/me.crt", "me.key"):
        (tmp_path / name).touch()
    key = str(tmp_path / "me.key")
    path = write(tmp_path / "a", "a", **{"client-certificate": "pki/me.crt", "client-key": key})
    user = kubeconfig.load(path, None).user
    assert user is not None
    assert (user.client_cert, user.client_key) == (str(tmp_path / "pki/me.crt"), key)


def test_a_current_credential_plugin_is_used(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "get-token"}
    user = kubeconfig.load(write(tmp_path / "a", "a", exec=plugin), None).user
    assert user is not None
    assert user.exec is not None
    assert user.exec.env is not None
    assert [variable.name for variable in user.exec.env] == ["KUBERNETES_EXEC_INFO"]


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"'b' not found: the contexts are a; choose one with --context"):
        kubeconfig.load(write(tmp_path / "a", "a"), "b")


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "a",
        "clusters: 5",
        "clusters: [{name: a}]",
        "users: [5]",
        "contexts: [5]",
        "contexts: [{context: {}}]",
        "\x00",
        "{}",
    ],
    ids=repr,
)
def test_a_broken_kubeconfig_is_told_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "broken").write_text(content)
    answer = run("list", "--kubeconfig", str(tmp_path / "broken"))
    assert answer.code == 1
    assert answer.err.startswith("Error: ")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("entry", ["user", "cluster"])
def test_a_context_of_what_is_not_there_is_told(entry: str, tmp_path: Path) -> None:
    content = yaml.safe_load(write(tmp_path / "a", "a").read_text())
    content["contexts"][0]["context"][entry] = "nobody"
    (tmp_path / "a").write_text(yaml.safe_dump(content))
    with pytest.raises(Failure, match=r"a context of .*/a names 'nobody', which is no cluster or user there"):
        kubeconfig.load(tmp_path / "a", None)


def test_a_missing_file_of_a_kubeconfig_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "a", **{"client-certificate": "me.crt", "client-key": "me.key"})
    answer = run("list", "--kubeconfig", str(path))
    assert (answer.code, answer.err) == (
        1,
        f"Error: the kubeconfig {path} names the file {tmp_path}/me.crt, which is not there\n",
    )


def test_no_kubeconfig_is_told_with_what_to_do(tmp_path: Path) -> None:
    answer = run("list", env={"KUBECONFIG": str(tmp_path / "none")})
    assert (
        answer.err
        == f"Error: no kubeconfig at {tmp_path}/none: name one with --kubeconfig or the variable KUBECONFIG\n"
    )


@pytest.mark.parametrize(
    "verb", [("list",), ("stop", "a"), ("watch",), ("plan", "a"), ("logs", "a"), ("top",)], ids=" ".join
)
def test_an_api_server_that_does_not_answer_is_told_in_one_line(verb: tuple[str, ...], tmp_path: Path) -> None:
    server = f"https://127.0.0.1:{free_port()}"
    answer = run(*verb, "--kubeconfig", str(write(tmp_path / "a", "a", server)))
    assert answer.code == 1
    assert answer.err.startswith(f"Error: the API server {server} can't be reached")
    assert len(answer.err.splitlines()) == 1


def test_a_credential_plugin_that_is_not_installed_is_told(tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}
    answer = run("list", "--kubeconfig", str(write(tmp_path / "a", "a", exec=plugin)))
    assert answer.code == 1
    assert "no-such-plugin" in answer.err


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ('{"status": {"clientCertificateData": "a", "clientKeyData": "b"}}', "must give a token (status.token)"),
        ('{"status": {"token": ""}}', "must give a token (status.token)"),
        ('{"kind": "ExecCredential"}', "must give a token (status.token)"),
        ('{"status": null}', "must give a token (status.token)"),
        ("[]", "must give a token (status.token)"),
        ("log in first", "printed no JSON"),
    ],
)
def test_a_credential_plugin_that_gives_no_token_is_told(printed: str, told: str, tmp_path: Path) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "echo", "args": [printed]}
    answer = run("list", "--kubeconfig", str(write(tmp_path / "a", "a", exec=plugin)))
    assert answer.code == 1
    assert answer.err.startswith(f"Error: the credential plugin 'echo' of the kubeconfig {told}")
    assert len(answer.err.splitlines()) == 1


def test_a_server_that_is_no_url_is_told(tmp_path: Path) -> None:
    answer = run("list", "--kubeconfig", str(write(tmp_path / "a", "a", "http://[::1")))
    assert answer.code == 1
    assert answer.err.startswith("Error: the server 'http://[::1' of the kubeconfig is no URL")


def test_a_certificate_that_is_no_base64_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a", "a", **{"client-certificate-data": "a", "client-key-data": "a"})
    answer = run("list", "--kubeconfig", str(path))
    assert answer.code == 1
    assert answer.err.startswith("Error: the credentials of the kubeconfig can't be used: ")


def test_a_kubeconfig_may_be_a_pipe(tmp_path: Path) -> None:
    server = f"https://127.0.0.1:{free_port()}"
    script = '"$0" -c "from controller.cli import main; main()" list --kubeconfig <(cat "$1")'
    command = ["bash", "-c", script, sys.executable, str(write(tmp_path / "a", "a", server))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"Error: the API server {server} can't be reached")
    write(tmp_path / "a", "a", server, **{"client-certificate": "me.crt", "client-key": "me.key"})
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("me.crt, which is not there: a pipe has no folder, so give whole paths in it\n")


def test_completion_leaves_a_pipe_to_the_command(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    assert kubeconfig.is_a_pipe(tmp_path / "a")
    assert kubeconfig.contexts(tmp_path / "a") == []
    assert not kubeconfig.is_a_pipe(write(tmp_path / "b", "b"))


def test_no_kubeconfig_at_all_is_what_dev_null_means() -> None:
    assert run("list", env={"KUBECONFIG": "/dev/null"}).err.startswith("Error: no kubeconfig at /dev/null: ")


ANSWERS = {
    "a page": (200, {"Content-Type": "text/html"}, b"<html>log in</html>"),
    "nothing": (200, {}, b""),
    "other JSON": (200, {"Content-Type": "application/json"}, b'{"status": "ok"}'),
    "an error that is no JSON": (502, {"Content-Type": "application/json"}, b"oh"),
    "a redirection": (302, {"Location": "/login"}, b""),
    "a redirection with a page": (302, {"Location": "/login", "Content-Type": "text/html"}, b"<html></html>"),
}


@contextmanager
def answering(code: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """A server that answers everything so; its address."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("words", ANSWERS)
def test_what_is_no_kubernetes_api_is_told_in_one_line(words: str, tmp_path: Path) -> None:
    with answering(*ANSWERS[words]) as server:
        path = write(tmp_path / "a", "a", server)
        for verb in (("list",), ("list", "a"), ("describe", "a"), ("stop", "a"), ("watch",), ("plan", "a"), ("top",)):
            answer = run(*verb, "--kubeconfig", str(path))
            assert answer.code == 1
            assert answer.err.startswith(f"Error: what answered at {server} is no Kubernetes API (")
            assert len(answer.err.splitlines()) == 1
        cluster = Cluster(Asked(kubeconfig=path))
        for ask in (
            lambda: cluster.patch("Workspace", "a", "b", {}),
            lambda: cluster.create({"kind": "WorkspaceOperation", "metadata": {"namespace": "b"}}),
            lambda: cluster.events("b", "u"),
        ):
            with pytest.raises(Failure, match="is no Kubernetes API"):
                ask()
