"""Frames, held to FORMAT.md §3 and §4 byte for byte, and against bytes that are not frames."""

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.frame import (
    FRAME_BYTES,
    MAGIC,
    SNAPSHOT,
    ZEROED_HEAD,
    Figures,
    Frame,
    FrameHead,
    Part,
    Place,
    Singles,
    damaged_bodies,
    decode_frame,
    encode_frame,
    lengths_of,
)
from durabus.streaming.store_port import Cursor

SALT = 0x1122334455667788
OFFSET = 256

# By hand from FORMAT.md §3 and §4; only the CRCs were calculated.
TABLE = bytes.fromhex(
    # A run: type, channel 5, from message 10 on, 2 of them, 2 stamps, 100 bytes before, the first body at 0.
    "01 00 00 00   05 00 00 00 00 00 00 00   0a 00 00 00 00 00 00 00   02 00 00 00   02 00 00 00"
    "64 00 00 00 00 00 00 00   00 00 00 00 00 00 00 00"
    "03 00 00 00   02 00 00 00"  # the lengths
    "c2 41 24 35   8b 29 90 7d"  # the CRCs of abc and de
    "00 00 00 00   e8 03 00 00 00 00 00 00   01 00 00 00   d0 07 00 00 00 00 00 00"  # the stamps: 1000, 2000
    # A floor: channel 5, message 9.
    "02 00 00 00   05 00 00 00 00 00 00 00   09 00 00 00 00 00 00 00"
    # A cursor: subscription 6, message 11 was sent last, one range, 10 to 11.
    "03 00 00 00   06 00 00 00 00 00 00 00   0b 00 00 00 00 00 00 00   01 00 00 00"
    "0a 00 00 00 00 00 00 00   0b 00 00 00 00 00 00 00"
    # State of kind 1: k is v1, and x is deleted.
    "04 00 00 00   01 00 00 00   01 00 00 00   02 00 00 00   6b 76 31"
    "04 00 00 00   03 00 00 00   01 00 00 00   ff ff ff ff   78"
)
GOLDEN = (
    bytes.fromhex(
        "46 52 4d 31"  # FRM1
        "96 c0 48 aa"  # CRC of what follows, to the end of the table
        "08 00 00 00 00 00 00 00"  # frame number
        "02 00 00 00 00 00 00 00"  # epoch
        "07 00 00 00 00 00 00 00"  # the last durable frame
        "0d 0c 0b 0a"  # CRC of the frame before
        "00 00 00 00"  # flags
        "b4 00 00 00"  # bytes of the table
        "00 00 00 00"
        "05 00 00 00 00 00 00 00"  # bytes of the bodies
        "00 00 00 00 00 00 00 00"
    )
    + TABLE
    + b"abcde"
    + bytes(7)  # up to 256 bytes
)
GOLDEN_SNAPSHOT = bytes.fromhex(
    "46 52 4d 31   01 0c 6e d2"
    "07 00 00 00 00 00 00 00   02 00 00 00 00 00 00 00   06 00 00 00 00 00 00 00"
    "73 45 db 66"  # the CRC of the header of test_layout.py
    "01 00 00 00"  # flags: snapshot
    "55 00 00 00   00 00 00 00   00 00 00 00 00 00 00 00   00 00 00 00 00 00 00 00"
    # A cursor without ranges, state whose value is empty, and figures: channel 5, messages 9 to 11, 105 bytes ever, 2000.
    "03 00 00 00   06 00 00 00 00 00 00 00   0b 00 00 00 00 00 00 00   00 00 00 00"
    "04 00 00 00   01 00 00 00   01 00 00 00   00 00 00 00   6b"
    "05 00 00 00   05 00 00 00 00 00 00 00   09 00 00 00 00 00 00 00   0b 00 00 00 00 00 00 00"
    "69 00 00 00 00 00 00 00   d0 07 00 00 00 00 00 00"
    "00 00 00"
)


