"""The way to a Workspace's container for those who can reach its host's engine; a clear word for the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from controller.cli.cluster import Cluster, Forbidden, NotFound, Object
from controller.cli.failure import Failure
from controller.cli.workspaces import condition, status_of
from controller.engine.direct import DirectEngine
from controller.errors import WorkspaceError
from controller.observed import Container


class OutOfReach(Failure):
    """The engine can't be reached from here. `why` is the reason alone, the message also says what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}. This talks to the Docker Engine itself: run it where that works, or give the engine's address as "
            "you reach it with --endpoint, such as ssh://you@host"
        )
        self.why = why


def connect(cluster: Cluster, host: str, endpoint: str | None) -> DirectEngine:
    """The engine of a DockerHost, or the one at `endpoint` if that is given. Raises OutOfReach."""
    address = endpoint or _endpoint(cluster, host)
    try:
        return DirectEngine(address)
    except WorkspaceError as error:
        raise OutOfReach(f"the engine of host {host!r} can't be reached from here at {address}: {error}") from error


def container_of(engine: DirectEngine, workspace: Object) -> Container:
    """The container of a Workspace. Raises Failure where there is none."""
    with told():
        found = engine.containers(workspace["metadata"]["uid"])
    if found:
        return found[0]
    name, status = workspace["metadata"]["name"], status_of(workspace)
    if status.get("containerID"):
        raise Failure(
            f"the engine at {engine.endpoint} has no container of Workspace {name!r}, though its status names one: "
            "is it the engine of that host? (--endpoint)"
        )
    why = condition(workspace, "Ready").get("message") or "it was not looked at yet"
    raise Failure(f"Workspace {name!r} has no container: it is {status.get('phase') or 'Pending'}, {why}")


@contextmanager
def told() -> Iterator[None]:
    """The engine's errors as Failures."""
    try:
        yield
    except WorkspaceError as error:
        raise Failure(str(error)) from error


def _endpoint(cluster: Cluster, host: str) -> str:
    try:
        return str(cluster.get("DockerHost", host)["spec"]["endpoint"])
    except Forbidden as error:
        raise OutOfReach(f"you may not read DockerHost {host!r}, so its address is not known here") from error
    except NotFound as error:
        raise Failure(f"there is no DockerHost {host!r}: Workspaces that name it have no engine") from error
