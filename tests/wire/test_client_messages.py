"""What a client writes is what the server reads, and the other way round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire import client_messages as client
from durabus.wire import stan_messages as server
from durabus.wire.varint import DecodeError

WORDS = st.binary(max_size=40)
INT32 = st.integers(0, 2**31 - 1)
ALL_FIELDS = ("client_id", "subject", "queue_group", "inbox", "max_in_flight", "ack_wait_s", "durable_name")
ALL_STARTS = ("start_position", "start_sequence", "start_time_delta_ns")


@given(WORDS, WORDS, INT32, WORDS, INT32, INT32)
def test_a_connect_request(
    client_id: bytes, inbox: bytes, protocol: int, connection_id: bytes, interval_s: int, out_max: int
) -> None:
    request = server.ConnectRequest()
    request.client_id, request.heartbeat_inbox, request.protocol = client_id, inbox, protocol
    request.connection_id, request.ping_interval_s, request.ping_out_max = connection_id, interval_s, out_max
    read = server.decode_connect_request(client.encode_connect(request))
    assert (read.client_id, read.heartbeat_inbox, read.protocol) == (client_id, inbox, protocol)
    assert (read.connection_id, read.ping_interval_s, read.ping_out_max) == (connection_id, interval_s, out_max)


def test_the_answer_to_a_connect_request() -> None:
    request = server.ConnectRequest()
    request.protocol = 1
    answer = client.decode_connect_answer(
        server.encode_connect_response([b"pub", b"sub", b"unsub", b"close", b"subclose"], b"pings", request)
    )
    assert answer.error == ""
    assert (answer.publish_prefix, answer.subscribe_subject, answer.unsubscribe_subject) == (b"pub", b"sub", b"unsub")
    assert (answer.close_subject, answer.subscription_close_subject) == (b"close", b"subclose")
    assert answer.ping_subject == b"pings"
    assert client.decode_connect_answer(server.encode_error_response(5, "no")).error == "no"


@given(st.tuples(WORDS, WORDS, WORDS, WORDS, INT32, INT32, WORDS), st.tuples(st.integers(0, 4), INT32, INT32))
def test_a_subscription_request(fields: tuple[object, ...], starts: tuple[int, ...]) -> None:
    request = server.SubscriptionRequest()
    for name, value in zip(ALL_FIELDS + ALL_STARTS, fields + starts, strict=True):
        setattr(request, name, value)
    read = server.decode_subscription_request(client.encode_subscription(request))
    for name, value in zip(ALL_FIELDS + ALL_STARTS, fields + starts, strict=True):
        assert getattr(read, name) == value


@given(WORDS, st.text(max_size=40))
def test_the_answer_to_a_subscription_request(ack_inbox: bytes, error: str) -> None:
    answer = client.decode_subscription_answer(server.encode_subscription_response(ack_inbox, error))
    assert (answer.ack_inbox, answer.error) == (ack_inbox, error)


@given(WORDS, WORDS, WORDS, WORDS)
def test_an_unsubscribe_request(client_id: bytes, channel: bytes, inbox: bytes, durable: bytes) -> None:
    read = server.decode_unsubscribe_request(client.encode_unsubscribe(client_id, channel, inbox, durable))
    assert (read.client_id, read.subject, read.inbox) == (client_id, channel, inbox)


def test_a_ping_and_answers_with_nothing_but_an_error() -> None:
    assert server.decode_ping(client.encode_ping(b"me")) == b"me"
    assert client.decode_error(b"", client.PING_ERROR) == ""
    assert client.decode_error(server.encode_error_response(1, "gone"), client.PING_ERROR) == "gone"
    assert client.decode_error(server.encode_error_response(3, "gone"), client.SUBSCRIPTION_ERROR) == "gone"


@pytest.mark.parametrize("message", [b"\x0a\x05ab", b"\x08", b"\x02\x00", b"\x10\x01"])
def test_nonsense_is_named_as_such(message: bytes) -> None:
    with pytest.raises(DecodeError):
        client.decode_subscription_answer(message)


def test_what_is_no_text_is_shown_all_the_same() -> None:
    assert client.decode_error(b"\x0a\x02\xff!", client.PING_ERROR) == "\\xff!"
