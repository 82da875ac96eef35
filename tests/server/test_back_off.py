"""How often a line is shown."""

from durabus.server.back_off import BackOff

SECOND_NS = 1_000_000_000


def test_at_first_after_a_second_in_the_end_once_a_minute() -> None:
    shown = BackOff()
    seconds = [second for second in range(1, 400) if shown.is_due(second * SECOND_NS)]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 124, 184, 244, 304, 364]


def test_a_line_that_was_not_needed_for_long_is_shown_at_once_again() -> None:
    shown = BackOff()
    now_ns = 0
    for _ in range(10):
        now_ns += 100 * SECOND_NS
        assert shown.is_due(now_ns)
    assert not shown.is_due(now_ns + 59 * SECOND_NS)
    now_ns += 180 * SECOND_NS
    assert shown.is_due(now_ns)
    assert shown.is_due(now_ns + 2 * SECOND_NS)