def frame_of(number: int, epoch: int, durable: int, previous_crc: int, flags: int = 0, offset: int = OFFSET) -> Frame:
    head = FrameHead()
    head.number, head.epoch, head.durable_number = number, epoch, durable
    head.previous_crc, head.flags, head.offset = previous_crc, flags, offset
    return Frame(head)


def golden_frame() -> tuple[Frame, list[Part]]:
    frame = frame_of(8, 2, 7, 0x0A0B0C0D)
    frame.floors = [(5, 9)]
    frame.cursors = [Cursor(6, 11, [(10, 11)])]
    frame.state = [(1, b"k", b"v1"), (3, b"x", None)]
    return frame, [Part(5, 10, [b"abc", b"de"], [(0, 1000), (1, 2000)], 100)]


def golden_snapshot() -> Frame:
    frame = frame_of(7, 2, 6, 0x66DB4573, SNAPSHOT, 64)
    frame.cursors = [Cursor(6, 11, [])]
    frame.state = [(1, b"k", b"")]
    frame.figures = [Figures(5, 9, 11, 105, 2000)]
    return frame


def head_fields(frame: Frame) -> tuple[int, ...]:
    head = frame.head
    return (
        head.offset,
        head.crc,
        head.number,
        head.epoch,
        head.durable_number,
        head.previous_crc,
        head.flags,
        head.table_bytes,
        head.bodies_bytes,
        head.end,
    )


def place_fields(place: Place) -> tuple[int, ...]:
    return (
        place.channel_id,
        place.first,
        place.count,
        place.stamp_count,
        place.bytes_before,
        place.lengths_offset,
        place.bodies_offset,
        place.bodies_bytes,
        place.first_timestamp_ns,
        place.last_timestamp_ns,
        place.single_crc,
    )


def changes(frame: Frame) -> list[object]:
    cursors = [(cursor.subscription_id, cursor.last_sent, cursor.pending) for cursor in frame.cursors]
    figures = [(one.channel_id, one.first, one.last, one.bytes_ever, one.last_timestamp_ns) for one in frame.figures]
    return [frame.floors, cursors, frame.state, figures]


def read(data: bytes, offset: int = OFFSET, salt: int = SALT) -> Frame | None:
    """The frame in `data`, as it lies at `offset` of a segment that ends with it."""
    return decode_frame(memoryview(bytes(offset) + data), offset, offset + len(data), salt)


def with_crc(rest: bytes, table: bytes) -> bytes:
    """A frame up to the end of its table: `rest` is its head without magic and CRC."""
    crc = zlib.crc32(rest + table, SALT & 0xFFFFFFFF)
    return MAGIC + crc.to_bytes(4, "little") + rest + table


def words(value: object) -> str:
    """Test cases are called by what they say."""
    return value if isinstance(value, str) else ""


def with_table(table: bytes, bodies: bytes = b"") -> bytes:
    """A frame around any table."""
    return with_crc(struct.pack("<QQQIIIIQQ", 1, 1, 0, 0, 0, len(table), 0, len(bodies), 0), table) + bodies


# The document


def test_frame_is_written_as_in_the_document() -> None:
    frame, parts = golden_frame()
    assert encode_frame(frame, parts, SALT) == GOLDEN
    assert frame.head.end == OFFSET + len(GOLDEN) == OFFSET + 256
    assert (len(ZEROED_HEAD), set(ZEROED_HEAD), FRAME_BYTES) == (64, {0}, 64)


def test_frame_is_read_as_in_the_document() -> None:
    frame = read(GOLDEN)
    assert frame is not None
    assert head_fields(frame) == (OFFSET, 0xAA48C096, 8, 2, 7, 0x0A0B0C0D, 0, 180, 5, OFFSET + 256)
    assert not frame.head.is_snapshot
    lengths, bodies = OFFSET + 64 + 44, OFFSET + 64 + 180
    assert [place_fields(place) for place in frame.places] == [(5, 10, 2, 2, 100, lengths, bodies, 5, 1000, 2000, 0)]
    assert changes(frame) == [[(5, 9)], [(6, 11, [(10, 11)])], [(1, b"k", b"v1"), (3, b"x", None)], []]
    assert list(damaged_bodies(frame, memoryview(bytes(OFFSET) + GOLDEN))) == []


