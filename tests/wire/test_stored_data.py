"""Where the data of a stored message are, and what becomes of it with others in their place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.stan_messages import encode_message
from durabus.wire.stored_data import StoredData, grown_bytes, with_data
from tests.wire.wire_format import BYTES, FIXED_32, FIXED_64, GROUP, VARINT, blob, integer, tag

TEXTS = st.binary(max_size=20)
DATA = st.one_of(
    st.binary(max_size=40), st.sampled_from([98, 99, 127, 128, 16354, 16355, 16384]).map(lambda n: b"d" * n)
)


def located(body: bytes) -> tuple[bytes, bytes]:
    """The field of the data, and the data."""
    where = StoredData()
    assert where.locate(body)
    return body[where.field_start : where.end], body[where.start : where.end]


@given(st.integers(0, 2**63), TEXTS, TEXTS, DATA, st.integers(0, 2**62))
def test_the_data_of_a_message(sequence: int, subject: bytes, reply: bytes, data: bytes, stamp_ns: int) -> None:
    body = encode_message(sequence, subject, reply, data, stamp_ns)
    field, found = located(body)
    assert found == data
    assert field == (blob(4, data) if data else b"")


@given(DATA.filter(bool), DATA.filter(bool))
def test_others_in_their_place(data: bytes, others: bytes) -> None:
    body = encode_message(7, b"foo", b"answer", data, 1_700_000_000_000_000_000)
    where = StoredData()
    assert where.locate(body)
    wanted = encode_message(7, b"foo", b"answer", others, 1_700_000_000_000_000_000)
    for at in (0, 1, len(others)):
        assert with_data(body, where, others[:at], others[at:]) == wanted


@given(DATA, st.integers(0, 200))
def test_what_a_message_grows_by(data: bytes, more: int) -> None:
    body = encode_message(7, b"foo", b"", data, 5)
    grown = encode_message(7, b"foo", b"", data + b"x" * more, 5) if data else body
    assert grown_bytes(body, more) == len(grown) - len(body)


def test_fields_in_any_order_and_unknown_ones() -> None:
    odd = (
        tag(9, FIXED_64)
        + b"\x22" * 8
        + tag(11, FIXED_32)
        + b"\x22" * 4
        + blob(300, b"\x22\x01x")
        + integer(12, 2**64 - 1)
    )
    for body in (blob(4, b"data") + odd + integer(1, 5), odd + blob(4, b"data"), blob(4, b"data", 2) + odd):
        assert located(body)[1] == b"data"
    assert located(blob(4, b"first") + blob(4, b"last"))[1] == b"last"
    assert located(blob(4, b"")) == (blob(4, b""), b"")
    assert located(b"") == (b"", b"")


@pytest.mark.parametrize(
    "body",
    [
        b"\x22",
        b"\x22\x05data",
        b"\x22" + b"\xff" * 5 + b"\x01",
        b"\x08",
        b"\x08" + b"\x80" * 11,
        b"\x00\x00",
        b"\xff" * 6,
        tag(4, VARINT) + b"\x05",
        tag(4, FIXED_64) + b"x" * 8,
        tag(3, GROUP),
        tag(3, FIXED_64) + b"short",
        tag(3, FIXED_32) + b"abc",
        tag(2, BYTES) + b"\x80",
        b"\x80",
    ],
)
def test_what_is_no_message(body: bytes) -> None:
    assert not StoredData().locate(body)
    assert grown_bytes(body, 29) == 0


@given(st.binary(max_size=60))
def test_any_bytes_are_looked_into_without_harm(body: bytes) -> None:
    where = StoredData()
    if where.locate(body):
        assert 0 <= where.field_start <= where.start <= where.end <= len(body)


def test_nothing_is_left_of_the_message_before() -> None:
    where = StoredData()
    assert where.locate(encode_message(1, b"foo", b"", b"data", 5))
    assert where.locate(encode_message(1, b"foo", b"", b"", 5))
    assert (where.field_start, where.start, where.end) == (0, 0, 0)
