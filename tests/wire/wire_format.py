"""Fields as bytes, also in the ways in which no library writes them: any order, unknown ones, longer than needed, broken."""

from hypothesis import strategies as st

VARINT, FIXED_64, BYTES, GROUP, GROUP_END, FIXED_32 = range(6)


def number(value: int, extra_bytes: int = 0) -> bytes:
    """A varint, with so many bytes more than it needs; negative numbers as 64-bit two's complement."""
    rest = value & 0xFFFF_FFFF_FFFF_FFFF
    groups = []
    while True:
        groups.append(rest & 127)
        rest >>= 7
        if not rest:
            break
    groups += [0] * extra_bytes
    return bytes(group | 128 for group in groups[:-1]) + bytes(groups[-1:])


def tag(field: int, wire_type: int, extra_bytes: int = 0) -> bytes:
    """The start of a field."""
    return number(field << 3 | wire_type, extra_bytes)


def blob(field: int, data: bytes, extra_bytes: int = 0) -> bytes:
    """A length-delimited field; `extra_bytes` make its length longer than needed."""
    return tag(field, BYTES) + number(len(data), extra_bytes) + data


def integer(field: int, value: int, extra_bytes: int = 0) -> bytes:
    """A varint field."""
    return tag(field, VARINT) + number(value, extra_bytes)


def may_hold_a_group(data: bytes) -> bool:
    """Whether one of the bytes could begin a group: inside of one the protobuf library is less strict than we are."""
    return any(byte & 7 == GROUP for byte in data)


@st.composite
def fields(draw: st.DrawFn, numbers: st.SearchStrategy[int], depth: int = 2) -> bytes:
    """One field of any wire type, well formed; groups up to `depth` levels deep."""
    field = draw(numbers)
    wire_type = draw(st.sampled_from([VARINT, FIXED_64, BYTES, FIXED_32, *([GROUP] if depth else [])]))
    if wire_type == VARINT:
        value = draw(st.integers(0, 2**64 - 1) | st.integers(0, 300))
        spare = 10 - len(number(value))
        return tag(field, VARINT) + number(value, draw(st.integers(0, spare)))
    if wire_type == FIXED_64:
        return tag(field, FIXED_64) + draw(st.binary(min_size=8, max_size=8))
    if wire_type == FIXED_32:
        return tag(field, FIXED_32) + draw(st.binary(min_size=4, max_size=4))
    if wire_type == BYTES:
        return blob(field, draw(st.binary(max_size=6)), draw(st.integers(0, 3)))
    inner = draw(st.lists(fields(st.integers(1, 20), depth=depth - 1), max_size=2))
    return tag(field, GROUP) + b"".join(inner) + tag(field, GROUP_END)


known_numbers = st.integers(1, 12)
unknown_numbers = st.sampled_from([8, 13, 15, 16, 30, 31, 63, 2047, 2048, 0x1FFFFFFF])
any_field = fields(known_numbers) | fields(unknown_numbers)

_BROKEN = (
    b"\x00", b"\x02\x00", b"\x04", b"\x0c", b"\x07\x00", b"\x0e\x01", b"\x80", b"\x0b", b"\x0b\x14", b"\x12\x05abc",
    b"\x12\xff\xff\xff\xff\x0f", b"\x08" + b"\x80" * 10 + b"\x00", b"\x12" + b"\xff" * 9 + b"\x01", b"\x6b", b"\x6b\x74",
    b"\x6b\x6c", b"\x6a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x69123", b"\x6d12", b"\x6b\x02\x00\x6c", b"\xf8\xff",
    b"\xff" * 12, b"\x68" + b"\xff" * 11,
)  # fmt: skip

messages = st.lists(any_field, max_size=6).map(b"".join)
"""Well formed, but not necessarily a message of any one type."""

noise = st.lists(any_field | st.sampled_from(_BROKEN) | st.binary(max_size=6), max_size=5).map(b"".join)
"""Anything, mostly what is nearly well formed."""