def test_snapshot_is_written_and_read_as_in_the_document() -> None:
    snapshot = golden_snapshot()
    assert encode_frame(snapshot, [], SALT) == GOLDEN_SNAPSHOT
    found = read(GOLDEN_SNAPSHOT, 64)
    assert found is not None
    assert found.head.is_snapshot
    assert head_fields(found) == head_fields(snapshot)
    assert changes(found) == [[], [(6, 11, [])], [(1, b"k", b"")], [(5, 9, 11, 105, 2000)]]


def test_the_places_that_were_written_are_those_that_are_read() -> None:
    frame, parts = golden_frame()
    parts.append(Part(9, 1, [b"alone"], [(0, 3000)], 0))
    data = encode_frame(frame, parts, SALT)
    found = read(data)
    assert found is not None
    assert [place.entry() for place in found.places] == [part.entry for part in parts]
    single = found.places[1]
    assert single.single_crc == zlib.crc32(b"alone")
    start = single.bodies_offset - OFFSET
    assert data[start : start + single.bodies_bytes] == b"alone"


def test_single_messages_are_written_and_read_as_in_the_document() -> None:
    frame, parts = frame_of(8, 2, 7, 0), [Part(5, 10, [b"abc", b"de"], [(0, 1000)], 100)]
    frame.floors = [(5, 9)]
    singles = Singles()
    singles.add(6, 3, 40, 2000, b"alone")
    singles.add(7, 1, 0, 3000, b"x")
    data = encode_frame(frame, parts, SALT, singles)
    run_bytes, bodies = 44 + 16 + 12, OFFSET + 64 + 72 + 8 + 2 * 72 + 20
    expected = bytes.fromhex(
        "06 00 00 00   02 00 00 00"
        "06 00 00 00 00 00 00 00   03 00 00 00 00 00 00 00   01 00 00 00   01 00 00 00   00 00 00 00 00 00 00 00"
    ) + struct.pack("<QQQQII", bodies + 5, 5, 40, 2000, zlib.crc32(b"alone"), 0)
    assert data[64 + run_bytes :].startswith(expected)
    found = read(data)
    assert found is not None
    assert [(place.channel_id, place.first, place.bodies_offset) for place in found.places] == [
        (5, 10, bodies),
        (6, 3, bodies + 5),
        (7, 1, bodies + 10),
    ]
    assert singles.entry(1) == found.places[2].entry()
    assert (found.places[1].single_crc, found.floors) == (zlib.crc32(b"alone"), [(5, 9)])


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (4, struct.pack("<I", 2)),  # more rows than there is room for
        (16, bytes(8)),  # first sequence 0
        (16, struct.pack("<Q", 1 << 63)),
        (24, struct.pack("<II", 2, 1)),  # two messages
        (24, struct.pack("<II", 1, 2)),  # two timestamps
        (32, struct.pack("<Q", 64)),  # a table of lengths
        (40, struct.pack("<Q", OFFSET)),  # a body outside of the frame's bodies
        (40, struct.pack("<Q", 1 << 62)),
        (48, struct.pack("<Q", 6)),
        (56, struct.pack("<Q", 1 << 63)),
        (76, struct.pack("<I", 1)),
    ],
)
def test_single_messages_that_cannot_be_make_no_frame(at: int, value: bytes) -> None:
    def table_with(changed: bytes, where: int) -> bytes:
        singles = Singles()
        singles.add(6, 3, 40, 2000, b"alone")
        table = bytearray(singles.place(OFFSET + 64 + singles.record_bytes))
        table[where : where + len(changed)] = changed
        return bytes(table)

    assert read(with_table(table_with(b"", 0), b"alone")) is not None
    assert read(with_table(table_with(value, at), b"alone")) is None


# Round trips

