"""The in-memory engine's host: its containers, images, networks, and what a person or a process does to them by hand.

Nothing here waits: each method is one step, so a test decides the order of everything.
"""

from __future__ import annotations

import hashlib
import signal as signals
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from controller import naming
from controller.engine.faults import Faults
from controller.engine.memory_registry import MemoryRegistry, Program, repository
from controller.engine.protocol import EngineEvent, Image
from controller.errors import (
    ContainerCannotRun,
    ContainerGone,
    EngineConflict,
    NetworkUnavailable,
    PortInUse,
    ProjectPathMissing,
)
from controller.observed import Container, ContainerState, Health, Limits, PublishedPort
from controller.policy import normalize_image
from controller.usage import Stats

NO_LIMITS = Limits(0, 0, 0, 0, 0, 0)
_START_FAILED = 127  # the exit code of a container whose command isn't there


@dataclass(slots=True)
class MemoryContainer:
    """A container of the host: the snapshot that inspect shows, and what only the engine knows."""

    shown: Container
    program: Program
    network: str = ""  # ID
    wanted_ports: tuple[tuple[int, str, str, range], ...] = ()  # container port, protocol, host address, host ports
    stuck: bool = False  # its removal fails
    body: Mapping[str, Any] = field(default_factory=dict)  # as it was sent
    stats: Stats | None = None  # what it uses; None: next to nothing


@dataclass(slots=True)
class MemoryNetwork:
    """A bridge."""

    id: str
    name: str
    labels: Mapping[str, str]
    subnet: str


