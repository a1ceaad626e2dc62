"""logs, exec and top: straight to the engine, as the user."""

import os
import pty
import select
import subprocess
import termios
import time
from pathlib import Path

import pytest

from devcluster import Engine
from tests.cli.conftest import Desk
from tests.waiting import eventually


def plugin(desk: Desk, verb: str, *args: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    """`kubectl workspace` as a process of its own, in the desk's namespace."""
    command = ["kubectl", "workspace", verb, "-n", desk.namespace, *args]
    return subprocess.run(
        command, input=stdin, capture_output=True, env=desk.environment | env, timeout=120, check=False
    )


def test_logs_are_the_containers_output(shared: Desk) -> None:
    assert shared.ok("logs", "calm") == "one\ntwo\n"
    assert shared.ok("logs", "calm", "--tail", "1") == "two\n"
    assert shared.ok("logs", "calm", "--since", "2099-01-01T00:00:00Z") == ""
    assert shared.ok("logs", "calm", "--timestamps").startswith("20")


def test_logs_of_a_terminal_are_printed_too(desk: Desk) -> None:
    desk.apply("t", {"command": ["sh", "-c", "echo hello; sleep 3600"]})
    desk.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "workspace/t")
    eventually(lambda: desk.ok("logs", "t") == "hello\n")


