"""Docker's event stream as an async iterator: a thread reads, the loop gets what concerns us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from controller import naming
from controller.engine.connection import Connection
from controller.engine.deadlines import CALL_DEADLINES
from controller.engine.failures import engine_failure
from controller.engine.protocol import EngineEvent
from controller.engine.transport import Transport, json_lines


class HealthChecks:
    """Tells a health check's exec events from a person's: each run gives three, and none is news."""

    def __init__(self) -> None:
        self._commands: dict[str, str] = {}  # by container
        self._running: dict[str, str] = {}  # exec IDs, by container: the engine runs one after the other

    def learn(self, container: str, command: str | None) -> None:
        """The container's health check, as its inspect shows it."""
        if command is None:
            self._commands.pop(container, None)
        else:
            self._commands[container] = command.rstrip(" ")

    def is_one(self, container: str, action: str, exec_id: str) -> bool:
        """Whether the event comes from a health check."""
        kind, _, command = action.partition(": ")
        if kind == "destroy":
            self._commands.pop(container, None)
            self._running.pop(container, None)
        command = command.rstrip(" ")  # dockerd puts a space after the first word, also where no other follows
        if kind in ("exec_create", "exec_start") and command and command == self._commands.get(container):
            self._running[container] = exec_id
            return True
        if kind == "exec_die" and exec_id == self._running.get(container):
            del self._running[container]
            return True
        return False

    def keep(self, containers: Collection[str]) -> None:
        """Forgets all others: of one that is gone an event may be missed, or an inspect answered later."""
        if len(self._commands) > len(containers):
            for gone in self._commands.keys() - set(containers):
                self._commands.pop(gone, None)
                self._running.pop(gone, None)


def events(transport: Transport, cluster_id: str, checks: HealthChecks) -> AsyncIterator[EngineEvent]:
    """Events of our containers, after a first empty one once the engine has accepted the subscription."""
    deadline = CALL_DEADLINES["info"]
    filters = {"type": ["container"], "label": [f"{naming.LABEL_CLUSTER}={cluster_id}"]}

    def read(connection: Connection) -> Iterator[EngineEvent]:
        params = {"filters": json.dumps(filters)}
        answer = connection.request("GET", "/events", timeout=deadline, params=params, stream=True)
        connection.wait_forever()
        yield EngineEvent("", "subscribed", datetime.now(UTC))
        for message in json_lines(answer):
            if event := _event(message, checks):
                yield event

    return transport.stream(read, lambda error: engine_failure(error, "events", deadline))


def _event(message: Mapping[str, Any], checks: HealthChecks) -> EngineEvent | None:
    actor = message.get("Actor") or {}
    container, attributes = actor.get("ID", ""), actor.get("Attributes") or {}
    action = message.get("Action", "")
    if not container or checks.is_one(container, action, attributes.get("execID", "")):
        return None
    time = datetime.fromtimestamp(message.get("timeNano", 0) / 1e9, UTC)
    name, uid = attributes.get("name", ""), attributes.get(naming.LABEL_UID, "")
    return EngineEvent(container, action.partition(":")[0], time, name, uid)
