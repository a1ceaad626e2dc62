"""Run a command with a listening socket as file descriptor 3, in the way of systemd's socket activation.

The socket belongs to the network namespace of the caller, whatever namespace the command then enters: so an engine with
a network of its own can still be reached on 127.0.0.1. Usage: ``python activate.py PORT COMMAND...``
"""

import os
import socket
import sys

_FIRST_FD = 3  # fixed by the protocol


def main(port: int, command: list[str]) -> None:
    """Listen on 127.0.0.1 and become the command; returns only by an OSError."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    if listener.fileno() != _FIRST_FD:
        os.dup2(listener.fileno(), _FIRST_FD)
    os.set_inheritable(_FIRST_FD, True)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
