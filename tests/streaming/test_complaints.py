"""Complaints about clients: the first ones in full, a flood as a number, and all of it told in the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.streaming.complaints import COMPLAINTS_MAX, Complaints
from durabus.streaming.options import SECOND_NS
from durabus.streaming.timers import Timers
from tests.streaming.harness import Bus, RecordingLog

START_NS = 1000 * SECOND_NS


class Listener:
    """Complaints with the time at which they are made."""

    def __init__(self) -> None:
        self.log = RecordingLog()
        self.timers = Timers()
        self.complaints = Complaints(self.log, self.timers)
        self.now_ns = START_NS

    def tell(self, count: int, kind: str = "Trouble") -> None:
        """So many complaints at this moment, numbered."""
        for number in range(count):
            self.complaints.tell(kind, f"{kind} {number}", self.now_ns)

    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now_ns += seconds * SECOND_NS
        self.timers.fire(self.now_ns)

    def take(self) -> list[str]:
        """What was logged since the last time, all of it errors."""
        lines = list(self.log.lines)
        self.log.lines.clear()
        assert {level for level, _ in lines} <= {"error"}
        return [text for _, text in lines]


def test_a_few_complaints_are_told_as_they_are() -> None:
    it = Listener()
    it.tell(COMPLAINTS_MAX)
    assert it.take() == [f"Trouble {number}" for number in range(COMPLAINTS_MAX)]
    it.wait(10)
    assert it.take() == []
    assert it.timers.next_ns() == 0, "nothing is left to be done"
    it.tell(1)
    assert it.take() == ["Trouble 0"]


def test_a_flood_is_told_as_a_number_as_long_as_it_lasts() -> None:
    it = Listener()
    it.tell(COMPLAINTS_MAX + 90)
    assert len(it.take()) == COMPLAINTS_MAX
    it.wait(9)
    assert it.take() == []
    it.wait(1)
    assert it.take() == ["Trouble: 90 more times in 10 seconds"]
    it.tell(5)
    assert it.take() == []
    it.wait(10)
    assert it.take() == ["Trouble: 5 more times in 10 seconds"]
    it.wait(10)
    assert it.take() == []
    it.tell(1)
    assert it.take() == ["Trouble 0"]


def test_each_kind_has_a_limit_of_its_own() -> None:
    it = Listener()
    it.tell(1000, "One")
    it.tell(1, "Other")
    assert it.take()[COMPLAINTS_MAX:] == ["Other 0"]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=20))
def test_every_complaint_is_told_or_counted_and_lines_are_few(moments: list[tuple[int, int]]) -> None:
    it = Listener()
    for count, seconds in moments:
        it.tell(count)
        it.wait(seconds)
    it.wait(10)
    lines = it.take()
    counted = [int(line.split()[1]) for line in lines if "more times" in line]
    assert len(lines) - len(counted) + sum(counted) == sum(count for count, _ in moments)
    whiles = 1 + (it.now_ns - START_NS) // (10 * SECOND_NS)
    assert len(lines) <= whiles * (COMPLAINTS_MAX + 1)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x0a\x04gone\x10\x01"])
def test_a_client_that_sends_nothing_but_nonsense_does_not_fill_the_log(payload: bytes) -> None:
    bus = Bus()
    client = bus.connect("a")
    sub = client.subscribe("foo")
    client.send(sub.ack_inbox, *[payload] * 5000)
    bus.advance(10)
    errors = bus.log.texts("error")
    assert len(errors) == COMPLAINTS_MAX + 1
    assert errors[0].startswith("Unable to ")
    assert errors[-1].endswith(": 4990 more times in 10 seconds")


def test_channels_that_cannot_be_created_do_not_fill_the_log() -> None:
    bus = Bus()
    bus.options.channels_max = 1
    client = bus.connect("a")
    for number in range(50):
        client.publish(f"channel-{number}", b"")
    bus.advance(10)
    errors = bus.log.texts("error")
    assert errors[0] == 'Creating channel "channel-1" failed: too many channels'
    assert errors[COMPLAINTS_MAX:] == ["Creating channels failed: 39 more times in 10 seconds"]
