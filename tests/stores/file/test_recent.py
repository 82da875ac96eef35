"""The messages kept in memory: which are found, and that they never take more than they may."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.recent import RecentMessages
from durabus.streaming.store_port import Run

MUCH = 1 << 40


def bodies_of(first: int, count: int, size: int = 0) -> list[bytes]:
    return [b"%d." % sequence + b"x" * size for sequence in range(first, first + count)]


def add(recent: RecentMessages, channel_id: int, first: int, bodies: list[bytes]) -> None:
    run = Run(channel_id, first)
    run.bodies = bodies
    recent.add(recent.tail(channel_id), run, sum(map(len, bodies)))


def test_what_was_added_is_found_up_to_the_end_of_its_run() -> None:
    recent = RecentMessages(MUCH)
    add(recent, 1, 10, bodies_of(10, 3))
    add(recent, 1, 13, bodies_of(13, 2))
    add(recent, 2, 11, [b"other"])
    assert recent.find(1, 10, 9, MUCH) == bodies_of(10, 3)
    assert recent.find(1, 12, 9, MUCH) == bodies_of(12, 1)
    assert recent.find(1, 14, 9, MUCH) == bodies_of(14, 1)
    assert recent.find(2, 11, 9, MUCH) == [b"other"]
    assert [recent.find(channel, first, 9, MUCH) for channel, first in ((1, 9), (1, 15), (2, 12), (3, 10))] == [
        None
    ] * 4


def test_count_and_bytes_limit_what_is_found_but_one_message_always_is() -> None:
    recent = RecentMessages(MUCH)
    add(recent, 1, 1, [b"12345", b"12345", b"12345"])
    found = [
        recent.find(1, 1, count, size)
        for count, size in ((1, MUCH), (2, MUCH), (9, 14), (9, 10), (9, 9), (9, 1), (9, 0))
    ]
    assert [len(page or []) for page in found] == [1, 2, 2, 2, 1, 1, 1]


def test_what_is_found_belongs_to_the_reader() -> None:
    recent = RecentMessages(MUCH)
    add(recent, 1, 1, bodies_of(1, 3))
    page = recent.find(1, 1, 9, MUCH)
    assert page is not None
    page.clear()
    assert recent.find(1, 1, 9, MUCH) == bodies_of(1, 3)


def test_the_oldest_goes_first_whichever_channel_it_is_of() -> None:
    recent = RecentMessages(4 * (100 + 64) + 3 * 1000)
    for first in range(1, 40):
        add(recent, 1 + first % 2, first, [b"x" * 100])
    kept = [first for first in range(1, 40) if recent.find(1 + first % 2, first, 1, MUCH)]
    assert kept == list(range(40 - len(kept), 40))
    assert 1 <= len(kept) < 39


def test_a_run_larger_than_the_budget_is_not_kept() -> None:
    recent = RecentMessages(10_000)
    add(recent, 1, 1, bodies_of(1, 3))
    add(recent, 1, 4, [b"x" * 20_000])
    assert [recent.find(1, first, 1, MUCH) for first in (1, 4)] == [None, None]
    add(recent, 1, 5, bodies_of(5, 1))
    assert recent.find(1, 5, 1, MUCH) == bodies_of(5, 1)


def test_a_page_is_found_and_the_next_one_replaces_it() -> None:
    recent = RecentMessages(MUCH)
    recent.add_page(1, 10, bodies_of(10, 5))
    assert recent.find(1, 12, 2, MUCH) == bodies_of(12, 2)
    assert recent.find(1, 15, 1, MUCH) is None
    recent.add_page(1, 20, bodies_of(20, 5))
    assert recent.find(1, 12, 2, MUCH) is None
    assert recent.find(1, 24, 9, MUCH) == bodies_of(24, 1)
    add(recent, 1, 100, bodies_of(100, 1))
    assert recent.find(1, 20, 9, MUCH) == bodies_of(20, 5)


def test_a_dropped_channel_and_a_cleared_memory_hold_nothing() -> None:
    recent = RecentMessages(MUCH)
    for channel_id in (1, 2):
        add(recent, channel_id, 10, bodies_of(10, 1))
        recent.add_page(channel_id, 1, bodies_of(1, 5))
    recent.drop(1)
    recent.drop(3)
    assert [recent.find(1, first, 1, MUCH) for first in (1, 10)] == [None, None]
    assert [recent.find(2, first, 1, MUCH) for first in (1, 10)] == [bodies_of(1, 1), bodies_of(10, 1)]
    recent.clear()
    assert [recent.find(2, first, 1, MUCH) for first in (1, 10)] == [None, None]


def test_what_a_dropped_channel_took_is_free_again() -> None:
    recent = RecentMessages(100_000)
    for first in range(1, 50):
        add(recent, 1, first, [b"x" * 1000])
    recent.drop(1)
    for first in range(1, 200):
        add(recent, 2, first, [b"x" * 1000])
    kept = sum(recent.find(2, first, 1, MUCH) is not None for first in range(1, 200))
    assert kept > 60


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "page", "drop"]), st.integers(1, 3), st.integers(1, 4), st.integers(0, 60)
    ),
    max_size=60,
)


@given(OPERATIONS, st.integers(0, 3000))
def test_what_is_found_is_what_was_added(operations: list[tuple[str, int, int, int]], bytes_max: int) -> None:
    """Any history: only right messages, never across a hole, and the newest run unless it alone is too large."""
    recent = RecentMessages(bytes_max)
    nexts = dict.fromkeys(range(1, 4), 1)
    channels = {1: 1, 2: 2, 3: 3}  # ids are not used again after a drop
    for kind, slot, count, size in operations:
        channel_id, first = channels[slot], nexts[slot]
        if kind == "drop":
            recent.drop(channel_id)
            channels[slot], nexts[slot] = channel_id + 3, 1
            assert recent.find(channel_id, max(first - 1, 1), 9, MUCH) is None
        elif kind == "page" and first > 1:
            recent.add_page(channel_id, 1, bodies_of(1, min(count, first - 1)))
        elif kind == "add":
            add(recent, channel_id, first, bodies_of(first, count, size))
            nexts[slot] = first + count
        for other, end in nexts.items():
            for sequence in range(1, end + 2):
                found = recent.find(channels[other], sequence, 9, MUCH)
                assert found is None or (found and sequence + len(found) <= end)
                assert all(body.startswith(b"%d." % (sequence + at)) for at, body in enumerate(found or []))


# Memory


def held_bytes(recent: RecentMessages, runs: int, count: int, size: int, channels: int) -> int:
    """What so many runs take in memory, after many more have come and gone."""
    tracemalloc.start()
    nexts = dict.fromkeys(range(1, channels + 1), 1)
    for number in range(runs):
        channel_id = 1 + number % channels
        add(recent, channel_id, nexts[channel_id], [b"%d" % number + b"x" * size for _ in range(count)])
        nexts[channel_id] += count
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held


@pytest.mark.parametrize(
    ("runs", "count", "size", "channels"),
    [(40_000, 1, 20, 1), (40_000, 1, 20, 1000), (20_000, 1, 200, 10), (400, 100, 128, 1), (200, 10, 10_000, 5)],
)
def test_what_is_kept_stays_within_the_budget(runs: int, count: int, size: int, channels: int) -> None:
    budget = 2_000_000
    assert held_bytes(RecentMessages(budget), runs, count, size, channels) < 1.3 * budget


@pytest.mark.parametrize(("channels", "size"), [(1000, 10_000), (40, 1_000_000)])
def test_pages_stay_within_the_budget(channels: int, size: int) -> None:
    budget = 8_000_000
    recent = RecentMessages(budget)
    tracemalloc.start()
    for channel_id in range(1, channels + 1):
        recent.add_page(channel_id, 1, [b"%d" % channel_id + b"x" * size])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recent.find(channels, 1, 1, MUCH) is not None
    assert held < 1.3 * budget
