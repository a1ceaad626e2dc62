"""The line: observe, plan, execute, status. Level-triggered: nothing here knows which event woke us.

Each pass plans from what is there now and carries the plan out; after a plan that changed something, the next pass
plans again, until nothing is left to do or something has to be waited for. Then the status is written, if it differs.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lightkube.core.exceptions import ApiError

from controller import actions as act
from controller import naming
from controller.api import HostPolicy, Usage, Workspace, WorkspaceStatus
from controller.backoff import is_passing
from controller.clock import mono
from controller.container_spec import ContainerSpec
from controller.credentials import credentials_for
from controller.desired import Desired, make_desired
from controller.drift import choose
from controller.engine.protocol import Credentials
from controller.errors import ContainerGone, HostNotFound, HostUnreachable, WorkspaceError
from controller.events import Recorder
from controller.execute import Execution
from controller.history import Memory, Now, for_another_spec, from_status, recall
from controller.hosts import Host, Hosts
from controller.kube import ApiUnavailable, Conflict, Gone, Kube, merge_patch
from controller.metrics import Metrics
from controller.namespaces import Namespaces
from controller.observed import Container, Observed
from controller.outcome import Outcome, carried_out, counted, planned, settled
from controller.plan import Plan, plan
from controller.references import References
from controller.restarts import restart_wanted
from controller.retrying import API_RETRY
from controller.status import status
from controller.store import Entry, Store
from controller.usage import Sample, is_wanted, status_usage

logger = logging.getLogger(__name__)
MAX_PASSES = 12  # a replacement takes 5; more means that something undoes what we do
LOOK_SOON = 1.0  # seconds; the host didn't answer, or what we acted on was gone
LET_GO = 30.0  # seconds, in which a list tells that it is gone; after a restore of etcd it may well be there again
LOOK_LATEST = 30.0  # seconds; what we do doesn't last, again and again


@dataclass(frozen=True, slots=True)
class World:
    """Everything that reconciling needs from outside, so that it can be seen in one place."""

    cluster: str
    kube: Kube
    workspaces: Store[Workspace]
    hosts: Hosts
    references: References
    namespaces: Namespaces
    hold_host: Callable[[str], AbstractAsyncContextManager[None]]  # has the DockerHost keep its finalizer
    recorder: Recorder
    metrics: Metrics
    sample_of: Callable[[Container], Sample | None] | None  # the last sample of its run; None: sampling is off
    may_act: Callable[[], bool]  # whether we lead and know enough
    dry_run: bool  # only say what would be done


class Reconciliation:
    """One reconciliation of one Workspace. Also what actions need beside the host (`execute.Surroundings`)."""

    def __init__(self, world: World, entry: Entry[Workspace], memory: Memory) -> None:
        self._world, self._entry, self._memory = world, entry, memory
        self._workspace = entry.object
        self._history = recall(self._workspace.status, memory)
        self._host: Host | None = None
        self._gone = False
        self._unread = False  # whether a reference could not be read

    async def run(self, keep: Callable[[Workspace, Memory], None]) -> float | None:
        try:
            decided, outcome = await self._converge()
        finally:
            keep(self._workspace, self._memory)
        if self._gone:
            return None
        if isinstance(outcome.error, (HostUnreachable, ContainerGone)):
            return mono() + LOOK_SOON
        if self._unread:
            return min(decided.wake_at or math.inf, mono() + API_RETRY)
        return decided.wake_at

    async def _converge(self) -> tuple[Plan, Outcome]:
        outcome = Outcome()
        for _ in range(MAX_PASSES):
            if self._is_too_early():
                return self._later(), outcome
            desired, observed = await self._look()
            if not observed.known and not observed.settled:  # since a moment ago
                return self._later(), outcome
            decided = self._plan(desired, observed)
            if self._world.dry_run:
                self._say(desired, decided)
                return decided, outcome
            if not decided.actions or (decided.tidies and not self._memory.failures):
                await self._write_status(desired, observed, decided)
            if not decided.actions:
                return decided, outcome
            if self._host is None:  # the one thing that is planned without a host: letting go of it
                began = mono()
                await self.remove_finalizer()
                self.done(decided.actions[0], None, mono() - began)
                return decided, outcome
            meanwhile = partial(self._write_meanwhile, desired, observed, decided)
            outcome = await Execution(self._host, desired, self, meanwhile).run(decided.actions)
            self._remember(decided, desired, observed, outcome)
            if self._gone or not self.may_act() or isinstance(outcome.error, HostUnreachable):
                return decided, outcome
            if outcome.waiting:
                await self._write_status(desired, observed, decided)
                return replace(decided, wake_at=None), outcome
        desired, observed = await self._look()
        decided = self._plan(desired, observed)
        await self._write_status(desired, observed, decided)
        wait = min(LOOK_SOON * 2 ** min(self._memory.in_vain, 10), LOOK_LATEST)
        self._memory = replace(self._memory, in_vain=self._memory.in_vain + 1)
        return replace(decided, wake_at=mono() + wait), outcome

    # observe

    def _is_too_early(self) -> bool:
        """Whether its host was only just asked. After a start all Workspaces wait so: no thought is spent on them."""
        name, world = self._workspace.spec.host, self._world
        observed = world.hosts.observed(name, self._workspace.metadata.uid)
        return world.hosts.policy_of(name) is not None and not observed.known and not observed.settled

    def _later(self) -> Plan:
        return Plan(wake_at=self._world.hosts.settles_at(self._workspace.spec.host))

    async def _look(self) -> tuple[Desired, Observed]:
        workspace, world = self._workspace, self._world
        name = workspace.spec.host
        declared = world.hosts.policy_of(name)
        policy = declared or HostPolicy()
        selects = policy.namespaces.selector is not None
        labels = await world.namespaces.labels(workspace.metadata.namespace) if selects else {}
        desired = make_desired(workspace, policy, world.cluster, labels)
        if declared is not None and desired.container.references and not desired.deleting:
            await self._learn_references(desired)
        self._host = world.hosts.get(name)  # at the same moment as what it has
        if declared is None:
            refusal = HostNotFound(name)
            return replace(desired, refusal=refusal), Observed(known=False, unknown_because=str(refusal))
        return desired, world.hosts.observed(name, workspace.metadata.uid)

    async def _learn_references(self, desired: Desired) -> None:
        references = self._world.references
        # A restart picks up what has changed a moment ago, once it can be made.
        again = restart_wanted(desired, self._history) and not self._world.hosts.is_away(desired.host)
        try:
            await references.learn(desired.namespace, desired.container.references, again=again)
        except ApiUnavailable:  # of Secrets alone perhaps: a container that has ended is started again all the same
            if again:
                raise
            self._unread = True
        self._memory = replace(
            self._memory, references=references.versions(desired.namespace, desired.container.references)
        )

    # plan

    def _plan(self, desired: Desired, observed: Observed) -> Plan:
        self._history = self._history.with_memory(self._memory)
        decided = plan(desired, observed, self._history, _now())
        if decided.actions:
            logger.debug("plan", extra={"workspace": f"{desired.namespace}/{desired.name}", "plan": str(decided)})
        self._memory = planned(self._memory, decided, observed, _now(), desired.grace)
        return decided

    def _say(self, desired: Desired, decided: Plan) -> None:
        if decided.actions:
            logger.info("dry run", extra={"workspace": self._name(), "plan": str(decided)})

    # execute: what is remembered of it

    def _remember(self, decided: Plan, desired: Desired, observed: Observed, outcome: Outcome) -> None:
        main = choose(desired, observed.containers, self._memory.references)
        self._history = counted(self._history, decided, outcome, main, desired.generation)
        unwritten = (self._workspace.status, self._history.with_memory(Memory()))
        self._memory = replace(carried_out(self._memory, outcome, observed, _now()), unwritten=unwritten)
        if outcome.failed is not None and outcome.error is not None:
            self._tell(outcome.failed, outcome.error, outcome.seconds)
        if desired.generation != self._workspace.metadata.generation:  # changed while the steps were taken
            self._memory = for_another_spec(self._memory)

    def _tell(self, action: act.Action, error: WorkspaceError, seconds: float) -> None:
        said = {"error_reason": error.reason, "error": str(error), "seconds": round(seconds, 3)}
        logger.warning("a step failed", extra={"workspace": self._name(), "action": str(action)} | said)
        self._world.metrics.acted(action.kind, "failed")
        if isinstance(error, ContainerGone):
            return
        self._world.metrics.failed(str(error.error_class))
        if not is_passing(self._memory.failures[action.kind]):
            self._world.recorder.failed(self._workspace, error)

    # status

    async def _write_status(self, desired: Desired, observed: Observed, decided: Plan) -> None:
        previous = self._workspace.status
        if observed.known:
            self._memory = settled(self._memory, decided)
        usage = self._usage(desired, observed)
        new = status(desired, observed, decided, self._history.with_memory(self._memory), previous, _now(), usage)
        if new is not previous:
            await self._patch_status(self._entry, new)
            self._world.recorder.status_changed(self._workspace, previous, new)
        self._memory = replace(self._memory, unwritten=None, in_vain=self._memory.in_vain if decided.actions else 0)

    async def _write_meanwhile(self, desired: Desired, before: Observed, decided: Plan) -> None:
        """The status while a step takes long, also where others have changed the object since the step began. Ready
        waits for the end of the plan. A container that was only just made has not been looked at: what was there
        `before` is told then."""
        entry = self._current()
        if entry is None or not self.may_act():
            return
        observed = self._world.hosts.observed(desired.host, desired.uid)
        if not observed.known and not observed.settled:
            observed = before
        previous, history = entry.object.status, self._history.with_memory(self._memory)
        new = status(desired, observed, decided, history, previous, _now(), self._usage(desired, observed))
        if new is previous or new.is_ready:
            return
        with suppress(ApiUnavailable, ApiError, Conflict, Gone):  # the plan goes on; there will be another time to tell
            await self._patch_status(entry, new)
            self._world.recorder.status_changed(self._workspace, previous, new)
            if self._history.last_restart_request is None:  # first sight is over: what is asked for from now on counts
                self._history = replace(self._history, last_restart_request=new.last_restart_request or "")

    def _usage(self, desired: Desired, observed: Observed) -> Usage | None:
        """Only for a Workspace that asks for it, and where sampling is switched on."""
        sample_of, told = self._world.sample_of, self._workspace.status
        if sample_of is None or not is_wanted(self._workspace.metadata.annotations):
            return None
        if not observed.known:
            return told.usage
        main = choose(desired, observed.containers, self._memory.references)
        if main is None:
            return None
        previous = told.usage if told.started_at == main.started_at else None
        return status_usage(previous, main, sample_of(main), self._memory.usage_of)

    async def _patch_status(self, entry: Entry[Workspace], new: WorkspaceStatus) -> None:
        changes = merge_patch(entry.object.status.to_dict(), new.to_dict())
        self._took(await self._world.kube.patch_status(entry.ref, changes))
        if new.usage is not None:
            self._memory = replace(self._memory, usage_of=new.usage.sampled_at)

    def _took(self, raw: dict[str, Any]) -> None:
        """Takes in the object as our write has left it."""
        self._world.workspaces.apply(raw, quietly=True)
        entry = self._current()
        if entry is None:
            raise Gone("the Workspace was deleted")
        if entry.object.metadata.generation != self._workspace.metadata.generation:
            self._memory = for_another_spec(self._memory)
        self._entry, self._workspace = entry, entry.object

    def _current(self) -> Entry[Workspace] | None:
        """The Workspace as it is known now; None where it is gone, or was made again."""
        entry = self._world.workspaces.get((self._entry.ref.namespace, self._entry.ref.name))
        return entry if entry is not None and entry.ref.uid == self._entry.ref.uid else None

    # Surroundings

    def may_act(self) -> bool:
        """Asked before every action: a former leader stops in the middle of a plan."""
        return self._world.may_act()

    async def add_finalizer(self) -> None:
        """Before the first change of Docker; the host keeps a finalizer too while it is used."""
        async with self._world.hold_host(self._workspace.spec.host):
            finalizers = [*self._workspace.metadata.finalizers, naming.FINALIZER]
            self._took(await self._world.kube.set_finalizers(self._entry.ref, finalizers))

    async def remove_finalizer(self) -> None:
        """After this the object is gone, unless others hold it too."""
        finalizers = [f for f in self._workspace.metadata.finalizers if f != naming.FINALIZER]
        raw = await self._world.kube.set_finalizers(self._entry.ref, finalizers)
        self._gone = True
        if self._workspace.metadata.deletion_timestamp is not None:
            # The answer has the version of before, so that what is held doesn't show it.
            self._memory = replace(self._memory, let_go=mono() + LET_GO)
        if self._world.workspaces.get((self._entry.ref.namespace, self._entry.ref.name)) is not None:
            self._world.workspaces.apply(raw)  # what still wakes us until the watch tells finds nothing to do

    async def record_restart(self, request: str) -> None:
        """Writes the request, and that it is under way, before anything is stopped."""
        desired, observed = await self._look()
        history = replace(self._history, last_restart_request=request, restarting=True)
        started = [c.started_at for c in observed.containers if c.is_live]
        history = replace(history, started_at=started[0] if started else None)
        new = status(desired, observed, Plan(), history.with_memory(self._memory), self._workspace.status, _now())
        await self._patch_status(self._entry, new)
        self._history = replace(from_status(self._workspace.status, self._memory), retries=0)

    async def environment(self, spec: ContainerSpec) -> tuple[dict[str, str], str]:
        """The environment with Secrets read now."""
        return await self._world.references.resolve(spec)

    async def credentials(self, secrets: Iterable[str], image: str) -> Credentials | None:
        """What the first of these pull Secrets that knows the image's registry says now."""
        return await credentials_for(self._world.kube, self._entry.ref.namespace, secrets, image)

    def done(self, action: act.Action, container: str | None, seconds: float) -> None:
        """One line for each action: what, to which container, why, how long."""
        logger.info(
            action.kind,
            extra={
                "workspace": self._name(),
                "container": (container or "")[:12],
                "reason": action.reason,
                "seconds": round(seconds, 3),
            },
        )
        self._world.metrics.acted(action.kind, "done")
        self._world.recorder.acted(self._workspace, action)

    def _name(self) -> str:
        return f"{self._workspace.metadata.namespace}/{self._workspace.metadata.name}"


def _now() -> Now:
    return Now(datetime.now(UTC), mono())
