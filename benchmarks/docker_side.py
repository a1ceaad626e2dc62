"""The other side of each ratio: the same containers made with `docker run` and with the Docker SDK.

"The same" is read from a container that the controller has made: image, command, labels, limits, network and security
options. Nothing here is part of what is measured but the commands themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import docker

from controller.api import GROUP
from devcluster import Engine

NETWORK = "bench-docker"
LABEL = "bench"


class DockerSide:
    """Makes containers like `model` (an inspect answer), each time under other names."""

    def __init__(self, engine: Engine, model: dict[str, Any]) -> None:
        self._engine = engine
        self.body = self._body_of(model)
        self._flags = _flags(self.body)
        with closing(engine.client()) as client:
            options = {"com.docker.network.bridge.enable_icc": "false"}
            pool = docker.types.IPAMPool(subnet="10.251.0.0/16")
            client.create_network(NETWORK, options=options, ipam=docker.types.IPAMConfig(pool_configs=[pool]))

    async def run(self, names: Sequence[str], parallel: int) -> float:
        """`docker run -d` of all, so many at once; gives the seconds until the last command has ended."""
        return await _timed(names, parallel, self.run_one)

    async def sdk(self, names: Sequence[str], parallel: int) -> float:
        """Create and start with the SDK in so many threads; gives the seconds."""
        client: Any  # parts of the SDK without types
        with closing(self._engine.client()) as client:
            _allow(client, parallel)

            def one(name: str) -> None:
                made = client._post_json(client._url("/containers/create"), data=self.body, params={"name": name})
                client.start(client._result(made, True)["Id"])

            return await _timed(names, parallel, one)

    def run_one(self, name: str) -> float:
        """One `docker run -d`; gives the seconds."""
        began = time.monotonic()
        self._engine.docker("run", "--detach", "--name", name, *self._flags)
        return time.monotonic() - began

    def replace_one(self, name: str) -> float:
        """`docker rm -f` and `docker run -d`; gives the seconds of both."""
        began = time.monotonic()
        self._engine.docker("rm", "--force", name)
        return time.monotonic() - began + self.run_one(name)

    async def remove_all(self) -> None:
        """Removes what was made here."""
        await asyncio.to_thread(self._remove_all)

    def _remove_all(self) -> None:
        with closing(self._engine.client()) as client:
            _allow(client, 4)
            found = client.containers(all=True, quiet=True, filters={"label": LABEL})
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(lambda row: client.remove_container(row["Id"], force=True), found))

    def _body_of(self, model: dict[str, Any]) -> dict[str, Any]:
        config, host = model["Config"], model["HostConfig"]
        kept = ("Init", "IpcMode", "RestartPolicy", "LogConfig", "CapAdd", "CapDrop", "SecurityOpt", "NanoCpus")
        limits = ("CpuShares", "Memory", "MemorySwap", "MemoryReservation", "PidsLimit")
        labels = {key.replace(GROUP, LABEL): value for key, value in config["Labels"].items()}
        return {
            **{
                key: config[key]
                for key in ("Image", "Tty", "OpenStdin", "Entrypoint", "Cmd", "Healthcheck", "WorkingDir")
            },
            "Labels": labels | {LABEL: "1"},
            "HostConfig": {key: host[key] for key in (*kept, *limits)} | {"NetworkMode": NETWORK},
        }


def _flags(body: dict[str, Any]) -> list[str]:
    """The options of `docker run` that say what `body` says."""
    host = body["HostConfig"]
    flags = ["--init", "--network", NETWORK, "--ipc", host["IpcMode"], "--no-healthcheck", "--tty", "--interactive"]
    flags += ["--cpus", str(host["NanoCpus"] / 1e9), "--pids-limit", str(host["PidsLimit"])]
    flags += ["--memory", str(host["Memory"]), "--memory-swap", str(host["MemorySwap"])]
    if host["CpuShares"]:
        flags += ["--cpu-shares", str(host["CpuShares"])]
    if host["MemoryReservation"]:
        flags += ["--memory-reservation", str(host["MemoryReservation"])]
    flags += [word for key, value in host["LogConfig"]["Config"].items() for word in ("--log-opt", f"{key}={value}")]
    flags += [word for name in host["CapDrop"] or () for word in ("--cap-drop", name)]
    flags += [word for option in host["SecurityOpt"] or () for word in ("--security-opt", option)]
    flags += [word for key, value in body["Labels"].items() for word in ("--label", f"{key}={value}")]
    flags += ["--workdir", body["WorkingDir"]] if body["WorkingDir"] else []
    command = [*(body["Entrypoint"] or ()), *(body["Cmd"] or ())]
    return [*flags, "--entrypoint", command[0], body["Image"], *command[1:]]


async def _timed(names: Iterable[str], parallel: int, one: Callable[[str], object]) -> float:
    with ThreadPoolExecutor(parallel) as threads:
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        await asyncio.gather(*(loop.run_in_executor(threads, one, name) for name in names))
        return time.monotonic() - began


def _allow(client: Any, threads: int) -> None:
    """As many connections as threads: the SDK's default discards what exceeds ten."""
    adapter = client.get_adapter(client.base_url)
    adapter.pools._maxsize = max(10, threads)
    adapter.max_pool_size = max(10, threads)