NUMBERS = st.integers(0, (1 << 63) - 1)
SEQUENCES = st.integers(1, (1 << 63) - 1)
STATE = st.tuples(st.integers(0, 3), st.binary(max_size=20), st.none() | st.binary(max_size=40))
CURSORS = st.builds(Cursor, NUMBERS, NUMBERS, st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5))
FIGURES = st.builds(Figures, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@st.composite
def part_of_a_frame(draw: st.DrawFn) -> Part:
    bodies = draw(st.lists(st.binary(max_size=50), min_size=1, max_size=8))
    indexes = [0, *sorted(draw(st.sets(st.integers(1, len(bodies)), max_size=3)) - {len(bodies)})]
    stamps = [(index, draw(NUMBERS)) for index in indexes]
    return Part(draw(NUMBERS), draw(SEQUENCES), bodies, stamps, draw(NUMBERS))


@st.composite
def any_frame(draw: st.DrawFn) -> Frame:
    frame = frame_of(
        draw(NUMBERS), draw(NUMBERS), draw(NUMBERS), draw(st.integers(0, 0xFFFFFFFF)), draw(st.integers(0, 1))
    )
    frame.head.offset = 8 * draw(st.integers(8, 1000))
    frame.floors = draw(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4))
    frame.cursors = draw(st.lists(CURSORS, max_size=4))
    frame.state = draw(st.lists(STATE, max_size=4))
    frame.figures = draw(st.lists(FIGURES, max_size=4))
    return frame


@st.composite
def some_singles(draw: st.DrawFn) -> Singles:
    singles = Singles()
    for _ in range(draw(st.integers(0, 6))):
        singles.add(draw(NUMBERS), draw(SEQUENCES), draw(NUMBERS), draw(NUMBERS), draw(st.binary(max_size=50)))
    return singles


@given(any_frame(), st.lists(part_of_a_frame(), max_size=4), st.none() | some_singles(), NUMBERS)
@pytest.mark.row(140)
def test_a_frame_is_read_as_it_was_written(frame: Frame, parts: list[Part], singles: Singles | None, salt: int) -> None:
    data = encode_frame(frame, parts, salt, singles)
    assert len(data) % 8 == 0
    view = memoryview(bytes(frame.head.offset) + data)
    found = decode_frame(view, frame.head.offset, len(view), salt)
    assert found is not None
    assert head_fields(found) == head_fields(frame)
    assert changes(found) == changes(frame)
    count = len(singles.bodies) if singles is not None else 0
    entries = [singles.entry(index) for index in range(count)] if singles is not None else []
    assert [place.entry() for place in found.places] == [part.entry for part in parts] + entries
    for part, place in zip(parts, found.places[: len(parts)], strict=True):
        assert (place.channel_id, place.first, place.bytes_before) == (part.channel_id, part.first, part.bytes_before)
        assert bytes(view[place.bodies_offset :][: place.bodies_bytes]) == b"".join(part.bodies)
    for index, place in enumerate(found.places[len(parts) :]):
        assert singles is not None
        assert (place.channel_id, place.first) == (singles.channel_ids[index], singles.firsts[index])
        assert place.first_timestamp_ns == place.last_timestamp_ns == singles.timestamps_ns[index]
        assert bytes(view[place.bodies_offset :][: place.bodies_bytes]) == singles.bodies[index]
        assert lengths_of(place, view) == (len(singles.bodies[index]),)
    assert frame.has_lost == (
        not all(body for part in parts for body in part.bodies) or (singles is not None and not all(singles.bodies))
    )
    assert list(damaged_bodies(found, view)) == []


# Damage


@pytest.mark.row(140)
def test_no_bit_of_head_and_table_may_change() -> None:
    for bit in range(8 * (FRAME_BYTES + len(TABLE))):
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        assert read(bytes(damaged)) is None, f"bit {bit}"


