"""Between this process' stdin and stdout and a command in a container: bytes both ways, and the terminal's size."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty as terminal_mode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import typer

from controller.engine.direct import STDERR, Session

_CHUNK = 16384  # bytes


def check_terminal(stdin: bool, tty: bool) -> None:
    """A terminal for the command needs one here. Raises typer.BadParameter."""
    if tty and not (stdin and sys.stdin.isatty()):
        raise typer.BadParameter("-t needs -i and a terminal as stdin: leave -t out in pipes and scripts")


def attach(session: Session, *, stdin: bool, tty: bool) -> int:
    """Passes everything on until the command ends; gives its exit code."""
    with _raw_terminal(session) if tty else _as_it_is():
        _pump(session, sys.stdin.fileno() if stdin else None)
    return session.exit_code()


def _pump(session: Session, source: int | None) -> None:
    unsent = b""
    while True:
        reads = [session.reader, *([source] if source is not None and not unsent else [])]
        writes = [session.writer] if unsent else []
        ready, writable, _ = select.select(reads, writes, [], 0 if session.is_waiting else None)
        if session.reader in ready or session.is_waiting:
            pieces = session.read()
            if pieces is None:
                return
            for stream, data in pieces:
                _write(sys.stderr.fileno() if stream == STDERR else sys.stdout.fileno(), data)
        if source in ready and source is not None:
            unsent = os.read(source, _CHUNK)
            if not unsent:
                session.end_input()
                source = None
        if writable:
            unsent = unsent[session.send(unsent) :]


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _raw_terminal(session: Session) -> Iterator[None]:
    """Every key goes to the command, Ctrl-C too; it learns the terminal's size, now and when that changes."""
    source = sys.stdin.fileno()

    def tell_size(*_: object) -> None:
        size = os.get_terminal_size(source)
        session.resize(size.lines, size.columns)

    before = termios.tcgetattr(source)
    handlers: dict[int, Callable[..., None]] = {
        signal.SIGWINCH: tell_size,
        signal.SIGTERM: _leave,
        signal.SIGHUP: _leave,
    }
    replaced = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        terminal_mode.setraw(source, termios.TCSADRAIN)  # what was typed ahead is kept
        tell_size()
        yield
    finally:
        with suppress(termios.error):  # after a SIGHUP there may be none any more
            termios.tcsetattr(source, termios.TCSADRAIN, before)
        for number, handler in replaced.items():
            signal.signal(number, handler)


def _leave(number: int, _: object) -> None:
    """The way out through `finally`: the signal itself would leave the terminal raw."""
    raise SystemExit(128 + number)
