"""The data of messages encrypted and decrypted: as the original does it, and what is done where it errs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.stores.encryption_bodies import (
    CODE_AES,
    CODE_CHACHA,
    DOUBTFUL,
    ENCRYPTED,
    OVERHEAD_BYTES,
    PLAIN,
    UNREADABLE,
    ChannelCipher,
    could_be_nonce,
)
from durabus.stores.encryption_keys import Keys
from durabus.wire.stan_messages import encode_message
from durabus.wire.stored_data import StoredData
from tests.stores.encryption_vectors import VECTORS, Vector

STAMP_NS = 1_700_000_000_000_000_000
CIPHERS = ("AES", "CHACHA")


def message(sequence: int, data: bytes, channel: bytes = b"foo") -> bytes:
    return encode_message(sequence, channel, b"", data, STAMP_NS)


def data_of(body: bytes) -> bytes:
    where = StoredData()
    assert where.locate(body)
    return body[where.start : where.end]


def cipher(name: str = "AES", channel: bytes = b"foo", key: str = "k", first: int = 1) -> ChannelCipher:
    made = Keys(key, name).cipher(channel)
    made.begin(b"salt", first)
    return made


# As the original does it.


@pytest.mark.row(160)
@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector.cipher or 'auto'}-{vector.channel[:20]}-{vector.sequence}"
)
def test_what_the_original_stored(vector: Vector) -> None:
    """Its message is read; and encrypted with the same nonce, ours is the same to the last bit."""
    reader = cipher("AES", vector.channel.encode(), vector.key)
    (plain,) = reader.decrypted([vector.body], vector.sequence)
    assert reader.stopped_at == 0
    assert data_of(plain) == vector.data
    assert reader.kind(vector.body, vector.sequence) == (ENCRYPTED if vector.data else PLAIN)
    stored = data_of(vector.body)
    if vector.data:
        assert len(stored) == len(vector.data) + OVERHEAD_BYTES
    writer = Keys(vector.key, vector.cipher or "AES").cipher(vector.channel.encode())
    writer.begin(stored[1:5], int.from_bytes(stored[5:13], "big"))
    assert writer.encrypted([plain]) == [vector.body]


@pytest.mark.row(160)
def test_nonces_count_messages_with_data() -> None:
    writer = cipher(first=255)
    stored = writer.encrypted([message(255, b"a"), message(256, b""), message(257, b"b"), message(258, b"c")])
    stored += writer.encrypted([message(259, b"d")])
    heads = [data_of(body)[:13] for body in stored if data_of(body)]
    assert heads == [b"\x01salt" + number.to_bytes(8, "big") for number in (255, 256, 257, 258)]
    assert stored[1] == message(256, b""), "empty data stay as they are"


@pytest.mark.row(160)
@given(
    st.lists(st.one_of(st.binary(max_size=200), st.just(b"\x01" * 40)), max_size=5),
    st.sampled_from(CIPHERS),
    st.binary(min_size=1, max_size=30),
    st.integers(1, 2**40),
)
def test_there_and_back(all_data: list[bytes], name: str, channel: bytes, first: int) -> None:
    bodies = [message(first + index, data, channel) for index, data in enumerate(all_data)]
    stored = cipher(name, channel, first=first).encrypted(bodies)
    reader = cipher("AES", channel)  # reads what either wrote
    assert reader.decrypted(stored, first) == bodies
    assert reader.stopped_at == 0
    for body, kept in zip(bodies, stored, strict=True):
        if data_of(body):
            assert data_of(kept)[0] == {"AES": CODE_AES, "CHACHA": CODE_CHACHA}[name]
            assert data_of(kept) != data_of(body)


def test_lost_messages_stay_lost() -> None:
    writer = cipher()
    assert writer.encrypted([b"", b""]) == [b"", b""]
    assert writer.decrypted([b""], 5) == [b""]
    assert writer.kind(b"", 5) == PLAIN


def test_what_is_no_message_is_not_stored_plain() -> None:
    with pytest.raises(ValueError, match="no stored message"):
        cipher().encrypted([b"\x22\x05data"])


def test_a_cipher_has_to_begin() -> None:
    made = Keys("k").cipher(b"foo")
    assert not made.has_begun
    made.begin(b"salt", 1)
    assert made.has_begun


# What cannot be decrypted.


@pytest.mark.row(160)
@pytest.mark.parametrize("name", CIPHERS)
def test_a_message_of_another_key_ends_the_page(name: str) -> None:
    bodies = [message(sequence, b"data %d" % sequence) for sequence in (7, 8, 9)]
    stored = cipher(name, first=7).encrypted(bodies)
    other = cipher(name, key="another", first=8).encrypted(bodies[1:2])
    reader = cipher(name)
    assert reader.decrypted([stored[0], *other, stored[2]], 7) == bodies[:1]
    assert reader.stopped_at == 8
    assert reader.decrypted([*other], 8) == []
    assert reader.stopped_at == 8
    assert reader.decrypted(stored[2:], 9) == bodies[2:]
    assert reader.stopped_at == 0


@pytest.mark.parametrize("channel", [b"bar", b"fo", b"fooo", b"FOO"])
def test_each_channel_has_a_key_of_its_own(channel: bytes) -> None:
    (stored,) = cipher().encrypted([message(1, b"hello")])
    assert cipher(channel=channel).kind(stored, 1) == UNREADABLE


@pytest.mark.row(160)
@settings(max_examples=300)
@given(st.sampled_from(CIPHERS), st.binary(min_size=1, max_size=60), st.data())
def test_what_was_tampered_with_is_not_delivered(name: str, data: bytes, chance: st.DataObject) -> None:
    """Any bit but those of the code, which say that something is encrypted at all."""
    (stored,) = cipher(name, first=5).encrypted([message(5, data)])
    at = stored.index(b"\x01salt" if name == "AES" else b"\x02salt")
    bit = chance.draw(st.integers(8, 8 * (len(data) + OVERHEAD_BYTES) - 1))
    broken = bytearray(stored)
    broken[at + bit // 8] ^= 1 << bit % 8
    reader = cipher()
    assert reader.decrypted([bytes(broken)], 5) == []
    assert reader.stopped_at == 5


@pytest.mark.row(160)
@given(st.sampled_from(CIPHERS), st.binary(min_size=1, max_size=60), st.data())
def test_what_is_cut_off_is_not_delivered(name: str, data: bytes, chance: st.DataObject) -> None:
    (stored,) = cipher(name).encrypted([message(1, data)])
    kept = data_of(stored)
    cut = kept[: chance.draw(st.integers(OVERHEAD_BYTES + 1, len(kept)))]
    assert cipher().kind(message(1, cut), 1) == (ENCRYPTED if cut == kept else UNREADABLE)


# What is plain.


@pytest.mark.row(160)
@pytest.mark.parametrize(
    "data",
    [
        b"plain",
        b"\x00" * 50,
        b"\x03" + b"x" * 50,
        b"\x01abcd",
        b"\x02",
        b"\x01" + b"\x00" * 28,
        b"\x01It begins like what is encrypted, and is long enough.",
        b"\x02" + b"\xff" * 60,
    ],
)
def test_plain_data_are_read_as_they_are(data: bytes) -> None:
    reader = cipher()
    body = message(1, data)
    assert reader.decrypted([body], 1) == [body]
    assert reader.kind(body, 1) == PLAIN


@pytest.mark.parametrize(("number", "kind"), [(0, DOUBTFUL), (1, UNREADABLE), (9, UNREADABLE), (10, DOUBTFUL)])
def test_plain_data_may_look_encrypted(number: int, kind: int) -> None:
    body = message(9, b"\x01abcd" + number.to_bytes(8, "big") + b"x" * 30)
    assert cipher().kind(body, 9) == kind
    assert cipher().decrypted([body], 9) == []


def test_what_is_no_message_is_doubtful() -> None:
    assert cipher().kind(b"\x22\x05data", 1) == DOUBTFUL


@pytest.mark.parametrize(
    ("number", "sequence", "is_possible"),
    [
        (1, 1, True),
        (2**32 - 1, 2**32, True),
        (2**33, 2**33 + 5, True),
        (7 << 32, 5, True),
        (15 << 32, 5, False),
        (15 << 32, 15 << 32, True),
        (2**64 - 1, 2**40, False),
    ],
)
def test_a_nonce_counts_the_messages_of_its_channel(number: int, sequence: int, is_possible: bool) -> None:
    assert could_be_nonce(b"salt" + number.to_bytes(8, "big"), sequence) == is_possible
