"""Waiting for a state instead of sleeping."""

import asyncio
import inspect
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")
_NOT_YET = (AssertionError, LookupError, subprocess.CalledProcessError)


def eventually(check: Callable[[], T], timeout: float = 30.0, interval: float = 0.1) -> T:
    """Call ``check`` until it passes, and return what it returned; after ``timeout`` seconds fail with its last error.

    It passes when it raises none of AssertionError, LookupError, CalledProcessError and does not return a false value
    (None passes: a function made of assertions returns it).
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _passed(check())
        except _NOT_YET as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {error}") from error
        time.sleep(interval)


@overload
async def eventually_async(check: Callable[[], Awaitable[T]], timeout: float = ..., interval: float = ...) -> T: ...  # noqa: ASYNC109
@overload
async def eventually_async(check: Callable[[], T], timeout: float = ..., interval: float = ...) -> T: ...  # noqa: ASYNC109
async def eventually_async(
    check: Callable[[], T | Awaitable[T]],
    timeout: float = 30.0,  # noqa: ASYNC109 - not a deadline for one call, but for many
    interval: float = 0.05,
) -> T:
    """The same for coroutines: ``check`` may be a function or a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = check()
            value: T = await result if inspect.isawaitable(result) else result
            return _passed(value)
        except _NOT_YET as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout:g} s: {error}") from error
        await asyncio.sleep(interval)


def _passed(result: T) -> T:
    if result is not None and not result:
        raise AssertionError(f"the check returned {result!r}")
    return result
