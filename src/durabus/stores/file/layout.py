"""Names of files, and the fixed parts of a segment: FORMAT.md §1 and §2."""

import re
import struct
import zlib
from typing import Final

from durabus.errors import StoreError

__all__ = [
    "COMPACTED",
    "DAMAGED_SUFFIX",
    "HEADER_BYTES",
    "LOCK_NAME",
    "NEW_SUFFIX",
    "VERSION",
    "SegmentHeader",
    "aligned",
    "decode_header",
    "encode_header",
    "head_name",
    "head_number",
    "index_name",
    "index_number",
    "lease_epoch",
    "lease_name",
    "region_name",
    "segment_name",
    "segment_number",
    "spare_name",
]

VERSION: Final = 1
HEADER_BYTES: Final = 64
COMPACTED: Final = 1
LOCK_NAME: Final = "durabus.lock"
NEW_SUFFIX: Final = ".new"
DAMAGED_SUFFIX: Final = ".damaged"
_MAGIC: Final = b"DURABUS\n"
_HEADER: Final = struct.Struct("<8sIIQQQQQII")
_NUMBERED: Final = re.compile(r"durabus-(\d{10,19})\.segment")
_HEAD: Final = re.compile(r"durabus-(\d{10,19})\.head")
_INDEX: Final = re.compile(r"durabus-(\d{10,19})\.index")
_LEASE: Final = re.compile(r"durabus-(\d{10,19})\.lease")


def segment_name(number: int) -> str:
    """The file of segment `number`."""
    return f"durabus-{number:010}.segment"


def index_name(number: int) -> str:
    """The file of the index of segment `number`."""
    return f"durabus-{number:010}.index"


def head_name(number: int) -> str:
    """The file with the second copy of how segment `number` begins."""
    return f"durabus-{number:010}.head"


def region_name(number: int, start: int, end: int) -> str:
    """The file in which bytes `start` up to `end` of segment `number` are set aside."""
    return f"durabus-{number:010}.segment.{start}-{end}{DAMAGED_SUFFIX}"


def region_bounds(name: str, number: int) -> tuple[int, int]:
    """From which byte to which one of segment `number` the file `name` has set aside; 0 and 0 when it is no such file."""
    prefix = f"durabus-{number:010}.segment."
    if not name.startswith(prefix) or not name.endswith(DAMAGED_SUFFIX):
        return 0, 0
    start, _, end = name[len(prefix) : -len(DAMAGED_SUFFIX)].partition("-")
    is_region = start.isdecimal() and end.isdecimal() and len(start) < 20 and len(end) < 20
    return (int(start), int(end)) if is_region else (0, 0)


def spare_name(number: int) -> str:
    """The file of what was segment `number` and may be used again."""
    return f"durabus-spare-{number}"


def lease_name(epoch: int) -> str:
    """The file of the lease number `epoch`."""
    return f"durabus-{epoch:010}.lease"


def lease_epoch(name: str) -> int:
    """The number of the lease that a file is; 0 when it is none."""
    found = _LEASE.fullmatch(name)
    return int(found.group(1)) if found and lease_name(int(found.group(1))) == name else 0


def segment_number(name: str) -> int:
    """The number of the segment that a file is; 0 when it is none."""
    found = _NUMBERED.fullmatch(name)
    return int(found.group(1)) if found and segment_name(int(found.group(1))) == name else 0


def head_number(name: str) -> int:
    """Of which segment a file is the second copy; 0 when it is none."""
    found = _HEAD.fullmatch(name)
    return int(found.group(1)) if found and head_name(int(found.group(1))) == name else 0


def index_number(name: str) -> int:
    """Of which segment a file is the index; 0 when it is none."""
    found = _INDEX.fullmatch(name)
    return int(found.group(1)) if found and index_name(int(found.group(1))) == name else 0


def aligned(offset: int) -> int:
    """The first place for a frame at or after `offset`."""
    return (offset + 7) & ~7


class SegmentHeader:
    """What a segment says of itself."""

    def __init__(self, number: int, epoch: int, first_frame: int, previous_end: int, salt: int, flags: int = 0) -> None:
        """Keep the fields; `salt` has 64 bits and is random."""
        self.number = number
        self.epoch = epoch
        self.first_frame = first_frame
        self.previous_end = previous_end
        self.salt = salt
        self.flags = flags
        self.crc = 0  # set by encoding and decoding

    @property
    def is_compacted(self) -> bool:
        """Whether only live runs were left in it."""
        return bool(self.flags & COMPACTED)


def encode_header(header: SegmentHeader) -> bytes:
    """The first bytes of a segment; sets `header.crc`."""
    head = _HEADER.pack(
        _MAGIC,
        VERSION,
        header.flags,
        header.number,
        header.epoch,
        header.first_frame,
        header.previous_end,
        header.salt,
        0,
        0,
    )[:60]
    header.crc = zlib.crc32(head)
    return head + header.crc.to_bytes(4, "little")


def decode_header(data: bytes, name: str) -> SegmentHeader | None:
    """The header of the segment in the file `name`; None when it is not valid.

    Raises StoreError for a segment of a later version of this format.
    """
    if len(data) < HEADER_BYTES:
        return None
    magic, version, flags, number, epoch, first_frame, previous_end, salt, _, crc = _HEADER.unpack_from(data)
    if magic != _MAGIC or zlib.crc32(data[:60]) != crc:
        return None
    if version > VERSION:
        raise StoreError(
            f"{name} was written in version {version} of the format, this server knows versions up to {VERSION}: "
            "start the newer server again"
        )
    header = SegmentHeader(number, epoch, first_frame, previous_end, salt, flags)
    header.crc = crc
    return header
