"""Where a subscription begins again, and who gets its messages; without a network."""

import asyncio
import logging

import pytest

from durabus.client.errors import ReplacedError
from durabus.client.options import StartPosition, SubscriptionOptions
from durabus.client.subscriber import Subscriber, start_again
from durabus.clock import ManualClock
from durabus.wire.operations import Publish
from durabus.wire.stan_messages import START_FIRST, START_SEQUENCE, START_TIME_DELTA, encode_message

SECOND_NS = 1_000_000_000


def make(**options: object) -> Subscriber:
    return Subscriber("orders", SubscriptionOptions(**options), ManualClock(), lambda _: None, lambda *_: None)  # type: ignore[arg-type]


def give(subscriber: Subscriber, *sequences: int) -> None:
    bodies = [encode_message(n, b"orders", b"", b"", n) for n in sequences]
    subscriber._on_run(Publish(b"_INBOX", b"", 0, bodies))


def test_where_a_subscription_without_messages_begins_again() -> None:
    elapsed_ns = 5 * SECOND_NS
    for wanted in (StartPosition.new_only(), StartPosition.last_received()):
        start = start_again(wanted, elapsed_ns)
        assert (start.kind, start.time_delta_ns) == (START_TIME_DELTA, elapsed_ns)
    start = start_again(StartPosition.time_delta(10), elapsed_ns)
    assert (start.kind, start.time_delta_ns) == (START_TIME_DELTA, 15 * SECOND_NS)
    assert start_again(StartPosition.all_available(), elapsed_ns).kind == START_FIRST
    start = start_again(StartPosition.at_sequence(7), elapsed_ns)
    assert (start.kind, start.sequence) == (START_SEQUENCE, 7)


async def test_waiting_tasks_are_served_in_turn() -> None:
    subscriber = make()
    taking = [asyncio.create_task(subscriber.take()) for _ in range(3)]
    await asyncio.sleep(0)
    give(subscriber, 1, 2)
    give(subscriber, 3)
    assert [message.sequence for message in await asyncio.gather(*taking) if message is not None] == [1, 2, 3]


async def test_a_task_that_is_told_to_stop_when_it_was_woken_passes_it_on() -> None:
    subscriber = make()
    first, second = asyncio.create_task(subscriber.take()), asyncio.create_task(subscriber.take())
    await asyncio.sleep(0)
    give(subscriber, 1)
    first.cancel()
    message = await asyncio.wait_for(second, 5)
    assert message is not None
    assert message.sequence == 1
    assert first.cancelled()


async def test_the_end_wakes_everybody() -> None:
    subscriber = make()
    taking = [asyncio.create_task(subscriber.take()) for _ in range(2)]
    await asyncio.sleep(0)
    subscriber.end()
    assert await asyncio.gather(*taking) == [None, None]


async def test_an_error_at_the_end_is_raised_and_what_waited_is_dropped() -> None:
    subscriber = make()
    give(subscriber, 1)
    subscriber.end(ReplacedError("gone"))
    (result,) = await asyncio.gather(subscriber.take(), return_exceptions=True)
    assert isinstance(result, ReplacedError)


async def test_a_plain_function_as_handler_does_not_keep_others_waiting() -> None:
    subscriber = make()
    give(subscriber, *range(1, 1001))
    seen: list[int] = []
    subscriber.work(lambda message: seen.append(message.sequence), 1)
    turns = 0
    while len(seen) < 1000:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 10
    await subscriber.stop_working(None)


async def test_manual_acknowledgement_is_the_handlers_business() -> None:
    subscriber = make(manual_ack=True)
    give(subscriber, 1, 2)
    subscriber.work(lambda message: message.ack() if message.sequence == 1 else None, 1)
    subscriber.begin_drain()
    await subscriber.wait_handled(None)
    assert subscriber.intake.acks == [1]


async def test_automatic_acknowledgement_follows_success() -> None:
    subscriber = make()
    give(subscriber, 1, 2, 3)

    async def handler(message: object) -> None:
        if getattr(message, "sequence", 0) == 2:
            raise ValueError("at the second")

    subscriber.work(handler, 1)
    subscriber.begin_drain()
    await subscriber.wait_handled(None)
    assert subscriber.intake.acks == [1, 3]
    assert subscriber.intake.resume_sequence == 2


class Odd(BaseException):
    """What a library for tests may raise."""


@pytest.mark.parametrize("error", [asyncio.CancelledError, Odd])
async def test_what_a_handler_raises_ends_nothing_even_if_it_is_no_exception(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    subscriber = make()
    give(subscriber, 1, 2, 3)

    async def handler(message: object) -> None:
        if getattr(message, "sequence", 0) == 2:
            raise error

    with caplog.at_level(logging.ERROR, "durabus.client"):
        subscriber.work(handler, 1)
        subscriber.begin_drain()
        await subscriber.wait_handled(None)
    assert subscriber.intake.acks == [1, 3]
    assert "the handler failed for orders, message 2" in caplog.text


async def test_a_handler_that_is_told_to_stop_stops() -> None:
    subscriber = make()
    give(subscriber, 1, 2)
    begun = asyncio.Event()

    async def handler(_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    subscriber.work(handler, 1)
    await begun.wait()
    await asyncio.wait_for(subscriber.stop_working(None), 5)
    assert subscriber.intake.acks == []
    assert len(subscriber.intake.waiting) == 1


async def test_a_drain_without_handlers_leaves_what_nobody_took() -> None:
    subscriber = make()
    give(subscriber, 1, 2)
    subscriber.begin_drain()
    assert await subscriber.take() is None
    assert subscriber.intake.resume_sequence == 1
