"""Events: aggregated, few, and never in the way of what they tell of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from lightkube.resources.core_v1 import Event

from controller import events
from controller.actions import Pause, Start
from controller.api import ObjectMeta, Workspace, WorkspaceSpec, WorkspaceStatus
from controller.errors import ImageUnavailable
from controller.events import Allowance, Recorder
from controller.kube import ApiUnavailable, Conflict, Gone
from tests.waiting import eventually_async

WORKSPACE = Workspace(metadata=ObjectMeta(name="a", namespace="team", uid="uid-1"), spec=WorkspaceSpec())


class Events:
    """The API server, as far as Events go."""

    def __init__(self) -> None:
        self.stored: dict[str, Event] = {}
        self.writes = 0
        self.down = False

    async def write_event(self, event: Event, *, first: bool) -> None:
        if self.down:
            raise ApiUnavailable("down")
        name = str(event.metadata.name) if event.metadata else ""
        if first and name in self.stored:
            raise Conflict("AlreadyExists")
        if not first and name not in self.stored:
            raise Gone("expired")
        self.stored[name] = event
        self.writes += 1

    async def event_count(self, namespace: str, name: str) -> int:
        return self.stored[name].count or 0

    def counts(self) -> dict[str | None, int | None]:
        return {event.reason: event.count for event in self.stored.values()}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "REPEAT", 0.05)
    monkeypatch.setattr(events, "API_RETRY", 0.05)


@asynccontextmanager
async def recording(kube: Events) -> AsyncIterator[Recorder]:
    recorder = Recorder(kube)  # type: ignore[arg-type]
    task = asyncio.create_task(recorder.run())
    yield recorder
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await recorder.close()


async def test_an_event_names_the_workspace_by_its_uid() -> None:
    kube = Events()
    async with recording(kube) as recorder:
        recorder.acted(WORKSPACE, Start(None, reason="it should run"))
    (event,) = kube.stored.values()
    assert event.involvedObject.uid == "uid-1"
    assert event.involvedObject.kind == "Workspace"
    assert (event.reason, event.type, event.count) == ("Started", "Normal", 1)
    assert event.message == "started the container: it should run"


async def test_the_same_thing_again_counts_the_event_up() -> None:
    kube = Events()
    async with recording(kube) as recorder:
        recorder.acted(WORKSPACE, Pause("c", reason="it should be Paused"))
        await eventually_async(lambda: kube.writes == 1)
        for _ in range(50):
            recorder.acted(WORKSPACE, Pause("c", reason="it should be Paused"))
        await eventually_async(lambda: kube.counts() == {"Paused": 51})
    assert kube.writes == 2


async def test_a_new_process_counts_on_where_the_old_one_ended() -> None:
    kube = Events()
    for _ in range(3):
        async with recording(kube) as recorder:
            recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
    assert kube.counts() == {"ErrImagePull": 3}


async def test_an_expired_event_is_made_anew() -> None:
    kube = Events()
    async with recording(kube) as recorder:
        recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
        await eventually_async(lambda: kube.writes == 1)
        kube.stored.clear()
        recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
        await eventually_async(lambda: kube.counts() == {"ErrImagePull": 1})


async def test_an_outage_of_the_api_server_delays_events_and_loses_none() -> None:
    kube = Events()
    kube.down = True
    async with recording(kube) as recorder:
        recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
        recorder.acted(WORKSPACE, Start(None, reason="it should run"))
        kube.down = False
        await eventually_async(lambda: len(kube.stored) == 2)
    assert recorder.dropped == 0


async def test_what_is_too_much_is_dropped_and_counted() -> None:
    kube = Events()
    async with recording(kube) as recorder:
        for number in range(500):
            recorder.failed(WORKSPACE, ImageUnavailable(f"no such image {number}"))
        await eventually_async(lambda: kube.writes == events.BURST)
        assert recorder.dropped > 400


async def test_a_refused_event_does_not_end_the_writer() -> None:
    kube = Events()
    async with recording(kube) as recorder:
        recorder.acted(WORKSPACE, Start(None, reason="it should run"))
        await eventually_async(lambda: kube.writes == 1)
        kube.write_event, healthy = _forbidden, kube.write_event  # type: ignore[method-assign]
        recorder.acted(WORKSPACE, Pause("c", reason="it should be Paused"))
        await eventually_async(lambda: recorder.dropped == 1)
        kube.write_event = healthy  # type: ignore[method-assign]
        recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
        await eventually_async(lambda: kube.writes == 2)


async def _forbidden(event: Event, *, first: bool) -> None:
    raise PermissionError("the namespace is being terminated")


async def test_the_status_of_a_failed_step_is_not_a_second_event() -> None:
    kube = Events()
    stalled = WorkspaceStatus.model_validate(
        {"conditions": [{"type": "Stalled", "status": "True", "reason": "ErrImagePull", "message": "no such image",
                         "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    )  # fmt: skip
    async with recording(kube) as recorder:
        recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
        recorder.status_changed(WORKSPACE, WorkspaceStatus(), stalled)
    assert kube.counts() == {"ErrImagePull": 1}


def test_a_crash_loop_may_be_told_a_few_times_a_minute() -> None:
    allowance = Allowance()
    writes = [allowance.reserve(float(second)) for second in range(60)]
    at_once = [at for second, at in enumerate(writes) if at == second]
    assert len(at_once) <= events.BURST + 60 / events.REFILL
    assert sum(at <= 60 for at in writes) <= events.BURST + 60 / events.REFILL


async def test_warnings_are_told_before_all_else() -> None:
    kube = Events()
    recorder = Recorder(kube)  # type: ignore[arg-type]
    recorder.acted(WORKSPACE, Start(None, reason="it should run"))
    recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
    await recorder.close()
    assert [event.reason for event in kube.stored.values()] == ["ErrImagePull", "Started"]


async def test_telling_is_slow_while_much_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BUSY_GAP", 0.2)
    kube = Events()
    recorder = Recorder(kube, busy=lambda: True)  # type: ignore[arg-type]
    recorder.acted(WORKSPACE, Start(None, reason="it should run"))
    recorder.acted(WORKSPACE, Pause("c", reason="it should be Paused"))
    task = asyncio.create_task(recorder.run())
    await eventually_async(lambda: kube.writes == 1)
    began = asyncio.get_running_loop().time()
    await eventually_async(lambda: kube.writes == 2)
    assert asyncio.get_running_loop().time() - began > 0.1
    monkeypatch.setattr(events, "PATIENT_LIMIT", 0)
    monkeypatch.setattr(events, "BUSY_GAP", 3600.0)
    for _ in range(2):
        recorder.failed(WORKSPACE, ImageUnavailable("no such image"))
    recorder.acted(WORKSPACE, Start(None, reason="it should run again"))
    recorder.acted(WORKSPACE, Pause("c", reason="it should be Paused again"))
    await eventually_async(lambda: kube.writes == 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_work_comes_before_what_is_told_of_it_and_the_end_waits_for_nothing() -> None:
    kube = Events()
    async with recording(kube) as recorder:
        recorder.acted(WORKSPACE, Start("c1", reason="it should run"))
        await asyncio.sleep(events.LINGER / 2)
        assert not kube.stored
    assert len(kube.stored) == 1


class Lossy(Events):
    """Makes the first Event, and its answer is lost."""

    lost = 1

    async def write_event(self, event: Event, *, first: bool) -> None:
        await super().write_event(event, first=first)
        if self.lost:
            self.lost -= 1
            raise ApiUnavailable("the answer was lost")


async def test_an_event_whose_answer_was_lost_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "API_RETRY", 0.05)
    kube = Lossy()
    async with recording(kube) as recorder:
        recorder.acted(WORKSPACE, Start("c", reason="it should run"))
        await eventually_async(lambda: kube.writes == 2, timeout=10)
    assert list(kube.counts().values()) == [1]
