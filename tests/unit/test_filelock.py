"""The lock that keeps two controllers of one cluster apart on one machine."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from controller import filelock
from controller.filelock import FileLock
from tests.waiting import eventually_async

HOLD = """
import pathlib, sys, time
from controller.filelock import take
held = take(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@asynccontextmanager
async def running(lock: FileLock) -> AsyncIterator[FileLock]:
    task = asyncio.create_task(lock.run())
    await asyncio.sleep(0.05)
    try:
        yield lock
    finally:
        await lock.release()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_second_waits_until_the_first_lets_go(tmp_path: Path) -> None:
    told: list[bool] = []
    path = tmp_path / "lock"
    async with running(FileLock(path)) as first, running(FileLock(path, told.append)) as second:
        assert first.may_act()
        assert not second.may_act()
        await first.release()
        assert not first.may_act()
        await eventually_async(second.may_act, timeout=5)
        assert told == [True]
    assert told == [True, False]


async def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    holder = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        async with running(FileLock(tmp_path / "lock")) as second:
            assert not second.may_act()
            holder.kill()
            await eventually_async(second.may_act, timeout=5)
    finally:
        if holder.returncode is None:
            holder.kill()
        await holder.communicate()


async def test_who_holds_a_deleted_file_leads_no_more_and_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock, "LOOK_EVERY", 0.1)
    told: list[bool] = []
    path = tmp_path / "lock"
    async with running(FileLock(path, told.append)) as first:
        path.unlink()  # as of a temporary folder that is cleaned
        assert not first.may_act()
        await eventually_async(first.may_act, timeout=5)
        assert told == [True, False, True]
        async with running(FileLock(path)) as second:
            assert not second.may_act()


async def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "lock").symlink_to(target)
    async with running(FileLock(tmp_path / "lock")) as lock:
        assert not target.exists()
        assert not lock.may_act()
