"""What was stored, noted on its way to the store."""

from collections.abc import Callable

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.records import encode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, UNKNOWN, Batch, Run, Store
from durabus.testing.faults import FaultyStore
from durabus.testing.running.history import History, RecordingStore, StoredMessage, read_message
from durabus.wire.varint import bytes_field, uint_field

pytestmark = pytest.mark.once


def body(sequence: int, data: bytes) -> bytes:
    """A stored message of channel `c`, which came at a time that its sequence tells."""
    return uint_field(1, sequence) + bytes_field(2, b"c") + bytes_field(4, data) + uint_field(5, 1000 + sequence)


def message(sequence: int, data: bytes) -> StoredMessage:
    """The same as tests see it."""
    return StoredMessage("c", sequence, data, 1000 + sequence)


def batch(number: int, *data: bytes, first: int = 1, is_new: bool = False) -> Batch:
    """A batch with messages of channel `c`, which perhaps `is_new`."""
    made = Batch(number, 0)
    if is_new:
        made.state.append((KIND_CHANNEL, b"1", encode_channel_name(b"c")))
    if data:
        made.runs.append(Run(1, first, [body(first + i, each) for i, each in enumerate(data)], [(0, 1001)]))
    return made


@pytest.fixture
def history() -> History:
    """What is noted."""
    return History()


async def opened(store: Store, history: History) -> RecordingStore:
    """A store at work."""
    recording = RecordingStore(store, history)
    await recording.recover(None)
    return recording


def is_quiet(store: RecordingStore) -> bool:
    """Whether nothing is under way, asked anew each time."""
    return store.is_quiet


def test_a_body_is_read() -> None:
    assert read_message("c", body(3, b"x")) == message(3, b"x")
    with_reply = body(3, b"x") + bytes_field(3, b"r")
    assert read_message("c", with_reply) == StoredMessage("c", 3, b"x", 1003, "r")
    assert read_message("c", b"") is None
    assert read_message("c", b"\xff") is None


def test_a_message_shows_itself_shortly() -> None:
    assert str(message(2, b'{"id": 1}')) == 'c #2 {"id": 1}'
    assert str(message(2, b"\xff")) == "c #2 \\xff"
    assert len(str(message(2, b"x" * 1000))) < 250


async def test_what_is_stored_is_published(history: History) -> None:
    store = await opened(MemoryStore(), history)
    store.submit(batch(1, b"a", b"b", is_new=True))
    assert history.channels() == ["c"]
    assert history.published == history.stored("c") == [message(1, b"a"), message(2, b"b")]
    assert history.stored("d") == []
    assert store.is_quiet


async def test_what_limits_drop_was_published_and_is_not_stored(history: History) -> None:
    store = await opened(MemoryStore(), history)
    store.submit(batch(1, b"a", b"b", is_new=True))
    floor = batch(2)
    floor.floors[1] = 2
    store.submit(floor)
    assert history.stored("c") == [message(2, b"b")]
    deletion = batch(3)
    deletion.state.append((KIND_CHANNEL, b"1", None))
    store.submit(deletion)
    assert history.stored("c") == []
    assert history.channels() == []
    assert len(history.published) == 2


async def test_only_what_comes_later_counts_after_forgetting(history: History) -> None:
    store = await opened(MemoryStore(), history)
    store.submit(batch(1, b"a", is_new=True))
    history.forget()
    store.submit(batch(2, b"b", first=2))
    assert history.published == [message(2, b"b")]
    assert len(history.stored("c")) == 2


@pytest.mark.parametrize("answers_now", [True, False])
async def test_what_a_store_holds_at_first_is_stored_and_was_not_published(history: History, answers_now: bool) -> None:
    inner = MemoryStore()
    store = await opened(inner, History())
    store.submit(batch(1, b"a", b"b", is_new=True))
    faulty = FaultyStore(inner)
    faulty.answers_now = answers_now
    await opened(faulty, history)
    assert history.stored("c") == [message(1, b"a"), message(2, b"b")]
    assert history.published == []


async def test_after_a_restart_what_was_published_stays_so(history: History) -> None:
    store = await opened(MemoryStore(), history)
    store.submit(batch(1, b"a", is_new=True))
    await opened(MemoryStore(), history)
    assert history.stored("c") == []
    assert history.published == [message(1, b"a")]


async def test_what_a_batch_of_unknown_outcome_left_was_published(history: History) -> None:
    faulty = FaultyStore(MemoryStore())
    store = await opened(faulty, history)
    store.submit(batch(1, b"a", is_new=True))
    faulty.fail(UNKNOWN, "no answer", applied=True)
    store.submit(batch(2, b"b", first=2))
    assert len(history.published) == 1
    await store.recover(None)
    assert history.published == history.stored("c") == [message(1, b"a"), message(2, b"b")]


async def test_it_is_quiet_when_batches_have_ended_and_questions_are_answered(history: History) -> None:
    faulty = FaultyStore(MemoryStore())
    store = await opened(faulty, history)
    faulty.hold()
    store.submit(batch(1, b"a", is_new=True))
    assert not is_quiet(store)
    faulty.stop_holding()
    assert is_quiet(store)
    faulty.hold_answers()
    questions: list[Callable[[int], None]] = [
        lambda number: store.read(number, 1, 1, 10, 1000),
        lambda number: store.seek(number, 1, 1000),
    ]
    for number, ask in enumerate(questions, 1):
        ask(number)
        assert not is_quiet(store)
        faulty.release_answers()
        assert is_quiet(store)


async def test_messages_are_refused_for_a_reason_and_nothing_else_is(history: History) -> None:
    store = await opened(MemoryStore(), history)
    store.refusal = "not now"
    store.submit(batch(1, is_new=True))
    store.submit(batch(2, b"a"))
    assert history.channels() == ["c"]
    assert history.published == []
    assert store.is_quiet
