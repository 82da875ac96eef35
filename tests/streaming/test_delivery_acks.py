"""Acknowledgements, in any form in which they may come, and what is none."""

import pytest

from tests.streaming.harness import Bus, encoded


def varint(number: int, *, bytes_min: int = 1) -> bytes:
    """A number as a varint that is not shorter than `bytes_min`."""
    found = bytearray()
    while number > 127 or len(found) + 1 < bytes_min:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


SUBJECT = b"\x0a\x03foo"
ODD_ACKS = {
    "longer than it must be": SUBJECT + b"\x10" + varint(1, bytes_min=2),
    "as long as it can be": SUBJECT + b"\x10" + varint(1, bytes_min=10),
    "sequence first": b"\x10\x01" + SUBJECT,
    "an unknown number before it": b"\x18\x05" + SUBJECT + b"\x10\x01",
    "an unknown text behind it": SUBJECT + b"\x10\x01" + b"\x22\x02hi",
    "a group behind it": SUBJECT + b"\x10\x01" + b"\x2b\x08\x01\x2c",
    "two sequences, of which the last counts": SUBJECT + b"\x10\x07\x10\x01",
    "two subjects, of which the last counts": b"\x0a\x03bar" + SUBJECT + b"\x10\x01",
    "a tag that is longer than it must be": SUBJECT + b"\x90\x00\x01",
}
NO_ACKS = {
    "nothing": b"",
    "no sequence": SUBJECT,
    "sequence 0": SUBJECT + b"\x10\x00",
    "a sequence that was not sent": SUBJECT + b"\x10\x02",
    "a sequence of 56 bits": SUBJECT + b"\x10" + varint(2**56 - 1),
    "a sequence of 63 bits": SUBJECT + b"\x10" + varint(2**63 - 1),
    "the largest sequence": SUBJECT + b"\x10" + varint(2**64 - 1),
    "another channel": b"\x0a\x03bar\x10\x01",
    "a channel that is not there": b"\x0a\x03fop\x10\x01",
    "no channel": b"\x10\x01",
    "the beginning of the channel's name": b"\x0a\x02fo\x10\x01",
    "cut off in the sequence": SUBJECT + b"\x10\x81",
    "cut off before the sequence": SUBJECT + b"\x10",
    "the sequence as a text": SUBJECT + b"\x12\x01\x01",
    "the sequence as a fixed number": SUBJECT + b"\x11\x01\x00\x00\x00\x00\x00\x00\x00",
    "garbage": b"\xff\xff\xff",
    "a number that never ends": SUBJECT + b"\x10" + b"\x81" * 11,
}


@pytest.mark.parametrize("payload", list(ODD_ACKS.values()), ids=list(ODD_ACKS))
def test_odd_acknowledgements_count(payload: bytes) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.publish("foo", b"x")
    client.send(sub.ack_inbox, payload)
    bus.advance(100)
    assert sub.sequences == [1]
    assert bus.log.texts("error") == []


@pytest.mark.row(69)
@pytest.mark.parametrize("payload", list(NO_ACKS.values()), ids=list(NO_ACKS))
def test_what_acknowledges_nothing_is_ignored(payload: bytes) -> None:
    bus = Bus()
    client = bus.connect("a")
    client.subscribe("bar")
    sub = client.subscribe("foo")
    client.publish("foo", b"x")
    client.send(sub.ack_inbox, payload, encoded("Ack", subject="foo", sequence=5), payload)
    bus.advance(30)
    assert sub.sequences == [1, 1]
    client.send(sub.ack_inbox, payload, encoded("Ack", subject="foo", sequence=1))
    bus.advance(100)
    assert sub.sequences == [1, 1], "what comes with it still counts"


@pytest.mark.row(69)
def test_what_is_logged_of_acknowledgements_that_are_none() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.subscribe("bar")
    sub = client.subscribe("foo")
    for payload in NO_ACKS.values():
        client.send(sub.ack_inbox, payload)
    errors = bus.log.texts("error")
    assert [line for line in errors if not line.startswith("Unable to unmarshal Ack: ")] == [
        "Unable to process ack seq=0, channel  not found",
        "Unable to process ack seq=1, channel fop not found",
        "Unable to process ack seq=1, channel  not found",
        "Unable to process ack seq=1, channel fo not found",
    ]
    assert len(errors) == 4 + 6


@pytest.mark.parametrize("name", ["f", "foo.bar.baz", "x" * 127, "x" * 128, "x" * 300, "kanäle"])
def test_acknowledgements_of_many_sequences_in_channels_of_many_names(name: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe(name, max_in_flight=200)
    for first in range(0, 17_000, 1000):
        payloads = [client.publish_message(name, b"") for _ in range(1000)]
        client.send("_STAN.pub.test-cluster.any", *payloads)
        while sub.messages:
            assert len(sub.messages) <= 200
            sub.ack(*[message.sequence for message in sub.clear()])
        assert bus.core.state.channels[name.encode()].cohorts[0].last_sent == first + 1000
    bus.advance(60)
    assert sub.messages == []
    assert bus.log.texts("error") == []


def test_nobody_else_can_acknowledge() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub, other = client.subscribe("foo"), client.subscribe("foo")
    client.publish("foo", b"x")
    other.ack(1)
    bus.advance(30)
    assert (sub.sequences, other.sequences) == ([1, 1], [1])
