"""A Docker Engine's HTTP API without containers behind it, on any number of sockets: hosts by the hundred.

Answers are as long as the real engine's (they are made from real ones), each after a latency. A socket that is told to
hang accepts calls and never answers. Usage: `python -m benchmarks.simulated_dockerd MODEL.json LATENCY SOCKET...`
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

API = "/v1.41"
AGE = 60.0  # seconds that a container seems to have run when it starts: before, its row is another in each list


class Host:
    """One engine: what it holds, and who listens to its events."""

    def __init__(self, name: str, model: dict[str, Any], latency: float) -> None:
        self.name, self._model, self._latency = name, model, latency
        self._containers: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._began: dict[str, float] = {}  # monotonic, of what runs
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self._network: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.hangs = False

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[self._slowly])
        app.add_routes(
            [
                web.get("/calls", self._calls),
                web.post("/hang", self._hang),
                web.get("/version", self._version),
                web.get(API + "/info", self._info),
                web.get(API + "/events", self._events),
                web.get(API + "/containers/json", self._list),
                web.post(API + "/containers/create", self._create),
                web.get(API + "/containers/{id}/json", self._inspect),
                web.post(API + "/containers/{id}/start", self._start),
                web.post(API + "/containers/{id}/kill", self._kill),
                web.delete(API + "/containers/{id}", self._remove),
                web.get(API + "/networks", self._networks),
                web.post(API + "/networks/create", self._create_network),
                web.delete(API + "/networks/{id}", self._remove_network),
                web.get("/images/{name:.+}/json", self._image),
            ]
        )
        return app

    @web.middleware
    async def _slowly(self, request: web.Request, handler: Any) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and resource.canonical not in ("/calls", "/hang"):
            self.calls[f"{request.method} {resource.canonical.removeprefix(API)}"] += 1
            if self.hangs:
                await asyncio.Event().wait()
            await asyncio.sleep(self._latency)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _calls(self, request: web.Request) -> web.Response:
        return web.json_response(self.calls)

    async def _hang(self, request: web.Request) -> web.Response:
        self.hangs = True
        return web.Response()

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"Version": "20.10.24", "ApiVersion": "1.41"})

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response({"ID": self.name, "DockerRootDir": "/var/lib/docker", "NCPU": 16})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                await answer.write(json.dumps(await queue.get()).encode() + b"\n")
        finally:
            self._listeners.discard(queue)

    async def _list(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        for key, began in self._began.items():
            self._rows[key]["Status"] = f"Up {_uptime(now - began)}"
        return web.json_response(list(self._rows.values()))

    async def _create(self, request: web.Request) -> web.Response:
        body, name = await request.json(), request.query["name"]
        key = hashlib.sha256(f"{self.name}/{name}/{len(self.calls)}{time.monotonic()}".encode()).hexdigest()
        made = copy.deepcopy(self._model["inspect"])
        made |= {"Id": key, "Name": f"/{name}", "Created": _now()}
        made["Config"] |= {k: v for k, v in body.items() if k != "HostConfig"}
        made["HostConfig"] |= body["HostConfig"]
        made["State"] |= {"Status": "created", "Running": False, "StartedAt": "0001-01-01T00:00:00Z"}
        row = copy.deepcopy(self._model["row"])
        row |= {"Id": key, "Names": [f"/{name}"], "Labels": body["Labels"], "State": "created", "Status": "Created"}
        self._containers[key], self._rows[key] = made, row
        self._tell("create", key)
        return web.json_response({"Id": key, "Warnings": []}, status=201)

    async def _inspect(self, request: web.Request) -> web.Response:
        found = self._containers.get(request.match_info["id"])
        return web.json_response(found) if found else _missing()

    async def _start(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        if key not in self._containers:
            return _missing()
        self._containers[key]["State"] |= {"Status": "running", "Running": True, "StartedAt": _now()}
        self._rows[key]["State"] = "running"
        self._began[key] = time.monotonic() - AGE
        self._tell("start", key)
        return web.Response(status=204)

    async def _kill(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        state = {"Status": "exited", "Running": False, "ExitCode": 143, "FinishedAt": _now()}
        self._containers[key]["State"] |= state
        self._began.pop(key, None)
        self._rows[key] |= {"State": "exited", "Status": "Exited (143) 1 second ago"}
        self._tell("die", key)
        return web.Response(status=204)

    async def _remove(self, request: web.Request) -> web.Response:
        key = request.match_info["id"]
        if key not in self._containers:
            return _missing()
        self._tell("destroy", key)
        del self._containers[key], self._rows[key]
        self._began.pop(key, None)
        return web.Response(status=204)

    async def _networks(self, request: web.Request) -> web.Response:
        return web.json_response([self._network] if self._network else [])

    async def _create_network(self, request: web.Request) -> web.Response:
        self._network = await request.json() | {"Id": "0" * 63 + "1", "Created": _now()}
        return web.json_response({"Id": self._network["Id"]}, status=201)

    async def _remove_network(self, request: web.Request) -> web.Response:
        self._network = {}
        return web.Response(status=204)

    async def _image(self, request: web.Request) -> web.Response:
        return web.json_response(self._model["image"], headers={"Api-Version": "1.41"})

    def _tell(self, action: str, key: str) -> None:
        name, labels = self._containers[key]["Name"].lstrip("/"), self._containers[key]["Config"]["Labels"]
        actor = {"ID": key, "Attributes": {**labels, "name": name}}
        now = time.time_ns()
        event: dict[str, Any] = {"Type": "container", "Action": action, "status": action, "id": key, "Actor": actor}
        event |= {"time": now // 10**9, "timeNano": now, "scope": "local"}
        for queue in self._listeners:
            queue.put_nowait(event)


def _uptime(seconds: float) -> str:
    """As a real engine tells it: a row changes by itself, every second at first and then every minute."""
    if seconds < 60:
        return "1 second" if 1 <= seconds < 2 else f"{int(seconds)} seconds" if seconds >= 2 else "Less than a second"
    return "About a minute" if seconds < 120 else f"{int(seconds // 60)} minutes"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _missing() -> web.Response:
    return web.json_response({"message": "No such container"}, status=404)


async def serve(model: dict[str, Any], latency: float, sockets: list[str]) -> None:
    """Serves until killed."""
    for socket in sockets:
        host = Host(Path(socket).stem, model, latency)
        runner = web.AppRunner(host.app(), access_log=None)
        await runner.setup()
        await web.UnixSite(runner, socket).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2]), sys.argv[3:]))
