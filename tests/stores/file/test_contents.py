"""What a journal remembers besides messages, and that a snapshot of it says the same."""

from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.contents import ChannelLog, Contents
from durabus.stores.file.frame import SNAPSHOT, Frame, FrameHead, Place, decode_frame, encode_frame
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, KIND_SERVER, KIND_SUBSCRIPTION, Cursor


def frame_of(*places: Place, floors: list[tuple[int, int]] | None = None) -> Frame:
    frame = Frame(FrameHead())
    frame.places = list(places)
    frame.floors = floors or []
    return frame


def place_of(
    channel_id: int, first: int, count: int, size: int = 10, timestamp_ns: int = 1, bytes_before: int = 0
) -> Place:
    place = Place(channel_id, first, count, 1, bytes_before)
    place.bodies_bytes, place.last_timestamp_ns = size, timestamp_ns
    return place


def figures(log: ChannelLog) -> tuple[int, ...]:
    return (log.first, log.last, log.bytes_ever, log.last_timestamp_ns)


def remembered(contents: Contents) -> list[object]:
    cursors = {number: (cursor.last_sent, cursor.pending) for number, cursor in contents.cursors.items()}
    channels = {number: figures(log) for number, log in contents.channels.items() if log.last}
    return [contents.state, cursors, channels]


def test_nothing_is_remembered_at_first() -> None:
    assert remembered(Contents()) == [{}, {}, {}]
    assert figures(ChannelLog(1)) == (0, 0, 0, 0)


def test_a_channel_begins_where_its_first_run_does() -> None:
    contents = Contents()
    contents.apply(frame_of(place_of(1, 100, 5, 50, 7), place_of(2, 1, 1, 3, 8), place_of(1, 105, 2, 20, 9, 50)))
    assert figures(contents.channels[1]) == (100, 106, 70, 9)
    assert figures(contents.channels[2]) == (1, 1, 3, 8)


def test_bytes_count_what_is_lost_too() -> None:
    """The run between these two could not be read."""
    contents = Contents()
    contents.apply(frame_of(place_of(1, 1, 5, 50)))
    contents.apply(frame_of(place_of(1, 8, 1, 10, 1, 70)))
    assert figures(contents.channels[1])[:3] == (1, 8, 80)


def test_a_key_that_is_no_number_deletes_nothing_else() -> None:
    contents = Contents()
    contents.apply(frame_of(place_of(1, 1, 5)))
    for key in (b"", b"x", b"-1", b"1.0", b"+1", b" 1", b"9" * 5000, b"\xff"):
        frame = frame_of()
        frame.state = [(KIND_CHANNEL, key, None), (KIND_SUBSCRIPTION, key, None)]
        assert contents.apply(frame) == []
    assert list(contents.channels) == [1]


def test_a_floor_rises_up_to_behind_the_last_message_and_never_sinks() -> None:
    contents = Contents()
    contents.apply(frame_of(place_of(1, 1, 5), floors=[(1, 3)]))
    found = [contents.channels[1].first]
    for floor in (2, 0, 5, 6, 100, 4):
        contents.apply(frame_of(floors=[(1, floor)]))
        found.append(contents.channels[1].first)
    assert found == [3, 3, 3, 5, 6, 6, 6]
    contents.apply(frame_of(place_of(1, 6, 1)))
    assert figures(contents.channels[1])[:2] == (6, 6)


def test_the_floor_of_a_channel_without_messages_says_nothing() -> None:
    contents = Contents()
    contents.apply(frame_of(floors=[(1, 3)]))
    contents.apply(frame_of(place_of(1, 1, 1)))
    assert figures(contents.channels[1])[:2] == (1, 1)


def test_a_deleted_channel_goes_with_its_messages_and_those_of_the_same_frame() -> None:
    contents = Contents()
    contents.apply(frame_of(place_of(1, 1, 5), place_of(2, 1, 1)))
    frame = frame_of(place_of(1, 6, 1))
    frame.state = [(KIND_CHANNEL, b"1", None), (KIND_CHANNEL, b"3", None)]
    gone = contents.apply(frame)
    assert [(log.channel_id, log.last) for log in gone] == [(1, 6)]
    assert list(contents.channels) == [2]


def test_the_cursor_of_a_deleted_subscription_goes_with_it() -> None:
    contents = Contents()
    frame = frame_of()
    frame.cursors = [Cursor(1, 5, []), Cursor(2, 6, [(1, 2)])]
    frame.state = [(KIND_SUBSCRIPTION, b"1", b"one"), (KIND_SUBSCRIPTION, b"2", b"two")]
    contents.apply(frame)
    deletion = frame_of()
    deletion.cursors = [Cursor(1, 7, [])]
    deletion.state = [(KIND_SUBSCRIPTION, b"1", None), (KIND_CLIENT, b"2", None)]
    assert contents.apply(deletion) == []
    assert remembered(contents) == [{(KIND_SUBSCRIPTION, b"2"): b"two"}, {2: (6, [(1, 2)])}, {}]


def test_state_is_per_kind_and_the_last_one_counts() -> None:
    contents = Contents()
    frame = frame_of()
    frame.state = [
        (KIND_SERVER, b"k", b"1"),
        (KIND_CLIENT, b"k", b"2"),
        (KIND_SERVER, b"k", b"3"),
        (KIND_CLIENT, b"k", None),
    ]
    contents.apply(frame)
    assert contents.state == {(KIND_SERVER, b"k"): b"3"}


SMALL = st.integers(1, 4)
KEYS = st.integers(1, 4).map(lambda number: b"%d" % number)


@st.composite
def change(draw: st.DrawFn) -> Frame:
    frame = frame_of(floors=draw(st.lists(st.tuples(SMALL, st.integers(0, 30)), max_size=2)))
    frame.places = [place_of(draw(SMALL), 0, draw(SMALL), draw(st.integers(0, 99)), draw(st.integers(0, 99)))]
    frame.cursors = draw(
        st.lists(st.builds(Cursor, SMALL, SMALL, st.lists(st.tuples(SMALL, SMALL), max_size=2)), max_size=2)
    )
    frame.state = draw(st.lists(st.tuples(st.integers(0, 3), KEYS, st.none() | st.binary(max_size=4)), max_size=3))
    return frame


@given(st.lists(change(), max_size=12), st.lists(change(), max_size=4))
def test_a_snapshot_says_all_that_went_before(before: list[Frame], after: list[Frame]) -> None:
    """What goes on from a snapshot, read back from its bytes, is what goes on without one."""
    contents = Contents()
    apply_all(contents, before)
    head = FrameHead()
    head.flags = SNAPSHOT
    snapshot = Frame(head)
    contents.into(snapshot)
    data = encode_frame(snapshot, [], 0)
    found = decode_frame(memoryview(data), 0, len(data), 0)
    assert found is not None
    again = Contents()
    apply_all(again, [frame_of(place_of(9, 1, 1))])  # `begin` forgets it
    again.begin(found)
    assert remembered(again) == remembered(contents)
    apply_all(contents, after)
    apply_all(again, after)
    assert remembered(again) == remembered(contents)


def apply_all(contents: Contents, frames: list[Frame]) -> None:
    """Apply frames whose runs follow each other, as in a journal."""
    for frame in frames:
        for place in frame.places:
            log = contents.channels.get(place.channel_id)
            place.first = log.last + 1 if log is not None and log.last else 1
            place.bytes_before = log.bytes_ever if log is not None else 0
        contents.apply(frame)
