"""A proxy between a store and its database that cuts all connections when the n-th piece from the store comes by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["CuttingProxy", "cutting_proxy"]

HOST = "127.0.0.1"


class CuttingProxy:
    """Forwards everything until it is armed and the piece has come. `was_cut` says whether it has."""

    def __init__(self, target_port: int) -> None:
        """Forward to `target_port`."""
        self.port = 0
        self.was_cut = False
        self._target_port = target_port
        self._left = 0
        self._loses_answer = False
        self._eats_answers = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def arm(self, number: int, *, loses_answer: bool) -> None:
        """Cut at piece `number` from now on: before it passes, or when it was answered, so that the answer is lost."""
        self.was_cut = False
        self._left = number
        self._loses_answer = loses_answer

    def disarm(self) -> None:
        """Forward everything from now on."""
        self._left = 0
        self._eats_answers = False

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the store."""
        there_reader, there_writer = await asyncio.open_connection(HOST, self._target_port)
        pair = {writer, there_writer}
        self._writers |= pair
        tasks = [
            asyncio.create_task(self._pump(reader, there_writer, pair, from_store=True)),
            asyncio.create_task(self._pump(there_reader, writer, pair, from_store=False)),
        ]
        self._tasks.update(tasks)
        for task in tasks:
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        pair: set[asyncio.StreamWriter],
        *,
        from_store: bool,
    ) -> None:
        try:
            while data := await reader.read(1 << 20):
                if from_store and self._left:
                    self._left -= 1
                    if self._left == 0:
                        if not self._loses_answer:
                            self._cut()
                            return
                        self._eats_answers = True
                elif not from_store and self._eats_answers:
                    self._cut()
                    return
                writer.write(data)
                await writer.drain()
        except (OSError, RuntimeError):
            pass
        finally:
            for one in pair:
                one.close()

    def _cut(self) -> None:
        """Cut all connections."""
        self.was_cut = True
        self.disarm()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def end(self) -> None:
        """Cut all connections, and wait until nothing is under way."""
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def cutting_proxy(target_port: int) -> AsyncIterator[CuttingProxy]:
    """A proxy to `target_port`, on a port of its own."""
    proxy = CuttingProxy(target_port)
    server = await asyncio.start_server(proxy.handle, HOST, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
