"""The shell around the core, on a real event loop: turns, timers, recovery after a failed batch, and the end."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, cast

import pytest

from durabus.broker.router import Router
from durabus.clock import ManualClock
from durabus.errors import StartError
from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.options import CoreOptions
from durabus.streaming.records import encode_channel_name
from durabus.streaming.service import StreamingService, new_instance
from durabus.streaming.store_port import FATAL, KIND_CHANNEL, REFUSED, UNKNOWN, Batch, Lease, Recovered, Store
from durabus.testing.faults import FaultyStore
from tests.broker.fakes import Client as Connection
from tests.streaming.harness import RecordingLog, decoded, encoded
from tests.wire.wire_format import blob

WHY = "no space left on device"
P = ParamSpec("P")


class _Leap(selectors.SelectSelector):
    """Lets time pass where a loop would wait for it."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everybody waits, and nothing will ever happen"
            self.clock.advance(int(timeout * 1e9) + (timeout > 0))
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A real event loop, whose time is a manual clock's."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.clock.advance(1_000_000_000)
        super().__init__(_Leap(self.clock))

    def time(self) -> float:
        return self.clock.monotonic_ns() / 1e9


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a virtual loop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def clock() -> ManualClock:
    """The time of this loop."""
    return cast("VirtualLoop", asyncio.get_running_loop()).clock


class House:
    """A service with everything it needs; `moved` is set whenever something may have been sent."""

    def __init__(self, store: Store, options: CoreOptions | None = None) -> None:
        self.store = store
        self.router = Router()
        self.log = RecordingLog()
        self.moved = asyncio.Event()
        self.options = options or CoreOptions(instance=new_instance())
        self.service = StreamingService(self.options, self.router, store, self.log, clock(), self.flush)

    def flush(self) -> None:
        """Send what was gathered."""
        self.router.flush()
        self.moved.set()

    async def open(self) -> "Peer":
        """Begin to serve; the first client."""
        await self.service.recover()
        self.service.listen()
        peer = Peer(self)
        await peer.connect()
        return peer

    async def serving_again(self, core: object) -> None:
        """Wait until another core than `core` is at work."""
        while self.service.core is core:
            self.moved.clear()
            await self.moved.wait()


class Peer:
    """A client of the service's router, whose input makes turns as the broker's sockets do."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.connection = Connection(house.router)
        self.connection.say(b"SUB in.> 1\r\n")
        self.got: list[tuple[bytes, bytes, bytes]] = []

    def say(self, subject: bytes, payload: bytes, reply: bytes = b"in.reply") -> None:
        """Send a message; its turn ends when the event loop comes round."""
        self.house.service.open_turn()
        self.connection.session.feed(b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload), 0)

    def heard(self, subject: bytes) -> list[tuple[bytes, bytes]]:
        """All messages on `subject` so far: reply subject and payload."""
        data = self.connection.heard()
        while data:
            line, _, data = data.partition(b"\r\n")
            words = line.split()
            size = int(words[-1])
            self.got.append((words[1], words[3] if len(words) == 5 else b"", data[:size]))
            data = data[size + 2 :]
        return [(reply, payload) for at, reply, payload in self.got if at == subject]

    async def answers(self, count: int, subject: bytes = b"in.reply") -> list[bytes]:
        """Wait until there are `count` messages on `subject`."""
        while len(found := self.heard(subject)) < count:
            self.house.moved.clear()
            await self.house.moved.wait()
        return [payload for _, payload in found]

    async def connect(self) -> None:
        """Become the registered client `a`."""
        request = encoded("ConnectRequest", client_id="a", heartbeat_inbox="in.hb", connection_id="c", protocol=1)
        self.say(b"_STAN.discover.test-cluster", request, b"in.connect")
        (answer,) = await self.answers(1, b"in.connect")
        assert decoded("ConnectResponse", answer)["error"] == b""

    def publish(self, guid: str, channel: str = "foo", data: str = "x") -> None:
        """Publish one message."""
        request = encoded("PubMsg", client_id="a", guid=guid, subject=channel, data=data, connection_id="c")
        self.say(b"_STAN.pub.test-cluster.foo", request, b"in.acks")

    async def acks(self, count: int) -> list[tuple[str, str]]:
        """Wait for that many acknowledgements: guid and error."""
        values = [decoded("PubAck", answer) for answer in await self.answers(count, b"in.acks")]
        return [(value["guid"].decode(), value["error"].decode()) for value in values]

    async def subscribe(self, **fields: object) -> None:
        """Subscribe to `foo` on the inbox `in.sub`."""
        request = encoded(
            "SubscriptionRequest",
            **{"client_id": "a", "subject": "foo", "inbox": "in.sub", "max_in_flight": 5, "ack_wait_s": 30, **fields},
        )
        self.say(b"_STAN.sub.test-cluster", request)
        await self.answers(1)


class LaterStore(FaultyStore):
    """A store that answers in a later turn of the event loop, as one with a thread does."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.answers_now = False
        self.is_closed = False
        self.hold()
        self.hold_answers()

    def submit(self, batch: Batch) -> None:
        assert not self.is_closed, "a batch for a store that was closed"
        super().submit(batch)
        asyncio.get_running_loop().call_later(0.001, self.release, 1)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        super().on_page(request, bodies)
        asyncio.get_running_loop().call_later(0.001, self.release_answers, 1)

    def on_seek(self, request: int, sequence: int) -> None:
        super().on_seek(request, sequence)
        asyncio.get_running_loop().call_later(0.001, self.release_answers, 1)

    async def recover(self, lease: Lease | None) -> Recovered:
        await asyncio.sleep(0.001)
        return await super().recover(lease)

    async def close(self) -> None:
        await super().close()
        self.is_closed = True


