"""Servers by script, for what no real one would do: each connection meets a coroutine that says what the test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

__all__ = ["INFO", "Script", "says", "scripted", "serve", "serve_well", "take"]

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
INFO = b'INFO {"server_id":"x","max_payload":1048576} \r\n'


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[int]:
    """A port where each connection meets the next of these scripts, and the last one from then on."""
    running: set[asyncio.Task[None]] = set()
    queue = list(scripts)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await (queue.pop(0) if len(queue) > 1 else queue[0])(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            running.discard(task)

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(set(running), timeout=5)
        await asyncio.sleep(0.01)


def says(*words: bytes, then_closes: bool = False) -> Script:
    """Says these words at once, and nothing more."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(words))
        await writer.drain()
        if then_closes:
            writer.close()
            await writer.wait_closed()
        else:
            await reader.read()

    return script


async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, info: bytes = INFO) -> dict[str, object]:
    """Take the client; what it says of itself."""
    writer.write(info)
    line = await reader.readuntil(b"\r\n")
    assert line.startswith(b"CONNECT ")
    assert await reader.readexactly(6) == b"PING\r\n"
    writer.write(b"PONG\r\n")
    said: dict[str, object] = json.loads(line[8:])
    return said


async def serve_well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the client, and serve it."""
    await take(reader, writer)
    await serve(reader, writer)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer pings, and give every message back to subscription 1."""
    while line := await reader.readline():
        words = line.split()
        if words[0] == b"PING":
            writer.write(b"PONG\r\n")
        elif words[0] == b"PUB":
            payload = await reader.readexactly(int(words[-1]) + 2)
            writer.write(b"MSG " + words[1] + b" 1 " + words[-1] + b"\r\n" + payload)
