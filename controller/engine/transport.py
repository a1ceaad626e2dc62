"""Blocking calls to one engine, awaited: threads in lanes, a limit for each, deadlines, and an end at close."""

from __future__ import annotations

import asyncio
import heapq
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import requests

from controller.engine.connection import Connection, SshAccess, TlsFiles
from controller.engine.deadlines import CALL_DEADLINES
from controller.engine.failures import engine_failure
from controller.engine.protocol import CallObserver
from controller.engine.threads import Threads
from controller.errors import CallTimeout, EngineError, HostUnreachable, WorkspaceError

T = TypeVar("T")
Failure = Callable[[Exception], WorkspaceError]
_GRACE = 1.0  # seconds by which a thread may be late; sockets have the deadlines themselves
_SSH_SESSIONS = 5  # of one login at a time: sshd allows ten (MaxSessions), also counting what has not quite ended
# Of all engines, made when none is idle: how many are busy is what the lanes limit, and a host that rests holds none.
_THREADS = Threads("engine-call")


@dataclass(frozen=True, slots=True)
class Call:
    """What a thread uses to talk to the engine within one deadline."""

    connection: Connection
    deadline: float

    def get(self, path: str, *args: str, params: dict[str, Any] | None = None, versioned: bool = True) -> Any:
        """The answer's JSON."""
        return self.connection.request(
            "GET", path, *args, timeout=self.deadline, params=params, versioned=versioned
        ).json()

    def get_bytes(self, path: str, params: dict[str, Any]) -> bytes:
        """The answer as it was sent."""
        answer = self.connection.request("GET", path, timeout=self.deadline, params=params, stream=True)
        with closing(answer):
            content: bytes = answer.raw.read(decode_content=True)  # at once: `content` takes it in pieces of 10 KB
        return content

    def post(
        self, path: str, *args: str, params: dict[str, Any] | None = None, body: Any = None, fresh: bool = False
    ) -> Any:
        """The answer's JSON, None where it has no body. `fresh` as for Connection.request."""
        answer = self.connection.request(
            "POST", path, *args, timeout=self.deadline, params=params, body=body, fresh=fresh
        )
        return answer.json() if answer.content else None

    def delete(self, path: str, *args: str, params: dict[str, Any] | None = None) -> None:
        """Returns when the engine says that it's done."""
        self.connection.request("DELETE", path, *args, timeout=self.deadline, params=params)