def test_instances_differ_and_have_the_usual_form() -> None:
    instances = {new_instance() for _ in range(100)}
    assert len(instances) == 100
    assert all(len(instance) == 22 and instance.isalnum() and instance.isascii() for instance in instances)


# Serving.


@virtual
async def test_requests_are_answered() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    peer.publish("1")
    assert await peer.acks(1) == [("1", "")]


@virtual
async def test_whatever_comes_in_one_turn_of_the_loop_is_one_batch() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    before = len(store.submitted)
    for number in range(5):
        peer.publish(str(number))
    assert len(store.submitted) == before
    await peer.acks(5)
    assert len(store.submitted) == before + 1


@virtual
async def test_whether_there_was_anything_to_recover() -> None:
    store = MemoryStore()
    first = House(store)
    assert await first.service.recover() is False
    first.service.listen()
    await first.service.stop()
    second = House(store)
    assert await second.service.recover() is True
    await second.service.stop()


@virtual
async def test_another_clusters_store_is_refused() -> None:
    store = MemoryStore()
    first = House(store)
    await first.open()
    await first.service.stop()
    second = House(store, CoreOptions("another"))
    with pytest.raises(StartError, match="does not match"):
        await second.service.recover()


@virtual
async def test_half_a_copy_is_not_served() -> None:
    store = MemoryStore()
    batch = Batch(1, 0)
    batch.state.append((KIND_CHANNEL, b"1", encode_channel_name(b"foo")))
    store.submit(batch)
    with pytest.raises(StartError, match="a copy that was not finished"):
        await House(store).service.recover()
    await House(DamagedStore(store)).service.recover()  # there the server's record may be what is lost


class DamagedStore(DelegatingStore):
    """Recovers, with something to say about it."""

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await super().recover(lease)
        recovered.damage.append("two messages of channel 3 are unreadable")
        recovered.weaknesses.append("the disk forgets")
        return recovered


@virtual
async def test_damage_and_weaknesses_are_logged() -> None:
    house = House(DamagedStore(MemoryStore()))
    await house.service.recover()
    assert house.log.texts("error") == ["two messages of channel 3 are unreadable"]
    assert house.log.texts("warning") == ["the disk forgets"]
    await house.service.stop()


@virtual
async def test_a_store_that_answers_later_still_gets_everybody_answered() -> None:
    """No further input comes: the store's own answer has to make a turn, or nothing would ever leave."""
    house = House(LaterStore())
    peer = await house.open()
    peer.publish("1")
    assert await peer.acks(1) == [("1", "")]
    await peer.subscribe(start_position=2, start_time_delta_ns=10**15)
    assert len(await peer.answers(1, b"in.sub")) == 1
    await house.service.stop()


# Time.


@virtual
async def test_time_passes_without_input() -> None:
    house = House(MemoryStore())
    peer = await house.open()
    began_ns = clock().monotonic_ns()
    await peer.answers(1, b"in.hb")
    assert 30_000_000_000 <= clock().monotonic_ns() - began_ns < 30_100_000_000
    ((reply, payload),) = peer.heard(b"in.hb")
    assert payload == b""
    peer.say(reply, b"", b"in.nobody")
    await peer.answers(2, b"in.hb")
    assert 60_000_000_000 <= clock().monotonic_ns() - began_ns < 60_100_000_000
    assert house.service.core.state.clients.by_id[b"a"].failed_heartbeats == 0


