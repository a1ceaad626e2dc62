"""Free TCP ports on 127.0.0.1."""

import random
import socket
import time
from collections.abc import Collection

# Below the kernel's ephemeral ports, so that no outgoing connection takes the port of a server that is down for a
# moment; outside the range that DockerHosts publish from by default.
_RANGE = range(12000, 20000)


def free_port() -> int:
    """A port that nobody listens on now; only a server that binds it at once can be sure of it."""
    for port in random.sample(_RANGE, len(_RANGE)):
        if is_free(port):
            return port
    raise OSError(f"no free TCP port on 127.0.0.1 in {_RANGE}")


def become_free(ports: Collection[int], timeout: float = 5.0) -> bool:
    """Wait up to ``timeout`` seconds for ports that a server may just be giving back; False when they are in use."""
    deadline = time.monotonic() + timeout
    while not all(is_free(port) for port in ports):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
