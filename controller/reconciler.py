"""Reconciles Workspaces by key: keeps each one's process memory, and says when to try again what couldn't be done."""

from __future__ import annotations

import logging

from controller.api import Workspace
from controller.clock import mono
from controller.history import Memory, for_another_spec
from controller.kube import ApiUnavailable, Conflict, Gone
from controller.reconcile import Reconciliation, World
from controller.retrying import API_RETRY, GONE_RETRY, catch_up
from controller.store import Entry, Key

logger = logging.getLogger(__name__)
COMPLAIN_EVERY = 60.0  # seconds


class Reconciler:
    """Reconciles Workspaces by key; keeps each one's process memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._memories: dict[str, tuple[int, Memory]] = {}  # by uid, with the generation that the failures belong to
        self._complained = float("-inf")  # when an outage of the API server was last told of

    async def reconcile(self, key: Key) -> float | None:
        """Brings one Workspace closer to what it should be. Gives the time to look again (the loop's clock)."""
        entry = self._world.workspaces.get(key)
        if entry is None or not self._world.may_act() or _is_over(entry.object):
            return None
        if mono() < self._memory(entry).let_go:
            return self._memory(entry).let_go
        began, result = mono(), "failed"
        try:
            wake_at = await Reconciliation(self._world, entry, self._memory(entry)).run(self._keep)
            result = "done"
            return wake_at
        except Conflict:
            result = "conflict"
            return await catch_up(self._world.kube, self._world.workspaces, key)
        except Gone:
            result = "gone"
            return mono() + GONE_RETRY
        except ApiUnavailable as error:
            result = "unavailable"
            self._complain(key, error)
            return mono() + API_RETRY
        finally:
            self._world.metrics.reconciled(result, mono() - began)

    def _complain(self, key: Key, error: ApiUnavailable) -> None:
        """Once a minute: in an outage each Workspace that needs a write finds out every other second."""
        again = mono() < self._complained + COMPLAIN_EVERY
        level = logging.DEBUG if again else logging.WARNING
        self._complained = self._complained if again else mono()
        logger.log(level, "the API server did not answer", extra={"workspace": "/".join(key), "error": str(error)})

    def forget(self, uid: str) -> None:
        """The Workspace is gone."""
        self._memories.pop(uid, None)

    def forget_all(self) -> None:
        """Somebody else leads, or did: signals that were sent then, and steps that failed, say nothing of now. What was
        not written stays: it counts for the status alone that it was to follow."""
        for uid, (generation, memory) in self._memories.items():
            self._memories[uid] = (generation, Memory(unwritten=memory.unwritten, usage_of=memory.usage_of))

    def _memory(self, entry: Entry[Workspace]) -> Memory:
        generation, memory = self._memories.get(entry.ref.uid, (0, Memory()))
        if generation != entry.object.metadata.generation:
            memory = for_another_spec(memory)
        return memory

    def _keep(self, workspace: Workspace, memory: Memory) -> None:
        meta = workspace.metadata
        entry = self._world.workspaces.get((meta.namespace, meta.name))
        if entry is not None and entry.ref.uid == meta.uid:  # else it went meanwhile, and was forgotten
            self._memories[meta.uid] = (meta.generation, memory)


def _is_over(workspace: Workspace) -> bool:
    """Whether it is deleted and nobody holds it any more: the watch is about to say that it is gone."""
    return workspace.metadata.deletion_timestamp is not None and not workspace.metadata.finalizers
