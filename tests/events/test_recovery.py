"""Typed publishers and listeners while their server is killed again and again, under load."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from durabus.client import Bus, Connected, Message, StartPosition, StoreReset
from durabus.events import Event, Listener, Publisher, event
from tests.client.harness import Events, connect, serving, until
from tests.server_process import ServerProcess

ROUNDS = int(os.environ.get("DURABUS_CLIENT_ROUNDS", "3"))
PUBLISHERS = 4
ALL = StartPosition.all_available()


@event("counter:counted")
class Counted(Event, frozen=True):
    publisher: int
    number: int
    life: int = 0


class Group(Listener[Counted]):
    """One of two in a queue group, whose handler fails now and then."""

    queue_group = "group"
    durable_name = "group"
    ack_wait_s = 1
    concurrency = 4
    start = ALL

    def __init__(self, bus: Bus, seen: set[Counted], chance: random.Random) -> None:
        super().__init__(bus)
        self.seen = seen
        self.chance = chance

    async def on_event(self, event: Counted, message: Message) -> None:
        await asyncio.sleep(0)
        if self.chance.random() < 0.01:
            raise ValueError("now and then it fails")
        self.seen.add(event)


class Killable:
    """A server that is killed and started again on its port."""

    def __init__(self, *flags: str) -> None:
        self.flags = flags
        self.process: ServerProcess = serving(*flags)
        self.port = self.process.port

    async def kill_and_start(self) -> None:
        """As after a power failure."""
        self.process.kill()
        self.process = await asyncio.to_thread(serving, *self.flags, port=self.port)


@contextmanager
def killable(*flags: str) -> Iterator[Killable]:
    """A server that is gone when the block ends."""
    server = Killable(*flags)
    try:
        yield server
    finally:
        server.process.kill()


class Load:
    """Publishers that never stop; what was acknowledged is in `acknowledged`."""

    def __init__(self, bus: Bus) -> None:
        self.acknowledged: set[Counted] = set()
        self.life = 0  # counted by the test, in what is published from then on
        self._publisher = Publisher[Counted](bus)
        self._is_stopping = False

    async def _publish(self, number: int) -> None:
        count = 0
        while not self._is_stopping:
            count += 1
            counted = Counted(publisher=number, number=count, life=self.life)
            await self._publisher.publish(counted)
            self.acknowledged.add(counted)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At work until the block ends, which waits for the last acknowledgements."""
        async with asyncio.TaskGroup() as group:
            for number in range(PUBLISHERS):
                group.create_task(self._publish(number))
            try:
                yield
            finally:
                self._is_stopping = True

    async def wait_more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        goal = len(self.acknowledged) + count
        await until(lambda: len(self.acknowledged) >= goal, f"{count} more acknowledgements")


async def loop_over(listener: Listener[Counted], seen: set[Counted]) -> None:
    """Until the listener is closed."""
    async for counted, _ in listener:
        seen.add(counted)


@pytest.mark.timeout(60 + 30 * ROUNDS)
async def test_killed_again_and_again_no_event_is_lost_and_no_listener_needs_a_restart(tmp_path: Path) -> None:
    """FILE store: what was acknowledged reaches every kind of listener."""
    chance = random.Random(17)
    seen: dict[str, set[Counted]] = {"plain": set(), "group": set(), "loop": set()}
    with killable("-store", "FILE", "-dir", str(tmp_path / "store")) as server:
        async with connect(server.port) as bus, connect(server.port) as listening, connect(server.port) as other:
            listeners: list[Listener[Counted]] = [
                Listener[Counted](listening, lambda event, _: seen["plain"].add(event)),
                Group(listening, seen["group"], chance),
                Group(other, seen["group"], chance),
                Listener[Counted](other, durable_name="loop", ack_wait_s=1),
            ]
            for listener in listeners:
                await listener.listen()
            looping = asyncio.create_task(loop_over(listeners[-1], seen["loop"]))
            load = Load(bus)
            async with load.running():
                for _ in range(ROUNDS):
                    await load.wait_more(50)
                    await asyncio.sleep(chance.random() * 0.05)
                    await server.kill_and_start()
            for name, events in seen.items():
                await until(partial(load.acknowledged.issubset, events), f"all of {name}")
            assert not any(listener.subscription.is_over for listener in listeners)
            await listeners[-1].close()
            await looping


@pytest.mark.timeout(60 + 30 * ROUNDS)
async def test_a_memory_store_that_is_gone_again_and_again_is_reported_each_time_and_listeners_go_on() -> None:
    """What was acknowledged since a start reaches everybody, and so it is after the next one."""
    chance, told, published = random.Random(19), Events(), Events()
    seen: dict[str, set[Counted]] = {"plain": set(), "durable": set(), "queue": set(), "loop": set()}
    with killable() as server:
        async with (
            connect(server.port, on_event=published) as bus,
            connect(server.port, on_event=told, client_id="listening") as listening,
        ):
            listeners: list[Listener[Counted]] = [
                Listener[Counted](listening, lambda event, _: seen["plain"].add(event), start=ALL),
                Listener[Counted](listening, lambda event, _: seen["durable"].add(event), durable_name="d", start=ALL),
                Listener[Counted](listening, lambda event, _: seen["queue"].add(event), queue_group="q", start=ALL),
                Listener[Counted](listening, durable_name="loop", start=ALL),
            ]
            for listener in listeners:
                await listener.listen()
            looping = asyncio.create_task(loop_over(listeners[-1], seen["loop"]))
            load = Load(bus)
            async with load.running():
                for life in range(1, ROUNDS + 2):
                    # Begun after the start, so what is acknowledged of it is in the store that there is now.
                    await until(partial(has_connected, published, life))
                    load.life = life
                    await until(lambda life=life: any(each.life == life for each in load.acknowledged))  # type: ignore[misc]
                    await load.wait_more(50)
                    owed = {each for each in load.acknowledged if each.life == life}
                    for name, events in seen.items():
                        await until(partial(owed.issubset, events), f"what {name} is owed in life {life}")
                    resets = len(listeners) * (life - 1)
                    await until(partial(has_told, told, resets), f"{resets} resets")
                    assert len(told.of(StoreReset)) == resets
                    if life <= ROUNDS:
                        await asyncio.sleep(chance.random() * 0.05)
                        await server.kill_and_start()
            assert not any(listener.subscription.is_over for listener in listeners)
            await listeners[-1].close()
            await looping


def has_told(told: Events, count: int) -> bool:
    """Whether so many resets were reported."""
    return len(told.of(StoreReset)) >= count


def has_connected(published: Events, count: int) -> bool:
    """Whether the bus has been connected so often."""
    return len(published.of(Connected)) >= count