@virtual
async def test_who_moves_the_clock_says_so_and_turns_are_told() -> None:
    house = House(MemoryStore())
    peer = await house.open()
    turns: list[bool] = []
    house.service.on_turn = lambda: turns.append(bool(peer.heard(b"in.hb")))
    clock().advance(30_000_000_000)
    assert not peer.heard(b"in.hb")
    house.service.do_due()
    assert turns == [True]


@virtual
async def test_a_deadline_that_comes_before_the_one_waited_for() -> None:
    """A heartbeat is due in 30 s; then a message is due again in 1 s; then it is acknowledged."""
    house = House(MemoryStore())
    peer = await house.open()
    await peer.subscribe(ack_wait_s=1)
    began_ns = clock().monotonic_ns()
    peer.publish("1")
    first, again = await peer.answers(2, b"in.sub")
    assert clock().monotonic_ns() - began_ns < 1_100_000_000
    assert decoded("MsgProto", first)["redelivered"] is False
    assert decoded("MsgProto", again)["redelivered"] is True
    ack_inbox = decoded("SubscriptionResponse", (await peer.answers(1))[0])["ack_inbox"]
    peer.say(ack_inbox, encoded("Ack", subject="foo", sequence=1))
    await peer.answers(1, b"in.hb")
    assert len(peer.heard(b"in.sub")) == 2


@virtual
async def test_a_session_ends_by_itself() -> None:
    house = House(MemoryStore())
    await house.open()
    while house.service.core.state.clients.by_id:
        house.moved.clear()
        await house.moved.wait()
    assert 440_000_000_000 <= clock().monotonic_ns() - 1_000_000_000 < 441_000_000_000


# A batch that fails.


@pytest.mark.parametrize(("outcome", "applied"), [(REFUSED, False), (UNKNOWN, False), (UNKNOWN, True)])
@virtual
async def test_after_a_failed_batch_it_serves_again(outcome: int, applied: bool) -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    peer.publish("1")
    await peer.acks(1)
    core = house.service.core
    store.fail(outcome, WHY, applied=applied)
    peer.publish("2")
    peer.publish("3")
    assert await peer.acks(3) == [("1", ""), ("2", WHY), ("3", WHY)]
    await house.serving_again(core)
    peer.publish("4")
    assert (await peer.acks(4))[3] == ("4", "")
    assert house.service.core.state.channels[b"foo"].last == (4 if applied else 2)
    assert house.log.texts("info")[-1] == "the store is recovered, serving again"
    assert house.service.failed is not None
    assert not house.service.failed.done()


@virtual
async def test_until_it_is_recovered_publishers_are_told_why() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    core = house.service.core
    store.recover_errors += ["the disk is still full"]
    store.fail(UNKNOWN, WHY)
    for number in range(3):
        peer.publish(str(number))
        await peer.acks(number + 1)
    assert [error for _, error in await peer.acks(3)] == [WHY] * 3
    assert "the store cannot be recovered yet: the disk is still full" in house.log.texts("error")
    await house.serving_again(core)
    peer.publish("again")
    assert (await peer.acks(4))[3] == ("again", "")


