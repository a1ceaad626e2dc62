"""Bridges on a Docker host: one for each namespace and mode, on a subnet of the host's pool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from controller import naming
from controller.container_spec import NetworkSpec
from controller.engine.failures import explanation, is_status
from controller.engine.identity import network_labels
from controller.engine.subnets import free_subnet
from controller.engine.transport import Call, Transport
from controller.errors import EngineConflict, NetworkUnavailable, WorkspaceError

ENABLE_ICC = "com.docker.network.bridge.enable_icc"
_TRIES = 8  # subnets that the engine may refuse because something on the host overlaps that it alone knows


class Networks:
    """Makes and finds the bridges. Names aren't unique in Docker, so IDs are used, and remembered."""

    def __init__(self, transport: Transport, cluster_id: str) -> None:
        self._transport, self._cluster_id = transport, cluster_id
        self._ids: dict[str, str] = {}
        self._making = asyncio.Lock()  # one at a time: two must not pick the same subnet

    async def ensure(self, spec: NetworkSpec) -> str:
        """The ID of the bridge, made if missing. Raises NetworkUnavailable."""
        if known := self._ids.get(spec.name):
            return known
        async with self._making:
            if spec.name not in self._ids:
                work = _Ensure(self._cluster_id, spec)
                self._ids[spec.name] = await self._transport.run("change", "ensure_network", work)
            return self._ids[spec.name]

    def forget(self) -> None:
        """Some ID turned out to be gone: look for all of them again."""
        self._ids.clear()

    async def list(self) -> Sequence[tuple[str, str, str]]:
        """(ID, namespace, mode) of each of ours."""

        def work(call: Call) -> list[tuple[str, str, str]]:
            filters = json.dumps({"label": [f"{naming.LABEL_CLUSTER}={self._cluster_id}"]})
            found = call.get("/networks", params={"filters": filters})
            labels = [(n["Id"], n.get("Labels") or {}) for n in found]
            return [(i, x.get(naming.LABEL_NAMESPACE, ""), x.get(naming.LABEL_NETWORK_MODE, "")) for i, x in labels]

        return await self._transport.run("look", "networks", work)

    async def remove(self, network: str) -> None:
        """Nothing when it isn't there. Raises EngineConflict while it has containers."""
        self._ids = {name: known for name, known in self._ids.items() if known != network}

        def work(call: Call) -> None:
            try:
                call.delete("/networks/{0}", network)
            except Exception as error:
                if is_status(error, 403) or is_status(error, 409):
                    raise EngineConflict(f"network {network[:12]} has containers") from error
                if not is_status(error, 404):
                    raise

        await self._transport.run("change", "remove_network", work)


class _Ensure:
    """The work of a thread: look for the bridge, else make it."""

    def __init__(self, cluster_id: str, spec: NetworkSpec) -> None:
        self._cluster_id, self._spec = cluster_id, spec
        self._labels = network_labels(cluster_id, spec)

    def __call__(self, call: Call) -> str:
        networks = call.get("/networks")
        for network in sorted(networks, key=lambda n: str(n.get("Created"))):
            labels = network.get("Labels") or {}
            if network["Name"] == self._spec.name and labels.get(naming.LABEL_CLUSTER) == self._cluster_id:
                return str(network["Id"])
        return self._make(call, [subnet for network in networks for subnet in _subnets(network)])

    def _make(self, call: Call, taken: list[str]) -> str:
        problem = ""
        for _ in range(_TRIES):
            subnet = free_subnet(self._spec.pool_base, self._spec.pool_size, taken)
            try:
                return str(call.post("/networks/create", body=self._body(subnet))["Id"])
            except Exception as error:
                problem = _overlap(error)
                if not problem:
                    raise
                taken.append(subnet)
        raise NetworkUnavailable(
            f"no subnet of the host's address pool {self._spec.pool_base} can be used: {problem}; "
            "change the DockerHost's spec.policy.addressPool"
        )

    def _body(self, subnet: str) -> dict[str, Any]:
        return {
            "Name": self._spec.name,
            "Driver": "bridge",
            "Labels": dict(self._labels),
            "Options": {ENABLE_ICC: "false" if self._spec.mode == "Isolated" else "true"},
            "IPAM": {"Config": [{"Subnet": subnet}]},
        }


def _subnets(network: Mapping[str, Any]) -> list[str]:
    config = (network.get("IPAM") or {}).get("Config") or []
    return [entry["Subnet"] for entry in config if entry.get("Subnet")]


def _overlap(error: Exception) -> str:
    """The engine's words when it refuses a subnet; "" for any other trouble."""
    if isinstance(error, WorkspaceError) or not hasattr(error, "explanation"):
        return ""
    words = explanation(error)  # type: ignore[arg-type]
    return words if "overlap" in words else ""
