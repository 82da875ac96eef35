"""Our records and the original's columns, one into the other and back."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.sql.rows import (
    channel_column,
    channel_complaint,
    channel_name,
    client_columns,
    client_record,
    decode_sequences,
    encode_sequences,
    ranges,
    server_columns,
    server_record,
    subscription_channel,
    subscription_last_sent,
    subscription_record,
)
from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    decode_client,
    decode_server,
    decode_subscription,
    encode_client,
    encode_server,
    encode_subscription,
)
from durabus.wire.varint import bytes_field

# What the original writes for cluster ID test-cluster: its ID and the seven subjects.
ORIGINAL_SERVER = b"".join(
    bytes_field(number, text)
    for number, text in enumerate(
        (
            b"test-cluster",
            b"_STAN.discover.test-cluster",
            b"_STAN.pub.test-cluster",
            b"_STAN.sub.test-cluster",
            b"_STAN.unsub.test-cluster",
            b"_STAN.close.test-cluster",
            b"_STAN.subclose.test-cluster",
            b"_STAN.ack.test-cluster",
        ),
        1,
    )
)


@given(st.binary(max_size=40))
def test_any_name_becomes_a_text_and_back(name: bytes) -> None:
    column = channel_column(name)
    column.encode()
    assert "\0" not in column
    assert channel_name(column) == name


@pytest.mark.parametrize("name", ["foo", "foo.bar", "föö.bär", "a b", "100%", "\\x00"])
def test_a_name_of_the_original_stays_what_it_is(name: str) -> None:
    assert channel_column(name.encode()) == name
    assert channel_name(name) == name.encode()


@pytest.mark.parametrize(("column", "name"), [("a/zz", b"a/zz"), ("a/", b"a/"), ("a/\u00e9\u00e9", "a/éé".encode())])
def test_a_slash_that_is_not_ours_is_one(column: str, name: bytes) -> None:
    assert channel_name(column) == name


def test_a_client() -> None:
    value = encode_client(ClientRecord(b"me", b"_INBOX.heart", b"id", 1))
    assert client_columns(b"me", value) == ("me", "_INBOX.heart", value)
    assert client_record("me", "_INBOX.heart", value) == (b"me", value)


def test_long_client_ids_are_different_ones() -> None:
    columns = [
        client_columns(b"x" * 2000 + end, encode_client(ClientRecord(b"x" * 2000 + end, b"", b"", 1)))
        for end in (b"a", b"b")
    ]
    assert columns[0][0] != columns[1][0]
    assert all(len(identity) == 250 for identity, _, _ in columns)
    assert client_record(*columns[0])[0] == b"x" * 2000 + b"a"


@pytest.mark.parametrize(
    ("name", "is_refused"), [(b"x" * 1024, False), (b"x" * 1025, True), (b"\xff" * 341, False), (b"\xff" * 342, True)]
)
def test_a_name_that_is_too_long(name: bytes, is_refused: bool) -> None:
    assert bool(channel_complaint(name)) == is_refused


def test_a_client_of_which_there_is_no_record() -> None:
    key, value = client_record("me", "_INBOX.heart", None)
    found = decode_client(value)
    assert (key, found.client_id, found.heartbeat_inbox, found.protocol) == (b"me", b"me", b"_INBOX.heart", 0)


def test_a_client_whose_record_is_unreadable() -> None:
    assert client_record("me", "inbox", b"\xff") == (b"me", b"\xff")
    assert client_columns(b"me", b"\xff") == ("me", "", b"\xff")


def test_the_server_is_written_with_the_subjects_of_the_original() -> None:
    identity, proto = server_columns(encode_server(b"test-cluster"), b"", b"_STAN.discover")
    assert (identity, proto) == ("test-cluster", ORIGINAL_SERVER)


def test_the_server_is_read_without_them() -> None:
    assert server_record(ORIGINAL_SERVER, 0, 0) == encode_server(b"test-cluster")
    value = encode_server(b"test-cluster", 7, 9)
    proto = server_columns(value, b"", b"_STAN.discover")[1]
    assert server_record(proto, 0, 0) == value


def test_subjects_of_an_older_original_are_kept() -> None:
    old = bytes_field(1, b"test-cluster") + bytes_field(3, b"_STAN.pub.abcdef") + bytes_field(9, b"node")
    value = encode_server(b"test-cluster", 3, 4)
    proto = server_columns(value, old, b"_STAN.discover")[1]
    assert proto == value + bytes_field(3, b"_STAN.pub.abcdef") + bytes_field(9, b"node")


def test_subjects_of_another_cluster_are_not() -> None:
    proto = server_columns(encode_server(b"other"), ORIGINAL_SERVER, b"_STAN.discover")[1]
    assert b"_STAN.pub.other" in proto
    assert b"test-cluster" not in proto


@pytest.mark.parametrize(
    ("known", "dead", "expected"),
    [((0, 0), (5, 0), (5, 0)), ((0, 0), (0, 6), (0, 6)), ((3, 9), (5, 2), (5, 9)), ((7, 7), (7, 7), (7, 7))],
)
def test_numbers_that_were_given_up(known: tuple[int, int], dead: tuple[int, int], expected: tuple[int, int]) -> None:
    record = decode_server(server_record(encode_server(b"c", *known), *dead))
    assert (record.channel_id_last, record.subscription_id_last) == expected


def subscription(channel: bytes) -> bytes:
    record = SubscriptionRecord(7, channel)
    record.client_id = b"me"
    record.last_sent = 12
    record.is_durable = True
    return encode_subscription(record)


def test_a_subscription_names_its_channel() -> None:
    assert subscription_channel(subscription(b"foo")) == b"foo"
    assert subscription_last_sent(subscription(b"foo")) == 12
    assert subscription_channel(subscription(b"")) == b""
    assert subscription_channel(b"\xff") == b""


def test_a_subscription_of_the_original_is_told_its_channel() -> None:
    value = subscription_record(subscription(b""), b"foo")
    assert decode_subscription(value).channel == b"foo"
    assert value == subscription(b"foo")
    assert subscription_record(subscription(b"foo"), b"bar") == subscription(b"foo")


def test_sequences_are_written_as_the_original_writes_them() -> None:
    assert encode_sequences([1, 2, 30]) == b"[1,2,30]"
    assert decode_sequences(b"[3,1,2]") == [3, 1, 2]
    assert decode_sequences(b"") == decode_sequences(None) == decode_sequences(b"null") == []


@pytest.mark.parametrize("column", [b"{}", b'["1"]', b"[-1]", b"[1", b"\xff", b"[1.5]"])
def test_what_are_no_sequences(column: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is for people
        decode_sequences(column)


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_the_same_sequences(sequences: set[int]) -> None:
    found = ranges(sequences)
    assert {number for first, last in found for number in range(first, last + 1)} == sequences
    assert all(one[1] + 1 < two[0] for one, two in pairwise(found))
