"""The Docker Engine behind the protocol. Each method is the call that it's named after, and what its answer means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from controller import naming
from controller.api import HostPolicy
from controller.container_spec import ContainerSpec, NetworkSpec
from controller.engine import event_stream, images, translate
from controller.engine.connection import SshAccess, TlsFiles
from controller.engine.deadlines import PULL_STALL
from controller.engine.failures import engine_failure, is_status, says, without_values
from controller.engine.identity import adopted, check_identity, name_taken
from controller.engine.inspects import INSPECTS_AT_ONCE
from controller.engine.networks import Networks
from controller.engine.protocol import CallObserver, Credentials, EngineEvent, EngineInfo, Image, Summary
from controller.engine.rows import Rows
from controller.engine.transport import Call, Transport
from controller.errors import EngineConflict, IdentityMismatch, NetworkUnavailable
from controller.observed import Container, Limits
from controller.policy import check_body
from controller.usage import Stats

# Lanes: whatever changes something is limited by the host's maxConcurrentOperations; looking has threads of its own,
# so that the cache is never starved by calls that hang. A question to a registry may take long, so it keeps nobody from
# looking at the host's own images.
_LANES = {"list": 2, "inspect": INSPECTS_AT_ONCE, "look": 4, "stats": 8, "ask": 4}
_KERNEL_LACKS = {
    "MemoryLimit": ("memory", "memory_swap", "memory_reservation"),
    "SwapLimit": ("memory_swap",),
    "CPUShares": ("cpu_shares",),
    "CpuCfsQuota": ("nano_cpus",),
    "PidsLimit": ("pids",),
}


class DockerdEngine:
    """What the cluster `cluster_id` sees of one Docker Engine.

    `max_operations`: changing calls in flight, the others wait. `pull_stall`: seconds without progress that end a pull.
    """

    def __init__(
        self,
        cluster_id: str,
        endpoint: str,
        *,
        tls: TlsFiles | None = None,
        ssh: SshAccess | None = None,
        max_operations: int = 8,
        pull_stall: float = PULL_STALL,
        observer: CallObserver | None = None,
    ) -> None:
        self.cluster_id = cluster_id
        self._transport = Transport(endpoint, tls, ssh, {**_LANES, "change": max_operations}, observer)
        self._rows = Rows()
        self._networks = Networks(self._transport, cluster_id)
        self._checks = event_stream.HealthChecks()
        self._pull_stall = pull_stall

    async def info(self) -> EngineInfo:
        def work(call: Call) -> EngineInfo:
            version, info = call.get("/version", versioned=False), call.get("/info")
            return EngineInfo(
                engine_id=info["ID"],
                root_dir=info["DockerRootDir"],
                version=version["Version"],
                api_version=version["ApiVersion"],
                cpus=info["NCPU"],
                ignored_limits=ignored_limits(info),
            )

        return await self._transport.run("list", "info", work)

    async def list(self) -> Sequence[Summary]:
        filters = json.dumps({"label": [f"{naming.LABEL_CLUSTER}={self.cluster_id}"]})

        def work(call: Call) -> list[Summary]:
            return self._rows.read(call.get_bytes("/containers/json", params={"all": 1, "filters": filters}))

        rows = await self._transport.run("list", "list", work)
        self._checks.keep([row.id for row in rows])
        return rows

    async def inspect(self, container: str) -> Container:
        return await self._transport.run("inspect", "inspect", lambda call: self._inspect(call, container))

    async def stats(self, container: str) -> Stats:
        def work(call: Call) -> Stats:
            # Without one-shot the engine would take two samples, a second apart.
            found = call.get("/containers/{0}/stats", container, params={"stream": 0, "one-shot": 1})
            return translate.stats(found)

        return await self._transport.run("stats", "stats", work)

    def events(self) -> AsyncIterator[EngineEvent]:
        return event_stream.events(self._transport, self.cluster_id, self._checks)

    async def create(self, name: str, spec: ContainerSpec, env: Mapping[str, str], policy: HostPolicy) -> str:
        network = await self._networks.ensure(spec.network) if spec.network else ""

        def work(call: Call) -> str:
            body = translate.create_body(self.cluster_id, spec, env, policy, network)
            check_body(body, policy, spec.namespace)
            try:
                return str(call.post("/containers/create", params={"name": name}, body=body)["Id"])
            except Exception as error:
                if is_status(error, 409) and says(error, "is already in use"):
                    return adopted(self._holder(call, name), self.cluster_id, name, spec)
                raise without_values(engine_failure(error, "create", call.deadline), env.values()) from None

        return await self._transport.run("change", "create", work)

    async def start(self, container: str) -> None:
        # Anew: an engine that stops its containers to end would start them again, and leave them to themselves.
        try:
            await self._change("start", "/containers/{0}/start", container, fresh=True)
        except NetworkUnavailable:
            self._networks.forget()  # the next container gets one that is there
            raise

    async def signal(self, container: str, signal: str) -> None:
        await self._change("signal", "/containers/{0}/kill", container, {"signal": signal}, fine="is not running")

    async def pause(self, container: str) -> None:
        await self._change("pause", "/containers/{0}/pause", container, fine="is already paused")

    async def unpause(self, container: str) -> None:
        await self._change("unpause", "/containers/{0}/unpause", container, fine="is not paused")

    async def update(self, container: str, limits: Limits) -> None:
        body = {**translate.limits_body(limits), "RestartPolicy": {"Name": "no"}}
        await self._transport.run(
            "change", "update", lambda call: call.post("/containers/{0}/update", container, body=body)
        )

    async def rename(self, container: str, name: str) -> None:
        def work(call: Call) -> None:
            try:
                call.post("/containers/{0}/rename", container, params={"name": name})
            except Exception as error:
                if says(error, "same name as its current name"):
                    return
                if not (is_status(error, 409) and says(error, "is already in use")):
                    raise
                uid = translate.container(call.get("/containers/{0}/json", container)).uid
                raise name_taken(name, self._holder(call, name), self.cluster_id, uid) from error

        await self._transport.run("change", "rename", work)

    async def remove(self, container: str, uid: str) -> None:
        def work(call: Call) -> None:
            try:
                found = translate.container(call.get("/containers/{0}/json", container))
                check_identity(found, self.cluster_id, uid)
                call.delete("/containers/{0}", found.id, params={"force": 1, "v": 1})  # v: anonymous volumes only
            except Exception as error:
                if not is_status(error, 404):
                    raise

        await self._transport.run("change", "remove", work)

    async def ensure_network(self, spec: NetworkSpec) -> str:
        return await self._networks.ensure(spec)

    async def networks(self) -> Sequence[tuple[str, str, str]]:
        return await self._networks.list()

    async def remove_network(self, network: str) -> None:
        await self._networks.remove(network)

    async def remove_volume(self, volume: str) -> None:
        def work(call: Call) -> None:
            try:
                labels = call.get("/volumes/{0}", volume).get("Labels") or {}
                if labels.get(naming.LABEL_CLUSTER) != self.cluster_id:
                    raise IdentityMismatch(f"volume {volume} isn't of this cluster")
                call.delete("/volumes/{0}", volume)
            except Exception as error:
                if not is_status(error, 404):
                    raise

        await self._transport.run("change", "remove_volume", work)

    async def image(self, reference: str) -> Image | None:
        return await self._transport.run("look", "image", lambda call: images.find_image(call, reference))

    async def may_pull(self, reference: str, credentials: Credentials | None) -> bool:
        return await self._transport.run(
            "ask", "may_pull", lambda call: images.may_pull(call.connection, reference, credentials)
        )

    def pull(self, reference: str, credentials: Credentials | None) -> AsyncIterator[str]:
        pulled = images.pull(self._transport, reference, credentials, self._pull_stall)
        return self._transport.counted("pull", pulled)

    async def close(self) -> None:
        await self._transport.close()

    def _inspect(self, call: Call, container: str) -> Container:
        found = call.get("/containers/{0}/json", container)
        check = translate.probe_command(found)
        self._checks.learn(found["Id"], check)
        running = sum(_is_running(call, session, check) for session in found.get("ExecIDs") or ())
        return translate.container(found, running)

    def _holder(self, call: Call, name: str) -> Container:
        """Who has the name that was refused to us. Raises EngineConflict when it's free again by now."""
        try:
            return translate.container(call.get("/containers/{0}/json", name))
        except Exception as error:
            if is_status(error, 404):
                raise EngineConflict(f"the name {name} was in use a moment ago") from error
            raise

    async def _change(
        self,
        kind: str,
        path: str,
        container: str,
        params: dict[str, Any] | None = None,
        *,
        fine: str = "",
        fresh: bool = False,
    ) -> None:
        """One POST without a body; `fine` is the refusal that says that nothing is to be done; `fresh` as for Call."""

        def work(call: Call) -> None:
            try:
                call.post(path, container, params=params, fresh=fresh)
            except Exception as error:
                if not (fine and says(error, fine)):
                    raise

        await self._transport.run("change", kind, work)


def ignored_limits(info: Mapping[str, Any]) -> frozenset[str]:
    """The fields of Limits that an engine's /info says its kernel drops."""
    lacking = (names for key, names in _KERNEL_LACKS.items() if info.get(key) is False)
    return frozenset(name for names in lacking for name in names)


def _is_running(call: Call, session: str, health_check: str | None) -> bool:
    """Whether an exec session is a person's and still runs; one that has just ended isn't found."""
    try:
        found = call.get("/exec/{0}/json", session)
    except Exception as error:
        if is_status(error, 404):
            return False
        raise
    process = found.get("ProcessConfig") or {}
    command = " ".join([process.get("entrypoint", ""), *(process.get("arguments") or ())])
    return bool(found.get("Running")) and command != health_check
