"""The STAN messages against the protobuf library, in both directions, byte for byte."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire import stan_messages as stan
from durabus.wire.stan_messages import DecodeError
from tests.wire import stan_oracle
from tests.wire.stan_oracle import FIELDS, Values, values_of
from tests.wire.wire_format import blob, integer, may_hold_a_group, messages, noise, tag

int32 = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-1, 0, 1, 127, 128])


def connect_request(data: bytes) -> Values:
    """A ConnectRequest, as the library names its fields."""
    return _values(stan.decode_connect_request(data), "ConnectRequest")


def subscription_request(data: bytes) -> Values:
    """A SubscriptionRequest."""
    return _values(stan.decode_subscription_request(data), "SubscriptionRequest")


def unsubscribe_request(data: bytes) -> Values:
    """An UnsubscribeRequest; its durable name is nothing that the server looks at."""
    request = stan.decode_unsubscribe_request(data)
    return {"client_id": request.client_id, "subject": request.subject, "inbox": request.inbox}


def close_request(data: bytes) -> Values:
    """A CloseRequest."""
    return {"client_id": stan.decode_client_id(data)}


def ping(data: bytes) -> Values:
    """A Ping."""
    return {"connection_id": stan.decode_ping(data)}


def ack(data: bytes) -> Values:
    """An Ack."""
    return _values(stan.decode_ack(data), "Ack")


def control_message(data: bytes) -> Values:
    """A CtrlMsg, of which only the form counts."""
    if not stan.is_control_message(data):
        raise DecodeError
    return {}


def _values(request: object, name: str) -> Values:
    return {field: getattr(request, field) for field, _ in FIELDS[name].values()}


DECODERS: dict[str, Callable[[bytes], Values]] = {
    "ConnectRequest": connect_request,
    "SubscriptionRequest": subscription_request,
    "UnsubscribeRequest": unsubscribe_request,
    "CloseRequest": close_request,
    "Ping": ping,
    "Ack": ack,
    "CtrlMsg": control_message,
}
every_decoder = pytest.mark.parametrize("name", DECODERS)


def check(name: str, data: bytes) -> None:
    """Our decoder and the library must come to the same end."""
    expected = stan_oracle.decode(name, data)
    if expected is None:
        with pytest.raises(DecodeError):
            DECODERS[name](data)
        return
    found = DECODERS[name](data)
    assert found == {field: expected[field] for field in found}


@every_decoder
@given(st.data())
def test_what_the_library_writes(name: str, data: st.DataObject) -> None:
    values = data.draw(values_of(name))
    found = DECODERS[name](stan_oracle.encode(name, values))
    expected = stan_oracle.defaults(name) | values
    assert found == {field: expected[field] for field in found}


@every_decoder
@given(messages)
def test_any_well_formed_fields(name: str, data: bytes) -> None:
    check(name, data)


@every_decoder
@given(st.data())
def test_fields_in_any_order_and_cut_off_anywhere(name: str, data: st.DataObject) -> None:
    kinds = {number: kind for number, (_, kind) in FIELDS[name].items()}
    parts = [
        blob(number, data.draw(st.binary(max_size=5)))
        if kinds[number] == "bytes"
        else integer(number, data.draw(st.integers(-3, 300)))
        for number in data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=8))
    ]
    whole = b"".join(parts)
    check(name, whole)
    check(name, whole[: data.draw(st.integers(0, len(whole)))])


@every_decoder
@given(noise)
def test_any_bytes(name: str, data: bytes) -> None:
    expected = stan_oracle.decode(name, data)
    try:
        found = DECODERS[name](data)
    except DecodeError:
        assert expected is None or may_hold_a_group(data)
    else:
        assert expected is None or found == {field: expected[field] for field in found}


@every_decoder
def test_no_bytes_are_a_message_of_defaults(name: str) -> None:
    defaults = stan_oracle.defaults(name)
    found = DECODERS[name](b"")
    assert found == {field: defaults[field] for field in found}


@every_decoder
def test_each_known_field_with_the_wrong_wire_type(name: str) -> None:
    for number, (_, kind) in FIELDS[name].items():
        right = 2 if kind == "bytes" else 0
        for wire_type, content in ((0, b"\x01"), (1, bytes(8)), (2, b"\x01x"), (3, tag(number, 4)), (5, bytes(4))):
            data = tag(number, wire_type) + content
            if wire_type == right:
                DECODERS[name](data)
            else:
                with pytest.raises(DecodeError):
                    DECODERS[name](data)


@every_decoder
@pytest.mark.parametrize(
    "data", [b"\x00", b"\x02\x00", b"\x0c", b"\x9c\x01", b"\x12\x05abc", b"\x0a", b"\x6b", b"\xff", b"not one"]
)
def test_what_no_decoder_takes(name: str, data: bytes) -> None:
    with pytest.raises(DecodeError):
        DECODERS[name](data)


@every_decoder
def test_unknown_fields_are_skipped(name: str) -> None:
    unknown = (
        integer(29, 7) + blob(30, b"x") + integer(31, 7) + blob(64, b"x") + blob(100, b"key") + tag(500, 5) + bytes(4)
    )
    number, (field, _) = next(item for item in FIELDS[name].items() if item[1][1] == "bytes")
    found = DECODERS[name](unknown + blob(number, b"value") + unknown)
    assert found.get(field, b"value") == b"value"


@every_decoder
def test_the_last_of_two_counts(name: str) -> None:
    for number, (field, kind) in FIELDS[name].items():
        if kind == "bytes":
            assert DECODERS[name](blob(number, b"one") + blob(number, b"two")).get(field, b"two") == b"two"
            assert DECODERS[name](blob(number, b"one") + blob(number, b"")).get(field, b"") == b""
        else:
            assert DECODERS[name](integer(number, 1) + integer(number, 2)).get(field, 2) == 2
            assert DECODERS[name](integer(number, 1) + integer(number, 0)).get(field, 0) == 0


@pytest.mark.parametrize("value", [-1, -(2**31), 2**31 - 1, 2**31, 2**32 + 5, 2**63, 2**64 - 2])
def test_int32_fields_keep_the_low_32_bits(value: int) -> None:
    expected = (value + 2**31) % 2**32 - 2**31
    request = stan.decode_subscription_request(integer(5, value) + integer(6, value) + integer(10, value))
    assert (request.max_in_flight, request.ack_wait_s, request.start_position) == (expected,) * 3
    connect = stan.decode_connect_request(integer(3, value) + integer(5, value) + integer(6, value))
    assert (connect.protocol, connect.ping_interval_s, connect.ping_out_max) == (expected,) * 3


def test_64_bit_fields() -> None:
    request = stan.decode_subscription_request(integer(11, 2**64 - 1) + integer(12, -5))
    assert (request.start_sequence, request.start_time_delta_ns) == (2**64 - 1, -5)
    assert stan.decode_ack(integer(2, 2**63)).sequence == 2**63


def test_strings_need_not_be_utf_8() -> None:
    assert stan.decode_ack(blob(1, b"\xff\xfe")).subject == b"\xff\xfe"
    assert stan.decode_client_id(blob(1, b"\x80")) == b"\x80"


def test_start_positions_have_their_numbers() -> None:
    assert (stan.START_NEW_ONLY, stan.START_LAST_RECEIVED, stan.START_TIME_DELTA) == (0, 1, 2)
    assert (stan.START_SEQUENCE, stan.START_FIRST) == (3, 4)


# What we write.


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_encode_connect_request(client_id: bytes, inbox: bytes) -> None:
    expected = stan_oracle.encode("ConnectRequest", {"client_id": client_id, "heartbeat_inbox": inbox})
    assert stan.encode_connect_request(client_id, inbox) == expected


@given(st.lists(st.binary(max_size=140), min_size=5, max_size=5), st.binary(max_size=20), int32, int32, int32)
def test_encode_connect_response(
    subjects: list[bytes], ping_subject: bytes, protocol: int, ping_interval_s: int, ping_out_max: int
) -> None:
    request = stan.ConnectRequest()
    request.protocol = protocol
    request.ping_interval_s = ping_interval_s
    request.ping_out_max = ping_out_max
    names = ("publish_prefix", "subscribe", "unsubscribe", "close", "subscription_close")
    values: Values = {**dict(zip(names, subjects, strict=True)), "protocol": 1}
    if protocol >= 1:
        values |= {"ping": ping_subject, "ping_interval_s": ping_interval_s, "ping_out_max": ping_out_max}
    assert stan.encode_connect_response(subjects, ping_subject, request) == stan_oracle.encode(
        "ConnectResponse", values
    )


@given(st.text(max_size=150))
def test_encode_errors(error: str) -> None:
    text = error.encode()
    assert stan.encode_error_response(5, error) == stan_oracle.encode("ConnectResponse", {"error": text})
    assert stan.encode_error_response(1, error) == stan_oracle.encode("CloseResponse", {"error": text})
    assert stan.encode_error_response(1, error) == stan_oracle.encode("PingResponse", {"error": text})


@given(st.binary(max_size=150), st.text(max_size=150))
def test_encode_publish_ack(guid: bytes, error: str) -> None:
    expected = stan_oracle.encode("PubAck", {"guid": guid, "error": error.encode()})
    assert stan.encode_publish_ack(guid, error) == expected


@given(st.binary(max_size=150), st.text(max_size=150))
def test_encode_subscription_response(ack_inbox: bytes, error: str) -> None:
    expected = stan_oracle.encode("SubscriptionResponse", {"ack_inbox": ack_inbox, "error": error.encode()})
    assert stan.encode_subscription_response(ack_inbox, error) == expected


@given(values_of("MsgProto", without=("redelivered", "redelivery_count", "crc32")))
def test_encode_message(values: Values) -> None:
    whole = stan_oracle.defaults("MsgProto") | values
    arguments = [whole[name] for name in ("sequence", "subject", "reply", "data", "timestamp_ns")]
    encode: Callable[..., bytes] = stan.encode_message
    assert encode(*arguments) == stan_oracle.encode("MsgProto", values)


def test_success_is_no_bytes() -> None:
    assert stan.encode_error_response(1, "") == b""
    assert stan.encode_subscription_response(b"", "") == b""


# The server's own messages to other servers.


def test_a_control_message_is_told_from_a_broken_publish() -> None:
    assert stan.is_control_message(b"\x08\x01")
    assert stan.is_control_message(stan_oracle.encode("CtrlMsg", {"kind": 4, "server_id": b"abc", "data": b"\x00"}))
    assert not stan.is_control_message(b"\x08")
    assert not stan.is_control_message(stan_oracle.encode("PubMsg", {"client_id": b"me", "guid": b"g"}))
