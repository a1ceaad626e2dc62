"""exec between this terminal and an engine that is played here: what real ones seldom do."""

import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from controller.cli import terminal
from controller.cli.terminal import attach
from controller.engine import direct
from controller.engine.direct import Session
from controller.errors import HostUnreachable


class Client:
    """Answers as the Docker SDK does, about one command."""

    def __init__(self, *codes: int | None) -> None:
        self.codes = list(codes)  # what inspect says; the last one stays
        self.trouble: Exception = requests.ConnectionError("reset")  # what comes of a resize

    def _url(self, path: str, number: str) -> str:
        return path.format(number)

    def _post(self, *_: object, **__: object) -> None:
        raise self.trouble

    exec_resize = _post

    def exec_inspect(self, number: str) -> dict[str, Any]:
        """How the command stands."""
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        return {"ID": number, "Running": code is None, "ExitCode": code}


@pytest.fixture
def line() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The connection of a command: our end and the engine's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def session(client: Client, ours: socket.socket, tty: bool = False) -> Session:
    """What `run` gives for a command that was started."""
    response = SimpleNamespace(raw=SimpleNamespace(_fp=SimpleNamespace(fp=ours.makefile("rb"))))
    return Session(client, "1", response, tty)


def say(engine: socket.socket, text: bytes) -> None:
    """The command's output."""
    engine.sendall(struct.pack(">BxxxL", 1, len(text)) + text)


def test_a_connection_that_ends_before_the_command_is_told_and_no_success(
    line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(direct, "_ENDS_WITHIN", 0.0)
    ours, engine = line
    say(engine, b"half of it\n")
    engine.shutdown(socket.SHUT_RDWR)
    with pytest.raises(HostUnreachable, match="the connection was lost; the command goes on"):
        attach(session(Client(None), ours), stdin=False, tty=False)
    assert capfd.readouterr().out == "half of it\n"


@pytest.mark.parametrize("code", [0, 3])
def test_an_exit_code_that_comes_after_the_output_is_waited_for(
    code: int, line: tuple[socket.socket, socket.socket]
) -> None:
    ours, engine = line
    engine.shutdown(socket.SHUT_RDWR)
    assert attach(session(Client(None, code), ours), stdin=False, tty=False) == code


@pytest.mark.parametrize(
    "trouble", [requests.ConnectionError(), requests.ReadTimeout(), ConnectionResetError()], ids=repr
)
def test_a_size_that_the_engine_does_not_take_ends_nothing(
    trouble: Exception, line: tuple[socket.socket, socket.socket]
) -> None:
    client = Client(0)
    client.trouble = trouble
    session(client, line[0], tty=True).resize(24, 80)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_exec_leaves_the_terminal_as_it_was(
    number: signal.Signals, line: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = pty.openpty()
    handler = signal.signal(number, lambda *_: None)  # without the fix it would end the tests
    try:
        with open(slave) as stdin, open(master):
            monkeypatch.setattr(sys, "stdin", stdin)
            before = termios.tcgetattr(slave)
            raw = terminal._raw_terminal(session(Client(0), line[0], tty=True))
            with pytest.raises(SystemExit) as left, raw:
                signal.raise_signal(number)
            assert left.value.code == 128 + number
            assert termios.tcgetattr(slave) == before
    finally:
        signal.signal(number, handler)


def test_what_the_terminals_encoding_does_not_have_is_escaped() -> None:
    prints = "a.app = lambda **_: print_table(['OWNER'], [['m\u00fcller']])"
    program = f"import controller.cli.app as a\nfrom controller.cli.output import print_table\n{prints}\na.main()"
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stdout.split()) == (0, ["OWNER", r"m\xfcller"])
