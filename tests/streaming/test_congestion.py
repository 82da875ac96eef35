"""A reader that is slow, or has a large window, is sent what it can take, and not cut off for what it asked for."""

import pytest

from tests.streaming import harness
from tests.streaming.harness import FIRST, Bus, Client, FakeLink, Sub

MEGABYTE = 1024 * 1024
BODY = bytes(900_000)
MESSAGES = 120  # more than a client may have unsent, which is 64 MiB


class SlowLink(FakeLink):
    """A socket whose peer reads at once until it is `stalled`, then only what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.stalled = False
        self.writes: list[bytes] = []

    def unsent_bytes(self) -> int:
        return sum(len(data) for data in self.writes)

    def write(self, data: bytes) -> None:
        if self.stalled:
            self.writes.append(data)
        else:
            self.arrived += data

    def read(self) -> None:
        """Take the oldest of what is unsent: frames arrive whole."""
        if self.writes:
            self.arrived += self.writes.pop(0)


@pytest.fixture(autouse=True)
def slow_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every client of a bus has a link that can be stalled."""
    monkeypatch.setattr(harness, "FakeLink", SlowLink)


def link_of(client: Client) -> SlowLink:
    """The client's link."""
    assert isinstance(client.link, SlowLink)
    return client.link


def stall(client: Client) -> None:
    """Let the client read only what it is told to; its transport would notice."""
    assert client.session is not None
    link_of(client).stalled = True
    client.session.is_writing_paused = True


def full_bus() -> Bus:
    """A bus with more in one channel than a client may have unsent."""
    bus = Bus()
    publisher = bus.connect("publisher")
    for _ in range(MESSAGES):
        publisher.publish("foo", BODY)
    return bus


def read_all(bus: Bus, client: Client, sub: Sub, count: int) -> int:
    """Let the client read a little at a time until it has `count` messages; the most that was ever unsent."""
    most = 0
    for _ in range(10_000):
        link = link_of(client)
        most = max(most, link.unsent_bytes())
        if len(sub.messages) >= count:
            return most
        link.read()
        bus.advance(0.01)
    raise AssertionError(f"only {len(sub.messages)} messages of {count} have come")


@pytest.mark.parametrize("queue", ["", "workers"])
def test_a_window_larger_than_what_may_be_unsent(queue: str) -> None:
    bus = full_bus()
    client = bus.connect("reader")
    stall(client)
    sub = client.subscribe("foo", queue=queue, start=FIRST, max_in_flight=1024, ack_wait_s=3600)
    most = read_all(bus, client, sub, MESSAGES)
    assert sub.sequences == list(range(1, MESSAGES + 1))
    assert most < 16 * MEGABYTE


def test_a_durable_that_resumes_with_a_large_window() -> None:
    bus = full_bus()
    client = bus.connect("reader")
    sub = client.subscribe("foo", durable="d", start=FIRST, max_in_flight=1024, ack_wait_s=3600)
    read_all(bus, client, sub, MESSAGES)
    sub.close()
    stall(client)
    again = client.subscribe("foo", durable="d", max_in_flight=1024, ack_wait_s=3600)
    publisher = bus.connect("other")
    publisher.publish("foo", b"new")
    most = read_all(bus, client, again, MESSAGES + 1)
    assert again.sequences == list(range(1, MESSAGES + 2)), "what was pending comes before what is new"
    assert [message.redelivered for message in again.messages] == [True] * MESSAGES + [False]
    assert most < 16 * MEGABYTE


@pytest.mark.parametrize("comes_back", [False, True])
def test_where_time_stands_still_somebody_else_says_when_to_look_again(comes_back: bool) -> None:
    bus = full_bus()
    client = bus.connect("reader")
    if comes_back:
        sub = client.subscribe("foo", durable="d", start=FIRST, max_in_flight=1024, ack_wait_s=3600)
        read_all(bus, client, sub, MESSAGES)
        sub.close()
    stall(client)
    sub = client.subscribe("foo", durable="d", start=FIRST, max_in_flight=1024, ack_wait_s=3600)
    at_s = bus.now_s
    for _ in range(1000):
        if len(sub.messages) == MESSAGES:
            break
        link_of(client).read()
        with bus.turn():
            bus.core.look_again()
    assert sub.sequences == list(range(1, MESSAGES + 1))
    assert bus.now_s == at_s


def test_a_member_that_does_not_read_leaves_new_messages_to_the_others() -> None:
    bus = Bus()
    stalled, busy = bus.connect("stalled"), bus.connect("busy")
    one = stalled.subscribe("foo", queue="q", max_in_flight=1024, ack_wait_s=3600)
    other = busy.subscribe("foo", queue="q", max_in_flight=1024, ack_wait_s=3600)
    stall(stalled)
    publisher = bus.connect("publisher")
    for _ in range(60):
        publisher.publish("foo", BODY)
    assert link_of(stalled).unsent_bytes() < 16 * MEGABYTE
    assert len(other.messages) > 40
    read_all(bus, stalled, one, 60 - len(other.messages))
