"""What becomes of each message, without a server: what is done, what is left, and what the log says."""

import logging
from typing import Any, cast

import pytest

from durabus.client import Bus, Message, PossiblyDuplicatedError, PublishNotSentError
from durabus.client.intake import Intake
from durabus.events import (
    DeadLetter,
    DeadLetterPlace,
    DeadLetterReason,
    DecodeError,
    Drop,
    RejectedError,
    ToChannel,
    ToFunction,
    VersionOrder,
    event_type,
)
from durabus.events.reception import Reception, Taken
from tests.events.kinds import TicketCreated

pytestmark = pytest.mark.once

TYPE = event_type(TicketCreated)


class Stored:
    """A bus that only stores, as long as there is no `error`."""

    def __init__(self) -> None:
        self.all: list[tuple[str, bytes]] = []
        self.error: Exception | None = None

    async def publish(self, channel: str, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.all.append((channel, data))


def reception(
    bus: Stored | None = None,
    place: DeadLetterPlace | None = None,
    failures_max: int = 0,
    order: VersionOrder | None = None,
) -> Reception[TicketCreated]:
    return Reception(cast("Bus", bus or Stored()), TYPE, place or ToChannel(), failures_max, order)


def message(data: bytes | None = None, sequence: int = 7, version: int = 1, redelivery_count: int = 0) -> Message:
    """As one comes."""
    if data is None:
        data = TYPE.encode(TicketCreated(id="a", version=version, price=1))
    return Message(Intake("c", True, True, lambda _: None), 0, "c", sequence, data, sequence, redelivery_count, "")


def not_expected(_: Message) -> None:
    raise AssertionError("not to be put back")


async def take(one: Reception[TicketCreated], it: Message) -> Taken[TicketCreated]:
    return await one.take(it, not_expected)


async def test_an_event() -> None:
    taken = await take(reception(), message())
    assert isinstance(taken.event, TicketCreated)


def test_at_once_there_is_an_event_where_nothing_has_to_be_waited_for() -> None:
    it = message()
    assert reception().take_at_once(it) == TYPE.decode(it.data)
    assert reception().take_at_once(message(b"\xff")) is None, "it has to be stored"
    assert reception(order=VersionOrder()).take_at_once(it) is None, "the order may have to ask"


async def test_what_does_not_decode_is_done_when_it_is_stored(caplog: pytest.LogCaptureFixture) -> None:
    bus = Stored()
    one = reception(bus)
    assert await take(one, message(b"\xff")) == Taken(None, is_done=True)
    assert bus.all == [("ticket:created.dead-letters", b"\xff")]
    assert "c, message 7: undecodable: no TicketCreated: JSON is malformed" in caplog.text
    assert "stored in ticket:created.dead-letters" in caplog.text


async def test_what_cannot_be_stored_is_left(caplog: pytest.LogCaptureFixture) -> None:
    bus = Stored()
    bus.error = PublishNotSentError("no session", "c", "guid")
    one = reception(bus)
    assert await take(one, message(b"")) == Taken(None, is_done=False)
    assert "its place for dead letters failed: left for redelivery" in caplog.text
    bus.error = PossiblyDuplicatedError("twice", "c", "guid")
    assert await take(one, message(b"")) == Taken(None, is_done=True), "it is stored"


async def test_functions_of_the_program() -> None:
    letters: list[DeadLetter] = []

    async def later(letter: DeadLetter) -> None:
        letters.append(letter)

    for function in (letters.append, later):
        assert (await take(reception(place=ToFunction(function)), message(b""))).is_done
    assert [letter.reason for letter in letters] == [DeadLetterReason.UNDECODABLE] * 2
    assert letters[0].message.data == b""
    assert isinstance(letters[0].error, DecodeError)
    assert letters[0].event_type is TYPE

    def fail(_: DeadLetter) -> None:
        raise OSError("disk full")

    assert not (await take(reception(place=ToFunction(fail)), message(b""))).is_done


async def test_dropping_leaves_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert (await take(reception(place=Drop()), message(b"12345"))).is_done
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "undecodable" in record.message
    assert "dropped, 5 bytes" in record.message


async def test_failures_without_end() -> None:
    bus = Stored()
    one, it = reception(bus), message()
    event = (await take(one, it)).event
    for _ in range(20):
        assert not await one.fail(event, it, ValueError("no"))
    assert bus.all == []


async def test_failures_are_counted_per_message(caplog: pytest.LogCaptureFixture) -> None:
    bus = Stored()
    one = reception(bus, failures_max=3)
    it, other = message(), message(sequence=8)
    results = [await one.fail(None, each, ValueError("no")) for each in (it, other, it, other, it)]
    assert results == [False, False, False, False, True]
    assert bus.all == [("ticket:created.dead-letters", it.data)]
    assert "left for redelivery" in caplog.text
    event = (await take(one, other)).event
    assert event is not None
    one.finish(event, other)
    assert not await one.fail(None, other, ValueError("no")), "success begins the count anew"


async def test_a_place_that_fails_is_tried_with_the_next_failure() -> None:
    bus = Stored()
    bus.error = OSError("no")
    one, it = reception(bus, failures_max=1), message()
    assert not await one.fail(None, it, ValueError("no"))
    bus.error = None
    assert await one.fail(None, it, ValueError("no"))


async def test_what_a_handler_rejects_is_given_up_at_once() -> None:
    bus = Stored()
    assert await reception(bus).fail(None, message(b"x"), RejectedError("never"))
    assert bus.all == [("ticket:created.dead-letters", b"x")]


async def test_remembering_failures_is_bounded() -> None:
    one = reception(failures_max=2)
    assert not await one.fail(None, message(b"", 1), ValueError("no"))
    for sequence in range(2, 10_002):
        await one.fail(None, message(b"", sequence), ValueError("no"))
    assert not await one.fail(None, message(b"", 1), ValueError("no")), "forgotten"


async def test_order() -> None:
    back: list[Message] = []
    order = VersionOrder(first_version=1)
    one = reception(order=order)
    second = message(version=2, sequence=1)
    assert await one.take(second, back.append) == Taken(None, is_done=False)
    first = message(version=1, sequence=2)
    event = (await one.take(first, back.append)).event
    assert event is not None
    assert await one.take(message(version=1, sequence=3), back.append) == Taken(None), "a copy while it is at work"
    one.abandon(event)
    assert [it.sequence for it in back] == [3]
    event = (await one.take(first, back.append)).event
    assert event is not None
    one.finish(event, first)
    assert [it.sequence for it in back] == [3, 1]
    assert await one.take(first, back.append) == Taken(None, is_done=True), "stale"


async def test_failed_work_is_no_longer_at_work() -> None:
    one = reception(order=VersionOrder(first_version=1))
    it = message()
    event = (await take(one, it)).event
    assert not await one.fail(event, it, ValueError("no"))
    assert (await take(one, it)).event == event


async def test_early_too_often() -> None:
    bus, back = Stored(), list[Any]()
    one = reception(bus, order=VersionOrder(first_version=1, early_deliveries_max=3))
    results = [await one.take(message(version=5, redelivery_count=count), back.append) for count in range(3)]
    assert [taken.is_done for taken in results] == [False, False, True]
    assert len(bus.all) == 1


async def test_a_lookup_that_fails_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    def position(_: object) -> int | None:
        raise OSError("no database")

    assert await take(reception(order=VersionOrder(position=position)), message()) == Taken(None)
    assert "no database" in caplog.text
