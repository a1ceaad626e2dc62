"""Leader election on a Lease that lives in memory, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.core.internal_models import meta_v1
from lightkube.resources.coordination_v1 import Lease as LeaseObject

from controller.lease import Lease, Timings
from tests.waiting import eventually_async

FAST = Timings(duration=15.0, renew_deadline=10.0, retry_period=0.01)


class Clock:
    """A monotonic clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """What an API server does with one Lease."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.failure: Exception | None = None
        self.hangs = False
        self.loses_answers = False
        self.writes = 0

    @property
    def holder(self) -> str:
        return self.stored["spec"].get("holderIdentity", "") if self.stored else ""

    async def get(self, res: type[LeaseObject], name: str, *, namespace: str) -> LeaseObject:
        await self._serve()
        if self.stored is None:
            raise _refusal(404)
        return LeaseObject.from_dict(self.stored)

    async def create(self, obj: LeaseObject) -> LeaseObject:
        await self._serve()
        if self.stored is not None:
            raise _refusal(409)
        return await self._store(obj)

    async def replace(self, obj: LeaseObject) -> LeaseObject:
        await self._serve()
        if self.stored is None:
            raise _refusal(404)
        if obj.metadata is None or obj.metadata.resourceVersion != self.stored["metadata"]["resourceVersion"]:
            raise _refusal(409)
        return await self._store(obj)

    async def _store(self, obj: LeaseObject) -> LeaseObject:
        self.version += 1
        self.writes += 1
        self.stored = obj.to_dict()
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        if self.loses_answers:
            raise httpx2.ReadError("the connection was cut")
        return LeaseObject.from_dict(self.stored)

    async def _serve(self) -> None:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure


def _refusal(code: int) -> ApiError:
    return ApiError(status=meta_v1.Status(code=code, message=f"refused with {code}"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def candidate(server: Server, clock: Clock) -> AsyncIterator[Callable[..., Lease]]:
    tasks = []

    def start(holder: str, **options: Any) -> Lease:
        lease = Lease(server, "system", holder=holder, timings=FAST, clock=clock, **options)
        tasks.append(asyncio.create_task(lease.run()))
        return lease

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _leads(lease: Lease) -> None:
    async with asyncio.timeout(5):
        await lease.leading.wait()


async def _some_rounds() -> None:
    for _ in range(10):
        await asyncio.sleep(FAST.retry_period)


async def test_the_first_candidate_leads_and_the_second_waits(candidate: Callable[..., Lease]) -> None:
    first = candidate("a")
    await _leads(first)
    second = candidate("b")
    await _some_rounds()
    assert first.may_act()
    assert not second.may_act()


async def test_a_leader_may_not_act_once_its_renewal_is_too_old_whatever_the_loop_does(
    candidate: Callable[..., Lease], server: Server, clock: Clock
) -> None:
    lease = candidate("a")
    await _leads(lease)
    server.hangs = True
    clock.now += 9.9
    assert lease.may_act()
    clock.now += 0.2  # as after SIGSTOP and SIGCONT: no code of ours ran in between
    assert not lease.may_act()


async def test_losing_the_lease_is_told_even_while_a_renewal_hangs(
    candidate: Callable[..., Lease], server: Server, clock: Clock
) -> None:
    told: list[bool] = []
    lease = candidate("a", on_change=told.append)
    await _leads(lease)
    server.hangs = True
    clock.now += 11
    await eventually_async(lambda: told == [True, False], timeout=5)
    assert not lease.leading.is_set()


async def test_a_renewal_counts_from_when_it_was_sent(candidate: Callable[..., Lease], server: Server, clock: Clock):
    lease = candidate("a")
    await _leads(lease)
    slow = server._serve

    async def answers_late() -> None:
        await slow()
        clock.now += 11

    server._serve = answers_late  # type: ignore[method-assign]
    await eventually_async(lambda: not lease.leading.is_set(), timeout=5)
    assert not lease.may_act()


async def test_another_takes_over_only_after_the_duration_on_its_own_clock(
    candidate: Callable[..., Lease], server: Server, clock: Clock
) -> None:
    server.stored = _held_by("crashed")
    lease = candidate("b")
    await _some_rounds()
    clock.now += 14.9
    await _some_rounds()
    assert not lease.may_act()
    clock.now += 0.2
    await _leads(lease)
    assert server.stored["spec"]["leaseTransitions"] == 4


async def test_wall_clock_times_in_the_lease_mean_nothing(candidate: Callable[..., Lease], server: Server) -> None:
    server.stored = _held_by("alive", renewed="1999-01-01T00:00:00.000001Z")
    lease = candidate("b")
    await _some_rounds()
    assert not lease.may_act()


async def test_any_new_version_of_the_lease_is_a_sign_of_life(
    candidate: Callable[..., Lease], server: Server, clock: Clock
) -> None:
    server.stored = _held_by("alive")
    lease = candidate("b")
    for version in range(5, 9):
        await _some_rounds()
        clock.now += 10
        server.stored["metadata"]["resourceVersion"] = str(version)
    await _some_rounds()
    assert not lease.may_act()


async def test_release_empties_the_lease_so_that_another_takes_over_at_once(
    candidate: Callable[..., Lease], server: Server
) -> None:
    first = candidate("a")
    await _leads(first)
    second = candidate("b")
    await first.release()
    assert not first.may_act()
    await _leads(second)
    assert server.holder == "b"


async def test_releasing_gives_up_on_a_server_that_does_not_answer(
    candidate: Callable[..., Lease], server: Server
) -> None:
    lease = candidate("a")
    await _leads(lease)
    server.hangs = True
    async with asyncio.timeout(4):
        await lease.release()
    assert not lease.may_act()


async def test_a_released_lease_is_not_taken_again(candidate: Callable[..., Lease], server: Server) -> None:
    lease = candidate("a")
    await _leads(lease)
    await lease.release()
    await _some_rounds()
    assert server.holder == ""
    assert not lease.may_act()


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.ConnectError("connection refused"),
        httpx2.ReadTimeout("no answer"),
        _refusal(503),
        _refusal(403),
        ValueError("not JSON"),
        KeyError("Content-Type"),
    ],
    ids=["refused", "timeout", "503", "forbidden", "error page", "no content type"],
)
async def test_an_outage_ends_nothing_and_leading_goes_on_after_it(
    failure: Exception, candidate: Callable[..., Lease], server: Server, clock: Clock
) -> None:
    lease = candidate("a")
    await _leads(lease)
    server.failure = failure
    await _some_rounds()
    assert lease.may_act()
    clock.now += 12
    await eventually_async(lambda: not lease.leading.is_set(), timeout=5)
    server.failure = None
    await _leads(lease)
    assert lease.may_act()


async def test_a_write_whose_answer_was_lost_is_recognised_as_ours(
    candidate: Callable[..., Lease], server: Server
) -> None:
    server.loses_answers = True
    lease = candidate("a")
    await eventually_async(lambda: server.writes > 0, timeout=5)
    server.loses_answers = False
    await _leads(lease)


async def test_a_leader_whose_lease_was_taken_stops_at_its_next_renewal(
    candidate: Callable[..., Lease], server: Server
) -> None:
    lease = candidate("a")
    await _leads(lease)
    server.version += 1
    server.stored = _held_by("b", version=str(server.version))
    await eventually_async(lambda: not lease.leading.is_set(), timeout=5)
    assert not lease.may_act()


async def test_a_deleted_lease_is_made_again(candidate: Callable[..., Lease], server: Server) -> None:
    lease = candidate("a")
    await _leads(lease)
    server.stored = None
    await eventually_async(lambda: server.holder == "a", timeout=5)
    assert lease.may_act()


def _held_by(holder: str, version: str = "3", renewed: str = "2026-01-01T00:00:00.000001Z") -> dict[str, Any]:
    return {
        "metadata": {"name": "workspace-controller", "namespace": "system", "resourceVersion": version},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "renewTime": renewed,
            "acquireTime": renewed,
            "leaseTransitions": 3,
        },
    }


async def test_whoever_was_told_no_hears_of_it_when_a_late_renewal_comes_through() -> None:
    told: list[bool] = []
    server, clock = Server(), Clock()
    lease = Lease(server, "here", told.append, holder="a", timings=FAST, clock=clock)
    await lease._try()
    clock.now += 10.5
    assert not lease.may_act()
    await lease._try()
    assert lease.may_act()
    assert told == [True, False, True]
