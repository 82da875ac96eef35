"""Which files NATS Streaming Server keeps in a directory, and reading them: opened for reading only, and never believed."""

import errno
import os
import re
import stat
from typing import Final

from mypy_extensions import mypyc_attr

__all__ = [
    "CLIENTS_FILE",
    "LOCK_FILE",
    "SERVER_FILE",
    "SUBSCRIPTIONS_FILE",
    "ChannelFiles",
    "OriginalFiles",
    "SliceFiles",
    "SourceFile",
    "find_files",
]

SERVER_FILE: Final = "server.dat"
CLIENTS_FILE: Final = "clients.dat"
SUBSCRIPTIONS_FILE: Final = "subs.dat"
LOCK_FILE: Final = ".rootdir.lck"
_SLICE_FILE: Final = re.compile(r"msgs\.([0-9]{1,18})\.(dat|idx)")
_NO_CHANNEL: Final = "lost+found"
"""A folder that many file systems have at their top, for their own use."""
_BLOCK_BYTES: Final = 4096
"""What a disk cannot read is left out in pieces of this size."""


class SliceFiles:
    """Slice `number` of a channel's messages: its data, and its index if that is there."""

    def __init__(self, number: int, data: str) -> None:
        """Only the data so far; file names are relative to the directory of the store."""
        self.number = number
        self.data = data
        self.index = ""


class ChannelFiles:
    """The files of the channel `name`, in the folder of the same name; slices by ascending number."""

    def __init__(self, name: bytes) -> None:
        """None yet."""
        self.name = name
        self.slices: list[SliceFiles] = []
        self.subscriptions = ""


class OriginalFiles:
    """All files of a store. `strange` are names that such a store does not use, where it would look for its own."""

    def __init__(self) -> None:
        """None yet."""
        self.server = ""
        self.clients = ""
        self.channels: list[ChannelFiles] = []
        self.strange: list[str] = []

    def __bool__(self) -> bool:
        """Whether there is a store."""
        return bool(self.server or self.clients or self.channels)

    def names(self) -> list[str]:
        """All of them."""
        found = [name for name in (self.server, self.clients) if name]
        for channel in self.channels:
            for part in channel.slices:
                found += [name for name in (part.data, part.index) if name]
            if channel.subscriptions:
                found.append(channel.subscriptions)
        return found


def find_files(directory: str) -> OriginalFiles:
    """What is there, channels in the order of their names. No directory is no store. Raises OSError."""
    found = OriginalFiles()
    folders: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.name == SERVER_FILE:
                    found.server = SERVER_FILE
                elif entry.name == CLIENTS_FILE:
                    found.clients = CLIENTS_FILE
    except FileNotFoundError:
        return found
    for folder in sorted(folders, key=os.fsencode):
        channel = _find_channel(directory, folder, found.strange)
        if channel is not None:
            found.channels.append(channel)
    return found


def _find_channel(directory: str, folder: str, strange: list[str]) -> ChannelFiles | None:
    """The channel in `folder`; None when it holds nothing of one."""
    channel = ChannelFiles(os.fsencode(folder))
    slices: dict[int, SliceFiles] = {}
    indexes: dict[int, str] = {}
    try:
        with os.scandir(f"{directory}/{folder}") as entries:
            names = sorted(entry.name for entry in entries if not entry.is_dir(follow_symlinks=False))
    except PermissionError:
        if folder != _NO_CHANNEL:
            raise
        strange.append(folder)
        return None
    for name in names:
        path = f"{folder}/{name}"
        match = _SLICE_FILE.fullmatch(name)
        if match is not None and match[2] == "dat" and int(match[1]) not in slices:
            slices[int(match[1])] = SliceFiles(int(match[1]), path)
        elif match is not None and match[2] == "idx":
            indexes[int(match[1])] = path
        elif name == SUBSCRIPTIONS_FILE:
            channel.subscriptions = path
        elif name.startswith("msgs.") and name.endswith(".dat"):
            strange.append(path)
    for number in sorted(slices):
        slices[number].index = indexes.get(number, "")
        channel.slices.append(slices[number])
    if not channel.slices and not channel.subscriptions:
        strange.append(folder)
        return None
    return channel


@mypyc_attr(allow_interpreted_subclasses=True)
class SourceFile:
    """One file, opened for reading, with the size that it has then. What the disk cannot read is zeros, and is noted."""

    def __init__(self, directory: str, name: str) -> None:
        """Open `name`, relative to `directory`. Raises OSError."""
        self.name = name
        self.unreadable: list[int] = []
        """Where blocks lie that the disk could not read."""
        self._descriptor = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "this is no plain file", name)
        self.size: int = status.st_size

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset` on, or up to the end of the file."""
        count = min(count, self.size - offset)
        if count <= 0 or offset < 0:
            return b""
        try:
            data = os.pread(self._descriptor, count, offset)
        except OSError:
            return self._read_blocks(offset, count)
        while len(data) < count:
            more = os.pread(self._descriptor, count - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def _read_blocks(self, offset: int, count: int) -> bytes:
        """What can be read, with zeros for the rest."""
        end = offset + count
        pieces: list[bytes] = []
        while offset < end:
            size = min(end, (offset // _BLOCK_BYTES + 1) * _BLOCK_BYTES) - offset
            try:
                piece = os.pread(self._descriptor, size, offset)
            except OSError:
                piece = b""
                if offset not in self.unreadable:
                    self.unreadable.append(offset)
            pieces.append(piece.ljust(size, b"\0"))
            offset += size
        return b"".join(pieces)

    def __enter__(self) -> "SourceFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; twice is once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
