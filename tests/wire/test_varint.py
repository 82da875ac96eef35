"""The primitives of protobuf against the protobuf library, and a reader that never runs past the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire import varint as module
from durabus.wire.varint import DecodeError, FieldReader, bytes_field, signed_32, signed_64, uint_field, varint
from tests.wire import stan_oracle
from tests.wire.stan_oracle import RawField, raw_fields
from tests.wire.wire_format import blob, integer, may_hold_a_group, messages, noise, number, tag

unsigned = (
    st.integers(0, 2**64 - 1)
    | st.integers(0, 300)
    | st.sampled_from([2**n + d for n in range(7, 64, 7) for d in (-1, 0)])
)


def read_all(data: bytes) -> list[RawField]:
    """Every field of `data`: number, wire type, and what is in it where the reader says so."""
    reader = FieldReader(data)
    found: list[RawField] = []
    while True:
        before = reader.position
        field = reader.next()
        if field == 0:
            assert reader.position == len(data)
            return found
        assert before < reader.position <= len(data)
        kind = reader.wire_type
        found.append((field, kind, reader.value if kind == 0 else reader.data if kind == 2 else None))


@given(unsigned)
def test_varints_are_those_of_the_library(value: int) -> None:
    assert b"\x10" + varint(value) == (stan_oracle.encode("Ack", {"sequence": value}) or b"\x10\x00")
    reader = FieldReader(b"\x10" + varint(value))
    assert reader.next() == 2
    assert reader.value == value


@given(st.integers(-(2**63), -1))
def test_negative_numbers_take_ten_bytes(value: int) -> None:
    encoded = stan_oracle.encode("MsgProto", {"timestamp_ns": value})
    assert b"\x28" + varint(value) == encoded
    assert len(varint(value)) == 10
    reader = FieldReader(encoded)
    reader.next()
    assert signed_64(reader.value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, b"\x00"),
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (16383, b"\xff\x7f"),
        (16384, b"\x80\x80\x01"),
        (2**64 - 1, b"\xff" * 9 + b"\x01"),
        (-1, b"\xff" * 9 + b"\x01"),
    ],
)
def test_varint_table(value: int, expected: bytes) -> None:
    assert varint(value) == expected


@given(st.integers(1, 0x1FFFFFFF), unsigned, st.binary(max_size=200))
def test_fields_are_read_back(field: int, value: int, data: bytes) -> None:
    encoded = uint_field(field, value) + bytes_field(field, data)
    expected: list[RawField] = [(field, 0, value)] if value else []
    assert read_all(encoded) == expected + ([(field, 2, data)] if data else [])


def test_default_values_are_no_bytes() -> None:
    assert uint_field(1, 0) == b""
    assert bytes_field(1, b"") == b""
    assert read_all(b"") == []


@given(st.integers(0, 2**64 - 1))
def test_signed_numbers_as_go_reads_them(value: int) -> None:
    assert signed_64(value) == int.from_bytes(value.to_bytes(8, "little"), "little", signed=True)
    assert signed_32(value) == int.from_bytes(value.to_bytes(8, "little")[:4], "little", signed=True)


@given(messages)
def test_any_well_formed_fields(data: bytes) -> None:
    assert read_all(data) == raw_fields(data)


@given(noise)
def test_any_bytes(data: bytes) -> None:
    expected = raw_fields(data)
    try:
        found = read_all(data)
    except DecodeError:
        assert expected is None or may_hold_a_group(data)
    else:
        assert expected is None or found == expected


@given(messages, st.integers(0, 1 << 16))
def test_cut_off_anywhere(data: bytes, cut: int) -> None:
    cut %= len(data) + 1
    expected = raw_fields(data[:cut])
    if expected is None:
        with pytest.raises(DecodeError):
            read_all(data[:cut])
    else:
        assert read_all(data[:cut]) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x00", b"\x00\x01", b"\x02\x00", tag(0x20000000, 0) + b"\x01", tag(0x1FFFFFFF + 1, 2) + b"\x00",
        b"\x0c", b"\x0e", b"\x0f", b"\x08", b"\x08\x80", b"\x80", b"\x0a", b"\x0a\x01", b"\x0a\x80",
        b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x0a" + b"\xff" * 9 + b"\x01",
        b"\x09" + b"x" * 7, b"\x0d" + b"x" * 3, b"\x08" + b"\x80" * 10, b"\x08" + b"\x80" * 10 + b"\x00", b"\xff" * 20,
        b"\x0b", b"\x0b\x08", b"\x0b\x14", b"\x0b\x0b\x0c", b"\x0b\x00\x0c", b"\x0b\x02\x00\x0c", b"\x0b\x0e\x0c",
        b"\x0b\x0a\x05\x0c", b"\x0b\x09\x0c", b"\x0b\x0d\x0c", b"\x0b\x0a" + b"\xff" * 9 + b"\x01\x0c",
    ],
)  # fmt: skip
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        read_all(data)
    assert str(caught.value)


def test_numbers_may_be_longer_than_needed() -> None:
    assert read_all(integer(3, 5, 9)) == [(3, 0, 5)]
    assert read_all(blob(3, b"xy", 9)) == [(3, 2, b"xy")]
    assert read_all(tag(3, 0, 4) + b"\x05") == [(3, 0, 5)]
    with pytest.raises(DecodeError):
        read_all(integer(3, 5, 10))


def test_groups_are_skipped_however_deep() -> None:
    depth = 100_000
    data = tag(7, 3) * depth + tag(7, 4) * depth
    assert read_all(data + integer(1, 9)) == [(7, 3, None), (1, 0, 9)]
    with pytest.raises(DecodeError):
        read_all(data[:-1])


def test_groups_are_skipped_with_what_is_in_them() -> None:
    inner = (
        integer(1, 300) + blob(2, b"\x0c\x0c") + b"\x19" + b"\x0c" * 8 + b"\x1d" + b"\x0c" * 4 + tag(5, 3) + tag(5, 4)
    )
    assert read_all(tag(40, 3) + inner + tag(40, 4) + blob(3, b"x")) == [(40, 3, None), (3, 2, b"x")]


def test_expect() -> None:
    reader = FieldReader(integer(1, 9))
    reader.next()
    reader.expect(module.WIRE_VARINT)
    with pytest.raises(DecodeError, match="wire type 0 where 2 is due"):
        reader.expect(module.WIRE_BYTES)


def test_ten_groups_of_seven_bits_hold_64_of_them() -> None:
    reader = FieldReader(b"\x08" + b"\xff" * 9 + b"\x7f")
    reader.next()
    assert reader.value == 2**64 - 1
    assert number(2**64 - 1) == varint(2**64 - 1)
