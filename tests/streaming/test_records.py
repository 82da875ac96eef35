"""Records of clients, channels and subscriptions: byte for byte the original's, read with care."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    decode_channel_name,
    decode_client,
    decode_server,
    decode_subscription,
    encode_channel_name,
    encode_client,
    encode_server,
    encode_subscription,
)
from durabus.wire.stan_messages import SubscriptionRequest
from durabus.wire.varint import DecodeError
from tests.wire.wire_format import blob, fields, integer, known_numbers

texts = st.binary(max_size=20)
int32 = st.integers(-(2**31), 2**31 - 1)
uint64 = st.integers(0, 2**63 - 1)


def test_a_client_is_the_originals_client_info() -> None:
    record = ClientRecord(b"orders", b"_INBOX.hb", b"\x01\x02", 1)
    record.ping_interval_s, record.ping_out_max = 5, 3
    assert encode_client(record) == (
        blob(1, b"orders")
        + blob(2, b"_INBOX.hb")
        + blob(3, b"\x01\x02")
        + integer(4, 1)
        + integer(5, 5)
        + integer(6, 3)
    )


@given(st.binary(min_size=1, max_size=20), texts, texts, int32, int32, int32)
def test_a_client_comes_back_as_it_was(
    client_id: bytes, inbox: bytes, connection_id: bytes, protocol: int, interval_s: int, out_max: int
) -> None:
    record = ClientRecord(client_id, inbox, connection_id, protocol)
    record.ping_interval_s, record.ping_out_max = interval_s, out_max
    back = decode_client(encode_client(record))
    assert vars_of(back) == vars_of(record)


def vars_of(record: ClientRecord | SubscriptionRecord) -> dict[str, object]:
    """All attributes; a native class has no `__dict__`."""
    names = [name for name in dir(record) if not name.startswith("_") and not callable(getattr(record, name))]
    return {name: getattr(record, name) for name in names}


def test_a_subscription_is_the_originals_sub_state_with_its_channel() -> None:
    record = SubscriptionRecord(7, b"ticket:created")
    record.client_id, record.queue_group, record.inbox, record.ack_inbox = b"orders", b"d:g", b"_INBOX.1", b"_INBOX.2"
    record.max_in_flight, record.ack_wait_s, record.durable_name, record.last_sent = 1024, 30, b"d", 99
    record.is_durable = record.is_closed = True
    assert encode_subscription(record) == (
        integer(1, 7) + blob(2, b"orders") + blob(3, b"d:g") + blob(4, b"_INBOX.1") + blob(5, b"_INBOX.2")
        + integer(6, 1024) + integer(7, 30) + blob(8, b"d") + integer(9, 99) + integer(10, 1) + integer(11, 1)
        + blob(100, b"ticket:created")
    )  # fmt: skip


@st.composite
def subscriptions(draw: st.DrawFn) -> SubscriptionRecord:
    """Any record that can be written."""
    record = SubscriptionRecord(draw(uint64), draw(st.binary(min_size=1, max_size=20)))
    record.client_id, record.queue_group, record.inbox = draw(texts), draw(texts), draw(texts)
    record.ack_inbox, record.durable_name = draw(texts), draw(texts)
    record.max_in_flight, record.ack_wait_s, record.last_sent = draw(int32), draw(int32), draw(uint64)
    record.is_durable, record.is_closed = draw(st.booleans()) or bool(record.durable_name), draw(st.booleans())
    return record


@given(subscriptions())
def test_a_subscription_comes_back_as_it_was(record: SubscriptionRecord) -> None:
    assert vars_of(decode_subscription(encode_subscription(record))) == vars_of(record)


@given(subscriptions(), st.lists(fields(st.integers(12, 99)), max_size=3))
def test_fields_of_later_versions_are_skipped(record: SubscriptionRecord, unknown: list[bytes]) -> None:
    assert vars_of(decode_subscription(b"".join(unknown) + encode_subscription(record))) == vars_of(record)


def test_taking_over_a_request_keeps_what_a_durable_keeps() -> None:
    record = SubscriptionRecord(7, b"foo")
    record.durable_name, record.last_sent, record.ack_inbox, record.is_durable = b"d", 99, b"_INBOX.2", True
    request = SubscriptionRequest()
    request.client_id, request.inbox, request.max_in_flight, request.ack_wait_s = b"a", b"_INBOX.1", 5, 6
    record.take(request)
    assert (record.client_id, record.inbox, record.max_in_flight, record.ack_wait_s) == (b"a", b"_INBOX.1", 5, 6)
    assert (record.durable_name, record.last_sent, record.ack_inbox, record.is_durable) == (b"d", 99, b"_INBOX.2", True)
    assert (record.subscription_id, record.channel) == (7, b"foo")


@given(st.binary(min_size=1, max_size=300))
@example(b"\xff\xfe")
def test_names_of_channels_need_not_be_text(name: bytes) -> None:
    assert decode_channel_name(encode_channel_name(name)) == name


@pytest.mark.parametrize("value", [b"", integer(1, 5), blob(2, b"x"), b"\x0a", b"\x0a\x05ab", b"\x07"])
def test_what_is_no_channel(value: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_channel_name(value)


@pytest.mark.parametrize("value", [b"", blob(2, b"x"), blob(1, b"")])
def test_a_client_without_an_id(value: bytes) -> None:
    with pytest.raises(DecodeError, match="client ID"):
        decode_client(value)


@pytest.mark.parametrize("value", [b"", integer(1, 5), blob(100, b"")])
def test_a_subscription_without_a_channel(value: bytes) -> None:
    with pytest.raises(DecodeError, match="channel"):
        decode_subscription(value)


@given(st.binary(max_size=60) | st.lists(fields(known_numbers), max_size=6).map(b"".join))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    for decode in (decode_client, decode_subscription, decode_channel_name, decode_server):
        try:
            decode(value)
        except DecodeError:
            continue


@given(st.binary(max_size=40), uint64, uint64)
def test_the_server_record_says_the_cluster_and_the_numbers_used_up(cluster_id: bytes, channel: int, sub: int) -> None:
    record = decode_server(encode_server(cluster_id, channel, sub))
    assert (record.cluster_id, record.channel_id_last, record.subscription_id_last) == (cluster_id, channel, sub)


def test_the_server_record_begins_as_the_originals() -> None:
    assert encode_server(b"test-cluster") == blob(1, b"test-cluster")
    assert encode_server(b"test-cluster", 3, 8) == blob(1, b"test-cluster") + integer(100, 3) + integer(101, 8)


@pytest.mark.parametrize("knows", [False, True])
def test_the_server_record_says_whether_the_end_was_in_order(knows: bool) -> None:
    value = encode_server(b"test-cluster", 3, 8, knows)
    assert decode_server(value).knows_all_acks is knows
    assert value == encode_server(b"test-cluster", 3, 8) + (integer(102, 1) if knows else b"")


def test_a_server_record_of_the_original() -> None:
    record = decode_server(blob(1, b"test-cluster") + blob(2, b"_STAN.discover.test-cluster") + blob(9, b"node"))
    assert (record.cluster_id, record.channel_id_last, record.subscription_id_last) == (b"test-cluster", 0, 0)
    assert not record.knows_all_acks


def test_a_durable_of_the_first_versions_is_one_by_its_name() -> None:
    record = SubscriptionRecord(5, b"foo")
    record.durable_name = b"dur"
    assert decode_subscription(encode_subscription(record)).is_durable
    record.durable_name = b""
    assert not decode_subscription(encode_subscription(record)).is_durable
