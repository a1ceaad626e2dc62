"""As much of HTTP/1.1 as a proxy needs: heads, bodies by length, in chunks or until the end, and tunnels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

LIMIT = 16 * 2**20  # bytes of one head or one line of a chunked body


class Closed(Exception):
    """The other side has closed the connection, or what it sent makes no sense."""


@dataclass(frozen=True)
class Head:
    """The first line and the headers, as they were sent and parsed."""

    raw: bytes
    first: tuple[str, str, str]
    headers: dict[str, str]  # by lower-case name

    @property
    def length(self) -> int | None:
        """Content-Length; None where there is none."""
        value = self.headers.get("content-length")
        return int(value) if value is not None else None

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return "chunked" in self.headers.get("transfer-encoding", "").lower()


async def read_head(reader: asyncio.StreamReader) -> Head:
    """The next head. Raises Closed."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError, OSError) as error:
        raise Closed from error
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    a, b, c = [*first.split(" ", 2), ""][:3]
    return Head(raw, (a, b, c), {name.strip().lower(): value.strip() for name, _, value in pairs})


async def pieces(reader: asyncio.StreamReader, head: Head, *, until_end: bool) -> AsyncIterator[bytes]:
    """The body's raw bytes, each chunk as it comes; nothing where it has none. Raises Closed."""
    try:
        if head.is_chunked:
            while True:
                line = await reader.readuntil(b"\r\n")
                size = int(line.split(b";")[0], 16)
                yield line + await reader.readexactly(size + 2)
                if size == 0:
                    return
        elif head.length is not None:
            if head.length:
                yield await reader.readexactly(head.length)
        elif until_end:
            while data := await reader.read(65536):
                yield data
    except (asyncio.IncompleteReadError, ConnectionError, OSError, ValueError) as error:
        raise Closed from error


def answer(status: int, message: str) -> bytes:
    """An answer with a JSON body that both Docker's and Kubernetes' clients understand."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
    text = json.dumps(body | {"reason": "ServiceUnavailable" if status == 503 else "InternalError"}).encode()
    head = f"HTTP/1.1 {status} Injected\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def chunk(data: bytes) -> bytes:
    """One chunk of a body in chunks."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


LAST_CHUNK = b"0\r\n\r\n"
