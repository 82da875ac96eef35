"""Typed events without asyncio, against a real server."""

import pytest

import durabus.sync
from durabus.client import FlushError, StartPosition, UsageError
from durabus.events import DeadLetter, DeadLetterPlace, Drop, EncodeError, Event, ToChannel, ToFunction, event
from durabus.events.sync import Listener, Publisher
from tests.client.harness import PATIENCE_S, new_channel, new_client_id
from tests.events.kinds import Body, Kind, Model, TicketCreated, make, with_subject
from tests.server_process import HOST

EVERYTHING = StartPosition.all_available()


class Numbered(Event):
    number: int


with_subject(Numbered)


@pytest.fixture
def url(port: int) -> str:
    return f"nats://{HOST}:{port}"


@pytest.mark.parametrize("kind", [TicketCreated, Body, Model])
def test_each_kind_comes_as_what_it_was(url: str, kind: type[Kind]) -> None:
    channel = new_channel()
    with durabus.sync.connect(url) as bus:
        one = make(kind)
        assert Publisher[kind](bus, channel=channel).publish(one).is_acknowledged  # type: ignore[valid-type]
        for got, message in Listener[kind](bus, channel=channel, start=EVERYTHING):  # type: ignore[valid-type]
            assert (got, message.sequence) == (one, 1)
            break


def test_many_and_a_durable(url: str) -> None:
    class Here(Event):
        number: int

    subject = with_subject(Here)
    client_id = new_client_id()
    with durabus.sync.connect(url, client_id=client_id) as bus:
        assert Publisher(bus, Here).publish_all(Here(number=number) for number in range(2000)) == 2000
        with Listener[Here](bus, durable_name="d", start=EVERYTHING) as listener:
            assert listener.channel == subject
            for got, _ in listener:
                if got.number == 1500:
                    break
    with durabus.sync.connect(url, client_id=client_id) as bus:
        listener = Listener[Here](bus, durable_name="d")
        for got, message in listener:
            assert (got.number, message.is_redelivered) == (1500, True), "the loop was left at it"
            break
        listener.unsubscribe()


def test_acknowledging_by_hand(url: str) -> None:
    with durabus.sync.connect(url) as bus:
        channel = new_channel()
        Publisher(bus, Numbered, channel=channel).publish(Numbered(number=1))
        listener = Listener[Numbered](bus, channel=channel, start=EVERYTHING, manual_ack=True, ack_wait_s=1)
        redelivered = []
        for _, message in listener:
            redelivered.append(message.is_redelivered)
            if len(redelivered) == 2:
                message.ack()
                break
        assert redelivered == [False, True]


@pytest.mark.parametrize("place", ["channel", "function", "drop", "function that fails once"])
def test_what_does_not_decode(url: str, place: str, caplog: pytest.LogCaptureFixture) -> None:
    channel = new_channel()
    letters: list[DeadLetter] = []

    def put(letter: DeadLetter) -> None:
        letters.append(letter)
        if place.endswith("once") and len(letters) == 1:
            raise OSError("disk full")

    places: dict[str, DeadLetterPlace] = {"channel": ToChannel(channel + ".dead"), "drop": Drop()}
    with durabus.sync.connect(url) as bus:
        publisher = Publisher(bus, Numbered, channel=channel)
        bus.publish(channel, b"wrong")
        publisher.publish(Numbered(number=1))
        listener = Listener[Numbered](
            bus,
            channel=channel,
            start=EVERYTHING,
            ack_wait_s=1,
            max_in_flight=2,
            dead_letters=places.get(place, ToFunction(put)),
        )
        got = []
        for one, message in listener:
            got.append(one.number)
            if one.number == 1 and place.endswith("once"):
                message.ack()
                again = listener.subscription.take(PATIENCE_S)
                assert again is not None
                assert (again.sequence, again.redelivery_count) == (1, 1), "left for redelivery"
            break
        assert got == [1]
        if place == "channel":
            dead = bus.subscribe(channel + ".dead", start=EVERYTHING)
            assert dead.next(PATIENCE_S).data == b"wrong"
        elif place != "drop":
            assert letters[0].message.data == b"wrong"
    assert "undecodable: no Numbered: JSON is malformed" in caplog.text


def test_usage(url: str) -> None:
    @event(new_channel())
    class Large(Event):
        text: str

    async def later(_: DeadLetter) -> None:
        """Needs an event loop."""

    with durabus.sync.connect(url) as bus:
        with pytest.raises(UsageError, match="itself"):
            Listener[Numbered](bus, channel="x", dead_letters=ToChannel("x"))
        with pytest.raises(EncodeError):
            Publisher(bus, Numbered).publish(Large(text=""))  # type: ignore[arg-type]
        with pytest.raises(FlushError):
            Publisher(bus, Large).publish_all([Large(text="x" * 2_000_000)])
        bus.publish("later", b"wrong")
        listener = Listener[Numbered](bus, channel="later", start=EVERYTHING, dead_letters=ToFunction(later))
        message = listener.subscription.take(PATIENCE_S)
        assert message is not None
        assert listener._decode(message) is None, "a mistake that the log has, and the event is kept"
