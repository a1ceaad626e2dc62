"""The lock that keeps two controllers of one cluster apart on one machine."""

import asyncio
import subprocess
import sys
from pathlib import Path

from controller.filelock import FileLock
from tests.waiting import eventually_async

HOLD = """
import asyncio, pathlib, sys
from controller.filelock import FileLock
async def hold():
    await FileLock(pathlib.Path(sys.argv[1])).run()
    print("held", flush=True)
    await asyncio.Event().wait()
asyncio.run(hold())
"""


async def test_the_second_waits_until_the_first_lets_go(tmp_path: Path) -> None:
    told: list[bool] = []
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock", told.append)
    await first.run()
    waiting = asyncio.create_task(second.run())
    await asyncio.sleep(0.05)
    assert first.may_act()
    assert not second.may_act()
    await first.release()
    assert not first.may_act()
    await asyncio.wait_for(waiting, 5)
    assert second.may_act()
    assert told == [True]
    await second.release()
    assert told == [True, False]


async def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    holder = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        second = FileLock(tmp_path / "lock")
        waiting = asyncio.create_task(second.run())
        await asyncio.sleep(0.05)
        assert not second.may_act()
    finally:
        holder.kill()
        await holder.communicate()
    await eventually_async(lambda: second.may_act(), timeout=5)
    await waiting
    await second.release()


async def test_a_lock_on_a_deleted_file_locks_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = FileLock(path), FileLock(path)
    await first.run()
    path.unlink()
    await asyncio.wait_for(second.run(), 5)
    assert second.may_act()
    await first.release()
    await second.release()


async def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "lock").symlink_to(target)
    lock = FileLock(tmp_path / "lock")
    waiting = asyncio.create_task(lock.run())
    await asyncio.sleep(0.05)
    await lock.release()
    await asyncio.wait_for(waiting, 5)
    assert not target.exists()
    assert not lock.may_act()
