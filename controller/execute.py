"""The only place that changes what a Workspace has: carries out a plan's actions in order.

It ends when one fails or has to be waited for. Whatever became of them, the engine is asked at the end what the
containers they touched are like now, so that the next plan reads our own writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from controller import actions as act
from controller import naming
from controller.container_spec import ContainerSpec
from controller.desired import Desired
from controller.engine.protocol import Credentials
from controller.engine.pulls import Pulling
from controller.errors import (
    CallTimeout,
    ContainerGone,
    EngineConflict,
    HostUnreachable,
    IdentityMismatch,
    NetworkUnavailable,
    WorkspaceError,
)
from controller.hosts import Host
from controller.outcome import Outcome

logger = logging.getLogger(__name__)
HARMLESS_LABELS = ("org.opencontainers.image.",)  # they only describe
WRITES = (act.AddFinalizer, act.RemoveFinalizer, act.RecordRestart)  # to the Workspace itself
TELL_EVERY = 5.0  # seconds of a call after which the status is looked at again: it must be true within 10


class Surroundings(Protocol):
    """What actions need beside the host: the Workspace's own object, and its Secrets. Implemented by reconcile."""

    def may_act(self) -> bool: ...

    async def add_finalizer(self) -> None: ...

    async def remove_finalizer(self) -> None: ...

    async def record_restart(self, request: str) -> None: ...

    async def environment(self, spec: ContainerSpec) -> tuple[dict[str, str], str]: ...

    async def credentials(self, secrets: Iterable[str], image: str) -> Credentials | None: ...

    def done(self, action: act.Action, container: str | None, seconds: float) -> None: ...


