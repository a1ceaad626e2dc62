"""Workspaces as a client of the API server makes, changes and follows them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable
from typing import Any

from lightkube import AsyncClient
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from benchmarks.watching import Watcher
from controller.api import VERSION

NAMESPACE = "bench"
_numbers = itertools.count(1)


def new_names(count: int, prefix: str = "w") -> list[str]:
    """Names that were not used before."""
    number = next(_numbers)
    return [f"{prefix}{number}-{index}" for index in range(count)]


def workspace(name: str, **spec: Any) -> dict[str, Any]:
    """A Workspace that ends at once when it is asked to, with everything else by default."""
    return {
        "kind": "Workspace",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"image": "alpine:latest", "command": ["sleep", "infinity"]} | spec,
    }


class Workspaces:
    """Those of one API group: the controller's own, or another with the same schema, which it doesn't know."""

    def __init__(self, client: AsyncClient, group: str) -> None:
        self._client, self._version = client, f"{group}/{VERSION}"
        self._kind: Any = create_namespaced_resource(group, VERSION, "Workspace", "workspaces")
        self.watcher = Watcher(client, self._kind, NAMESPACE)

    async def create(self, names: Iterable[str], at_once: int = 16, **spec: Any) -> float:
        """Creates Workspaces; gives the monotonic time at which the first request was sent."""
        return await self.create_all([workspace(name, **spec) for name in names], at_once)

    async def create_all(self, workspaces: Iterable[dict[str, Any]], at_once: int = 16) -> float:
        """The same for any."""
        slots = asyncio.Semaphore(at_once)

        async def one(workspace: dict[str, Any]) -> None:
            async with slots:
                await self._client.create(self._kind(workspace | {"apiVersion": self._version}))

        began = time.monotonic()
        await asyncio.gather(*map(one, workspaces))
        return began

    async def made(self, names: list[str], **spec: Any) -> float:
        """Creates them; gives the seconds until all are Ready."""
        began = await self.create(names, **spec)
        return await self.watcher.until_ready(names) - began

    async def changed(self, name: str, **spec: Any) -> float:
        """Changes its spec; gives the seconds until it is Ready again."""
        began = time.monotonic()
        generation = self.watcher.seen[name].raw["metadata"]["generation"]
        await self._client.patch(self._kind, name, {"spec": spec}, namespace=NAMESPACE, patch_type=PatchType.MERGE)
        await self.watcher.until(lambda seen: seen[name].raw["metadata"]["generation"] > generation)
        return await self.watcher.until_ready([name]) - began

    async def warm(self) -> None:
        """Makes one: the namespace's network is there from then on, as the other side's is."""
        await self.made(new_names(1, "warm"))

    async def remove_all(self) -> float:
        """Deletes all and waits until they are gone; gives the seconds that took."""
        began = time.monotonic()
        await self._client.deletecollection(self._kind, namespace=NAMESPACE)
        return await self.watcher.until_gone() - began

    def container_of(self, name: str) -> str:
        """The ID of a Workspace's container."""
        return str(self.watcher.seen[name].status["containerID"])
