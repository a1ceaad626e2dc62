"""Has images on a host, in the background: a pull may take minutes and nobody's worker waits for it.

Two kinds of job, each shared by all who need the same: pulling an image with some credentials, and asking the registry
whether a tenant may pull what is on the host already (else anybody could use another tenant's private image).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from controller.api import PullPolicy
from controller.engine.looks import Looks
from controller.engine.protocol import Credentials, Engine, Image
from controller.errors import CallTimeout, EngineError, ImageError, ImageUnavailable, WorkspaceError
from controller.policy import normalize_image

logger = logging.getLogger(__name__)
RIGHTS_LAST = 300.0  # seconds that an answer "may pull" is remembered
_TOLD = 3  # Workspaces that wait for a pull, in its line of the log
_OUTCOMES_LAST = 300.0  # seconds; who asks later had been stopped meanwhile: the outcome is no news any more
_PULLS_AT_ONCE = 16  # by one host; each has a thread and a connection of its own
_FOR_ONE_NAMESPACE = 2  # pulls at once, and questions: a registry that drips or hangs holds up nobody else's
_INLINE = 2.0  # seconds from its first asking; most registries answer a question within that, so it's waited for

Waiter = tuple[str, str]  # namespace and name of a Workspace


@dataclass(frozen=True, slots=True)
class Present:
    """The image is on the host and may be used."""

    image: Image


@dataclass(frozen=True, slots=True)
class Pulling:
    """Not yet; `progress` in words. The waiter hears from `on_done`."""

    progress: str


@dataclass(slots=True)
class _Job:
    progress: str
    namespace: str  # of who asked first
    began: float  # monotonic
    waiters: set[Waiter] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    error: WorkspaceError | None
    time: float  # monotonic


class ImagePuller:
    """Images of one host. `on_done` is called with the waiters of each job that has ended, well or badly; `host` is its
    name in the log."""

    def __init__(
        self,
        engine: Engine,
        on_done: Callable[[set[Any]], None] = lambda waiters: None,
        clock: Callable[[], float] = time.monotonic,
        host: str = "",
    ) -> None:
        self._engine, self._on_done, self._clock, self._host = engine, on_done, clock, host
        self._looks = Looks(engine, clock)
        self._jobs: dict[Hashable, _Job] = {}
        self._outcomes: dict[tuple[Waiter, Hashable], _Outcome] = {}  # each is handed out once
        self._rights: dict[tuple[str, str, str, str], float] = {}  # until when; by namespace, name, ID, credentials
        self._all_slots = asyncio.Semaphore(_PULLS_AT_ONCE)
        self._slots: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()
        self._salt = secrets.token_bytes(16)

    def look_ahead(self, reference: str) -> None:
        """The image will be asked for in a moment: begins to look at it."""
        self._looks.begin(normalize_image(reference))

    async def ensure(
        self, reference: str, pull_policy: PullPolicy, credentials: Credentials | None, waiter: Waiter
    ) -> Present | Pulling:
        """Whether the image can be used now; starts what is needed for it.

        Raises ImageError (and what else WorkspaceError a pull can end with) once for each waiter of a failed job; the
        next call starts anew, so the caller waits in between.
        """
        name, key = normalize_image(reference), self._digest(credentials)
        pull = ("pull", name, key)
        pulled = self._take(waiter, pull)
        image = await self._looks.image(name)
        if pull_policy is PullPolicy.NEVER and image is None:
            raise ImageUnavailable(
                f"{reference} isn't on the host and imagePullPolicy is Never", reason="ErrImageNeverPull"
            )
        if image is None or (pull_policy is PullPolicy.ALWAYS and not pulled):
            return self._join(pull, waiter, lambda job: self._pull(job, name, credentials, key))
        if image.from_registry and not pulled and not self._has_right(waiter, name, image, key):
            return await self._ask(name, credentials, key, waiter, image)
        return Present(image)

    def forget(self, waiter: Waiter) -> None:
        """It waits for nothing any more, and how what it waited for has ended is no news to it. What nobody waits for
        ends."""
        self._outcomes = {k: o for k, o in self._outcomes.items() if k[0] != waiter}
        for key, job in list(self._jobs.items()):
            job.waiters.discard(waiter)
            if not job.waiters and job.task is not None:
                del self._jobs[key]  # at once: who comes next begins anew
                job.task.cancel()

    async def close(self) -> None:
        """Ends all pulls."""
        tasks = [job.task for job in self._jobs.values() if job.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self, name: str, credentials: Credentials | None, key: str, waiter: Waiter, image: Image
    ) -> Present | Pulling:
        ask = ("ask", waiter[0], name, image.id, key)
        if self._take(waiter, ask):
            return Present(image)
        state = self._join(ask, waiter, lambda job: self._check(job, name, credentials, key, image))
        job = self._jobs[ask]
        if job.task is not None:
            await asyncio.wait([job.task], timeout=max(0.0, job.began + _INLINE - self._clock()))
        return Present(image) if self._take(waiter, ask) else state

    def _take(self, waiter: Waiter, key: Hashable) -> bool:
        """Whether a job that the waiter waited for has ended well. Raises its error. Either is told once."""
        outcome = self._outcomes.pop((waiter, key), None)
        if outcome is None or self._clock() - outcome.time >= _OUTCOMES_LAST:
            return False
        if outcome.error is not None:
            raise outcome.error
        return True

    def _join(self, key: Hashable, waiter: Waiter, work: Callable[[_Job], Awaitable[None]]) -> Pulling:
        job = self._jobs.get(key)
        if job is None or waiter not in job.waiters:
            self.forget(waiter)  # of what it wanted before
        if job is None:
            job = self._jobs[key] = _Job("asking the registry", waiter[0], self._clock())
            job.task = asyncio.create_task(self._run(key, job, work), name=f"image {key}")
        job.waiters.add(waiter)
        return Pulling(job.progress)

    async def _run(self, key: Hashable, job: _Job, work: Callable[[_Job], Awaitable[None]]) -> None:
        error: WorkspaceError | None = None
        try:
            await work(job)
        except WorkspaceError as raised:
            error = raised
        except Exception as raised:
            error = EngineError(f"the image can't be had: {type(raised).__name__}")
            error.__cause__ = raised
        finally:
            if self._jobs.get(key) is job:
                del self._jobs[key]
        now = self._clock()
        kept = {k: outcome for k, outcome in self._outcomes.items() if now - outcome.time < _OUTCOMES_LAST}
        self._outcomes = kept | {(waiter, key): _Outcome(error, now) for waiter in job.waiters}
        self._on_done(set(job.waiters))

    async def _pull(self, job: _Job, name: str, credentials: Credentials | None, key: str) -> None:
        slots = self._slots_of("pull", job)
        if slots.locked() or self._all_slots.locked():
            job.progress = "waiting for other pulls"
        async with slots, self._all_slots:
            began = self._clock()
            try:
                async for progress in self._engine.pull(name, credentials):
                    job.progress = progress
            except WorkspaceError as error:
                logger.warning("a pull failed", extra=self._said(job, name, began) | {"error_reason": error.reason})
                raise
            finally:
                self._looks.forget()
            logger.info("Pull", extra=self._said(job, name, began))
        image = await self._looks.image(name)  # shared with those who waited
        if image is not None:
            for waiter in job.waiters:
                self._grant(waiter, name, image, key)

    def _said(self, job: _Job, name: str, began: float) -> dict[str, object]:
        waiting = sorted("/".join(waiter) for waiter in job.waiters)
        more = [f"and {len(waiting) - _TOLD} more"] if len(waiting) > _TOLD else []
        workspaces, seconds = ", ".join(waiting[:_TOLD] + more), round(self._clock() - began, 3)
        return {"image": name, "host": self._host, "workspaces": workspaces, "seconds": seconds}

    async def _check(self, job: _Job, name: str, credentials: Credentials | None, key: str, image: Image) -> None:
        try:
            async with self._slots_of("ask", job):
                allowed = await self._engine.may_pull(name, credentials)
        except CallTimeout as error:
            raise ImageError(f"{name}: its registry doesn't answer") from error
        if not allowed:
            raise ImageUnavailable(
                f"{name} is on the host, but the registry doesn't let this namespace pull it; "
                "name a Secret with the right to in spec.imagePullSecrets",
                reason="ImageAccessDenied",
            )
        for waiter in job.waiters:
            self._grant(waiter, name, image, key)

    def _slots_of(self, kind: str, job: _Job) -> asyncio.Semaphore:
        """Shared by the jobs of a namespace; a job that several wait for is its first one's."""
        owner = (kind, job.namespace)
        slots = self._slots.get(owner)
        if slots is None:
            slots = self._slots[owner] = asyncio.Semaphore(_FOR_ONE_NAMESPACE)
        return slots

    def _grant(self, waiter: Waiter, name: str, image: Image, key: str) -> None:
        now = self._clock()
        self._rights = {right: until for right, until in self._rights.items() if until > now}
        self._rights[(waiter[0], name, image.id, key)] = now + RIGHTS_LAST

    def _has_right(self, waiter: Waiter, name: str, image: Image, key: str) -> bool:
        return self._rights.get((waiter[0], name, image.id, key), 0.0) > self._clock()

    def _digest(self, credentials: Credentials | None) -> str:
        """Tells credentials apart without keeping them."""
        if credentials is None:
            return ""
        parts = "\0".join((credentials.server, credentials.username, credentials.password))
        return hashlib.sha256(self._salt + parts.encode()).hexdigest()
