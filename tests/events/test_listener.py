"""Listeners against a real server: as a class, with a function, as a loop; failures, dead letters, order, ends."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest

from durabus.client import Bus, ClosedError, Message, StartPosition, UsageError
from durabus.events import (
    DeadLetter,
    Event,
    EventDefinitionError,
    Listener,
    Publisher,
    RejectedError,
    ToChannel,
    ToFunction,
    VersionOrder,
)
from tests.client.harness import PATIENCE_S, collect, connect, lose, new_channel, new_client_id, until
from tests.events.kinds import Body, Kind, Model, TicketCreated, make, with_subject

EVERYTHING = StartPosition.all_available()


class Numbered(Event):
    """Its subject is another one in each test that wants one: `channel=`."""

    id: str = "a"
    version: int


with_subject(Numbered)


async def publish(bus: Bus, channel: str, *versions: int) -> None:
    """Events of one entity, in this order."""
    await Publisher(bus, Numbered, channel=channel).publish_all(Numbered(version=version) for version in versions)


@pytest.mark.parametrize("kind", [TicketCreated, Body, Model])
async def test_each_kind_comes_as_what_it_was(port: int, kind: type[Kind]) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        got: list[Kind] = []
        one = make(kind)
        await Publisher[kind](bus, channel=channel).publish(one)  # type: ignore[valid-type]
        await Listener[kind](bus, lambda event, _: got.append(event), channel=channel, start=EVERYTHING).listen()  # type: ignore[valid-type]
        await until(lambda: got == [one])


async def test_as_a_class(port: int) -> None:
    class Created(Event):
        number: int

    subject = with_subject(Created)

    class CreatedListener(Listener[Created]):
        queue_group = "group"
        durable_name = "durable"
        ack_wait_s = 5
        max_in_flight = 7
        start = EVERYTHING
        concurrency = 2

        def __init__(self, bus: Bus) -> None:
            super().__init__(bus)
            self.got: list[tuple[int, int]] = []

        async def on_event(self, event: Created, message: Message) -> None:
            self.got.append((event.number, message.sequence))

    async with connect(port) as bus:
        publisher = Publisher[Created](bus)
        await publisher.publish(Created(number=1))
        listener = CreatedListener(bus)
        assert not listener.is_loop
        with pytest.raises(ClosedError):
            _ = listener.subscription
        assert await listener.listen() is await listener.listen()
        options = listener.subscription.options
        assert (options.queue_group, options.durable_name, options.ack_wait_s) == ("group", "durable", 5)
        assert (options.max_in_flight, options.start, listener.subscription.channel) == (7, EVERYTHING, subject)
        await until(lambda: listener.got == [(1, 1)])
        await listener.close()
        await publisher.publish(Created(number=2))
        async with CreatedListener(bus) as again:
            await until(lambda: again.got == [(2, 2)], "going on where the durable is")
        assert again.subscription.is_over


async def test_with_a_function(port: int) -> None:
    channel = new_channel()
    got: list[int] = []

    async def handle(event: Numbered, _: Message) -> None:
        got.append(event.version)

    async with connect(port) as bus:
        await publish(bus, channel, 1, 2, 3)
        listener = Listener[Numbered](bus, handle, channel=channel, durable_name="d", start=EVERYTHING)
        await listener.listen()
        await until(lambda: got == [1, 2, 3])
        await listener.drain()
        listener = Listener(bus, handle, event_class=Numbered, channel=channel, durable_name="d", start=EVERYTHING)
        async with listener:
            await publish(bus, channel, 4)
            await until(lambda: len(got) > 3)
        assert got == [1, 2, 3, 4]
        await (await listener.listen()).close()


async def test_as_a_loop(port: int) -> None:
    channel, client_id = new_channel(), new_client_id()
    async with connect(port, client_id=client_id) as bus:
        await publish(bus, channel, 1, 2, 3)
        got: list[tuple[int, int]] = []
        async with asyncio.timeout(PATIENCE_S):
            async for event, message in Listener[Numbered](bus, channel=channel, durable_name="d", start=EVERYTHING):
                got.append((event.version, message.sequence))
                if event.version == 2:
                    break
        assert got == [(1, 1), (2, 2)]
    async with connect(port, client_id=client_id) as bus:
        async with asyncio.timeout(PATIENCE_S):
            async for event, message in Listener[Numbered](bus, channel=channel, durable_name="d"):
                assert (event.version, message.is_redelivered) == (2, True), "the loop was left at it"
                break


async def test_a_failure_is_logged_and_the_event_comes_again(port: int, caplog: pytest.LogCaptureFixture) -> None:
    channel = new_channel()
    got: list[tuple[int, bool]] = []

    def handle(event: Numbered, message: Message) -> None:
        got.append((event.version, message.is_redelivered))
        if event.version == 1 and not message.is_redelivered:
            raise ValueError("not yet")

    async with connect(port) as bus:
        await publish(bus, channel, 1, 2)
        await Listener[Numbered](bus, handle, channel=channel, start=EVERYTHING, ack_wait_s=1).listen()
        await until(lambda: len(got) == 3)
    assert got == [(1, False), (2, False), (1, True)]
    assert "Numbered failed for " + channel + ", message 1: left for redelivery" in caplog.text
    assert "ValueError: not yet" in caplog.text


async def test_what_does_not_decode_goes_to_its_channel_and_blocks_nothing(port: int) -> None:
    channel = new_channel()
    wrong = [b"", b"{", b"\x00\xff", b'{"version":"x"}', b"[" * 5000, b'"text"']
    async with connect(port) as bus:
        for data in wrong:
            await bus.publish(channel, data)
        await publish(bus, channel, 7)
        got: list[int] = []
        listener = Listener[Numbered](
            bus,
            lambda event, _: got.append(event.version),
            channel=channel,
            durable_name="d",
            start=EVERYTHING,
            max_in_flight=1,
            dead_letters=ToChannel(channel + ".dead"),
        )
        await listener.listen()
        await until(lambda: got == [7], "the event behind them, though only one may be in flight")
        letters = await collect(await bus.subscribe(channel + ".dead", start=EVERYTHING), len(wrong))
        assert [letter.data for letter in letters] == wrong
        await listener.close()
        await publish(bus, channel, 8)
        got.clear()
        await listener_again(bus, listener, got)
        await until(lambda: got == [8], "they were acknowledged")


async def listener_again(bus: Bus, before: Listener[Numbered], got: list[int]) -> None:
    """The same durable once more."""
    await Listener[Numbered](
        bus,
        lambda event, _: got.append(event.version),
        channel=before.channel,
        durable_name=before.durable_name,
        dead_letters=before.dead_letters,
    ).listen()


async def test_a_loop_passes_over_what_does_not_decode(port: int) -> None:
    for manual_ack in (False, True):
        channel = new_channel()
        letters: list[DeadLetter] = []
        async with connect(port) as bus:
            for data in (b"wrong", b'{"version":1}', b"wrong again", b'{"version":2}'):
                await bus.publish(channel, data)
            got: list[int] = []
            listener = Listener[Numbered](
                bus,
                channel=channel,
                start=EVERYTHING,
                max_in_flight=1,
                dead_letters=ToFunction(letters.append),
                manual_ack=manual_ack,
            )
            async with asyncio.timeout(PATIENCE_S):
                async for event, message in listener:
                    got.append(event.version)
                    if manual_ack:
                        message.ack()
                    if event.version == 2:
                        break
            assert got == [1, 2]
            assert [letter.message.data for letter in letters] == [b"wrong", b"wrong again"]


async def test_a_place_that_fails_leaves_it_for_redelivery(port: int) -> None:
    for is_loop in (False, True):
        channel = new_channel()
        letters: list[DeadLetter] = []
        got: list[int] = []

        def put(letter: DeadLetter, letters: list[DeadLetter] = letters) -> None:
            letters.append(letter)
            if len(letters) == 1:
                raise OSError("disk full")

        async with connect(port) as bus:
            await bus.publish(channel, b"wrong")
            await publish(bus, channel, 1)
            handler: Callable[[Numbered, Message], None] = lambda event, _, got=got: got.append(event.version)  # type: ignore[misc]  # noqa: E731
            listener = Listener[Numbered](
                bus,
                None if is_loop else handler,
                channel=channel,
                start=EVERYTHING,
                ack_wait_s=1,
                dead_letters=ToFunction(put),
            )
            if is_loop:
                task = asyncio.create_task(run_loop(listener, got))
            else:
                await listener.listen()
            await until(lambda: len(letters) == 2)  # noqa: B023
            assert got == [1], "it went on meanwhile"
            assert [letter.message.redelivery_count for letter in letters] == [0, 1]
            if is_loop:
                task.cancel()


async def run_loop(listener: Listener[Numbered], got: list[int]) -> None:
    """Take whatever comes."""
    async for event, _ in listener:
        got.append(event.version)


async def test_failures_have_an_end_where_that_is_wanted(port: int) -> None:
    channel = new_channel()
    calls: list[int] = []

    async def handle(event: Numbered, _: Message) -> None:
        calls.append(event.version)
        if event.version == 1:
            raise ValueError("never")
        if event.version == 2:
            raise RejectedError("not this one")
        if event.version == 4:
            raise asyncio.CancelledError  # of something that it waited for

    async with connect(port) as bus:
        await publish(bus, channel, 1, 2, 3, 4)
        place = ToChannel(channel + ".dead")
        await Listener[Numbered](
            bus, handle, channel=channel, start=EVERYTHING, ack_wait_s=1, failures_max=2, dead_letters=place
        ).listen()
        letters = await collect(await bus.subscribe(channel + ".dead", start=EVERYTHING), 3)
        assert [json.loads(letter.data)["version"] for letter in letters] == [2, 1, 4]
        assert calls == [1, 2, 3, 4, 1, 4]


async def test_acknowledging_by_hand(port: int) -> None:
    channel = new_channel()
    got: list[Message] = []

    async with connect(port) as bus:
        await publish(bus, channel, 1, 2)
        await Listener[Numbered](
            bus,
            lambda _, message: got.append(message),
            channel=channel,
            start=EVERYTHING,
            manual_ack=True,
            max_in_flight=1,
            ack_wait_s=1,
        ).listen()
        await until(lambda: len(got) == 2)
        assert [message.sequence for message in got] == [1, 1], "nobody acknowledged it"
        got[0].ack()
        await until(lambda: got[-1].sequence == 2)


async def test_versions_that_come_in_disorder_are_handled_in_order(port: int) -> None:
    channel = new_channel()
    got: list[int] = []

    async def handle(event: Numbered, _: Message) -> None:
        await asyncio.sleep(0)
        got.append(event.version)

    async with connect(port) as bus:
        await publish(bus, channel, 3, 5, 2, 1, 1, 4, 3, 6)
        await Listener[Numbered](
            bus,
            handle,
            channel=channel,
            start=EVERYTHING,
            durable_name="d",
            concurrency=4,
            order=VersionOrder(first_version=1),
        ).listen()
        await until(lambda: len(got) == 6)
        assert got == [1, 2, 3, 4, 5, 6], "long before the server delivers anything again"
        await bus.drain()


async def test_a_loop_gets_versions_in_order(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        await publish(bus, channel, 3, 2, 1, 4)
        got: list[int] = []
        listener = Listener[Numbered](bus, channel=channel, start=EVERYTHING, order=VersionOrder(first_version=1))
        async with asyncio.timeout(PATIENCE_S):
            async for event, _ in listener:
                got.append(event.version)
                if len(got) == 4:
                    break
        assert got == [1, 2, 3, 4]


async def test_one_order_for_the_events_of_several_channels(port: int) -> None:
    created, updated = new_channel(), new_channel()
    table: dict[str, int] = {}

    async def keep(event: Numbered, _: Message) -> None:
        assert table.get(event.id, -1) + 1 == event.version
        table[event.id] = event.version

    order = VersionOrder(position=table.get, first_version=0)
    async with connect(port) as bus:
        await Listener[Numbered](bus, keep, channel=updated, order=order).listen()
        await publish(bus, updated, 2, 1)
        await until(lambda: order.held_count == 2)
        await Listener[Numbered](bus, keep, channel=created, order=order).listen()
        await publish(bus, created, 0)
        await until(lambda: table == {"a": 2})


async def test_a_version_that_another_instance_dealt_with_is_found(port: int) -> None:
    channel = new_channel()
    table: dict[str, int] = {"a": 1}
    asked, got = list[str](), list[int]()

    def position(entity: str) -> int:
        asked.append(entity)
        return table[entity]

    order = VersionOrder(position=position, recheck_s=0.01)
    async with connect(port) as bus:
        await publish(bus, channel, 3)
        await Listener[Numbered](
            bus, lambda event, _: got.append(event.version), channel=channel, start=EVERYTHING, order=order
        ).listen()
        await until(lambda: len(asked) > 3)
        assert got == []
        table["a"] = 2
        await until(lambda: got == [3], "long before the next delivery")
        assert order.held_count == 0


async def test_instances_of_a_group_keep_the_order_between_them(port: int) -> None:
    channel = new_channel()
    table: dict[str, int] = {}
    got: list[int] = []

    async def keep(event: Numbered, _: Message) -> None:
        assert table.get(event.id, 0) + 1 == event.version
        await asyncio.sleep(0.001)
        table[event.id] = event.version
        got.append(event.version)

    async with connect(port) as one, connect(port) as two:
        for bus in (one, two):
            order = VersionOrder(position=table.get, first_version=1, recheck_s=0.01)
            await Listener[Numbered](bus, keep, channel=channel, queue_group="g", concurrency=3, order=order).listen()
        await publish(one, channel, *reversed(range(1, 31)))
        await until(lambda: len(got) == 30)
    assert got == list(range(1, 31))


async def test_a_version_that_another_instance_dealt_with_is_found_at_the_next_delivery(port: int) -> None:
    channel = new_channel()
    table: dict[str, int] = {"a": 1}
    got: list[int] = []
    order = VersionOrder(position=table.get, recheck_s=0)
    async with connect(port) as bus:
        await publish(bus, channel, 3)
        listener = Listener[Numbered](
            bus,
            lambda event, _: got.append(event.version),
            channel=channel,
            start=EVERYTHING,
            ack_wait_s=1,
            order=order,
        )
        await listener.listen()
        await until(lambda: order.held_count == 1)
        table["a"] = 2
        await until(lambda: got == [3])


async def test_early_events_are_rejected_where_that_is_wanted(port: int) -> None:
    channel = new_channel()
    letters: list[DeadLetter] = []
    got: list[int] = []
    async with connect(port) as bus:
        await publish(bus, channel, 1, 3, 2)
        await Listener[Numbered](
            bus,
            lambda event, _: got.append(event.version),
            channel=channel,
            start=EVERYTHING,
            dead_letters=ToFunction(letters.append),
            order=VersionOrder(first_version=1, early_deliveries_max=1),
        ).listen()
        await until(lambda: got == [1, 2])
        assert [json.loads(letter.message.data)["version"] for letter in letters] == [3]


async def test_a_lost_connection_is_not_noticed(port: int) -> None:
    channel = new_channel()
    got: list[int] = []
    async with connect(port) as bus:
        order = VersionOrder(first_version=1)
        await Listener[Numbered](
            bus, lambda event, _: got.append(event.version), channel=channel, start=EVERYTHING, order=order
        ).listen()
        await publish(bus, channel, 1, 3)
        await until(lambda: order.held_count == 1)
        await lose(bus)
        await publish(bus, channel, 2)
        await until(lambda: got == [1, 2, 3])


async def test_a_drain_waits_for_the_handler_and_leaves_what_is_held(port: int) -> None:
    channel, client_id = new_channel(), new_client_id()
    at_work, go_on = asyncio.Event(), asyncio.Event()
    got: list[int] = []

    async def handle(event: Numbered, _: Message) -> None:
        at_work.set()
        await go_on.wait()
        got.append(event.version)

    async with connect(port, client_id=client_id) as bus:
        await publish(bus, channel, 1, 3)
        order = VersionOrder(first_version=1)
        await Listener[Numbered](
            bus, handle, channel=channel, durable_name="d", start=EVERYTHING, concurrency=2, order=order
        ).listen()
        await at_work.wait()
        await until(lambda: order.held_count == 1)
        draining = asyncio.create_task(bus.drain())
        await asyncio.sleep(0)
        go_on.set()
        await draining
    assert got == [1]
    async with connect(port, client_id=client_id) as bus:
        await publish(bus, channel, 2)
        order = VersionOrder(first_version=2)
        await Listener[Numbered](bus, handle, channel=channel, durable_name="d", start=EVERYTHING, order=order).listen()
        await until(lambda: got == [1, 2, 3])


async def test_a_handler_that_is_cancelled_leaves_its_event(port: int) -> None:
    channel = new_channel()
    at_work = asyncio.Event()

    async def handle(_: Numbered, __: Message) -> None:
        at_work.set()
        await asyncio.Event().wait()

    async with connect(port) as bus:
        await publish(bus, channel, 1)
        order = VersionOrder(first_version=1)
        listener = Listener[Numbered](bus, handle, channel=channel, durable_name="d", start=EVERYTHING, order=order)
        await listener.listen()
        await at_work.wait()
        await listener.close()
        async with asyncio.timeout(PATIENCE_S):
            async for event, _ in Listener[Numbered](bus, channel=channel, durable_name="d", order=order):
                assert event.version == 1, "the same order takes it: it is not at work any more"
                break
        await listener.unsubscribe()


async def test_a_loop_that_is_told_to_stop_while_it_puts_a_dead_letter_away(port: int) -> None:
    channel = new_channel()
    at_work = asyncio.Event()
    letters: list[int] = []

    async def put(letter: DeadLetter) -> None:
        letters.append(letter.message.redelivery_count)
        if len(letters) == 1:
            at_work.set()
            await asyncio.Event().wait()

    async with connect(port) as bus:
        await bus.publish(channel, b"wrong")
        loop = aiter(
            Listener[Numbered](bus, channel=channel, start=EVERYTHING, ack_wait_s=1, dead_letters=ToFunction(put))
        )
        task = asyncio.ensure_future(anext(loop))
        await at_work.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await publish(bus, channel, 1)
        async with asyncio.timeout(PATIENCE_S):
            event, _ = await anext(loop)
            assert event.version == 1
            task = asyncio.ensure_future(anext(loop))
            await until(lambda: letters == [0, 1])
            task.cancel()


async def test_usage(port: int) -> None:
    async with connect(port) as bus:

        def handle(_: Numbered, __: Message) -> Awaitable[None] | None:
            return None

        with pytest.raises(EventDefinitionError, match="Listener of what"):
            Listener(bus, handle)
        with pytest.raises(UsageError, match="cannot go to 'x' itself"):
            Listener[Numbered](bus, handle, channel="x", dead_letters=ToChannel("x"))
        with pytest.raises(UsageError, match="failures_max"):
            Listener[Numbered](bus, handle, failures_max=-1)
        with pytest.raises(EventDefinitionError, match="no field 'nothing'"):
            Listener[Numbered](bus, handle, order=VersionOrder("nothing"))
        with pytest.raises(UsageError, match="with a handler"):
            aiter(Listener[Numbered](bus, handle))
        with pytest.raises(UsageError, match="ack_wait_s"):
            await Listener[Numbered](bus, handle, ack_wait_s=0).listen()
    assert logging.getLogger("durabus.events").name == "durabus.events"
