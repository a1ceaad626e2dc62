"""Reads the lists of hosts as often as the controller does, with the Docker SDK's connections, and throws them away.

At rest it takes what anybody takes who wants to hear of a dead host within 8 s: most of it is a machine waking up.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import docker

from controller import naming
from controller.engine.cache import LIST_INTERVAL
from controller.engine.connection import API_VERSION

FILTERS = json.dumps({"label": [naming.LABEL_CLUSTER]})


def main(endpoints: list[str]) -> None:
    """Until killed."""
    clients: list[Any] = [docker.APIClient(base_url=endpoint, version=API_VERSION) for endpoint in endpoints]
    while True:
        for client in clients:
            url = client._url("/containers/json")
            client._get(url, params={"all": 1, "filters": FILTERS}, stream=True).raw.read()
            time.sleep(LIST_INTERVAL / len(clients))


if __name__ == "__main__":
    main(sys.argv[1:])