def test_logs_are_followed_until_the_container_ends(desk: Desk) -> None:
    desk.running("a")
    process = subprocess.Popen(
        ["kubectl", "workspace", "logs", "-f", "a", "-n", desk.namespace],
        stdout=subprocess.PIPE,
        env=desk.environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    desk.ok("stop", "a", "--wait")
    assert process.stdout.read() == b"two\n"
    assert process.wait(60) == 0
    process.stdout.close()


def test_a_host_that_is_out_of_reach_is_told_with_what_to_do(shared: Desk) -> None:
    for verb, *options in (("logs",), ("exec", "-i"), ("top",)):
        answer = shared(verb, "calm", *options, "--endpoint", "unix:///nowhere.sock")
        assert answer.code == 1
        assert "there is no socket /nowhere.sock on this machine" in answer.err
        assert "--endpoint" in answer.err
        assert len(answer.err.splitlines()) == 1


def test_another_engine_is_told_from_the_right_one(shared: Desk, new_engine) -> None:  # type: ignore[no-untyped-def]
    answer = shared("logs", "calm", "--endpoint", new_engine().endpoint)
    assert answer.code == 1
    assert "is it the engine of that host?" in answer.err


def test_one_without_a_container_is_told_why(desk: Desk) -> None:
    desk.apply("a", {"desiredState": "Stopped"})
    eventually(lambda: desk.get("a")["status"]["phase"] == "Stopped")
    answer = desk("exec", "a", "--", "ls")
    assert answer.code == 1
    assert "has no container: it is Stopped" in answer.err


def test_exec_gives_both_streams_and_the_exit_code(shared: Desk) -> None:
    done = plugin(shared, "exec", "calm", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_exec_of_a_missing_command_says_so(shared: Desk) -> None:
    done = plugin(shared, "exec", "calm", "--", "no-such-command")
    assert done.returncode in (1, 126, 127)
    assert b"no-such-command" in done.stdout + done.stderr


def test_exec_passes_stdin_through_to_its_end(shared: Desk) -> None:
    data = os.urandom(3_000_000)
    assert plugin(shared, "exec", "-i", "calm", "--", "cat", stdin=data).stdout == data


def test_exec_through_tls_uses_the_users_certificates(desk: Desk, new_engine, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    secure: Engine = new_engine(tls=True)
    for name, path in zip(("ca", "cert", "key"), (secure.ca, *_pair(secure)), strict=True):
        (tmp_path / f"{name}.pem").write_bytes(path.read_bytes())
    container = _foreign_container(desk, secure)
    args = ("a", "--endpoint", secure.tcp_endpoint, "--", "cat")
    done = plugin(desk, "exec", "-i", *args, stdin=b"x" * 100_000, DOCKER_CERT_PATH=str(tmp_path))
    assert (done.stdout, done.stderr) == (b"x" * 100_000, b"")
    refused = plugin(desk, "exec", "-i", *args, DOCKER_CERT_PATH=str(tmp_path / "none"))
    assert b"your certificates are missing" in refused.stderr
    secure.docker("rm", "-f", container)


def test_exec_through_ssh_uses_the_users_ssh(desk: Desk, engine: Engine, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"  # stands for OpenSSH: what it would run on the host is the engine's dial-stdio
    ssh.write_text(f"#!/bin/sh\nexec docker --host {engine.endpoint} system dial-stdio\n")
    ssh.chmod(0o755)
    desk.running("a")
    path = f"{tmp_path}:{desk.environment['PATH']}"
    args = ("exec", "-i", "a", "--endpoint", "ssh://alice@host", "--", "sh", "-c", "cat; echo end >&2")
    done = plugin(desk, *args, stdin=b"x" * 100_000, PATH=path)
    assert (done.stdout, done.stderr) == (b"x" * 100_000, b"end\n")


def test_a_host_that_ssh_does_not_reach_is_given_up_soon_and_told(shared: Desk, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/args\necho "ssh: connect to host: timed out" >&2\nexit 255\n')
    ssh.chmod(0o755)
    path = f"{tmp_path}:{shared.environment['PATH']}"
    done = plugin(shared, "logs", "calm", "--endpoint", "ssh://alice@host:2222", PATH=path)
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert first == "ssh: connect to host: timed out"
    assert "ssh found no engine there" in second
    assert "`ssh ssh://alice@host:2222 docker version`" in second
    options, _, target = (tmp_path / "args").read_text().partition("--")
    assert "-o ConnectTimeout=10" in options
    assert options.endswith("-l alice -p 2222 ")
    assert target == " host docker system dial-stdio\n"


@pytest.mark.parametrize("endpoint", ["ssh://", "ssh://host/path", "ssh://host:99999", "http://host", "host"])
def test_an_endpoint_that_can_not_be_one_is_told_with_its_form(shared: Desk, endpoint: str) -> None:
    answer = shared("logs", "calm", "--endpoint", endpoint)
    assert answer.code == 1
    assert f"'{endpoint}' is no endpoint" in answer.err
    assert len(answer.err.splitlines()) == 1


def _pair(engine: Engine) -> tuple[Path, Path]:
    pair = engine.client_certificate("alice")
    return pair.certificate, pair.key


def _foreign_container(desk: Desk, engine: Engine) -> str:
    """A Workspace whose container is on another engine than its DockerHost's: as if reached in another way."""
    desk.apply("a", {"desiredState": "Stopped"})
    uid = desk.get("a")["metadata"]["uid"]
    return engine.docker(
        "run", "-d", "--network=none", "--label", f"aicli.dev/uid={uid}", "alpine", "sleep", "600"
    ).strip()


def test_exec_with_a_terminal(shared: Desk) -> None:
    """Size, keys, Ctrl-C for the command and not for us, and the terminal as before at the end."""
    pid, terminal = pty.fork()
    if pid == 0:
        command = ["kubectl", "workspace", "exec", "-it", "-n", shared.namespace, "calm", "--", "sh"]
        os.execvpe(command[0], command, shared.environment)
    termios.tcsetwinsize(terminal, (24, 80))
    _read_until(terminal, "# ")
    os.write(terminal, b"echo size $(stty size) end\n")
    assert "size 24 80 end" in _read_until(terminal, "size 24 80 end")
    os.write(terminal, b"sleep 100\n")
    time.sleep(1)  # the key must meet a command that runs; there is nothing to see
    os.write(terminal, b"\x03")
    os.write(terminal, b"echo still; exit 3\n")
    _read_until(terminal, "still\r\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    os.close(terminal)


def _read_until(terminal: int, words: str) -> str:
    seen = ""
    deadline = time.monotonic() + 60
    while words not in seen and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 4096).decode()
            except OSError:
                break
    assert words in seen
    return seen


def test_top_shows_use_and_limits(shared: Desk) -> None:
    header, line = shared.ok("top", "calm").splitlines()
    assert header.split("  ")[0] == "NAME"
    cells = line.split()
    assert cells[:2] == ["calm", "running"]
    assert cells[2].endswith("m")
    assert cells[3] == "1000m"
    (found,) = shared("top", "calm", "-o", "json").json
    assert found["usage"]["pids"] >= 1


def test_top_measures_what_works(desk: Desk) -> None:
    desk.apply("busy", {"command": ["sh", "-c", "while :; do :; done"], "resources": {"limits": {"cpu": "500m"}}})
    desk.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "workspace/busy")
    (found,) = desk("top", "-o", "json").json
    assert int(found["usage"]["cpu"].removesuffix("m")) > 50
    desk.kubectl("delete", "workspace", "busy", "--wait=false")


def test_one_that_does_not_run_uses_nothing(desk: Desk) -> None:
    desk.running("a")
    desk.ok("stop", "a", "--wait")
    assert desk.ok("top").splitlines()[1].split()[:3] == ["a", "exited", "<none>"]


def test_tenants_are_told_that_they_can_not_see_the_host(shared: Desk) -> None:
    shared.kubectl("create", "role", "tenant", "--verb=get,list", "--resource=workspaces.aicli.dev")
    shared.kubectl("create", "rolebinding", "tenant", "--role=tenant", "--user=tenant")
    answer = shared("logs", "calm", "--kubeconfig", str(shared.cluster.user_kubeconfig("tenant")))
    assert answer.code == 1
    assert "you may not read DockerHost 'default'" in answer.err
    assert "--endpoint" in answer.err


@pytest.mark.parametrize("args", [("list",), ("list", "-A"), ("describe", "calm")], ids=" ".join)
def test_it_works_as_a_plugin_of_kubectl(args: tuple[str, ...], shared: Desk) -> None:
    done = plugin(shared, *args)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"calm" in done.stdout


def test_kubectl_completes_names(shared: Desk) -> None:
    command = ["kubectl_complete-workspace", "stop", "-n", shared.namespace, "c"]
    done = subprocess.run(command, capture_output=True, text=True, env=shared.environment, check=True)
    assert done.stdout.splitlines() == ["calm", ":4"]
