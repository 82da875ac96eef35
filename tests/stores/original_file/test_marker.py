"""The note about files that are taken over: written whole or not at all, and read whatever is in it."""

import json

import pytest

from durabus.errors import StoreError
from durabus.stores.original_file.marker import MARKER_FILE, Marker, read_marker, write_marker
from durabus.testing.disk import SimulatedDisk, SimulatedFiles

FINGERPRINT = {"server.dat": (208, 1_700_000_000_000_000_000, 123), "caf\udcff/subs.dat": (1, 2, 3), "a": (0, 0, 0)}


def test_there_and_back() -> None:
    disk = SimulatedDisk()
    files = SimulatedFiles(disk)
    assert read_marker(files) is None
    for fingerprint, is_complete in ((FINGERPRINT, False), (FINGERPRINT, True), ({}, True)):
        write_marker(files, Marker(fingerprint, is_complete))
        found = read_marker(files)
        assert found is not None
        assert (found.fingerprint, found.is_complete, found.is_readable) == (fingerprint, is_complete, True)
    assert list(disk.durable_contents()) == [MARKER_FILE]
    write_marker(files, Marker(FINGERPRINT, True))
    assert disk.contents()[MARKER_FILE].count(b"\n") == 10, "a line for each file"


def test_what_was_left_of_an_earlier_try_is_no_obstacle() -> None:
    disk = SimulatedDisk()
    disk.put(MARKER_FILE + ".new", b"torn")
    write_marker(SimulatedFiles(disk), Marker(FINGERPRINT, True))
    assert json.loads(disk.contents()[MARKER_FILE])["complete"] is True


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"version": 1}', b'{"version": "1", "files": {}}', b'{"version": 1, "files": 5}',
     b'{"version": 1, "complete": true, "files": {"a": [1, 2]}}', b'{"version": 1, "complete": true, "files": {"a": 1}}'],
)  # fmt: skip
def test_what_nobody_wrote_like_that(content: bytes) -> None:
    disk = SimulatedDisk()
    disk.put(MARKER_FILE, content)
    found = read_marker(SimulatedFiles(disk))
    assert found is not None
    assert (found.is_readable, found.is_complete, found.fingerprint) == (False, False, {})


def test_a_later_version() -> None:
    disk = SimulatedDisk()
    disk.put(MARKER_FILE, b'{"version": 2, "complete": true}')
    with pytest.raises(StoreError, match="written by a newer version of Durabus: start that one"):
        read_marker(SimulatedFiles(disk))
