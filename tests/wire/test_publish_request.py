"""The publish hot path against the protobuf library: a PubMsg goes in, the MsgProto that is delivered comes out."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from durabus.wire.publish_request import BodyBuilder, PublishRequest, sequence_of, sequence_prefix
from tests.wire import stan_oracle
from tests.wire.stan_oracle import Values, values_of
from tests.wire.wire_format import blob, fields, integer, may_hold_a_group, messages, noise, tag, unknown_numbers

STAMP_NS = 1_700_000_000_123_456_789
SIZES = (0, 1, 2, 126, 127, 128, 129, 300, 16383, 16384, 16385, 2**21 - 1, 2**21)
SEQUENCES = (1, 2, 126, 127, 128, 129, 255, 256, 16383, 16384, 16385, 2**21 - 1, 2**21, 2**40, 2**63 - 1)
NUMBERS = {name: number for number, (name, _) in stan_oracle.FIELDS["PubMsg"].items()}

sequences = st.sampled_from(SEQUENCES) | st.integers(1, 2**63 - 1)


def decoded(payload: bytes, request: PublishRequest | None = None) -> Values | None:
    """What `payload` says as a PubMsg, or None."""
    request = request or PublishRequest()
    if not request.decode(payload):
        return None
    assert request.data_field_start <= request.data_start <= request.data_end <= len(payload)
    return {
        "client_id": payload[request.client_id_start : request.client_id_end],
        "guid": length_prefixed(request.guid_field),
        "subject": request.subject,
        "reply": request.reply,
        "data": payload[request.data_start : request.data_end],
        "connection_id": request.connection_id,
    }


def length_prefixed(field: bytes) -> bytes:
    """The content of a field with its length in front; the PubAck with it must say the same to the library."""
    ack = stan_oracle.decode("PubAck", b"\x0a" + field if field else b"")
    assert ack is not None
    guid = ack["guid"]
    assert isinstance(guid, bytes)
    return guid


def expected_of(payload: bytes) -> Values | None:
    """What the library makes of `payload`, as far as the server looks at it."""
    values = stan_oracle.decode("PubMsg", payload)
    if values is not None:
        del values["sha256"]
    return values


def message(sequence: int, subject: bytes, reply: bytes, data: bytes, stamp_ns: int = STAMP_NS) -> bytes:
    """The stored body, by the library."""
    values: Values = {"sequence": sequence, "subject": subject, "reply": reply, "data": data, "timestamp_ns": stamp_ns}
    return stan_oracle.encode("MsgProto", values)


@given(values_of("PubMsg"))
def test_what_the_library_writes(values: Values) -> None:
    expected = stan_oracle.defaults("PubMsg") | values
    del expected["sha256"]
    assert decoded(stan_oracle.encode("PubMsg", values)) == expected


@given(st.data())
def test_any_order_with_unknown_fields_between_and_lengths_longer_than_needed(data: st.DataObject) -> None:
    known = st.builds(
        blob,
        st.sampled_from(sorted(NUMBERS.values())),
        st.binary(max_size=9) | st.binary(min_size=126, max_size=130),
        st.integers(0, 3),
    )
    payload = b"".join(data.draw(st.lists(known | fields(unknown_numbers), max_size=10)))
    assert decoded(payload) == expected_of(payload) is not None


@given(messages)
def test_any_well_formed_fields(payload: bytes) -> None:
    assert decoded(payload) == expected_of(payload)


@given(noise | st.binary(max_size=30))
@example(b"\x2a\xff\xff\xff\xff\x7f")
@example(b"\xfa\xff\xff\xff\xff\x7f")
@example(b"\x6a\xff\xff\xff\xff\x7f")
@example(b"\x2a\x80\x80\x80\x80\x80")
@example(tag(13, 2) + b"\xff" * 9 + b"\x01")
def test_any_bytes(payload: bytes) -> None:
    expected = expected_of(payload)
    found = decoded(payload)
    if may_hold_a_group(payload):
        assert found is None or expected is None or found == expected
    else:
        assert found == expected


@given(messages, st.integers(0, 1 << 16))
def test_cut_off_anywhere(payload: bytes, cut: int) -> None:
    payload = payload[: cut % (len(payload) + 1)]
    assert decoded(payload) == expected_of(payload)


@given(noise, values_of("PubMsg"))
def test_nothing_is_left_of_the_request_before(before: bytes, values: Values) -> None:
    request = PublishRequest()
    request.decode(before)
    payload = stan_oracle.encode("PubMsg", values)
    assert decoded(payload, request) == expected_of(payload)


def test_no_bytes_are_a_request_of_defaults() -> None:
    assert decoded(b"") == expected_of(b"")
    assert PublishRequest().guid_field == b""


@pytest.mark.parametrize("number", sorted(NUMBERS.values()))
def test_each_known_field_with_the_wrong_wire_type(number: int) -> None:
    for wire_type, content in ((0, b"\x01"), (1, bytes(8)), (3, tag(number, 4)), (5, bytes(4))):
        assert decoded(tag(number, wire_type) + content) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00", b"\x02\x00", b"\x04", b"\x6c", b"\x6b", b"\x6b\x74", b"\x6e", b"\x6f", b"\x2a", b"\x2a\x05abcd", b"\x2a\x80",
        b"\x2a\xff\xff\xff\xff\x0f", b"\x2a\x80\x80\x80\x80\x80\x00", b"\x68", b"\x68\x80", b"\x68" + b"\x80" * 10 + b"\x00",
        b"\x69" + bytes(7), b"\x6d" + bytes(3), b"\x6a", b"\x6a\x01", b"\x6a\xff\xff\xff\xff\x0f", b"\x80", b"\xff" * 30,
        tag(0x20000000, 0) + b"\x01", b"hello", b'{"json":1}',
    ],
)  # fmt: skip
def test_what_is_refused(payload: bytes) -> None:
    assert decoded(payload) is None
    assert decoded(blob(2, b"guid") + payload) is None


def test_a_known_field_whose_tag_is_longer_than_needed_is_refused() -> None:
    assert decoded(tag(5, 2, 1) + b"\x01x") is None


def test_groups_are_skipped_however_deep() -> None:
    group = tag(13, 3) * 50_000 + tag(13, 4) * 50_000
    found = decoded(blob(2, b"guid") + group + blob(5, b"data"))
    assert found is not None
    assert (found["guid"], found["data"]) == (b"guid", b"data")
    assert decoded(group[:-1]) is None


def test_the_guid_field_is_what_an_acknowledgement_says() -> None:
    for guid in (b"", b"g", b"x" * 22, b"y" * 127, b"z" * 128, b"\xff" * 300):
        request = PublishRequest()
        assert request.decode(stan_oracle.encode("PubMsg", {"guid": guid}))
        ack = b"\x0a" + request.guid_field if request.guid_field else b""
        assert ack == stan_oracle.encode("PubAck", {"guid": guid})


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reply", [b"", b"answer.here"])
def test_bodies_at_every_boundary(size: int, reply: bytes) -> None:
    data = bytes(i & 255 for i in range(size % 251)) + b"d" * (size - size % 251)
    payload = stan_oracle.encode(
        "PubMsg", {"client_id": b"me", "guid": b"guid", "subject": b"foo", "reply": reply, "data": data}
    )
    request, builder = PublishRequest(), BodyBuilder(b"foo")
    assert request.decode(payload)
    for sequence in SEQUENCES if size < 1000 else SEQUENCES[:8]:
        assert builder.build(sequence, payload, request, STAMP_NS) == message(sequence, b"foo", reply, data)


@pytest.mark.parametrize("extra_bytes", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384])
@pytest.mark.parametrize("sequence", [1, 127, 128, 2**40])
def test_a_length_longer_than_needed_is_not_stored(extra_bytes: int, size: int, sequence: int) -> None:
    if size >= 16384 and extra_bytes == 3:
        extra_bytes = 2  # five bytes are the longest length that is taken
    payload = blob(2, b"guid") + blob(5, b"x" * size, extra_bytes) + blob(3, b"foo", extra_bytes)
    request = PublishRequest()
    assert request.decode(payload)
    body = BodyBuilder(b"foo").build(sequence, payload, request, STAMP_NS)
    assert body == message(sequence, b"foo", b"", b"x" * size)


@given(
    channel=st.binary(min_size=1, max_size=20) | st.binary(min_size=127, max_size=129),
    steps=st.lists(
        st.tuples(
            sequences,
            st.sampled_from((0, 1, 127, 128, 400)),
            st.sampled_from([b"", b"r", b"r" * 130]),
            st.sampled_from([0, 1, STAMP_NS, STAMP_NS + 1]),
        ),
        max_size=8,
    ),
)
def test_one_builder_for_many_messages(channel: bytes, steps: list[tuple[int, int, bytes, int]]) -> None:
    request, builder = PublishRequest(), BodyBuilder(channel)
    for sequence, size, reply, stamp_ns in steps:
        values: Values = {"guid": b"g", "subject": b"not the channel", "reply": reply, "data": b"d" * size}
        payload = stan_oracle.encode("PubMsg", values)
        assert request.decode(payload)
        body = builder.build(sequence, payload, request, stamp_ns)
        assert body == message(sequence, channel, reply, b"d" * size, stamp_ns)


def test_consecutive_sequences() -> None:
    payload = stan_oracle.encode("PubMsg", {"guid": b"g", "subject": b"foo", "data": b"hello"})
    request, builder = PublishRequest(), BodyBuilder(b"foo")
    assert request.decode(payload)
    for start in (1, 2**14 - 300, 2**21 - 300):
        for sequence in range(start, start + 600):
            assert builder.build(sequence, payload, request, STAMP_NS) == message(sequence, b"foo", b"", b"hello")


@given(sequences, st.integers(0, 2**64 - 1) | st.none())
def test_sequence_prefix(sequence: int, unknown: int | None) -> None:
    assert sequence_prefix(sequence) == stan_oracle.encode("MsgProto", {"sequence": sequence})
    assert sequence_of(sequence_prefix(sequence) + b"\x12\x03foo") == sequence
    payload = blob(5, b"x") + (integer(13, unknown) if unknown is not None else b"")
    request = PublishRequest()
    assert request.decode(payload)
    body = BodyBuilder(b"foo").build(sequence, payload, request, STAMP_NS)
    assert body.startswith(sequence_prefix(sequence) + b"\x12\x03foo")
