"""The lines about messages that `-SV` asks for: those of the original, and none where nobody asked."""

import pytest

from durabus.broker.router import Router
from durabus.streaming.trace import TracedAcks
from durabus.wire.publish_request import PublishRequest
from tests.streaming.harness import Bus, Client, RecordingLog
from tests.streaming.messages import encoded


def traced(bus: Bus) -> list[str]:
    """The traces since the last time."""
    lines = bus.log.texts("trace")
    bus.log.lines.clear()
    return lines


def tracing_bus() -> tuple[Bus, Client]:
    """A server whose log wants traces, and a client."""
    bus = Bus()
    bus.log.trace_on = True
    return bus, bus.connect("a")


def test_the_life_of_a_message_is_told_in_the_originals_words() -> None:
    bus, client = tracing_bus()
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    assert traced(bus) == [
        "[Client:a] Received message from publisher subj=foo guid=a.1",
        "[Client:a] Delivering msg to subid=1, subject=foo, seq=1",
        "[Client:a] Acking Publisher subj=foo guid=a.1",
    ]
    bus.advance(1)
    assert traced(bus) == ["[Client:a] Redelivering msg to subid=1, subject=foo, seq=1"]
    sub.ack(1)
    assert traced(bus) == ["[Client:a] Processing ack for subid=1, subject=foo, seq=1"]


def test_each_message_of_many_is_told_with_its_member() -> None:
    bus, client = tracing_bus()
    for _ in range(2):
        client.subscribe("foo", queue="g", max_in_flight=2)
    bus.options.batch_messages_max = 3
    client.publish("foo", *[b"x"] * 5)
    lines = traced(bus)
    for number in range(1, 6):
        assert f"[Client:a] Received message from publisher subj=foo guid=a.{number}" in lines
        assert f"[Client:a] Acking Publisher subj=foo guid=a.{number}" in lines
    delivered = [line for line in lines if "Delivering" in line]
    assert [line[-5:] for line in sorted(delivered)] == ["seq=1", "seq=3", "seq=2", "seq=4"]
    assert {line.partition(",")[0][-7:] for line in delivered} == {"subid=1", "subid=2"}
    assert len(lines) == 5 + 5 + 4


def test_what_is_refused_is_neither_received_nor_acknowledged() -> None:
    bus, client = tracing_bus()
    (ack,) = client.publish("foo..bar", b"x")
    assert ack.error and traced(bus) == []


def test_nobody_is_told_where_nobody_waits() -> None:
    bus, client = tracing_bus()
    client.send("_STAN.pub.test-cluster.foo", client.publish_message("foo", b"x"))
    assert traced(bus) == ["[Client:a] Received message from publisher subj=foo guid=a.1"]


@pytest.mark.parametrize("guid", ["g", "g" * 127, "g" * 128, "g" * 20_000])
def test_guids_of_any_length(guid: str) -> None:
    log, request = RecordingLog(), PublishRequest()
    payload = encoded("PubMsg", client_id="a", guid=guid, subject="foo")
    assert request.decode(payload)
    acks = TracedAcks(b"reply", log)
    acks.trace_publish(payload, request)
    acks.guid_fields.append(request.guid_field)
    acks.release(Router())
    assert log.texts("trace") == [
        f"[Client:a] {did} subj=foo guid={guid}" for did in ("Received message from publisher", "Acking Publisher")
    ]


def test_without_being_asked_nothing_is_told() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", ack_wait_s=1)
    client.publish("foo", b"x")
    bus.advance(1)
    sub.ack(1)
    assert traced(bus) == []
