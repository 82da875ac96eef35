"""Deadlines against a plain table of them; and that those which were moved or cancelled are not kept for long."""

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from durabus.streaming.timers import Timed, Timers


class Alarm(Timed):
    """Notes when it was told, and does something about it."""

    def __init__(self, then: Callable[[int], None] | None = None) -> None:
        super().__init__()
        self.told: list[int] = []
        self.then = then

    def on_time(self, now_ns: int) -> None:
        assert self.deadline_ns == 0
        self.told.append(now_ns)
        if self.then is not None:
            self.then(now_ns)


class TimersMachine(RuleBasedStateMachine):
    """Five alarms that are set, moved, cancelled and fired."""

    alarms_count = 5
    choices = st.integers(0, alarms_count - 1)
    times = st.integers(1, 60)

    def __init__(self) -> None:
        super().__init__()
        self.timers = Timers()
        self.alarms = [Alarm() for _ in range(self.alarms_count)]
        self.deadlines = [0] * self.alarms_count
        self.now = 1

    @rule(choice=choices, time=times)
    def set_one(self, choice: int, time: int) -> None:
        self.timers.set(self.alarms[choice], self.now + time)
        self.deadlines[choice] = self.now + time

    @rule(choice=choices)
    def set_again(self, choice: int) -> None:
        """The same moment as before, after it was cancelled for an instant."""
        if self.deadlines[choice]:
            self.timers.cancel(self.alarms[choice])
            self.timers.set(self.alarms[choice], self.deadlines[choice])

    @rule(choice=choices)
    def cancel(self, choice: int) -> None:
        self.timers.cancel(self.alarms[choice])
        self.deadlines[choice] = 0

    @rule(time=times)
    def fire(self, time: int) -> None:
        self.now += time
        due = {i for i, deadline in enumerate(self.deadlines) if 0 < deadline <= self.now}
        assert self.timers.fire(self.now) == len(due)
        for i, alarm in enumerate(self.alarms):
            assert alarm.told == ([self.now] if i in due else [])
            alarm.told.clear()
            if i in due:
                self.deadlines[i] = 0

    @invariant()
    def it_knows_what_comes_next(self) -> None:
        assert self.timers.next_ns() == min((deadline for deadline in self.deadlines if deadline), default=0)
        assert [alarm.deadline_ns for alarm in self.alarms] == self.deadlines


TestTimers = TimersMachine.TestCase
TestTimers.settings = settings(max_examples=100, stateful_step_count=40)


def test_nothing_is_due_at_first() -> None:
    timers = Timers()
    assert timers.next_ns() == 0
    assert timers.fire(10**18) == 0


def test_what_is_due_is_told_in_the_order_of_deadlines_and_of_setting() -> None:
    timers, told = Timers(), []
    alarms = {name: Alarm(lambda _, name=name: told.append(name)) for name in "abcd"}  # type: ignore[misc]
    for name, deadline in (("c", 30), ("b", 20), ("d", 30), ("a", 10)):
        timers.set(alarms[name], deadline)
    assert timers.fire(30) == 4
    assert told == ["a", "b", "c", "d"]


def test_a_deadline_that_is_set_while_firing_is_told_at_once_when_it_is_due() -> None:
    timers = Timers()
    second = Alarm()
    first = Alarm(lambda now: timers.set(second, now - 5))
    timers.set(first, 10)
    assert timers.fire(20) == 2
    assert second.told == [20]


def test_a_deadline_that_is_cancelled_while_firing_is_not_told() -> None:
    timers = Timers()
    second = Alarm()
    first = Alarm(lambda _: timers.cancel(second))
    timers.set(first, 10)
    timers.set(second, 10)
    assert timers.fire(10) == 1
    assert second.told == []
    assert timers.next_ns() == 0


def test_an_alarm_may_set_itself_again() -> None:
    timers = Timers()
    alarm = Alarm(lambda now: timers.set(alarm, now + 10))
    timers.set(alarm, 10)
    for now in (10, 20, 30):
        assert timers.next_ns() == now
        assert timers.fire(now) == 1
    assert alarm.told == [10, 20, 30]


def test_deadlines_that_were_cancelled_are_forgotten() -> None:
    timers = Timers()
    kept = Alarm()
    timers.set(kept, 10**18)
    for i in range(10_000):
        passing = Alarm()
        timers.set(passing, 10**17 + i)
        timers.cancel(passing)
    assert len(timers._heap) < 200, "each one would stay in memory until its time had come"
    assert timers.next_ns() == 10**18


def test_a_deadline_that_is_moved_again_and_again_is_kept_once() -> None:
    timers = Timers()
    early, moved = Alarm(), Alarm()
    timers.set(early, 1)
    for i in range(10_000):
        timers.set(moved, 1000 + i)
    assert len(timers._heap) < 200
    assert timers.fire(20_000) == 2
    assert moved.told == [20_000]


def test_a_deadline_that_is_cancelled_and_set_again_is_kept_once() -> None:
    timers = Timers()
    alarm = Alarm()
    for _ in range(10_000):
        timers.set(alarm, 1000)
        timers.cancel(alarm)
    timers.set(alarm, 1000)
    assert len(timers._heap) < 200
    assert timers.fire(1000) == 1
    assert alarm.told == [1000]


def test_many_deadlines_at_once_are_all_kept() -> None:
    timers = Timers()
    alarms = [Alarm() for _ in range(5000)]
    for i, alarm in enumerate(alarms):
        timers.set(alarm, 1000 - i // 10)
    assert timers.fire(1000) == 5000
    assert all(alarm.told == [1000] for alarm in alarms)
