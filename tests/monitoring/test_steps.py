"""Long work in short steps."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.monitoring.steps import UNITS_PER_STEP, Pace, Steps, finish, lowest


def count(steps: Steps[object]) -> int:
    """How often something else could be done meanwhile."""
    return sum(1 for _ in steps)


def test_a_result_comes_through_all_steps() -> None:
    def work() -> Steps[str]:
        yield
        yield
        return "done"

    assert finish(work()) == "done"
    assert count(work()) == 2


def test_an_error_comes_through() -> None:
    def work() -> Steps[str]:
        yield
        raise KeyError("broken")

    with pytest.raises(KeyError):
        finish(work())


def test_a_pace_tells_when_a_step_is_full() -> None:
    pace = Pace()
    told = [pace.spent(1) for _ in range(2 * UNITS_PER_STEP)]
    assert told.count(True) == 2
    assert told[UNITS_PER_STEP - 1]
    assert told[2 * UNITS_PER_STEP - 1]
    assert pace.spent(10 * UNITS_PER_STEP)
    assert not pace.spent(1)


@given(st.lists(st.binary(max_size=3)), st.integers(0, 30))
def test_the_lowest_are_those_that_sorting_puts_first(names: list[bytes], wanted: int) -> None:
    assert finish(lowest(names, wanted)) == sorted(names)[:wanted]


def test_many_names_are_sorted_in_steps() -> None:
    names = [b"%06d" % number for number in range(20_000)]
    random.Random(7).shuffle(names)
    assert finish(lowest(names, 1024)) == sorted(names)[:1024]
    assert count(lowest(names, 1024)) == 4
    assert count(lowest(names[:4096], 1024)) == 0
    assert finish(lowest(names, 2**63 + 5)) == sorted(names)
    assert finish(lowest([(3, 1), (1, 2), (1, 1)], 2)) == [(1, 1), (1, 2)]