class Transport:
    """Calls in lanes: `sizes` gives how many of each lane may be in flight. One that waits holds no thread."""

    def __init__(
        self,
        endpoint: str,
        tls: TlsFiles | None,
        ssh: SshAccess | None,
        sizes: Mapping[str, int],
        observer: CallObserver | None = None,
    ) -> None:
        self._endpoint, self._tls, self._ssh = endpoint, tls, ssh
        self._observer = observer or _Unobserved()
        calls = sum(sizes.values())
        share = _SSH_SESSIONS if ssh is not None else calls  # calls that share a connection
        self._connections = [Connection(endpoint, tls, ssh, pool_size=share) for _ in range(-(-calls // share))]
        self._seats = _Seats([connection for connection in self._connections for _ in range(share)])
        self._slots = {lane: asyncio.Semaphore(size) for lane, size in sizes.items()}
        self._running: set[Future[Any]] = set()
        self._streams: dict[Connection, threading.Thread] = {}
        self._closed = False

    async def run(self, lane: str, kind: str, work: Callable[[Call], T]) -> T:
        """Runs `work` in a thread of the lane. Raises WorkspaceError only; CallTimeout leaves the thread to its end."""
        slot = self._slots[lane]
        await slot.acquire()
        deadline = CALL_DEADLINES[kind]
        answer = self._submit(kind, lambda connection: work(Call(connection, deadline)), slot)
        await asyncio.wait([answer], timeout=deadline + _GRACE)
        if not answer.done():
            raise CallTimeout(f"{kind}: no answer within {deadline:g} s")
        try:
            return answer.result()
        except TimeoutError as error:
            raise CallTimeout(f"{kind}: no answer within {deadline:g} s") from error
        except Exception as error:
            raise engine_failure(error, kind, deadline) from error

    async def stream(self, read: Callable[[Connection], Iterator[T]], failure: Failure) -> AsyncIterator[T]:
        """What `read` yields in a thread and on a connection of its own, which is cut off when nobody listens any more.

        `failure` tells what an exception of `read` means. Not told to the observer: see `counted`.
        """
        if self._closed:
            raise HostUnreachable("the connection is closed")
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[T] | WorkspaceError | None] = asyncio.Queue()  # None: the stream has ended

        def deliver(item: tuple[T] | WorkspaceError | None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def pump() -> None:
            try:
                for item in read(connection):
                    deliver((item,))
                deliver(None)
            except Exception as error:
                deliver(failure(error))
            finally:
                connection.close()

        connection = Connection(self._endpoint, self._tls, self._ssh)
        thread = threading.Thread(target=pump, name="docker-stream")
        try:
            thread.start()
        except RuntimeError as error:
            raise EngineError(f"the stream can't be read: {error}") from error
        self._streams[connection] = thread
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, WorkspaceError):
                    raise item
                yield item[0]
        finally:
            connection.abort()
            self._streams = {c: thread for c, thread in self._streams.items() if thread.is_alive()}

    async def counted(self, kind: str, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """A stream that is a call, such as a pull, told as one. Where nobody waits any more it has not failed."""
        began, outcome = time.monotonic(), "ok"
        self._observer.began(kind)
        try:
            async for item in items:
                yield item
        except WorkspaceError as error:
            outcome = _outcome(error, kind)
            raise
        finally:
            self._observer.ended(kind, outcome, time.monotonic() - began)

    async def close(self) -> None:
        """Calls in flight end with HostUnreachable; returns when no thread is at work for this engine."""
        self._closed = True
        for connection in (*self._connections, *self._streams):
            connection.abort()
        await asyncio.wrap_future(_THREADS.submit(self._join))

    def _join(self) -> None:
        wait(self._running)
        for connection in self._connections:
            connection.close()
        for thread in self._streams.values():
            thread.join()

    def _submit(self, kind: str, work: Callable[[Connection], T], slot: asyncio.Semaphore) -> asyncio.Future[T]:
        """The answer to come. Takes the slot over, and wakes the loop once: that is most of what a quick call costs."""
        loop, began = asyncio.get_running_loop(), time.monotonic()
        answer: asyncio.Future[T] = loop.create_future()

        def land(future: Future[T], seconds: float) -> None:
            slot.release()
            error = future.exception()
            if error is None:
                answer.set_result(future.result())
            else:
                answer.set_exception(error)
                answer.exception()  # who waited may be gone by now: then it's no news, and asyncio needn't tell of it
            self._observer.ended(kind, _outcome(error, kind), seconds)

        def ended(future: Future[T]) -> None:
            self._running.discard(future)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(land, future, time.monotonic() - began)

        future = self._start(work, slot)
        self._observer.began(kind)
        self._running.add(future)
        future.add_done_callback(ended)
        return answer

    def _start(self, work: Callable[[Connection], T], slot: asyncio.Semaphore) -> Future[T]:
        try:
            if self._closed:
                raise HostUnreachable("the connection is closed")
            return _THREADS.submit(lambda: self._seats.use(work))
        except RuntimeError as error:  # a limit of processes
            slot.release()
            raise EngineError(f"the call can't be made: {error}") from error
        except BaseException:
            slot.release()
            raise


class _Seats:
    """Which connection a call goes over: the first that has room, as a connection is a login, made when it's needed."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections, self._free = connections, list(range(len(connections)))
        self._lock = threading.Lock()

    def use(self, work: Callable[[Connection], T]) -> T:
        """Does the work; there are as many seats as calls at a time."""
        with self._lock:
            seat = heapq.heappop(self._free)
        try:
            return work(self._connections[seat])
        finally:
            with self._lock:
                heapq.heappush(self._free, seat)


class _Unobserved:
    """Nobody wants to hear of calls (`CallObserver`)."""

    def began(self, operation: str) -> None:
        """A call was sent."""

    def ended(self, operation: str, outcome: str, seconds: float) -> None:
        """A call has ended."""


def _outcome(error: BaseException | None, kind: str) -> str:
    if error is None:
        return "ok"
    if not isinstance(error, WorkspaceError):
        error = engine_failure(error, kind, CALL_DEADLINES[kind])
    return "timeout" if isinstance(error, CallTimeout) else "error"


def json_lines(answer: requests.Response) -> Iterator[Any]:
    """The objects of a stream of JSON lines, each as soon as it's complete."""
    return (json.loads(line) for line in answer.iter_lines(chunk_size=None) if line)
