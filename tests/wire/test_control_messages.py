"""What servers say to each other, against the protobuf library, against bytes of the original, and against nonsense."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.wire.control_messages import (
    GROUP_HEARTBEAT,
    PARTITIONING,
    NameTooLongError,
    channel_lists,
    decode_channel_list,
    decode_control_message,
    decode_moment,
    encode_control_message,
    encode_moment,
)
from durabus.wire.varint import DecodeError
from tests.wire import stan_oracle
from tests.wire.wire_format import noise

# Both were said by the original.
HEARTBEAT = b"\x08\x03\x12\x16FEPn3w0dor4lQKqu3fvcKR\x1a\x0f\x01\x00\x00\x00\x0e\xe2\x96\x92\x1f70\xb0\n\x00\x00"
HEARTBEAT_NS = 1_795_463_967_925_937_674
QUESTION = b"\x08\x04\x12\x16hfO2IeOtdgQBj0SvbAPD0N\x1a\n\x03\x00foo\x03\x00a.>"

moments = st.datetimes().map(lambda at: int(at.replace(tzinfo=UTC).timestamp()) * 1_000_000_000)


def test_a_heartbeat_of_the_original() -> None:
    found = decode_control_message(HEARTBEAT)
    assert (found.kind, found.server_id) == (GROUP_HEARTBEAT, b"FEPn3w0dor4lQKqu3fvcKR")
    assert decode_moment(found.data) == HEARTBEAT_NS
    assert encode_control_message(found.kind, found.server_id, found.data) == HEARTBEAT


def test_a_question_of_the_original() -> None:
    found = decode_control_message(QUESTION)
    assert (found.kind, found.server_id) == (PARTITIONING, b"hfO2IeOtdgQBj0SvbAPD0N")
    assert decode_channel_list(found.data) == [b"foo", b"a.>"]
    assert channel_lists(found.server_id, [b"foo", b"a.>"], 1024) == [QUESTION]


@given(st.integers(0, 4), st.binary(max_size=30), st.binary(max_size=300))
def test_written_as_the_library_does(kind: int, server_id: bytes, data: bytes) -> None:
    values: dict[str, object] = {"kind": kind, "server_id": server_id, "data": data}
    message = encode_control_message(kind, server_id, data)
    assert message == stan_oracle.encode("CtrlMsg", values)
    found = decode_control_message(message)
    assert (found.kind, found.server_id, found.data) == (kind, server_id, data)


@given(noise)
def test_anything_is_read_as_the_library_does_or_refused(data: bytes) -> None:
    expected = stan_oracle.decode("CtrlMsg", data)
    try:
        found = decode_control_message(data)
    except DecodeError:
        # The library is laxer than we are inside of groups, which it keeps as they are.
        assert expected is None or any(byte & 7 == 3 for byte in data)
        return
    if expected is not None:
        assert (found.server_id, found.data) == (expected["server_id"], expected["data"])


@given(moments, st.integers(0, 999_999_999))
def test_a_moment_there_and_back(second_ns: int, rest_ns: int) -> None:
    data = encode_moment(second_ns + rest_ns)
    assert len(data) == 15
    assert decode_moment(data) == second_ns + rest_ns


def test_what_a_moment_is_made_of() -> None:
    """Version 1, seconds since the beginning of the year 1, nanoseconds, and no minutes: UTC is -1."""
    seconds = int((datetime(2026, 11, 23, tzinfo=UTC) - datetime(1, 1, 1, tzinfo=UTC)).total_seconds())
    wall_ns = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp()) * 1_000_000_000 + 7
    assert encode_moment(wall_ns) == b"\x01" + seconds.to_bytes(8, "big") + b"\x00\x00\x00\x07\xff\xff"


def test_a_moment_of_another_time_zone() -> None:
    """The zone says how to show the moment, not which one it is; one with seconds in it makes version 2."""
    head = HEARTBEAT[-15:][1:13]
    assert decode_moment(b"\x01" + head + b"\x00\x3c") == HEARTBEAT_NS
    assert decode_moment(b"\x02" + head + b"\x00\x3c\x0f") == HEARTBEAT_NS


@pytest.mark.parametrize("data", [b"", b"wrong time", b"\x01", b"\x01" + b"0" * 15, b"\x02" + b"0" * 14, b"\x03" * 15])
def test_what_is_no_moment(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_moment(data)


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(80, 400))
def test_lists_are_divided_as_payloads_are_limited(names: list[bytes], payload_bytes_max: int) -> None:
    messages = channel_lists(b"0123456789012345678901", names, payload_bytes_max)
    told: list[bytes] = []
    for message in messages:
        assert len(message) <= payload_bytes_max
        found = decode_control_message(message)
        assert (found.kind, found.server_id) == (PARTITIONING, b"0123456789012345678901")
        assert found.data, "a message that tells nothing"
        told += decode_channel_list(found.data)
    assert told == names


@pytest.mark.parametrize(
    ("name_bytes", "payload_bytes_max", "fits"),
    [
        (13, 50, True),
        (14, 50, False),
        (54, 50, False),
        (54, 100, True),
        (65_535, 1 << 20, True),
        (65_536, 1 << 20, False),
    ],
)
def test_a_name_that_fits_nowhere(name_bytes: int, payload_bytes_max: int, fits: bool) -> None:
    """A payload of 50 bytes leaves 15 for a name and its length, in the original too."""
    names = [b"x", b"n" * name_bytes]
    if fits:
        assert channel_lists(b"0123456789012345678901", names, payload_bytes_max)
        return
    with pytest.raises(NameTooLongError, match="message payload too small to send channels list"):
        channel_lists(b"0123456789012345678901", names, payload_bytes_max)


@pytest.mark.parametrize("data", [b"\x01", b"\x01\x00", b"\x03\x00ab", b"\x01\x02\x03\x04\x05", b"\x01\x00a\x01"])
def test_what_is_no_list(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_channel_list(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    try:
        names = decode_channel_list(data)
    except DecodeError:
        return
    assert b"".join(len(name).to_bytes(2, "little") + name for name in names) == data
