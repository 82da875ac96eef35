"""A wire to a server on which a test can hold back what the client says, without closing anything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.server_process import HOST

__all__ = ["held_wire"]


@contextlib.asynccontextmanager
async def held_wire(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Where to connect to, and an event: while it is cleared, nothing from the client arrives."""
    passes = asyncio.Event()
    passes.set()
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_held: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if is_held:
                    await passes.wait()
                writer.write(data)
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        tasks.add(asyncio.create_task(pump(reader, far_writer, True)))
        tasks.add(asyncio.create_task(pump(far_reader, writer, False)))

    server = await asyncio.start_server(meet, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], passes
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
