"""The bytes of one simulated file: as the system shows them, and as a disk might have them when the power goes.

Only what differs is kept besides the bytes themselves: for each sector written since the last sync, what else it may hold
on the disk. A disk writes a sector as a whole, at any time and in any order, so each sector ends as it was at the last
sync or after any one of the writes since, independently of its neighbours. Sizes are in bytes, sectors have 512.
"""

import contextlib
import random
import weakref
from typing import Final

__all__ = ["SECTOR_BYTES", "FileContent"]

SECTOR_BYTES: Final = 512
_COMPARED_BYTES: Final = 64 * SECTOR_BYTES

# What a power cut leaves of the unsynced sectors of a file. Each kind of loss finds its own kind of mistake.
_NOTHING, _EVERYTHING, _FRONT, _HALF, _ALL_BUT_ONE, _ONE = range(6)


class FileContent:
    """The bytes of a file that is there, whatever its name: at first `content`, and all of it durable."""

    def __init__(self, content: bytes = b"") -> None:
        """Begin with `content`."""
        self.written = bytearray(content)
        self.is_clean_size = True  # whether the next sync would leave the size on the disk as it is
        self._durable_size = len(content)
        self._size_min = self._size_max = len(content)  # all that it was since the last sync
        # Per unsynced sector: what it may hold on the disk besides what is written, the durable content first. Sectors that
        # would be the same either way are not there.
        self._former: dict[int, list[bytes]] = {}
        # After a failed sync: sectors which the disk does not have and which no sync will write, for the system holds them
        # to be clean. Only another write to them changes that.
        self._forgotten: dict[int, bytes] = {}
        self._holes: set[int] = set()  # sectors that take no space
        self._views: list[tuple[bytearray, weakref.ref[memoryview]]] = []

    # What the system does

    def read(self, offset: int, count: int) -> bytes:
        """What is written."""
        return bytes(memoryview(self.written)[offset : offset + count])

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write, past the end too."""
        if not data:
            return
        end = offset + len(data)
        if end > len(self.written):
            self._extend(end, offset // SECTOR_BYTES)
        elif end > self._durable_size:
            self._resized()  # after a failed sync: the size goes to the disk with the bytes
        first = offset // SECTOR_BYTES
        start, stop = first * SECTOR_BYTES, -(-end // SECTOR_BYTES) * SECTOR_BYTES
        former = bytes(memoryview(self.written)[start:stop])
        self.written[offset:end] = data
        self._remember(first, former)
        if self._holes:
            self._holes.difference_update(range(first, stop // SECTOR_BYTES))
        if self._views:
            self._show(offset, end)

    def truncate(self, size: int) -> None:
        """Cut off, or extend with a hole."""
        if size > len(self.written):
            self._extend(size, -(-size // SECTOR_BYTES))
        elif size < len(self.written):
            first = size // SECTOR_BYTES
            former = bytes(memoryview(self.written)[first * SECTOR_BYTES :])
            del self.written[size:]
            self._resized()
            self._remember(first, former)
            self._holes = {sector for sector in self._holes if sector * SECTOR_BYTES < size}
            self._cut_views(size)

    def map(self) -> memoryview:
        """All bytes there are now, in which later writes show."""
        shown = bytearray(self.written)
        view = memoryview(shown).toreadonly()
        self._views.append((shown, weakref.ref(view)))
        return view

    def sync(self) -> None:
        """Make everything durable that the system knows to be unsynced."""
        self._former.clear()
        if not self.is_clean_size:
            self._durable_size = self._size_min = self._size_max = len(self.written)
            self.is_clean_size = True

    def fail_sync(self, chance: random.Random) -> None:
        """Let a sync fail: `chance` decides what of the unsynced bytes is durable, and no later sync changes that."""
        kept = self._kept_sectors(chance)
        for sector, former in self._former.items():
            if sector not in kept:
                self._forgotten[sector] = _any_of(former, chance)
        self._former.clear()
        if not self.is_clean_size:
            self._durable_size = self._size_min = self._size_max = self._kept_size(chance)
            self.is_clean_size = True

    # What is left of it

    def durable(self) -> bytes:
        """What the disk certainly has: the bytes and the size as of the last sync."""
        return self._composed({sector: former[0] for sector, former in self._former.items()}, self._durable_size)

    def after_power_cut(self, chance: random.Random) -> bytes:
        """What the disk has when the power goes now."""
        kind = chance.randrange(6)
        if kind == _NOTHING:
            return self.durable()
        if kind == _EVERYTHING:
            return self._composed({}, self._durable_size if self.is_clean_size else len(self.written))
        kept = self._kept_sectors(chance, kind)
        lost = {sector: _any_of(former, chance) for sector, former in self._former.items() if sector not in kept}
        return self._composed(lost, self._kept_size(chance))

    def copy(self) -> "FileContent":
        """The same for another process: what is written, and what of it is durable, but not the views."""
        copied = FileContent()
        copied.written = bytearray(self.written)
        copied.is_clean_size = self.is_clean_size
        copied._durable_size, copied._size_min, copied._size_max = self._durable_size, self._size_min, self._size_max
        copied._former = {sector: list(former) for sector, former in self._former.items()}
        copied._forgotten = dict(self._forgotten)
        copied._holes = set(self._holes)
        return copied

    @property
    def is_durable(self) -> bool:
        """Whether a power cut can change nothing."""
        return not self._former and not self._forgotten and self._durable_size == len(self.written)

    # Space

    def taken_sectors(self) -> int:
        """How many sectors the file takes on the disk."""
        return -(-len(self.written) // SECTOR_BYTES) - len(self._holes)

    def fitting(self, offset: int, count: int, free_sectors: int) -> int:
        """How many bytes of a write fit when so many more sectors may be taken."""
        end_sector = -(-len(self.written) // SECTOR_BYTES)
        for sector in range(offset // SECTOR_BYTES, -(-(offset + count) // SECTOR_BYTES)):
            if sector >= end_sector or sector in self._holes:
                if free_sectors <= 0:
                    return max(0, sector * SECTOR_BYTES - offset)
                free_sectors -= 1
        return count

    # Inside

    def _extend(self, size: int, hole_end: int) -> None:
        """Add zeros; the new sectors before `hole_end` are not written to."""
        self._holes.update(range(-(-len(self.written) // SECTOR_BYTES), hole_end))
        self.written.extend(bytes(size - len(self.written)))
        self._resized()

    def _resized(self) -> None:
        self.is_clean_size = False
        self._size_min = min(self._size_min, len(self.written))
        self._size_max = max(self._size_max, len(self.written))

    def _remember(self, first: int, former: bytes) -> None:
        """Sectors from `first` on held `former` so far."""
        start = first * SECTOR_BYTES
        now = bytes(memoryview(self.written)[start : start + len(former)]).ljust(len(former), b"\0")
        for at in range(0, len(former), _COMPARED_BYTES):
            if not self._forgotten and former[at : at + _COMPARED_BYTES] == now[at : at + _COMPARED_BYTES]:
                continue  # much of what is written is zeros where there was nothing
            for begin in range(at, min(at + _COMPARED_BYTES, len(former)), SECTOR_BYTES):
                sector = first + begin // SECTOR_BYTES
                forgotten = self._forgotten.pop(sector, None)
                if forgotten is not None:
                    self._former[sector] = [forgotten]  # written again, so the next sync writes it
                elif former[begin : begin + SECTOR_BYTES] != now[begin : begin + SECTOR_BYTES]:
                    self._former.setdefault(sector, []).append(former[begin : begin + SECTOR_BYTES])

    def _composed(self, others: dict[int, bytes], size: int) -> bytes:
        """The file in `size` bytes, with `others` instead of what is written in their sectors."""
        content = bytearray(self.written)
        sectors = 1 + max((*others, *self._forgotten), default=-1)
        content.extend(bytes(max(0, max(size, sectors * SECTOR_BYTES) - len(content))))
        for changed in (self._forgotten, others):
            for sector, former in changed.items():
                start = sector * SECTOR_BYTES
                content[start : start + SECTOR_BYTES] = former.ljust(SECTOR_BYTES, b"\0")
        return bytes(memoryview(content)[:size])

    def _kept_sectors(self, chance: random.Random, kind: int | None = None) -> set[int]:
        """Which unsynced sectors reach the disk as they are written."""
        sectors = sorted(self._former)
        if kind is None:
            kind = chance.randrange(6)
        if kind == _NOTHING or not sectors:
            return set()
        if kind == _EVERYTHING:
            return set(sectors)
        if kind == _FRONT:
            return set(sectors[: chance.randrange(len(sectors) + 1)])
        share = {_HALF: 0.5, _ALL_BUT_ONE: 1 - 1 / (len(sectors) + 1), _ONE: 1 / (len(sectors) + 1)}[kind]
        return {sector for sector in sectors if chance.random() < share}

    def _kept_size(self, chance: random.Random) -> int:
        """How long the file is on the disk."""
        if self.is_clean_size:
            return self._durable_size
        between = chance.randint(self._size_min, self._size_max)
        whole = min(self._size_max, -(-between // SECTOR_BYTES) * SECTOR_BYTES)
        return chance.choice((self._durable_size, len(self.written), self._size_min, self._size_max, between, whole))

    def _show(self, offset: int, end: int) -> None:
        """Let views see what was written."""
        self._views = [(shown, view) for shown, view in self._views if _is_viewed(shown)]
        for shown, _ in self._views:
            stop = min(end, len(shown))
            if offset < stop:
                shown[offset:stop] = memoryview(self.written)[offset:stop]

    def _cut_views(self, size: int) -> None:
        """Make views of bytes that are gone unusable: a process that looks there is ended by the system."""
        for shown, reference in self._views:
            view = reference()
            if size < len(shown):
                shown[size:] = bytes(len(shown) - size)
                if view is not None:
                    with contextlib.suppress(BufferError):  # somebody else holds it: zeros are all that can be done
                        view.release()


def _any_of(former: list[bytes], chance: random.Random) -> bytes:
    """What an unsynced sector holds that does not hold what is written."""
    return former[0] if len(former) == 1 else chance.choice(former)


def _is_viewed(shown: bytearray) -> bool:
    """Whether there is a view of these bytes."""
    try:
        shown.append(0)
    except BufferError:
        return True
    return False
