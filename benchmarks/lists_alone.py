"""Lists the containers of hosts as often as the controller does, with the Docker SDK, and does nothing else.

At rest it takes what any controller takes that hears of a dead host within 8 s: most of it is a machine waking up.
"""

from __future__ import annotations

import sys
import time

import docker

from controller import naming
from controller.engine.cache import LIST_INTERVAL


def main(endpoints: list[str]) -> None:
    """Until killed."""
    clients = [docker.APIClient(base_url=endpoint, version="1.41") for endpoint in endpoints]
    while True:
        for client in clients:
            client.containers(all=True, filters={"label": naming.LABEL_CLUSTER})
            time.sleep(LIST_INTERVAL / len(clients))


if __name__ == "__main__":
    main(sys.argv[1:])
