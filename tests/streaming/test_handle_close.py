"""Closing a connection: who is known, what is decided before, and what stays."""

import pytest

from tests.streaming.harness import Bus, Client, decoded, encoded
from tests.wire.wire_format import integer

CLOSE = "_STAN.close.test-cluster"


def error_of(client: Client, payload: bytes) -> str:
    """What a close request is answered with."""
    return str(decoded("CloseResponse", client.request(CLOSE, payload))["error"], "utf-8")


@pytest.mark.row(18)
def test_success_is_an_empty_answer() -> None:
    client = Bus().connect("a")
    assert client.request(CLOSE, encoded("CloseRequest", client_id="a")) == b""


@pytest.mark.row(18)
def test_the_second_close_finds_nobody() -> None:
    client = Bus().connect("a")
    assert client.close() == ""
    assert client.close() == "stan: unknown clientID"


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "stan: unknown clientID"),
        (encoded("CloseRequest", client_id="nobody"), "stan: unknown clientID"),
        (integer(1, 5), "stan: invalid close request"),
        (b"\x0a\x05a", "stan: invalid close request"),
        (b"garbage", "stan: invalid close request"),
    ],
)
def test_what_is_refused(payload: bytes, error: str) -> None:
    bus = Bus()
    client = bus.connect("a")
    assert error_of(client, payload) == error
    assert client.ping() == ""


def test_anybody_may_close_a_client_as_in_the_original() -> None:
    bus = Bus()
    client, other = bus.connect("a"), bus.connect("b")
    assert error_of(other, encoded("CloseRequest", client_id="a")) == ""
    assert client.ping() == "client has been replaced or is no longer registered"


def test_without_a_reply_subject_it_is_closed_all_the_same() -> None:
    client = Bus().connect("a")
    client.send(CLOSE, encoded("CloseRequest", client_id="a"))
    assert client.ping() == "client has been replaced or is no longer registered"


def test_several_in_one_chunk_are_answered_in_order() -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.connect("b")
    requests = [encoded("CloseRequest", client_id=name) for name in ("b", "b", "a")]
    answers = [decoded("CloseResponse", answer)["error"].decode() for answer in client.ask(CLOSE, *requests)]
    assert answers == ["", "stan: unknown clientID", ""]


@pytest.mark.row(19)
def test_what_was_sent_before_counts() -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d", ack_wait_s=1)
    client.publish("foo", b"1", b"2")
    client.heard.clear()
    with bus.turn():
        published = client.publish("foo", b"3")
        sub.ack(1)
        closed = client.ask(CLOSE, encoded("CloseRequest", client_id="a"))
        too_late = client.publish("foo", b"4")
        sub.ack(2)
    assert [ack.error for ack in published] == [""]
    assert closed == [b""]
    assert [ack.error for ack in too_late] == ["stan: invalid publish request"]
    assert [payload == b"" for _, payload in client.heard] == [False, True, False], "in the order of asking"
    client.connect()
    again = client.subscribe("foo", durable="d", ack_wait_s=1)
    assert again.sequences == [2, 3], "the ack of 1 came in time, that of 2 did not"


@pytest.mark.row(51)
def test_subscriptions_are_closed_and_not_unsubscribed() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.subscribe("foo")
    client.subscribe("foo", queue="q")
    client.subscribe("foo", durable="d")
    client.subscribe("foo", durable="d", queue="q")
    channel = bus.core.state.channels[b"foo"]
    assert channel.subscription_count == 4
    client.close()
    assert channel.subscription_count == 2
    assert not channel.has_active_subscription()


@pytest.mark.row(58)
def test_nothing_is_sent_to_it_any_more() -> None:
    bus = Bus()
    client, publisher = bus.connect("a"), bus.connect("b")
    subs = [client.subscribe("foo", ack_wait_s=1), client.subscribe("foo", durable="d", ack_wait_s=1)]
    publisher.publish("foo", b"1")
    for sub in subs:
        assert [message.sequence for message in sub.clear()] == [1]
    client.close()
    publisher.publish("foo", b"2")
    bus.advance(100)
    assert [sub.messages for sub in subs] == [[], []]
    assert client.heartbeats == []


@pytest.mark.row(18)
def test_the_name_is_free_again() -> None:
    bus = Bus()
    client = bus.connect("a")
    client.close()
    other = bus.connect("a")
    assert other.ping() == ""
    assert client.ping() == "client has been replaced or is no longer registered"
