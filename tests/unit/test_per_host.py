"""Work that is done on each host by itself."""

import asyncio
from functools import partial

from controller.per_host import PerHost


async def test_a_host_that_is_still_busy_misses_its_turn_and_the_others_do_not() -> None:
    begun: list[str] = []
    ends = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def work(host: str) -> None:
        begun.append(host)
        await ends[host].wait()

    rounds = PerHost("work")
    for host in ("a", "b"):
        rounds.begin(host, partial(work, host))
    await asyncio.sleep(0)
    ends["b"].set()
    await asyncio.sleep(0.01)
    for host in ("a", "b"):
        rounds.begin(host, partial(work, host))
    await asyncio.sleep(0)
    assert begun == ["a", "b", "b"]
    await rounds.cancel()


async def test_work_that_failed_or_was_cancelled_holds_up_nothing() -> None:
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise RuntimeError("the first round fails")
        await asyncio.Event().wait()

    rounds = PerHost("work")
    rounds.begin("a", work)
    await asyncio.sleep(0.01)
    rounds.begin("a", work)
    await asyncio.sleep(0.01)
    await rounds.cancel()
    rounds.begin("a", work)
    await asyncio.sleep(0.01)
    assert begun == 3
    await rounds.cancel()
