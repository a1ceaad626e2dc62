"""A proxy that makes faults: in front of the API server (plain HTTP in, TLS out) or of a Docker socket (unix to unix).

It numbers the mutating calls, and asks `rule` about each call: what it answers happens to the call. Streams (watches,
events, pulls) can be cut, swallowed or ended with an event of ours. It runs on a thread of its own, so that tests can
be synchronous; `rule` is called on that thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.faults.http import LAST_CHUNK, LIMIT, Closed, Head, answer, chunk, pieces, read_head

T = TypeVar("T")

READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Fault:
    """What happens to one call. `run` is done at the moment of the loss, on another thread (it may kill and wait)."""

    status: int | None = None  # it is not forwarded but answered with this
    drop: bool = False  # it is not forwarded, the connection ends
    lose: bool = False  # it is forwarded, its reply is not delivered, the connection ends
    hang: bool = False  # it is not forwarded and never answered
    delay: float = 0.0  # seconds before it is forwarded
    run: Callable[[], None] | None = None


@dataclass
class Call:
    """One call that passed."""

    number: int  # among the mutating ones, from 1; 0 for one that only reads
    method: str
    path: str
    body: bytes
    at: float  # monotonic seconds
    status: int = 0  # of the answer; 0 while there is none

    def __str__(self) -> str:
        return f"{self.method} {self.kind}"

    @property
    def kind(self) -> str:
        """The path without what differs from run to run: version, IDs, names, query."""
        path = re.sub(r"^/v1\.\d+", "", self.path.partition("?")[0])
        path = re.sub(r"/[0-9a-f]{64}", "/ID", path)
        path = re.sub(r"/namespaces/[^/]+/(events|leases|workspaces)/[^/]+", r"/\1/NAME", path)
        return re.sub(r"/namespaces/[^/]+/", "/", path)


@dataclass(eq=False)
class _Connection:
    """One client's connection with the one to the server that belongs to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    streaming: Call | None = None  # a call whose answer goes on and on
    dead: bool = False  # half open: nothing passes in either direction any more
    swallowed: bool = False  # nothing of the stream passes any more


