"""Leader election on a real API server, with the timings of production."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest
from lightkube import AsyncClient, KubeConfig

from controller.lease import Lease
from devcluster import ControlPlane

Candidate = Callable[..., AbstractAsyncContextManager[Lease]]


@asynccontextmanager
async def candidate(cluster: ControlPlane, namespace: str, holder: str) -> AsyncIterator[Lease]:
    """Leaving the block is a crash: nothing is released."""
    config = KubeConfig.from_file(cluster.kubeconfig).get()
    client = AsyncClient(config=config, timeout=httpx2.Timeout(5.0))
    lease = Lease(client, namespace, holder=holder)
    task = asyncio.create_task(lease.run())
    try:
        yield lease
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _seconds_until_leading(lease: Lease, within: float) -> float:
    began = time.monotonic()
    async with asyncio.timeout(within):
        await lease.leading.wait()
    return time.monotonic() - began


async def test_a_released_lease_is_taken_over_in_3_seconds(control_plane: ControlPlane, namespace: str) -> None:
    async with candidate(control_plane, namespace, "a") as first, candidate(control_plane, namespace, "b") as second:
        await asyncio.wait(
            [asyncio.create_task(x.leading.wait()) for x in (first, second)], return_when="FIRST_COMPLETED"
        )
        leader, standby = (first, second) if first.may_act() else (second, first)
        assert not standby.may_act()
        await leader.release()
        assert await _seconds_until_leading(standby, within=10) < 3
        assert not leader.may_act()


async def test_a_crashed_leader_is_replaced_in_20_seconds_and_never_before_it_stopped(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with candidate(control_plane, namespace, "a") as crashed:
        await _seconds_until_leading(crashed, within=10)
    began = time.monotonic()
    async with candidate(control_plane, namespace, "b") as successor:
        while not successor.may_act():
            assert time.monotonic() - began < 20
            await asyncio.sleep(0.02)
        assert not crashed.may_act()


async def test_a_leader_without_an_api_server_stops_in_time_and_leads_again_after(
    new_control_plane: Callable[[], ControlPlane],
) -> None:
    cluster = await asyncio.to_thread(new_control_plane)
    async with candidate(cluster, "kube-system", "a") as lease:
        await _seconds_until_leading(lease, within=10)
        cluster.apiserver.pause()
        began = time.monotonic()
        while lease.leading.is_set():
            assert time.monotonic() - began < 12
            await asyncio.sleep(0.02)
        assert not lease.may_act()
        cluster.apiserver.resume()
        await _seconds_until_leading(lease, within=15)
        assert lease.may_act()


@pytest.mark.parametrize("stop", ["stop", "kill"])
async def test_the_end_of_an_api_server_ends_no_election(
    stop: str, new_control_plane: Callable[[], ControlPlane]
) -> None:
    cluster = await asyncio.to_thread(new_control_plane)
    async with candidate(cluster, "kube-system", "a") as lease:
        await _seconds_until_leading(lease, within=10)
        await asyncio.to_thread(getattr(cluster.apiserver, stop))
        await asyncio.sleep(3)
        assert lease.may_act()
        await asyncio.to_thread(cluster.start)
        await _seconds_until_leading(lease, within=30)
