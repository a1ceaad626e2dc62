"""An SSH server in this process that does what sshd does for `docker system dial-stdio`: hands on to a unix socket."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import paramiko

_CHUNK = 65536
MAX_SESSIONS = 10  # of one login at a time, as sshd's default
ENDING = 0.05  # seconds that a command takes to end


class SshServer:
    """One user with one key; `access` is that key, `known_hosts` the line that vouches for the server."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._host_key, user_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
        self._user_key = user_key
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.endpoint = f"ssh://docker@127.0.0.1:{self.port}"
        self.private_key = key_text(user_key)
        self.known_hosts = f"[127.0.0.1]:{self.port} {self._host_key.get_name()} {self._host_key.get_base64()}\n"
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._accept, name="ssh-server")

    def __enter__(self) -> SshServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        self._thread.join()

    def hang_up(self) -> None:
        """Ends all logins; new ones are accepted."""
        for transport in self._transports:
            transport.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                transport = paramiko.Transport(connection)
                transport.add_server_key(self._host_key)
                self._transports.append(transport)
                with suppress(paramiko.SSHException, EOFError):
                    transport.start_server(server=_Sessions(self._user_key, self._target), event=threading.Event())


class _Sessions(paramiko.ServerInterface):
    def __init__(self, user_key: paramiko.PKey, target: Path) -> None:
        self._user_key, self._target = user_key, target
        self._commands: list[threading.Thread] = []

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == "docker" and key == self._user_key
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        # As sshd's: a session ends with its command, which is some time after its channel.
        self._commands = [command for command in self._commands if command.is_alive()]
        if kind != "session" or len(self._commands) >= MAX_SESSIONS:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        if command != b"docker system dial-stdio":
            return False
        target = socket.socket(socket.AF_UNIX)
        target.connect(str(self._target))
        for read, write, end in (
            (channel.recv, target.sendall, lambda: target.shutdown(socket.SHUT_WR)),
            (target.recv, channel.sendall, lambda: (time.sleep(ENDING), channel.close())),
        ):
            command = threading.Thread(target=_copy, args=(read, write, end), daemon=True, name="ssh-copy")
            command.start()
        self._commands.append(command)  # the one that reads what the target says: it ends last
        return True


def _copy(read: Callable[[int], bytes], write: Callable[[bytes], object], end: Callable[[], object]) -> None:
    with suppress(OSError, EOFError):
        while data := read(_CHUNK):
            write(data)
    with suppress(OSError, EOFError):
        end()


def key_text(key: paramiko.PKey) -> str:
    with io.StringIO() as buffer:
        key.write_private_key(buffer)
        return buffer.getvalue()
