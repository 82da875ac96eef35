"""The latest messages in memory."""

from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.tail import Tail

MUCH = 1 << 30


def bodies(first: int, count: int, size: int = 10) -> list[bytes]:
    return [b"%d" % number + b"x" * size for number in range(first, first + count)]


def test_what_was_added_is_there() -> None:
    tail = Tail(MUCH)
    tail.add(1, 5, bodies(5, 3))
    tail.add(1, 8, bodies(8, 2))
    assert tail.read(1, 5, 100, MUCH) == bodies(5, 5)
    assert tail.read(1, 7, 2, MUCH) == bodies(7, 2)
    assert tail.read(1, 4, 1, MUCH) is None
    assert tail.read(1, 10, 1, MUCH) is None
    assert tail.read(2, 5, 1, MUCH) is None


def test_bytes_limit_a_page_but_one_message_comes() -> None:
    tail = Tail(MUCH)
    tail.add(1, 1, bodies(1, 10, 99))
    assert tail.read(1, 1, 100, 350) == bodies(1, 3, 99)
    assert tail.read(1, 1, 100, 1) == bodies(1, 1, 99)


def test_the_oldest_goes_over_all_channels() -> None:
    tail = Tail(5000)
    tail.add(1, 1, bodies(1, 30, 99))
    tail.add(2, 1, bodies(1, 30, 99))
    assert tail.read(1, 1, 1, MUCH) is None
    assert tail.read(2, 1, 1, MUCH) == bodies(1, 1, 99)


def test_what_was_added_last_stays_however_large() -> None:
    tail = Tail(10)
    tail.add(1, 1, bodies(1, 1, 1000))
    assert tail.read(1, 1, 1, MUCH) == bodies(1, 1, 1000)


def test_a_gap_begins_anew() -> None:
    tail = Tail(MUCH)
    tail.add(1, 1, bodies(1, 3))
    tail.add(1, 9, bodies(9, 1))
    assert tail.read(1, 1, 1, MUCH) is None
    assert tail.read(1, 9, 9, MUCH) == bodies(9, 1)


def test_forgetting() -> None:
    tail = Tail(3000)
    tail.add(1, 1, bodies(1, 3))
    tail.add(2, 1, bodies(1, 3))
    tail.forget(1)
    tail.forget(1)
    assert tail.read(1, 1, 1, MUCH) is None
    for step in range(50):
        tail.add(3, step * 10 + 1, bodies(step * 10 + 1, 10, 99))
    assert tail.read(3, 500, 1, MUCH) == bodies(500, 1, 99)
    tail.clear()
    assert tail.read(3, 500, 1, MUCH) is None


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3000), st.booleans()), max_size=20), st.integers(1, 200_000)
)
def test_what_it_knows_is_right(steps: list[tuple[int, int, bool]], bytes_max: int) -> None:
    tail = Tail(bytes_max)
    lasts = dict.fromkeys((1, 2, 3), 0)
    for channel, count, forgets in steps:
        if forgets:
            tail.forget(channel)
        tail.add(channel, lasts[channel] + 1, bodies(lasts[channel] + 1, count))
        lasts[channel] += count
        for first in (1, lasts[channel] // 2 + 1, lasts[channel]):
            found = tail.read(channel, first, 50, MUCH)
            assert found is None or (found and found == bodies(first, len(found)))