@pytest.mark.row(140)
def test_a_bit_of_a_body_is_damage_of_that_message_alone() -> None:
    start = FRAME_BYTES + len(TABLE)
    for bit in range(8 * start, 8 * (start + 5)):
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        frame = read(bytes(damaged))
        assert frame is not None
        bad = [(place.first, index) for place, index in damaged_bodies(frame, memoryview(bytes(OFFSET) + damaged))]
        assert bad == [(10, 0 if bit // 8 < start + 3 else 1)]


def test_a_frame_that_is_cut_off_is_none() -> None:
    whole = FRAME_BYTES + len(TABLE) + 5
    assert [size for size in range(len(GOLDEN)) if read(GOLDEN[:size]) is not None] == list(range(whole, len(GOLDEN)))


@pytest.mark.parametrize("bit", range(32))
def test_a_frame_with_another_salt_is_none(bit: int) -> None:
    assert read(GOLDEN, salt=SALT ^ 1 << bit) is None


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        (struct.pack("<QQQIIIIQQ", 8, 2, 7, 0, 0, 0xFFFFFFF8, 0, 0, 0), "a table of 4 GiB"),
        (struct.pack("<QQQIIIIQQ", 8, 2, 7, 0, 0, (1 << 30) + 1, 0, 0, 0), "a table above the limit"),
        (struct.pack("<QQQIIIIQQ", 8, 2, 7, 0, 0, 1 << 30, 0, 0, 0), "a table behind the end"),
        (struct.pack("<QQQIIIIQQ", 8, 2, 7, 0, 0, 0, 0, (1 << 64) - 1, 0), "endless bodies"),
        (struct.pack("<QQQIIIIQQ", 8, 2, 7, 0, 0, 0, 0, 1, 0), "a body behind the end"),
        (struct.pack("<QQQIIIIQQ", 8, 2, 7, 0, 0, 0, 1, 0, 0), "what must be zero"),
        (struct.pack("<QQQIIIIQQ", 1 << 63, 2, 7, 0, 0, 0, 0, 0, 0), "more frames than can be counted"),
        (struct.pack("<QQQIIIIQQ", 8, 1 << 63, 7, 0, 0, 0, 0, 0, 0), "an epoch after which there is none"),
    ],
    ids=words,
)
def test_a_head_that_cannot_be_is_none_whatever_its_crc_says(rest: bytes, what: str) -> None:
    assert read(with_crc(rest, b"")) is None, what


RUN = struct.Struct("<IQQIIQQ")
STAMP = struct.pack("<IQ", 0, 1000)


def run_record(count: int, stamp_count: int, body_at: int, lengths: list[int], stamps: bytes = STAMP) -> bytes:
    found = len(lengths)
    record = RUN.pack(1, 5, 10, count, stamp_count, 0, body_at)
    return record + struct.pack(f"<{2 * found}I", *lengths, *[0] * found) + stamps


