"""What the tests of the simulated disk share."""

import errno
import random

from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from durabus.testing.file_content import SECTOR_BYTES

SEEDS = range(300)
BROKEN = OSError(errno.EIO, "broken")


def started() -> tuple[SimulatedDisk, SimulatedFiles]:
    disk = SimulatedDisk()
    return disk, SimulatedFiles(disk)


def made(files: SimulatedFiles, name: str, content: bytes = b"") -> int:
    handle = files.create(name)
    files.write(handle, 0, content)
    return handle


def synced(files: SimulatedFiles, name: str, content: bytes = b"") -> int:
    """A file that is durable with its name."""
    handle = made(files, name, content)
    files.sync(handle)
    files.sync_directory()
    return handle


def cuts(disk: SimulatedDisk) -> list[dict[str, bytes]]:
    """What each of very many power cuts leaves."""
    return [disk.cut_power(random.Random(seed)).contents() for seed in SEEDS]


def found_names(disk: SimulatedDisk) -> set[str]:
    """Which files very many power cuts leave, each set of names as one text."""
    return {"".join(found) for found in cuts(disk)}


def sectors(*letters: str) -> bytes:
    """Whole sectors of these letters; `-` is one of zeros."""
    return b"".join((b"\0" if letter == "-" else letter.encode()) * SECTOR_BYTES for letter in letters)


def explain(found: bytes, states: list[bytes]) -> None:
    """Fail unless each sector is as in one of the states, and the size between theirs."""
    assert min(map(len, states)) <= len(found) <= max(map(len, states))
    for start in range(0, len(found), SECTOR_BYTES):
        end = min(start + SECTOR_BYTES, len(found))
        assert found[start:end] in {state[start:end].ljust(end - start, b"\0") for state in states}, start
