"""What a person does on a host with the docker command, on either engine, and what they see there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import docker.errors

from controller.engine.memory_host import MemoryHost
from devcluster import Engine as Dockerd


class Hands(Protocol):
    """By-hand actions; `container` is an ID or a name."""

    def run(self, name: str, labels: Mapping[str, str]) -> str: ...
    def kill(self, container: str) -> None: ...
    def stop(self, container: str) -> None: ...
    def pause(self, container: str) -> None: ...
    def unpause(self, container: str) -> None: ...
    def rename(self, container: str, name: str) -> None: ...
    def remove(self, container: str) -> None: ...
    def exists(self, container: str) -> bool: ...
    def body(self, container: str) -> Mapping[str, Any]: ...
    def volumes(self) -> set[str]: ...
    def make_volume(self, name: str) -> None: ...
    def make_directory(self, path: Path) -> None: ...
    def remove_directory(self, path: Path) -> None: ...
    def clean(self) -> None: ...


class MemoryHands:
    """On the in-memory host."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host
        self.run, self.kill, self.stop = host.run, host.kill, host.stop
        self.pause, self.unpause = host.pause, host.unpause
        self.rename, self.remove = host.rename, host.remove

    def exists(self, container: str) -> bool:
        return container in self._host.containers or container in self._host.names

    def body(self, container: str) -> Mapping[str, Any]:
        return self._host.find(container).body

    def volumes(self) -> set[str]:
        return set(self._host.volumes)

    def make_volume(self, name: str) -> None:
        self._host.volumes[name] = {}

    def make_directory(self, path: Path) -> None:
        self._host.missing_paths.discard(str(path))

    def remove_directory(self, path: Path) -> None:
        self._host.missing_paths.add(str(path))

    def clean(self) -> None: ...


class DockerdHands:
    """On a real one, past the code under test."""

    def __init__(self, dockerd: Dockerd) -> None:
        self._dockerd = dockerd
        self._client: Any = dockerd.client()
        self.endpoint = dockerd.endpoint

    def run(self, name: str, labels: Mapping[str, str]) -> str:
        options = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
        command = ["run", "-d", "--init", "--network", "none", "--name", name, *options, "alpine:latest"]
        return self._dockerd.docker(*command, "sleep", "infinity").strip()

    def kill(self, container: str) -> None:
        self._client.kill(container)

    def stop(self, container: str) -> None:
        self._client.stop(container, timeout=1)

    def pause(self, container: str) -> None:
        self._client.pause(container)

    def unpause(self, container: str) -> None:
        self._client.unpause(container)

    def rename(self, container: str, name: str) -> None:
        self._client.rename(container, name)

    def remove(self, container: str) -> None:
        self._client.remove_container(container, force=True)

    def exists(self, container: str) -> bool:
        with contextlib.suppress(docker.errors.NotFound):
            return bool(self._client.inspect_container(container))
        return False

    def body(self, container: str) -> Mapping[str, Any]:
        found = self._client.inspect_container(container)
        return {**found["Config"], "HostConfig": found["HostConfig"]}

    def volumes(self) -> set[str]:
        return {volume["Name"] for volume in self._client.volumes()["Volumes"] or ()}

    def make_volume(self, name: str) -> None:
        self._client.create_volume(name)

    def make_directory(self, path: Path) -> None:
        path.mkdir(parents=True)

    def remove_directory(self, path: Path) -> None:
        path.rmdir()

    def clean(self) -> None:
        self._dockerd.remove_containers()
        self._client.close()
