"""The clocks: the machine's, and the one that a test moves."""

import time

from durabus.clock import Clock, ManualClock, SystemClock, boottime_ns


def test_the_system_clock_tells_the_time() -> None:
    clock: Clock = SystemClock()
    before_ns = time.time_ns()
    wall_ns = clock.wall_ns()
    assert before_ns <= wall_ns <= time.time_ns()


def test_the_system_clock_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic_ns() for _ in range(1000)]
    assert readings == sorted(readings)
    assert all(isinstance(reading, int) for reading in readings)


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(wall_ns=1000)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (1000, 0)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (1000, 0)
    clock.advance(5)
    clock.advance(0)
    clock.advance(2)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (1007, 7)


def test_a_manual_clock_begins_at_a_plausible_moment() -> None:
    assert 1_500_000_000_000_000_000 < ManualClock().wall_ns() < time.time_ns()


def test_the_boot_clock_goes_on() -> None:
    before = boottime_ns()
    assert boottime_ns() >= before > 0
