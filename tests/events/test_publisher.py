"""Publish events of each kind: what is on the wire, the window, and what is refused."""

import json
from collections.abc import AsyncIterator

import pytest

from durabus.client import FlushError, StartPosition, WindowFullError
from durabus.events import EncodeError, Event, Publisher, event, event_type
from tests.client.harness import collect, connect, new_channel
from tests.events.kinds import Body, Kind, Model, TicketCreated, make, with_subject

EVERYTHING = StartPosition.all_available()


@pytest.mark.parametrize("kind", [TicketCreated, Body, Model])
async def test_each_kind_on_the_wire(port: int, kind: type[Kind]) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        one = make(kind)
        publication = await Publisher[kind](bus, channel=channel).publish(one)  # type: ignore[valid-type]
        assert publication.is_acknowledged
        assert publication.channel == channel
        (message,) = await collect(await bus.subscribe(channel, start=EVERYTHING), 1)
        assert json.loads(message.data)["id"] == "t1"
        assert event_type(kind).decode(message.data) == one


async def test_the_subject_is_the_channel(port: int) -> None:
    class Counted(Event):
        number: int

    subject = with_subject(Counted)

    class CountedPublisher(Publisher[Counted]):
        pass

    async def later() -> AsyncIterator[Counted]:
        for number in range(3000, 4000):
            yield Counted(number=number)

    async with connect(port, window_messages_max=64) as bus:
        publisher = CountedPublisher(bus)
        assert publisher.channel == subject
        assert await publisher.publish_all(Counted(number=number) for number in range(3000)) == 3000
        assert await publisher.publish_all(later()) == 1000
        publication = publisher.publish_nowait(Counted(number=4000))
        await bus.flush()
        assert publication.is_acknowledged
        messages = await collect(await bus.subscribe(subject, start=EVERYTHING), 4001)
        decode = event_type(Counted).decode
        assert [decode(message.data).number for message in messages] == list(range(4001))


async def test_the_window_is_bounded(port: int) -> None:
    async with connect(port, window_messages_max=4) as bus:
        publisher = Publisher(bus, TicketCreated, channel=new_channel())

        def fill() -> None:
            for _ in range(10):
                publisher.publish_nowait(TicketCreated(id="1", price=1))

        with pytest.raises(WindowFullError):
            fill()
        await bus.flush()


async def test_what_is_no_such_event_is_not_published(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        publisher = Publisher(bus, TicketCreated, channel=channel)
        wrong = make(Body)
        with pytest.raises(EncodeError):
            await publisher.publish(wrong)  # type: ignore[arg-type]
        with pytest.raises(EncodeError):
            publisher.publish_nowait(wrong)  # type: ignore[arg-type]
        with pytest.raises(EncodeError):
            await publisher.publish_all([wrong])  # type: ignore[list-item]
        await publisher.publish(TicketCreated(id="good", price=1))
        messages = await collect(await bus.subscribe(channel, start=EVERYTHING), 1)
        assert messages[0].sequence == 1, "nothing was stored before it"


async def test_errors_of_the_bus_come_through(port: int) -> None:
    @event(new_channel())
    class Large(Event):
        text: str

    async with connect(port) as bus:
        with pytest.raises(FlushError) as caught:
            await Publisher(bus, Large).publish_all([Large(text="small"), Large(text="x" * 2_000_000)])
        assert caught.value.count == 1
