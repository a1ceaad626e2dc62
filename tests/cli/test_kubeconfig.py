"""Which cluster, and what is said when it isn't to be had."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cli import kubeconfig
from controller.cli.failure import Failure
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
