"""A store that is slower than its publishers: what waits for it is bounded, and publishers wait or are told."""

import asyncio

from durabus.broker.router import Router
from durabus.stores.memory import MemoryStore
from durabus.streaming.handle_publish import OVERFULL
from durabus.streaming.options import CoreOptions
from durabus.streaming.service import StreamingService, new_instance
from durabus.streaming.store_port import REFUSED
from durabus.testing.faults import FaultyStore
from tests.streaming.harness import Bus
from tests.streaming.test_service import House, Peer, clock, virtual

SIZE = 10_000


class Behind(House):
    """A service whose store holds what it gets, and takes little; `held` is what the network was told."""

    def __init__(self, bytes_max: int) -> None:
        self.faulty = FaultyStore(MemoryStore())
        options = CoreOptions(instance=new_instance())
        options.undurable_bytes_max = bytes_max
        super().__init__(self.faulty, options)
        self.held: list[bool] = []
        self.router = Router()
        self.service = StreamingService(
            options, self.router, self.faulty, self.log, clock(), self.flush, self.held.append
        )

    async def turn(self) -> None:
        """Let the turn end that has begun."""
        while self.service._is_open:  # noqa: ASYNC110 - the end of a turn is no event
            await asyncio.sleep(0)


def flood(peer: Peer, first: int, count: int) -> None:
    """Publish messages of SIZE bytes."""
    for number in range(first, first + count):
        peer.publish(f"g{number}", data="x" * SIZE)


@virtual
async def test_publishers_are_held_back_until_the_store_has_caught_up() -> None:
    house = Behind(1_000_000)
    peer = await house.open()
    house.faulty.hold()
    flood(peer, 0, 40)
    await house.turn()
    assert house.held == []
    flood(peer, 40, 20)
    await house.turn()
    assert house.held == [True]
    state = house.service.core.state
    assert state.undurable_bytes() > 60 * SIZE
    assert state.is_holding_back
    house.faulty.stop_holding()
    acks = await peer.acks(60)
    assert [error for _, error in acks] == [""] * 60
    assert house.held == [True, False]
    assert state.undurable_bytes() == 0
    assert not house.service.core.state.is_holding_back
    warnings = [line for line in house.log.texts("warning") if "The store is behind" in line]
    assert len(warnings) == 1
    assert "publishers have to wait" in warnings[0]
    assert "The store has caught up: publishers may go on" in house.log.texts("info")


@virtual
async def test_what_comes_all_the_same_is_refused_at_once_and_takes_no_memory() -> None:
    """From another NATS server, say, which cannot be made to wait."""
    house = Behind(500_000)
    peer = await house.open()
    house.faulty.hold()
    for start in range(0, 100, 10):
        flood(peer, start, 10)
        await house.turn()
    state = house.service.core.state
    assert state.undurable_bytes() < 500_000 + 11 * (SIZE + 300)
    acks = await peer.acks(1)
    refused = {guid for guid, error in acks if error == OVERFULL}
    assert len(acks) == len(refused) >= 40
    waiting = sum(len(pending.effects) for pending in state.in_flight) + len(state.effects)
    assert waiting <= 60
    house.faulty.stop_holding()
    acks = await peer.acks(100)
    assert {guid for guid, error in acks if error} == refused
    flood(peer, 100, 5)
    acks = await peer.acks(105)
    assert [error for _, error in acks[100:]] == [""] * 5


@virtual
async def test_a_store_that_fails_while_it_is_behind() -> None:
    house = Behind(1_000_000)
    peer = await house.open()
    core = house.service.core
    house.faulty.hold()
    flood(peer, 0, 60)
    await house.turn()
    assert house.held == [True]
    house.faulty.fail(REFUSED, "disk full")
    flood(peer, 60, 1)
    house.faulty.stop_holding()
    acks = await peer.acks(61)
    assert {error for _, error in acks} <= {"", "disk full"}
    await house.turn()
    assert house.held == [True, False]
    await house.serving_again(core)
    assert house.service.core.state.undurable_bytes() == 0
    assert house.held == [True, False]


def test_a_heartbeat_whose_answer_is_not_read_is_no_failure() -> None:
    bus = Bus()
    bus.connect("a", hangs=True)
    registered = bus.core.state.clients.by_id[b"a"]
    bus.core.state.is_holding_back = True
    bus.advance(200)
    assert registered.failed_heartbeats == 0
    bus.core.state.is_holding_back = False
    bus.advance(200)
    assert registered.failed_heartbeats > 0
