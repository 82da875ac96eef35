"""A segment that is open: what it is before anything happens to it."""

from durabus.stores.file.layout import HEADER_BYTES, SegmentHeader
from durabus.stores.file.segment import Segment


def test_a_new_segment_holds_its_header_and_nothing_else() -> None:
    segment = Segment(SegmentHeader(7, 2, 30, 4096, 1), -1)
    assert (segment.number, segment.handle, segment.end) == (7, -1, HEADER_BYTES)
    assert segment.index.channels() == []
    assert not (segment.is_sealed or segment.is_indexed or segment.is_dropped)
    assert (segment.allocated_end, segment.live_channels, segment.readers) == (0, 0, 0)


def test_each_segment_has_an_index_of_its_own() -> None:
    one, two = Segment(SegmentHeader(1, 1, 1, 0, 1), 5), Segment(SegmentHeader(2, 1, 9, 64, 2), 6)
    assert one.index is not two.index
