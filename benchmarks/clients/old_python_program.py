"""A program that uses asyncio-nats-streaming, run by a Python of its time (3.7 to 3.9): nothing newer is used here.

`running.py` starts it and says what to do, as JSON in its argument.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import Any

nats = importlib.import_module("nats.aio.client")
stan = importlib.import_module("stan.aio.client")


class Program:
    """One run: warms up, then does the same at length, and takes the time."""

    def __init__(self, client: Any, task: dict[str, Any]) -> None:  # noqa: ANN401 - it has no types
        """`task` is what `running.Task` says."""
        self.client = client
        self.payload = task["payload"].encode()
        self.max_in_flight = task["max_in_flight"]
        self.subscription: Any = None

    async def publish(self, channel: str, count: int) -> None:
        """Publish; the library waits when too many acknowledgements are missing, as `connect` was told."""
        all_came: asyncio.Future[None] = asyncio.get_event_loop().create_future()
        acknowledged = 0

        async def on_acknowledgement(answer: Any) -> None:  # noqa: ANN401
            nonlocal acknowledged
            acknowledged += 1
            if answer.error and not all_came.done():
                all_came.set_exception(RuntimeError(answer.error))
            elif acknowledged == count:
                all_came.set_result(None)

        publish, payload = self.client.publish, self.payload
        for _ in range(count):
            await publish(channel, payload, ack_handler=on_acknowledgement)
        await all_came

    async def receive(self, channel: str, count: int, manual_acks: bool = False) -> None:
        """Receive; the library acknowledges when the callback has returned."""
        all_came: asyncio.Future[None] = asyncio.get_event_loop().create_future()
        size = len(self.payload)
        acknowledge = self.client.ack
        last = 0

        async def handle(message: Any) -> None:  # noqa: ANN401
            nonlocal last
            sequence = message.seq
            if sequence != last + 1 or message.proto.redelivered or len(message.data) != size:
                if not all_came.done():
                    all_came.set_exception(RuntimeError(f"sequence {sequence} behind {last}"))
                return
            last = sequence
            if manual_acks:
                await acknowledge(message)
            if sequence == count:
                all_came.set_result(None)

        self.subscription = await self.client.subscribe(
            channel, cb=handle, start_at="first", max_inflight=self.max_in_flight, manual_acks=manual_acks
        )
        await all_came

    async def receive_manually(self, channel: str, count: int) -> None:
        """Receive, and acknowledge each message by hand."""
        await self.receive(channel, count, manual_acks=True)

    async def end(self) -> None:
        """Close the subscription of the last run, if there is one."""
        if self.subscription is not None:
            await self.subscription.close()
            self.subscription = None


async def main(task: dict[str, Any]) -> None:
    """Do what `task` says, tell how long it took, and leave when standard input ends."""
    loop = asyncio.get_event_loop()
    connection = nats.Client()
    await connection.connect(task["url"], io_loop=loop)
    client = stan.Client()
    await client.connect(task["cluster_id"], "measured", nats=connection, max_pub_acks_inflight=task["window"])
    program = Program(client, task)
    work = getattr(program, task["way"])
    await work(task["warm_up_channel"], task["warm_up_count"])
    await program.end()
    began, began_cpu = time.perf_counter(), time.process_time()
    await work(task["channel"], task["count"])
    took, took_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(json.dumps({"seconds": took, "cpu_seconds": took_cpu}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await program.end()
    await client.close()
    await connection.close()


if __name__ == "__main__":
    asyncio.get_event_loop().run_until_complete(main(json.loads(sys.argv[1])))
