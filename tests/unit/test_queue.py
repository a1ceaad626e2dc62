"""The keyed queue: one worker for each key, a bounded number for each group, nothing lost."""

from __future__ import annotations

import asyncio
from collections import Counter

from controller import queue
from controller.queue import KeyedQueue
from tests.virtual_time import virtual_time

Key = tuple[str, int]


def group_of(key: Key) -> str:
    return key[0]


@virtual_time
async def test_a_key_that_is_added_while_it_is_worked_on_is_worked_on_once_more() -> None:
    worked: list[str] = []

    async def work(key: str) -> None:
        worked.append(key)
        await asyncio.sleep(1)

    keys = KeyedQueue(work)
    for _ in range(3):
        keys.add("a")
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)
    assert worked == ["a", "a"]


@virtual_time
async def test_a_group_has_so_many_workers_and_no_more_and_takes_its_keys_in_order() -> None:
    at_work: Counter[str] = Counter()
    most: Counter[str] = Counter()
    begun: list[Key] = []

    async def work(key: Key) -> None:
        begun.append(key)
        at_work[key[0]] += 1
        most[key[0]] = max(most[key[0]], at_work[key[0]])
        await asyncio.sleep(1)
        at_work[key[0]] -= 1

    keys = KeyedQueue(work, group_of)
    wanted = [("host", number) for number in range(3 * queue.WORKERS)]
    for key in wanted:
        keys.add(key)
    assert len(keys) == 2 * queue.WORKERS
    await asyncio.sleep(10)
    assert most["host"] == queue.WORKERS
    assert begun == wanted
    assert len(keys) == keys.working == 0


@virtual_time
async def test_groups_that_are_busy_share_the_workers_and_one_that_is_left_has_all_it_may() -> None:
    at_work: Counter[str] = Counter()

    async def work(key: Key) -> None:
        at_work[key[0]] += 1
        await asyncio.sleep(1)
        at_work[key[0]] -= 1

    keys = KeyedQueue(work, group_of)
    others = queue.WORKERS_OF_ALL
    for number in range(others):
        keys.add((f"other-{number}", 0))
    for number in range(10 * queue.WORKERS):
        keys.add(("host", number))
    await asyncio.sleep(0.5)
    assert at_work["host"] == queue.FEWEST
    assert keys.working == others + queue.FEWEST
    await asyncio.sleep(2)
    assert at_work["host"] == queue.WORKERS == keys.working
    await asyncio.sleep(10)
    assert len(keys) == keys.working == 0


@virtual_time
async def test_a_group_that_is_stuck_delays_no_other() -> None:
    ended: list[Key] = []

    async def work(key: Key) -> None:
        await asyncio.sleep(1000 if key[0] == "stuck" else 1)
        ended.append(key)

    keys = KeyedQueue(work, group_of)
    for number in range(2 * queue.WORKERS):
        keys.add(("stuck", number))
    keys.add(("other", 0))
    await asyncio.sleep(2)
    assert ended == [("other", 0)]
    await keys.close(0.1)
    assert keys.working == 0


@virtual_time
async def test_a_worker_that_fails_gives_its_place_to_the_next_and_is_tried_again() -> None:
    tries: Counter[Key] = Counter()

    async def work(key: Key) -> None:
        tries[key] += 1
        if tries[key] == 1:
            raise RuntimeError("a bug")

    keys = KeyedQueue(work, group_of)
    wanted = [("host", number) for number in range(2 * queue.WORKERS)]
    for key in wanted:
        keys.add(key)
    await asyncio.sleep(queue.RETRY_AFTER_BUG[0] + 1)
    assert tries == Counter(dict.fromkeys(wanted, 2))


@virtual_time
async def test_keys_that_wait_are_begun_when_their_groups_share_grows() -> None:
    begun: list[Key] = []

    async def work(key: Key) -> None:
        begun.append(key)
        await asyncio.sleep(30 if key[0] == "slow" else 1)

    keys = KeyedQueue(work, group_of)
    for number in range(63):
        keys.add((f"group {number}", 0))
    for number in range(10):
        keys.add(("slow", number))
    await asyncio.sleep(5)
    assert len([key for key in begun if key[0] == "slow"]) == 10


@virtual_time
async def test_a_minor_group_has_one_worker_which_counts_for_no_share_and_keys_leave_it() -> None:
    minor = {"host"}
    at_work: Counter[str] = Counter()
    most: dict[str, int] = {}

    async def work(key: Key) -> None:
        at_work[key[0]] += 1
        most[key[0]] = max(most.get(key[0], 0), at_work[key[0]])
        await asyncio.sleep(1)
        at_work[key[0]] -= 1

    keys = KeyedQueue(work, lambda key: f"minor {key[0]}" if key[0] in minor else key[0], lambda g: g[:5] == "minor")
    wanted = [(host, number) for number in range(100) for host in ("host", *map(str, range(8)))]
    for key in wanted:
        keys.add(key)
    await asyncio.sleep(1.5)
    assert most == {"host": queue.MINOR} | {str(other): queue.WORKERS for other in range(8)}
    minor.clear()
    for key in wanted:
        keys.add(key)  # those that wait move, the others are worked on once more
    await asyncio.sleep(3)
    assert most["host"] > queue.MINOR
    await asyncio.sleep(30)
    assert len(keys) == keys.working == 0