class MemoryHost:
    """A Docker host in memory. Several engines (clusters) may share one. `clock` is the engine's wall clock, in UTC."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.clock = clock
        self.faults = Faults()
        self.containers: dict[str, MemoryContainer] = {}
        self.names: dict[str, str] = {}  # container name -> ID
        self.networks: dict[str, MemoryNetwork] = {}  # by ID
        self.volumes: dict[str, Mapping[str, str]] = {}  # labels by name
        self.images: dict[str, Image] = {}  # by normalized reference
        self.programs: dict[str, Program] = {}  # by image ID
        self.registry = MemoryRegistry()
        self.missing_paths: set[str] = set()  # directories that aren't there; all others are
        self.taken_ports: set[int] = set()  # by processes that aren't containers
        self.deaf = False  # all events are lost, also for new streams
        self.listeners: list[Callable[[EngineEvent | None, Mapping[str, str]], None]] = []
        self._ports: dict[int, str] = {}  # host port -> container ID
        self._made = 0
        self.add_image("alpine:latest")

    # Images

    def add_image(self, reference: str, program: Program | None = None, *, from_registry: bool = False) -> Image:
        """Puts an image on the host, in the place of what had its name."""
        name, image_id = normalize_image(reference), "sha256:" + self.new_id()
        image = Image(image_id, (f"{repository(name)}@{image_id}",) if from_registry else (), from_registry)
        self.images[name] = image
        self.programs[image_id] = program or Program()
        return image

    # What people and processes do

    def run(self, name: str, labels: Mapping[str, str] | None = None, image: str = "alpine:latest") -> str:
        """`docker run -d` by hand: a container that isn't the controller's, unless its labels say so."""
        shown = self.blank(name, labels or {}, self.images[normalize_image(image)].id)
        self.add(MemoryContainer(shown, self.programs[shown.image_id]))
        self.start(shown.id)
        return shown.id

    def find(self, container: str) -> MemoryContainer:
        """By ID or name. Raises ContainerGone."""
        found = self.containers.get(self.names.get(container, container))
        if found is None:
            raise ContainerGone(f"no container {container[:12]}")
        return found

    def start(self, container: str) -> None:
        """Starts what is created or exited; nothing when it runs."""
        it = self.find(container)
        if it.shown.state is ContainerState.RUNNING:
            return
        if it.shown.state not in (ContainerState.CREATED, ContainerState.EXITED):
            raise EngineConflict(f"container {it.shown.name} is {it.shown.state}")
        self._check_start(it)
        now = self.clock()
        address = f"10.210.0.{len(self.containers) % 250 + 2}" if it.network else ""
        ports = self._publish(it)
        self._show(it, "start", state=ContainerState.RUNNING, started_at=now, exit_code=0, error="", oom_killed=False)
        it.shown = replace(it.shown, ip_address=address, ports=ports)
        if it.program.exits_at_once is not None:
            self.exit(container, it.program.exits_at_once)

    def exit(self, container: str, code: int = 0, *, oom: bool = False) -> None:
        """Its process ends."""
        it = self.find(container)
        if not it.shown.is_live:
            return
        self._unpublish(it)
        gone = {"ip_address": "", "ports": (), "active_tasks": 0, "health": Health.NONE}
        it.shown = replace(it.shown, **gone)  # type: ignore[arg-type]
        self._show(it, "die", state=ContainerState.EXITED, exit_code=code, oom_killed=oom, finished_at=self.clock())

    def oom(self, container: str) -> None:
        """The kernel kills its process for want of memory."""
        self.exit(container, 137, oom=True)

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Sends a signal; nothing when it doesn't run. The stop signal thaws a paused container, as in Docker."""
        it = self.find(container)
        if not it.shown.is_live:
            return
        if it.shown.state is ContainerState.PAUSED:
            if signal not in ("SIGKILL", it.shown.stop_signal):
                return
            self._show(it, "unpause", state=ContainerState.RUNNING)
        if signal == "SIGKILL" or signal not in it.program.ignores:
            self.exit(container, 128 + signals.Signals[signal].value)

    def stop(self, container: str) -> None:
        """`docker stop`: the stop signal, and SIGKILL where that is ignored (the grace period is not waited for)."""
        self.kill(container, self.find(container).shown.stop_signal)
        self.kill(container)

    def pause(self, container: str) -> None:
        """Freezes it; nothing when it is frozen."""
        it = self.find(container)
        if it.shown.state is ContainerState.PAUSED:
            return
        if it.shown.state is not ContainerState.RUNNING:
            raise EngineConflict(f"container {it.shown.name} is not running")
        self._show(it, "pause", state=ContainerState.PAUSED)

    def unpause(self, container: str) -> None:
        """Thaws it; nothing when it isn't frozen."""
        it = self.find(container)
        if it.shown.state is ContainerState.PAUSED:
            self._show(it, "unpause", state=ContainerState.RUNNING)

    def rename(self, container: str, name: str) -> None:
        """Raises EngineConflict when the name is held."""
        it = self.find(container)
        if it.shown.name == name:
            return
        if name in self.names:
            raise EngineConflict(f"the name {name} is in use by container {self.names[name][:12]}")
        del self.names[it.shown.name]
        self.names[name] = it.shown.id
        self._show(it, "rename", name=name)

    def update(self, container: str, **changes: Any) -> None:
        """`docker update`: `limits`, `restart_policy`."""
        it = self.find(container)
        if it.shown.is_dead:
            raise EngineConflict(f"container {it.shown.name} is {it.shown.state}")
        self._show(it, "update", **changes)

    def remove(self, container: str) -> None:
        """`docker rm -f`. One whose removal fails is dead afterwards. Raises EngineConflict."""
        it = self.find(container)
        self.exit(it.shown.id, 137)
        if it.stuck:
            it.shown = replace(it.shown, state=ContainerState.DEAD)
            raise EngineConflict(f"container {it.shown.name} can't be removed: device or resource busy")
        del self.containers[it.shown.id], self.names[it.shown.name]
        self._emit(it, "destroy")

    def stick(self, container: str, *, dead: bool = False) -> None:
        """Its removal fails from now on; `dead`: one was tried already."""
        it = self.find(container)
        it.stuck = True
        if dead:
            self.exit(it.shown.id, 137)
            it.shown = replace(it.shown, state=ContainerState.DEAD)

    def unstick(self, container: str) -> None:
        """It can be removed again."""
        self.find(container).stuck = False

    def set_health(self, container: str, health: Health) -> None:
        """What its probe says from now on."""
        self._show(self.find(container), f"health_status: {health}", health=health)

    def set_tasks(self, container: str, count: int) -> None:
        """So many exec sessions run in it."""
        it = self.find(container)
        self._show(it, "exec_start" if count > it.shown.active_tasks else "exec_die", active_tasks=count)

    # The engine itself

    def shut_down(self) -> None:
        """The engine stops, with its containers (no live-restore); calls find nobody, event streams end."""
        for container in list(self.containers):
            self.exit(container, 0)
        self.cut("connect: connection refused")

    def cut(self, reason: str = "connection reset") -> None:
        """The connection is lost, the containers run on."""
        self.faults.down = reason
        self.end_streams()

    def come_back(self) -> None:
        """The host can be reached again."""
        self.faults.down = ""

    def end_streams(self) -> None:
        """Event streams end; a new one can be opened."""
        for listener in list(self.listeners):
            listener(None, {})

    def deafen(self) -> None:
        """Event streams stay open and tell nothing any more; a new one does."""
        self.listeners.clear()

    def new_id(self) -> str:
        """64 hexadecimal digits, the same sequence in each run."""
        self._made += 1
        return hashlib.sha256(str(self._made).encode()).hexdigest()

    def blank(self, name: str, labels: Mapping[str, str], image_id: str) -> Container:
        """A new container as inspect shows it."""
        return Container(
            id=self.new_id(),
            name=name,
            state=ContainerState.CREATED,
            labels=dict(labels),
            image_id=image_id,
            created_at=self.clock(),
            limits=NO_LIMITS,
            stop_signal=self.programs[image_id].stop_signal,
        )

    def add(self, container: MemoryContainer) -> None:
        """Puts a new container on the host; its name must be free."""
        self.containers[container.shown.id] = container
        self.names[container.shown.name] = container.shown.id
        self._emit(container, "create")

    def _check_start(self, it: MemoryContainer) -> None:
        for mount in it.body.get("HostConfig", {}).get("Mounts", []):
            if mount["Type"] == "bind" and mount["Source"] in self.missing_paths:
                raise ProjectPathMissing(f"the directory {mount['Source']} doesn't exist on the host")
        if it.network and it.network not in self.networks:
            it.shown = replace(it.shown, state=ContainerState.DEAD, error=f"network {it.network} not found")
            raise NetworkUnavailable("the container's network was removed: it can't be started any more")
        if it.program.cannot_run:
            it.shown = replace(it.shown, exit_code=_START_FAILED, error=it.program.cannot_run)
            raise ContainerCannotRun(it.program.cannot_run)

    def _publish(self, it: MemoryContainer) -> tuple[PublishedPort, ...]:
        published = []
        for port, protocol, address, candidates in it.wanted_ports:
            free = next((p for p in candidates if p not in self._ports and p not in self.taken_ports), None)
            if free is None:
                self._unpublish(it)
                raise PortInUse(f"no free host port in {candidates.start}-{candidates.stop - 1}")
            self._ports[free] = it.shown.id
            published.append(PublishedPort(port, protocol, address, free))
        return tuple(published)

    def _unpublish(self, it: MemoryContainer) -> None:
        if it.wanted_ports:
            self._ports = {port: holder for port, holder in self._ports.items() if holder != it.shown.id}

    def _show(self, it: MemoryContainer, action: str, **changes: Any) -> None:
        it.shown = replace(it.shown, **changes)
        self._emit(it, action)

    def _emit(self, it: MemoryContainer, action: str) -> None:
        if self.deaf or self.faults.down:
            return
        event = EngineEvent(it.shown.id, action, self.clock(), it.shown.name, it.shown.uid)
        for listener in list(self.listeners):
            listener(event, it.shown.labels)

    def live_of(self, uid: str) -> list[Container]:
        """For oracles: the live containers with this Workspace uid, whatever their cluster."""
        every = (c.shown for c in self.containers.values())
        return [c for c in every if c.is_live and c.labels.get(naming.LABEL_UID) == uid]
