"""The in-memory engine: the protocol's semantics without Docker, for tests by the thousand and with a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from controller import naming
from controller.api import HostPolicy
from controller.container_spec import ContainerSpec, NetworkSpec
from controller.engine.identity import adopted, check_identity, name_taken, network_labels
from controller.engine.memory_host import MemoryContainer, MemoryHost, MemoryNetwork
from controller.engine.protocol import Credentials, EngineEvent, EngineInfo, Image, Summary
from controller.engine.subnets import free_subnet
from controller.engine.translate import create_body
from controller.errors import (
    ContainerGone,
    EngineConflict,
    HostUnreachable,
    IdentityMismatch,
    ImageUnavailable,
    ProjectPathMissing,
)
from controller.observed import Container, Limits
from controller.policy import check_body, normalize_image
from controller.usage import Stats


class MemoryEngine:
    """What the cluster `cluster_id` sees of `host`. All state is the host's: a second engine on it is a restart."""

    def __init__(self, cluster_id: str, host: MemoryHost | None = None) -> None:
        self.cluster_id = cluster_id
        self.host = host or MemoryHost()
        self._call = self.host.faults.call
        self._closed = False

    async def info(self) -> EngineInfo:
        async with self._call("info"):
            return EngineInfo(f"memory-{id(self.host)}", "/memory", "0.0", "0.0", cpus=64)

    async def list(self) -> Sequence[Summary]:
        async with self._call("list"):
            shown = [c.shown for c in self.host.containers.values() if self._is_ours(c.shown.labels)]
            return [
                Summary(c.id, c.uid, c.name, str(c.state), f"{c.started_at} {c.exit_code} {c.health}") for c in shown
            ]

    async def inspect(self, container: str) -> Container:
        async with self._call("inspect"):
            return self.host.find(container).shown

    async def stats(self, container: str) -> Stats:
        async with self._call("stats"):
            it = self.host.find(container)
            if not it.shown.is_live:
                raise ContainerGone(f"container {it.shown.name} doesn't run")
            return it.stats or Stats(self.host.clock(), 0.0, 0, 1, 0, 0)

    async def events(self) -> AsyncIterator[EngineEvent]:
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()

        def listen(event: EngineEvent | None, labels: Mapping[str, str]) -> None:
            if event is None or self._is_ours(labels):
                queue.put_nowait(event)

        async with self._call("info"):
            self.host.listeners.append(listen)
        try:
            yield EngineEvent("", "subscribed", self.host.clock())
            while event := await queue.get():
                yield event
        finally:
            with suppress(ValueError):  # deafened
                self.host.listeners.remove(listen)

    async def create(self, name: str, spec: ContainerSpec, env: Mapping[str, str], policy: HostPolicy) -> str:
        network = await self.ensure_network(spec.network) if spec.network else ""
        body = create_body(self.cluster_id, spec, env, policy, network)
        check_body(body, policy, spec.namespace)
        async with self._call("create"):
            if holder := self.host.names.get(name):
                return adopted(self.host.find(holder).shown, self.cluster_id, name, spec)
            return self._make(name, spec, network, body)

    async def start(self, container: str) -> None:
        async with self._call("start"):
            self.host.start(container)

    async def signal(self, container: str, signal: str) -> None:
        async with self._call("signal"):
            self.host.kill(container, signal)

    async def pause(self, container: str) -> None:
        async with self._call("pause"):
            self.host.pause(container)

    async def unpause(self, container: str) -> None:
        async with self._call("unpause"):
            self.host.unpause(container)

    async def update(self, container: str, limits: Limits) -> None:
        async with self._call("update"):
            self.host.update(container, limits=limits, restart_policy="no")

    async def rename(self, container: str, name: str) -> None:
        async with self._call("rename"):
            it = self.host.find(container).shown
            if (holder := self.host.names.get(name, it.id)) != it.id:
                raise name_taken(name, self.host.find(holder).shown, self.cluster_id, it.uid)
            self.host.rename(container, name)

    async def remove(self, container: str, uid: str) -> None:
        async with self._call("remove"):
            with suppress(ContainerGone):
                it = self.host.find(container).shown
                check_identity(it, self.cluster_id, uid)
                self.host.remove(it.id)

    async def ensure_network(self, spec: NetworkSpec) -> str:
        for network in self.host.networks.values():
            if network.name == spec.name and self._is_ours(network.labels):
                return network.id
        async with self._call("ensure_network"):
            subnet = free_subnet(spec.pool_base, spec.pool_size, [n.subnet for n in self.host.networks.values()])
            made = MemoryNetwork(self.host.new_id(), spec.name, network_labels(self.cluster_id, spec), subnet)
            self.host.networks[made.id] = made
            return made.id

    async def networks(self) -> Sequence[tuple[str, str, str]]:
        async with self._call("networks"):
            ours = [n for n in self.host.networks.values() if self._is_ours(n.labels)]
            return [(n.id, n.labels[naming.LABEL_NAMESPACE], n.labels[naming.LABEL_NETWORK_MODE]) for n in ours]

    async def remove_network(self, network: str) -> None:
        async with self._call("remove_network"):
            if any(c.network == network for c in self.host.containers.values() if c.shown.is_live):
                raise EngineConflict(f"network {network[:12]} has containers")
            self.host.networks.pop(network, None)

    async def remove_volume(self, volume: str) -> None:
        async with self._call("remove_volume"):
            labels = self.host.volumes.get(volume)
            if labels is None:
                return
            if not self._is_ours(labels):
                raise IdentityMismatch(f"volume {volume} isn't of this cluster")
            if any(volume in _sources(c, "volume") for c in self.host.containers.values()):
                raise EngineConflict(f"volume {volume} is in use")
            del self.host.volumes[volume]

    async def image(self, reference: str) -> Image | None:
        async with self._call("image"):
            return self.host.images.get(normalize_image(reference))

    async def may_pull(self, reference: str, credentials: Credentials | None) -> bool:
        async with self._call("may_pull"):
            try:
                self.host.registry.look_up(reference, credentials)
            except ImageUnavailable:
                return False
            return True

    async def pull(self, reference: str, credentials: Credentials | None) -> AsyncIterator[str]:
        async with self._call("pull"):
            image, program = self.host.registry.look_up(reference, credentials)
            yield "Pulling"
            self.host.images[normalize_image(reference)] = image
            self.host.programs[image.id] = program

    async def close(self) -> None:
        self._closed = True

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        if self._closed:
            raise HostUnreachable("the connection is closed")
        return labels.get(naming.LABEL_CLUSTER) == self.cluster_id

    def _make(self, name: str, spec: ContainerSpec, network: str, body: Mapping[str, Any]) -> str:
        image = self.host.images.get(normalize_image(spec.image))
        if image is None:
            raise ImageUnavailable(f"the host has no image {spec.image}", reason="ImageNotFound")
        for bind in spec.binds:
            if bind.source in self.host.missing_paths:
                raise ProjectPathMissing(f"the directory {bind.source} doesn't exist on the host")
        for mount in body["HostConfig"]["Mounts"]:
            if mount["Type"] == "volume":
                self.host.volumes.setdefault(mount["Source"], mount["VolumeOptions"]["Labels"])
        blank = self.host.blank(name, body["Labels"], image.id)
        made = MemoryContainer(
            shown=replace(blank, limits=spec.limits),
            program=self.host.programs[image.id],
            network=network,
            wanted_ports=wanted_ports(body),
            body=body,
        )
        self.host.add(made)
        return made.shown.id


def wanted_ports(body: Mapping[str, Any]) -> tuple[tuple[int, str, str, range], ...]:
    """Container port, protocol, host address and candidates for the host port."""
    wanted = []
    for key, bindings in body["HostConfig"]["PortBindings"].items():
        port, _, protocol = key.partition("/")
        first, _, last = bindings[0]["HostPort"].partition("-")
        candidates = range(int(first), int(last or first) + 1)
        wanted.append((int(port), protocol.upper(), bindings[0]["HostIp"], candidates))
    return tuple(wanted)


def _sources(container: MemoryContainer, kind: str) -> set[str]:
    mounts = container.body.get("HostConfig", {}).get("Mounts", [])
    return {mount["Source"] for mount in mounts if mount["Type"] == kind}