class BusyStore(FaultyStore):
    """Something comes in at the very moment at which it is recovered."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.busy: Callable[[], None] = lambda: None

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await super().recover(lease)
        self.busy()
        return recovered


@virtual
async def test_requests_of_the_turn_in_which_the_cores_change_are_answered() -> None:
    store = BusyStore()
    house = House(store)
    peer = await house.open()
    core = house.service.core
    store.busy = lambda: peer.publish("between")
    store.fail(UNKNOWN, WHY)
    peer.publish("first")
    assert await peer.acks(2) == [("first", WHY), ("between", WHY)]
    assert house.service.core is not core


@virtual
async def test_counters_and_request_numbers_go_on() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    core = house.service.core
    store.fail(REFUSED, WHY)
    peer.publish("1")
    await peer.acks(1)
    await house.serving_again(core)
    assert house.service.core.state.statistics.in_messages == 1
    assert house.service.core.state.request_count >= core.state.request_count
    assert house.service.core.heartbeats.reply_subject(1) != core.heartbeats.reply_subject(1)


@virtual
async def test_several_failures_in_a_row() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    for number in range(5):
        core = house.service.core
        store.fail(REFUSED, WHY)
        peer.publish(str(number))
        await peer.acks(number + 1)
        await house.serving_again(core)
    peer.publish("last")
    assert (await peer.acks(6))[5] == ("last", "")


@virtual
async def test_a_recovery_whose_first_batch_fails_is_tried_again() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    core = house.service.core
    store.fail(REFUSED, WHY)
    peer.publish("1")
    await peer.acks(1)
    await house.serving_again(core)
    core = house.service.core
    store.fail(REFUSED, WHY)
    peer.publish("2")
    await peer.acks(2)
    await house.serving_again(core)
    peer.publish("3")
    assert (await peer.acks(3))[2] == ("3", "")


@virtual
async def test_a_store_that_fails_again_at_once_is_not_recovered_without_end() -> None:
    """A full disk and publishers that never give up: they are refused all the time, recoveries come once a second."""
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for number in range(1, 6):
        core = house.service.core
        store.fail(REFUSED, WHY)
        peer.publish(str(number))
        await peer.acks(number)
        await house.serving_again(core)
    assert loop.time() - began_s >= 4


@virtual
async def test_a_fatal_failure_is_told_and_not_recovered_from() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    core = house.service.core
    store.fail(FATAL, "fsync: I/O error")
    peer.publish("1")
    assert await peer.acks(1) == [("1", "fsync: I/O error")]
    failed = house.service.failed
    assert failed is not None
    assert await failed == "fsync: I/O error"
    peer.publish("2")
    assert (await peer.acks(2))[1] == ("2", "fsync: I/O error")
    assert house.service.core is core


class ForgetfulStore(FaultyStore):
    """Belongs to another cluster when it is recovered for the second time."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.count = 0

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await super().recover(lease)
        self.count += 1
        if self.count > 1:
            recovered.state.append((0, b"server", blob(1, b"another")))
        return recovered


@virtual
async def test_what_cannot_be_taken_over_ends_it() -> None:
    store = ForgetfulStore()
    house = House(store)
    peer = await house.open()
    store.fail(REFUSED, WHY)
    peer.publish("1")
    failed = house.service.failed
    assert failed is not None
    assert "another" in await failed
    await house.service.stop()


# The end.


@virtual
async def test_what_is_under_way_is_stored_and_answered_before_the_end() -> None:
    store = LaterStore()
    house = House(store)
    peer = await house.open()
    peer.publish("1")
    await asyncio.sleep(0)
    peer.publish("2")  # the store has one batch at a time, so this one waits
    peer.publish("3")
    await house.service.stop()
    assert store.is_closed
    assert await peer.acks(3) == [("1", ""), ("2", ""), ("3", "")]
    (channel,) = (await store.inner.recover(None)).channels
    assert channel.last_sequence == 3


@virtual
async def test_positions_are_stored_at_the_end() -> None:
    store = MemoryStore()
    house = House(store)
    peer = await house.open()
    await peer.subscribe()
    peer.publish("1")
    await peer.acks(1)
    await house.service.stop()
    (cursor,) = (await store.recover(None)).cursors
    assert (cursor.last_sent, cursor.pending) == (1, [(1, 1)])


@virtual
async def test_after_the_end_nothing_is_promised() -> None:
    store = LaterStore()
    house = House(store)
    peer = await house.open()
    await house.service.stop()
    peer.publish("late")
    assert await peer.acks(1) == [("late", "the server is shutting down")]


@virtual
async def test_stopping_while_it_recovers() -> None:
    store = FaultyStore(MemoryStore())
    house = House(store)
    peer = await house.open()
    store.recover_errors += ["not yet"] * 100
    store.fail(UNKNOWN, WHY)
    peer.publish("1")
    await peer.acks(1)
    await house.service.stop()


@virtual
async def test_stopping_when_the_last_batch_fails() -> None:
    store = LaterStore()
    house = House(store)
    peer = await house.open()
    store.fail(REFUSED, WHY)
    peer.publish("1")
    await house.service.stop()
    assert await peer.acks(1) == [("1", WHY)]


@virtual
async def test_no_timer_is_left_behind() -> None:
    house = House(MemoryStore())
    peer = await house.open()
    await house.service.stop()
    await asyncio.sleep(1000)
    assert peer.heard(b"in.hb") == []
