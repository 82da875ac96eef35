"""Timestamps out of stored messages: as a full decoder reads them, and never falling."""

from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.stan_messages import decode_timestamp_ns, encode_message
from durabus.wire.timestamps import stamps_of
from durabus.wire.varint import bytes_field, uint_field

NOW_NS = 1_700_000_000_000_000_000

messages = st.builds(
    encode_message,
    st.integers(1, 1 << 62),
    st.binary(min_size=1, max_size=20),
    st.binary(max_size=5),
    st.binary(max_size=300),
    st.integers(0, (1 << 63) - 1),
)


@given(messages)
def test_one_timestamp_is_that_of_a_full_decoder(message: bytes) -> None:
    assert stamps_of([message], 0) == [(0, decode_timestamp_ns(message))]


def body(timestamp_ns: int) -> bytes:
    return encode_message(1, b"foo", b"", b"data", timestamp_ns)


def test_messages_of_one_moment_share_a_stamp() -> None:
    bodies = [body(NOW_NS + at // 3) for at in range(8)]
    assert stamps_of(bodies, 0) == [(0, NOW_NS), (3, NOW_NS + 1), (6, NOW_NS + 2)]


def test_time_never_falls() -> None:
    assert stamps_of([body(5), body(9), body(7), body(8), body(10)], 0) == [(0, 5), (1, 9), (4, 10)]
    assert stamps_of([body(5), body(9)], 7) == [(0, 7), (1, 9)]


def test_what_has_no_timestamp_shares_that_before_it() -> None:
    assert stamps_of([b"", body(9), b"", b"\x08\x01", body(9)], 3) == [(0, 3), (1, 9)]
    assert stamps_of([], 3) == []


@given(st.binary(max_size=100), st.integers(0, NOW_NS))
def test_any_bytes_have_some_stamp(data: bytes, begin_ns: int) -> None:
    ((index, stamp_ns),) = stamps_of([data], begin_ns)
    assert index == 0
    assert stamp_ns >= begin_ns


def test_numbers_that_do_not_fit_are_none() -> None:
    too_long = bytes_field(2, b"foo") + b"\x22" + b"\xff" * 9 + b"\x01" + uint_field(5, 7)
    assert stamps_of([too_long, b"\x28" + b"\xff" * 10, b"\x22\x7f", b"\x2d1234"], 1) == [(0, 1)]
