"""Asking an index where a message lies, also one that is damaged."""

from pathlib import Path

import pytest

from durabus.stores.original_file.checksum import Checksum
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.index_file import ENTRY_BYTES, IndexFile
from tests.stores.original_file.original_writer import IEEE, ChannelWriter, SliceWriter

COUNT = 5000


def written(first: int = 11, polynomial: int = IEEE) -> SliceWriter:
    channel = ChannelWriter("orders", polynomial)
    channel.next = first
    channel.publish(*[b"x" * (i % 9) for i in range(COUNT)])
    return channel.slice(1)


def index_of(folder: Path, content: bytes, polynomial: int = IEEE) -> IndexFile:
    (folder / "file").write_bytes(content)
    return IndexFile(SourceFile(str(folder), "file"), Checksum(polynomial))


@pytest.mark.parametrize("polynomial", [IEEE, 0x82F63B78])
def test_every_message(tmp_path: Path, polynomial: int) -> None:
    part = written(polynomial=polynomial)
    index = index_of(tmp_path, bytes(part.index), polynomial)
    assert (index.first, index.last) == (11, 10 + COUNT)
    for position in (*range(0, COUNT, 7), COUNT - 1, *range(COUNT - 1, 0, -997)):
        expected = part.offsets[position], len(part.payloads[position])
        assert index.place(11 + position) == expected
        assert index.sequence_at(expected[0]) == 11 + position
    assert index.place(10) is index.place(11 + COUNT) is index.place(0) is None
    assert index.sequence_at(part.offsets[3] + 1) == index.sequence_at(0) == index.sequence_at(1 << 50) == 0
    index.close()


def test_there_is_none(tmp_path: Path) -> None:
    for index in (IndexFile(None, Checksum()), index_of(tmp_path, b""), index_of(tmp_path, b"\x01\0\0\0")):
        assert (index.first, index.last, index.place(1), index.sequence_at(4)) == (0, 0, None, 0)
        index.close()


def test_damaged_entries_are_not_known(tmp_path: Path) -> None:
    part = written()
    for position in (0, 1, 700, COUNT - 1):
        part.index[4 + ENTRY_BYTES * position + 3] ^= 1
    index = index_of(tmp_path, bytes(part.index))
    assert (index.first, index.last) == (13, 10 + COUNT - 1)
    assert index.place(711) is index.place(11) is None
    assert index.place(712) == (part.offsets[701], len(part.payloads[701]))


def test_an_end_that_is_torn_or_zero(tmp_path: Path) -> None:
    part = written()
    assert index_of(tmp_path, bytes(part.index[:-5])).last == 10 + COUNT - 1
    assert index_of(tmp_path, bytes(part.index) + bytes(500)).last == 10 + COUNT


def test_no_entry_is_good(tmp_path: Path) -> None:
    index = index_of(tmp_path, b"?" * 1000)
    assert (index.first, index.last) == (0, 0)