class Execution:
    """Carries out plans of one Workspace on one host. `meanwhile` is called while the engine takes long."""

    def __init__(
        self, host: Host, desired: Desired, around: Surroundings, meanwhile: Callable[[], Awaitable[None]]
    ) -> None:
        self._host, self._engine, self._desired, self._around = host, host.engine, desired, around
        self._meanwhile = meanwhile
        self._created: str | None = None
        self._image_labels: tuple[str, ...] = ()  # the keys of the labels of the image that was had
        self._touched: dict[str, None] = {}  # the containers that calls were made on, in order

    async def run(self, actions: tuple[act.Action, ...]) -> Outcome:
        """Carries out `actions`. Errors of the engine are part of the outcome; those of the API server are raised."""
        try:
            outcome = await self._carry_out(actions)
        finally:
            await self._look()
        if outcome.failed is not None and outcome.error is not None:
            await self._clean_up(outcome.failed, outcome.error)
        return outcome

    async def _carry_out(self, actions: tuple[act.Action, ...]) -> Outcome:
        outcome = Outcome()
        for action in actions:
            if isinstance(action, act.EnsureImage):
                self._host.puller.look_ahead(action.image)  # while the finalizer is written
        for together in _steps(actions):
            if not self._around.may_act():
                break  # whoever leads now goes on
            outcome = _joined(outcome, await self._step(together))
            if outcome.failed is not None or outcome.waiting:
                break
        return outcome

    async def _step(self, together: list[act.Action]) -> list[Outcome]:
        if isinstance(together[0], WRITES):
            return [await self._attempt(together[0])]
        return await self._patiently(together)

    async def _attempt(self, action: act.Action) -> Outcome:
        began = time.monotonic()
        try:
            waiting = await self._one(action)
        except WorkspaceError as error:
            return Outcome(failed=action, error=error, seconds=time.monotonic() - began)
        if waiting:
            return Outcome(waiting=waiting)
        if not isinstance(action, act.EnsureImage):  # nothing was done: the puller tells of each pull
            self._around.done(action, self._target(action), time.monotonic() - began)
        return Outcome((action,))

    async def _one(self, action: act.Action) -> str:
        match action:
            case act.AddFinalizer():
                await self._around.add_finalizer()
            case act.RemoveFinalizer():
                await self._around.remove_finalizer()
            case act.RecordRestart(request=request):
                await self._around.record_restart(request)
            case _:
                return await self._on_host(action)
        return ""

    async def _patiently(self, together: list[act.Action]) -> list[Outcome]:
        """Each to its end, whatever becomes of the others; raises what the first raised. The status is written while
        that takes long, and never beside a step's own write: one would be refused."""
        tasks = [asyncio.create_task(self._attempt(action)) for action in together]
        try:
            while (await asyncio.wait(tasks, timeout=TELL_EVERY))[1]:
                await self._meanwhile()
            return [task.result() for task in tasks]
        finally:
            if late := [task for task in tasks if not task.done()]:
                for task in late:
                    task.cancel()
                await asyncio.wait(late)

    async def _on_host(self, action: act.Action) -> str:
        match action:
            case act.EnsureImage(image=image):
                async with self._host.cache.while_known():
                    return await self._ensure_image(image)
            case act.Create():
                self._created = await self._create(action)
                self._touched[self._created] = None
            case act.RemoveVolume(volume=volume):
                await self._remove_volume(volume)
            case act.Remove(container=str(container)):
                await self._remove(container)
            case _:
                await self._on_container(action)
        return ""

    async def _remove(self, container: str) -> None:
        async with self._host.cache.while_known():
            await self._engine.remove(container, self._desired.uid)
        self._host.cache.forget(container)

    async def _remove_volume(self, volume: str) -> None:
        """One that isn't ours but has the name stays, and is no reason to keep the Workspace."""
        try:
            async with self._host.cache.while_known():
                await self._engine.remove_volume(volume)
        except IdentityMismatch as error:
            logger.warning("a volume stays", extra={"volume": volume, "error": str(error)})

    def _target(self, action: act.Action) -> str | None:
        return getattr(action, "container", None) or self._created

    async def _ensure_image(self, image: str) -> str:
        """Empty where the image is there; else what is waited for, in words."""
        desired = self._desired
        credentials = await self._around.credentials(desired.pull_secrets, image)
        waiter = (desired.namespace, desired.name)
        found = await self._host.puller.ensure(image, desired.pull_policy, credentials, waiter)
        if isinstance(found, Pulling):
            return found.progress
        self._image_labels = found.image.labels
        return ""

    async def _create(self, action: act.Create) -> str:
        env, references = await self._around.environment(action.spec)
        spec = action.spec
        if references:
            spec = replace(spec, labels=(*spec.labels, (naming.LABEL_REFERENCES, references)))
        spec = replace(spec, labels=(*spec.labels, *_without(self._image_labels, dict(spec.labels))))
        if spec.network is not None:
            self._host.networks_used += 1
        async with self._host.cache.while_known():
            if spec.network is not None:
                await self._engine.ensure_network(spec.network)
            made = await self._engine.create(action.name, spec, env, self._host.policy)
        self._host.cache.made(made, self._desired.uid)
        return made

    async def _on_container(self, action: act.Action) -> None:
        container = self._target(action)
        if container is None:
            raise ContainerGone("there is no container for this step")
        self._touched[container] = None  # also where the call fails: whatever it did, the next plan must see it
        with self._host.cache.changing(container):
            async with self._host.cache.while_known():
                await self._call(action, container)

    def _call(self, action: act.Action, container: str) -> Awaitable[None]:
        engine = self._engine
        calls: dict[type[act.Action], Callable[[], Awaitable[None]]] = {
            act.Start: lambda: engine.start(container),
            act.Kill: lambda: engine.signal(container, "SIGKILL"),
            act.Pause: lambda: engine.pause(container),
            act.Unpause: lambda: engine.unpause(container),
        }
        match action:
            case act.Signal(signal=signal):
                return engine.signal(container, signal)
            case act.Update(limits=limits):
                return engine.update(container, limits)
            case act.Rename(name=name):
                return engine.rename(container, name)
            case _:
                return calls[type(action)]()

    async def _look(self) -> None:
        await asyncio.gather(*map(self._look_at, self._touched))  # Ready is told afterwards: not one after the other

    async def _look_at(self, container: str) -> None:
        try:
            async with self._host.cache.while_known():
                await self._host.cache.refresh(container)
        except WorkspaceError as error:
            logger.debug("the container can't be inspected after a call", extra={"error": str(error)})
            self._host.cache.unread(container)

    async def _clean_up(self, action: act.Action, error: WorkspaceError) -> None:
        """A failed first start leaves a container that never ran: it goes, so that the next try begins afresh. So does
        one whose network is gone, for it can never be started again. Where the outcome is unknown nothing goes."""
        if isinstance(action, act.Create) and not error.definitive:
            self._host.cache.may_have_made(self._desired.uid)
        elif isinstance(error, (CallTimeout, ContainerGone, EngineConflict, HostUnreachable)):
            self._host.cache.request_list()
        useless = self._useless(action, error)
        if useless is None:
            return
        removal, began = act.Remove(useless, reason="it could not be started"), time.monotonic()
        try:
            await self._remove(useless)
            self._around.done(removal, useless, time.monotonic() - began)
        except WorkspaceError as also:
            logger.warning("a half-made container stays for now", extra={"error": str(also)})
            self._host.cache.request_list()

    def _useless(self, action: act.Action, error: WorkspaceError) -> str | None:
        if not isinstance(action, act.Start) or isinstance(error, (CallTimeout, HostUnreachable)):
            return None
        useless = self._created or (action.container if isinstance(error, NetworkUnavailable) else None)
        seen = self._host.cache.observed(self._desired.uid)
        ended = {c.id for c in seen.containers if seen.known and not c.is_live}
        return useless if useless in ended else None  # it may have been there before, or started all the same


def _steps(actions: Iterable[act.Action]) -> list[list[act.Action]]:
    """One after the other, and what goes alongside one with it."""
    steps: list[list[act.Action]] = []
    for action in actions:
        if isinstance(action, act.Rename) and action.alongside and steps:
            steps[-1].append(action)
        else:
            steps.append([action])
    return steps


def _joined(before: Outcome, step: list[Outcome]) -> Outcome:
    ended = next((part for part in step if part.failed is not None or part.waiting), Outcome())
    return replace(ended, done=before.done + tuple(action for part in step for action in part.done))


def _without(image_labels: tuple[str, ...], ours: Mapping[str, str]) -> list[tuple[str, str]]:
    """Labels that take away the image's own: other tools on the host act on labels, and a tenant may make images."""
    return [(key, "") for key in image_labels if key not in ours and not key.startswith(HARMLESS_LABELS)]
