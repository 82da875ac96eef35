"""Records one by one: what is one, where the next one is, and that no length is believed."""

import struct
from pathlib import Path

import pytest

from durabus.stores.original_file.checksum import Checksum
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.records import (
    END,
    GOOD,
    MESSAGE_BYTES_MAX,
    TORN,
    TYPED_BYTES_MAX,
    WRONG,
    ZEROS,
    RecordReader,
    version_complaint,
)
from tests.stores.original_file.original_writer import EPOCH_NS, VERSION, message, record, typed
from tests.wire.wire_format import blob


class CountingFile(SourceFile):
    """Notes how much was asked for at once."""

    largest = 0

    def read(self, offset: int, count: int) -> bytes:
        self.largest = max(self.largest, count)
        return super().read(offset, count)


def reader_of(folder: Path, content: bytes, is_typed: bool = False, is_checked: bool = True) -> RecordReader:
    (folder / "file").write_bytes(content)
    return RecordReader(SourceFile(str(folder), "file"), is_typed, Checksum(), is_checked)


def test_one_after_the_other(tmp_path: Path) -> None:
    content = VERSION + record(b"first") + record(b"x" * 3_000_000) + record(b"last")
    reader = reader_of(tmp_path, content)
    at, found = 4, []
    while reader.look(at) == GOOD:
        found.append(reader.payload)
        at = reader.end
    assert found == [b"first", b"x" * 3_000_000, b"last"]
    assert (at, reader.look(at)) == (len(content), END)
    assert reader.look(4) == GOOD, "backwards as well"


def test_types(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, VERSION + typed(5, b"abc"), is_typed=True)
    assert (reader.look(4), reader.kind, reader.payload) == (GOOD, 5, b"abc")
    assert reader_of(tmp_path, VERSION + typed(5, b"abc")).look(4) == WRONG, "without types it is far too large"


@pytest.mark.parametrize("is_typed", [False, True])
@pytest.mark.parametrize(
    ("content", "outcome"),
    [
        (b"", END),
        (b"\0", TORN),
        (bytes(7), TORN),
        (bytes(8), ZEROS),
        (bytes(9), ZEROS),
        (record(b"abc")[:-1], TORN),
        (struct.pack("<II", 4, 0) + b"abcd", WRONG),
        (struct.pack("<II", 5, 0) + b"abcd", TORN),
        (struct.pack("<II", 0, 1), WRONG),
    ],
)
def test_what_is_no_record(tmp_path: Path, content: bytes, outcome: int, is_typed: bool) -> None:
    assert reader_of(tmp_path, VERSION + content, is_typed).look(4) == outcome


@pytest.mark.row(140)
@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1, 0xFFFFFFFF])
def test_no_length_is_believed(tmp_path: Path, size: int) -> None:
    """Nothing is read, let alone allocated, that the file cannot hold."""
    (tmp_path / "file").write_bytes(VERSION + struct.pack("<II", size, 1) + b"x" * 100)
    for is_typed in (False, True):
        file = CountingFile(str(tmp_path), "file")
        reader = RecordReader(file, is_typed, Checksum())
        assert reader.look(4) in (TORN, WRONG)
        assert reader.end_of(4) == -1
        assert file.largest <= 1 << 20
        file.close()


def test_the_largest_records(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, VERSION + typed(1, bytes(TYPED_BYTES_MAX)), is_typed=True)
    assert (reader.look(4), len(reader.payload)) == (GOOD, TYPED_BYTES_MAX)
    reader = reader_of(tmp_path, VERSION + record(bytes(20 << 20)))
    assert (reader.look(4), len(reader.payload)) == (GOOD, 20 << 20)


def test_without_checks(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, VERSION + struct.pack("<II", 3, 99) + b"abc" + record(b"def"), is_checked=False)
    assert (reader.look(4), reader.payload, reader.is_vouched) == (GOOD, b"abc", False)
    assert (reader.look(reader.end), reader.payload, reader.is_vouched) == (GOOD, b"def", True)


def test_the_next_message(tmp_path: Path) -> None:
    subject = blob(2, b"orders")
    good = record(message(300, b"orders", b"x" * 50, EPOCH_NS))
    noise = b"\x08" * 50 + subject * 3 + b"\x08\x01" + subject + struct.pack("<I", 20) + bytes(4)
    content = VERSION + noise + good
    reader = reader_of(tmp_path, content)
    assert reader.next_message(4, subject) == len(content) - len(good)
    assert reader.payload == good[8:]
    assert reader.next_message(len(content) - len(good) + 1, subject) == -1
    assert reader.next_message(4, blob(2, b"others")) == -1


def test_the_next_message_far_away(tmp_path: Path) -> None:
    """Over the borders of what is read at once, wherever they fall."""
    subject = blob(2, b"orders")
    good = record(message(1, b"orders", b"y", EPOCH_NS))
    for distance in range((1 << 20) - 40, (1 << 20) + 10, 7):
        reader = reader_of(tmp_path, VERSION + b"z" * distance + good)
        assert reader.next_message(4, subject) == 4 + distance
        assert reader.next_typed(4, b"never") == -1


def test_the_next_typed_record(tmp_path: Path) -> None:
    good = typed(4, b"\x08\x01\x10\x02")
    reader = reader_of(tmp_path, VERSION + b"\x08" * 1000 + good + b"\x08" * 5, is_typed=True)
    assert reader.next_typed(4, b"\x08") == 1004
    assert (reader.kind, reader.payload) == (4, good[8:])
    assert reader.next_typed(1005, b"\x08") == -1


def test_a_search_ends(tmp_path: Path) -> None:
    """Bytes that look like the beginning of large records everywhere do not hold it up."""
    head = struct.pack("<II", 1 << 20, 0) + b"\x08\x01" + blob(2, b"s")
    reader = reader_of(tmp_path, VERSION + head * (3 * (1 << 20) // len(head)) + bytes(1 << 20))
    assert reader.next_message(4, blob(2, b"s")) == -1
    assert reader.search_bytes_left < 1 << 20


def test_zeros(tmp_path: Path) -> None:
    reader = reader_of(tmp_path, bytes(3_000_000) + b"x" + bytes(10))
    assert reader.after_zeros(5) == 3_000_000
    assert reader.after_zeros(3_000_001) == reader.size
    assert reader.after_zeros(reader.size) == reader.size


def test_versions(tmp_path: Path) -> None:
    for content, complaint in (
        (b"", ""),
        (VERSION, ""),
        (VERSION + b"more", ""),
        (b"\x01\0", "it ends after 2 bytes"),
        (b"\x02\0\0\0", "its version is 2, the only one that there ever was is 1"),
    ):
        (tmp_path / "file").write_bytes(content)
        with SourceFile(str(tmp_path), "file") as file:
            assert version_complaint(file) == complaint
