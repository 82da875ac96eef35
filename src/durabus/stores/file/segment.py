"""One segment at work: its file, its index, and who still needs it."""

from durabus.stores.file.head import Mark
from durabus.stores.file.index import SegmentIndex
from durabus.stores.file.layout import HEADER_BYTES, SegmentHeader

__all__ = ["Segment"]


class Segment:
    """A segment file that is open. `end` is where its last frame ends."""

    def __init__(self, header: SegmentHeader, handle: int) -> None:
        """Keep the file; `handle` is -1 as long as it is not written."""
        self.header = header
        self.handle = handle
        self.index = SegmentIndex()
        self.end = HEADER_BYTES
        self.snapshot_end = HEADER_BYTES  # where the frame ends that it began with
        self.mark: Mark | None = None  # what of it is known to be durable, where that was found or made
        self.allocated_end = 0  # up to here its blocks are there: the writer's affair
        self.is_sealed = False
        self.is_indexed = False  # its index is in a file, or on the way there
        self.is_dropped = False
        self.is_replaced = False  # by a compacted one: whoever reads from it finishes
        self.live_channels = 0  # how many channels have messages here that are wanted
        self.readers = 0

    @property
    def number(self) -> int:
        """Its number."""
        return self.header.number
