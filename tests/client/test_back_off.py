"""Pauses between attempts, with chance in the test's hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.client.back_off import BackOff


def test_pauses_double_up_to_the_longest() -> None:
    back_off = BackOff(0.1, 1.0, lambda: 1.0)
    assert [back_off.next_s() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_after_a_success_they_begin_anew() -> None:
    back_off = BackOff(0.1, 1.0, lambda: 1.0)
    for _ in range(5):
        back_off.next_s()
    back_off.reset()
    assert back_off.next_s() == pytest.approx(0.1)


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 20))
def test_each_is_between_half_and_all_of_its_time(chance: float, attempts: int) -> None:
    back_off = BackOff(0.1, 5.0, lambda: chance)
    for _ in range(attempts):
        back_off.next_s()
    full_s = min(0.1 * 2**attempts, 5.0)
    assert full_s / 2 <= back_off.next_s() <= full_s