@dataclass
class Proxy:
    """`target` is a URL (https://127.0.0.1:PORT) or the path of a socket; `listen` a path, or None for a free port."""

    target: str | Path
    ca: Path | None = None
    listen: Path | None = None
    rule: Callable[[Call], Fault | None] = lambda call: None
    calls: list[Call] = field(default_factory=list)
    most_in_flight: int = 0  # mutating calls at the same time that the server had not answered yet

    def __post_init__(self) -> None:
        self._tls = ssl.create_default_context(cafile=str(self.ca)) if self.ca else None
        self._loop = asyncio.new_event_loop()
        self._open: set[_Connection] = set()
        self._numbers = itertools.count(1)
        self._unanswered: set[int] = set()  # the numbers of mutating calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"proxy of {self.target}", daemon=True)
        self._started = threading.Event()
        self.port = 0

    # for tests

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._started.wait(10), "the proxy did not start"
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"unix://{self.listen}" if self.listen else f"http://127.0.0.1:{self.port}"

    def mutations(self, since: float = 0.0) -> list[Call]:
        """The mutating calls since a moment (monotonic), in order; those of the election are not counted."""
        return [c for c in self.calls if c.number and c.at >= since and "/leases" not in c.path]

    def reads(self, pattern: str, since: float = 0.0) -> list[Call]:
        """The reads whose path matches."""
        return [c for c in self.calls if not c.number and c.at >= since and re.search(pattern, c.path)]

    @contextlib.contextmanager
    def ruled(self, rule: Callable[[Call], Fault | None]) -> Iterator[None]:
        """The rule holds inside the block."""
        self.rule, before = rule, self.rule
        try:
            yield
        finally:
            self.rule = before

    def cut(self, pattern: str = "") -> int:
        """Closes the connections of streams whose path matches; gives how many."""
        return self._on_streams(pattern, _close)

    def swallow(self, pattern: str = "") -> int:
        """Streams whose path matches stay open and bring nothing any more."""
        return self._on_streams(pattern, lambda c: setattr(c, "swallowed", True))

    def end_with(self, pattern: str, data: bytes) -> int:
        """Streams whose path matches (in chunks) bring `data`, then end."""

        def end(connection: _Connection) -> None:
            connection.writer.write(chunk(data) + LAST_CHUNK)
            _close(connection)

        return self._on_streams(pattern, end)

    def half_open(self) -> int:
        """All connections of now stay open and pass nothing any more; new ones work. Gives how many."""

        def kill() -> int:
            for connection in self._open:
                connection.dead = True
            return len(self._open)

        return self._in_loop(kill)

    def disconnect(self) -> None:
        """Closes all connections."""

        def close() -> int:
            for connection in self._open:
                _close(connection)
            return len(self._open)

        self._in_loop(close)

    # on its thread

    def _in_loop(self, work: Callable[[], int]) -> int:
        async def do() -> int:
            return work()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    def _on_streams(self, pattern: str, work: Callable[[_Connection], object]) -> int:
        def each() -> int:
            found = [c for c in self._open if c.streaming and re.search(pattern, c.streaming.path)]
            for connection in found:
                work(connection)
            return len(found)

        return self._in_loop(each)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._started.set()
        self._loop.run_forever()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _listen(self) -> None:
        self._server: asyncio.Server
        if self.listen:
            self.listen.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._accept, str(self.listen), limit=LIMIT)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LIMIT)
            self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(_Connection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: _Connection) -> None:
        self._open.add(connection)
        try:
            while True:
                await self._pass(connection)
        except (Closed, OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(connection)
            _close(connection)

    async def _pass(self, connection: _Connection) -> None:
        """One request and its answer."""
        request = await read_head(connection.reader)
        body = b"".join([piece async for piece in pieces(connection.reader, request, until_end=False)])
        await _while_dead(connection)
        call = self._note(request, body)
        if call.number:
            self._unanswered.add(call.number)
            self.most_in_flight = max(self.most_in_flight, len(self._unanswered))
        try:
            await self._treat(connection, call, request, body)
        finally:
            connection.streaming = None
            self._unanswered.discard(call.number)

    async def _treat(self, connection: _Connection, call: Call, request: Head, body: bytes) -> None:
        fault = self.rule(call) or Fault()
        await asyncio.sleep(fault.delay)
        if fault.hang:
            connection.dead = True
            await _while_dead(connection)
        if fault.status is not None:
            call.status = fault.status
            return await _send(connection, answer(fault.status, f"injected: {call}"))
        if fault.drop:
            await _lose(fault)
        reader, writer = await self._server_of(connection)
        writer.write(request.raw + body)
        await writer.drain()
        reply = await _unless_closed(connection, read_head(reader))
        call.status = int(reply.first[1])
        self._unanswered.discard(call.number)  # not later: its caller may be quicker with the next one than we are here
        if fault.lose:
            await _lose(fault)
        await _while_dead(connection)
        await _send(connection, reply.raw)
        if call.status == 101 or (request.headers.get("upgrade") and reply.length is None and not reply.is_chunked):
            await _tunnel(connection, reader, writer)
        if request.first[0] != "HEAD" and call.status not in (204, 304):
            await self._relay(connection, call, reader, reply)

    async def _relay(self, connection: _Connection, call: Call, reader: asyncio.StreamReader, reply: Head) -> None:
        """The answer's body, piece by piece."""
        connection.streaming = call if reply.length is None else None
        body = pieces(reader, reply, until_end=True)
        while (piece := await _unless_closed(connection, anext(body, None))) is not None:
            await _while_dead(connection)
            if not connection.swallowed:
                await _send(connection, piece)
        if reply.length is None and not reply.is_chunked:
            raise Closed

    def _note(self, request: Head, body: bytes) -> Call:
        method, path, _ = request.first
        call = Call(0 if method in READS else next(self._numbers), method, path, body, time.monotonic())
        self.calls.append(call)
        return call

    async def _server_of(self, connection: _Connection) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if connection.server is None or connection.server[0].at_eof():
            if isinstance(self.target, Path):
                connection.server = await asyncio.open_unix_connection(str(self.target), limit=LIMIT)
            else:
                host, _, port = self.target.partition("://")[2].partition(":")
                connection.server = await asyncio.open_connection(host, int(port), ssl=self._tls, limit=LIMIT)
        return connection.server


async def _send(connection: _Connection, data: bytes) -> None:
    connection.writer.write(data)
    await connection.writer.drain()


def _close(connection: _Connection) -> None:
    connection.writer.close()
    if connection.server:
        connection.server[1].close()


async def _while_dead(connection: _Connection) -> None:
    """A dead connection's client may wait until it gives up."""
    while connection.dead:
        if connection.reader.at_eof():
            raise Closed
        await asyncio.sleep(0.2)


async def _unless_closed(connection: _Connection, work: Awaitable[T]) -> T:
    """What the server sends, unless the client has gone meanwhile: a watch may be silent for long."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=1.0))[0]:
            if connection.reader.at_eof():
                raise Closed
        return task.result()
    finally:
        task.cancel()


async def _tunnel(connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """After an upgrade: bytes both ways until both sides have ended."""

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
        sink.write_eof()

    await asyncio.gather(copy(connection.reader, writer), copy(reader, connection.writer))
    raise Closed


async def _lose(fault: Fault) -> None:
    if fault.run:
        await asyncio.to_thread(fault.run)
    raise Closed
