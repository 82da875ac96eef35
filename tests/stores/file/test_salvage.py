"""Reading where not everything can be read, and keeping what is damaged."""

import errno
import os

import pytest

from durabus.stores.file.files import LockLostError
from durabus.stores.file.layout import region_name
from durabus.stores.file.salvage import nothing_if_unreadable, read_content, read_piece, set_aside, was_set_aside
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.file.damage_steps import BadFiles

MIB = 1 << 20
CONTENT = bytes(range(256)) * (3 * MIB // 256) + b"end"


def opened(bad: set[int], number: int = errno.EIO, times: int = 1 << 30) -> tuple[BadFiles, int]:
    disk = SimulatedDisk()
    disk.put("file", CONTENT)
    files = BadFiles(disk, bad, number, times)
    return files, files.open("file", False)


def test_a_whole_file() -> None:
    content = read_content(*opened(set()))
    assert (bytes(content.data), content.unreadable) == (CONTENT, [])


@pytest.mark.parametrize("number", [errno.EIO, errno.EBADMSG, errno.ENODATA])
def test_what_cannot_be_read_is_zeros(number: int) -> None:
    """By pages, and those that follow each other are one place."""
    content = read_content(*opened({5000, 9000, MIB + 7, 3 * MIB}, number))
    why = os.strerror(number).lower()
    end = len(CONTENT)
    assert content.unreadable == [(4096, 12288, why), (MIB, MIB + 4096, why), (3 * MIB, end, why)]
    wanted = bytearray(CONTENT)
    for start, stop, _ in content.unreadable:
        wanted[start:stop] = bytes(stop - start)
    assert content.data == wanted


def test_an_error_that_does_not_come_again_is_none() -> None:
    content = read_content(*opened({5000}, times=1))
    assert (bytes(content.data), content.unreadable) == (CONTENT, [])
    files, handle = opened({5000}, times=1)
    assert read_piece(files, handle, 4990, 20) == CONTENT[4990:5010]
    files, handle = opened({5000})
    assert read_piece(files, handle, 4990, 20) == b""
    assert read_piece(files, handle, 5001, 20) == CONTENT[5001:5021]


def test_other_errors_are_not_the_disks() -> None:
    with pytest.raises(PermissionError):
        read_content(*opened({5000}, errno.EPERM))
    files, handle = opened({5000}, errno.EPERM)
    with pytest.raises(PermissionError):
        read_piece(files, handle, 0, 9000)
    with pytest.raises(PermissionError):
        nothing_if_unreadable(PermissionError(errno.EPERM, "no"))
    assert nothing_if_unreadable(OSError(errno.EIO, "broken")) == b""


# Setting aside


def test_what_is_set_aside_is_durable_and_stays_as_it_is() -> None:
    disk = SimulatedDisk()
    files = SimulatedFiles(disk)
    name = region_name(3, 100, 105)
    disk.put(name + ".new", b"half")
    assert set_aside(files, 3, 100, b"bytes") == ""
    assert disk.contents() == {name: b"bytes"}
    files.sync_directory()
    assert disk.durable_contents() == {name: b"bytes"}
    assert set_aside(files, 3, 100, b"other") == ""
    assert disk.contents() == {name: b"bytes"}


def test_where_there_is_no_room_that_is_said() -> None:
    disk = SimulatedDisk()
    disk.fail(1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), kind="write")
    said = set_aside(SimulatedFiles(disk), 3, 100, b"bytes")
    assert said == "durabus-0000000003.segment.100-105.damaged cannot be written: no space left on device"
    disk.fail(1, LockLostError(errno.ESTALE, "lost"), kind="create")
    with pytest.raises(LockLostError):
        set_aside(SimulatedFiles(disk), 3, 200, b"bytes")


def test_what_was_set_aside_is_found_again_by_its_place_and_its_bytes() -> None:
    files = SimulatedFiles(SimulatedDisk())
    assert set_aside(files, 3, 100, b"abcdef") == ""
    assert was_set_aside(files, 3, 100, b"abcdef")
    assert was_set_aside(files, 3, 102, b"cd")
    assert not was_set_aside(files, 3, 102, b"cx"), "something else was there"
    assert not was_set_aside(files, 3, 104, b"efg"), "a part of it was not"
    assert not was_set_aside(files, 3, 99, b"abc")
    assert not was_set_aside(files, 4, 100, b"abcdef"), "another segment"
