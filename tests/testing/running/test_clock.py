"""The clocks of a bus in a test."""

import pytest

from durabus.clock import ManualClock
from durabus.testing.running import clock as clock_module
from durabus.testing.running.clock import ClientClock, MovableClock

pytestmark = pytest.mark.once


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The machine's clock, which goes on when the test says so."""
    clock = ManualClock()
    monkeypatch.setattr(clock_module, "SystemClock", lambda: clock)
    return clock


def test_deadlines_stand_still_and_stamps_go_on(machine: ManualClock) -> None:
    clock = MovableClock()
    assert not clock.is_running
    monotonic_ns, wall_ns = clock.monotonic_ns(), clock.wall_ns()
    machine.advance(5)
    assert clock.monotonic_ns() == monotonic_ns
    assert clock.wall_ns() == wall_ns + 5
    clock.move_on(100)
    assert clock.monotonic_ns() == monotonic_ns + 100
    assert clock.wall_ns() == wall_ns + 105


def test_a_running_clock_can_be_moved_on_as_well(machine: ManualClock) -> None:
    clock = MovableClock(is_running=True)
    assert clock.is_running
    before_ns = clock.monotonic_ns()
    machine.advance(5)
    clock.move_on(100)
    assert clock.monotonic_ns() == before_ns + 105


def test_it_is_moved_to_a_moment_but_never_back(machine: ManualClock) -> None:
    clock = MovableClock()
    start_ns = clock.monotonic_ns()
    clock.move_to(start_ns + 70)
    clock.move_to(start_ns + 30)
    assert clock.monotonic_ns() == start_ns + 70


def test_a_client_is_as_far_ahead_and_goes_on_by_itself(machine: ManualClock) -> None:
    server = MovableClock()
    client = ClientClock(server)
    before_ns = client.monotonic_ns()
    server.move_on(100)
    machine.advance(5)
    assert client.monotonic_ns() == before_ns + 105
    assert client.wall_ns() == server.wall_ns()
    assert client.is_running