def test_a_run_that_fits_is_taken() -> None:
    frame = read(with_table(run_record(2, 1, 1, [2, 2]), b"12345"))
    assert frame is not None
    assert (frame.places[0].count, frame.places[0].bodies_bytes) == (2, 4)


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (b"\0\0\0\0", "type 0"),
        (b"\6\0\0\0" + bytes(60), "an unknown type"),
        (b"\1", "a part of a type"),
        (RUN.pack(1, 5, 10, 1, 1, 0, 0)[:43], "a part of a run"),
        (run_record(0, 1, 0, []), "a run of nothing"),
        (run_record(1, 0, 0, [5], b""), "a run without a time"),
        (run_record(2, 1, 0, [5]), "one message, two counted"),
        (run_record(0xFFFFFFFF, 1, 0, [5]), "four billion messages"),
        (run_record(1, 0xFFFFFFFF, 0, [5]), "four billion stamps"),
        (run_record(1, 2, 0, [5]), "one stamp, two counted"),
        (run_record(1, 1, 0, [6]), "a body longer than its frame"),
        (run_record(1, 1, 1, [5]), "a body behind the end of its frame"),
        (run_record(2, 1, 0, [5, 0xFFFFFFFF]), "a body of 4 GiB"),
        (run_record(1, 1, (1 << 64) - 1, [5]), "a body at the end of all things"),
        (RUN.pack(1, 5, 0, 1, 1, 0, 0) + bytes(8) + STAMP, "a message 0"),
        (RUN.pack(1, 5, 1 << 63, 1, 1, 0, 0) + bytes(8) + STAMP, "more messages than can be counted"),
        (RUN.pack(1, 5, 1, 1, 1, 1 << 63, 0) + bytes(8) + STAMP, "more bytes than can be counted"),
        (struct.pack("<IQQQQQ", 5, 5, 1, 1 << 63, 105, 2000), "figures beyond all counting"),
        (struct.pack("<IQQ", 2, 5, 9)[:19], "a part of a floor"),
        (struct.pack("<IQQI", 3, 6, 11, 1), "a cursor without its range"),
        (struct.pack("<IQQI", 3, 6, 11, 0xFFFFFFFF) + bytes(16), "a cursor of four billion ranges"),
        (struct.pack("<IQQI", 3, 6, 11, 0)[:23], "a part of a cursor"),
        (struct.pack("<IIII", 4, 1, 1, 1) + b"k", "state without its value"),
        (struct.pack("<IIII", 4, 1, 0xFFFFFFFF, 0xFFFFFFFE) + b"kv", "state of 8 GiB"),
        (struct.pack("<IIII", 4, 1, 2, 0xFFFFFFFF) + b"k", "a deletion without its key"),
        (struct.pack("<IQQQQQ", 5, 5, 9, 11, 105, 2000)[:43], "a part of figures"),
        (struct.pack("<IQQ", 2, 5, 9) + b"\0", "a byte too many"),
    ],
    ids=words,
)
def test_a_record_that_cannot_be_makes_the_frame_none_whatever_its_crc_says(table: bytes, what: str) -> None:
    tracemalloc.start()
    found = read(with_table(table, b"12345"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is None, what
    assert peak < 100_000, what


def test_a_record_does_not_go_on_in_the_bodies() -> None:
    """Bodies are a publisher's bytes: they must never be read as part of the table."""
    for table, rest in (
        (struct.pack("<IQQ", 2, 5, 9), 1),
        (struct.pack("<IQQQQQ", 5, 5, 9, 11, 105, 2000), 8),
        (struct.pack("<IQQI", 3, 6, 11, 0), 2),
        (struct.pack("<IIII", 4, 1, 0, 0), 4),
        (run_record(1, 1, 0, [1]), 12),
    ):
        assert read(with_table(table, b"")) is not None or table[0] == 1
        assert read(with_table(table[:-rest], table[-rest:] + b"12345")) is None, f"type {table[0]}"


@given(st.binary(max_size=200), st.binary(max_size=20))
def test_any_table_with_a_right_crc_is_a_frame_or_none(table: bytes, bodies: bytes) -> None:
    check_frame(with_table(table, bodies))


@given(st.integers(0, len(TABLE) - 1), st.binary(min_size=1, max_size=8))
def test_a_changed_table_with_a_right_crc_is_a_frame_or_none(at: int, change: bytes) -> None:
    table = (TABLE[:at] + change + TABLE[at + len(change) :])[: len(TABLE)]
    check_frame(with_table(table, b"abcde"))


def check_frame(data: bytes) -> None:
    """What `data` is read as lies within it."""
    frame = read(data)
    if frame is None:
        return
    end = OFFSET + len(data)
    bodies_start = OFFSET + FRAME_BYTES + frame.head.table_bytes
    for place in frame.places:
        assert OFFSET < place.lengths_offset <= bodies_start - 8 * place.count
        assert bodies_start <= place.bodies_offset <= place.bodies_offset + place.bodies_bytes <= end
        assert place.count > 0
    assert sum(len(key) + len(value or b"") for _, key, value in frame.state) <= len(data)
    list(damaged_bodies(frame, memoryview(bytes(OFFSET) + data)))


@given(st.binary(max_size=300))
def test_any_bytes_are_no_frame(data: bytes) -> None:
    assert read(data) is None
    assert read(MAGIC + data) is None
