"""The checker of the crash tests: it is content with what is right, and names each thing that is not."""

from collections.abc import Callable

import pytest

from tests.crash.ledger import ChannelLedger, Complaints, DurableLedger
from tests.crash.messages import data_of, key_of, key_within

MARKER = 15


class Story:
    """A channel, and what happens to it. The names of messages are the numbers of publisher 1."""

    def __init__(self, messages_max: int = 0) -> None:
        self.complaints = Complaints()
        self.complaints.life = 1
        self.channel = ChannelLedger(b"c", self.complaints, messages_max)
        self.marker = 0

    def publish(self, *numbers: int, acknowledged: bool = True, attempt: int = 0) -> None:
        for number in numbers:
            self.channel.sent(key_of(1, number, attempt))
            if acknowledged:
                self.channel.acknowledged(key_of(1, number, attempt))

    def read(self, *found: tuple[int, int], first: int = 0) -> None:
        """Restart, and read these (sequence, number), and the marker behind them."""
        self.complaints.life += 1
        self.marker += 1
        key = key_of(MARKER, self.marker, 0)
        self.channel.sent(key)
        self.channel.acknowledged(key)
        self.channel.begin_reading(first or self.channel.verified + 1)
        for sequence, number in found:
            self.channel.read(sequence, data_of(key_of(1, number, 0)), sequence)
        end = found[-1][0] + 1 if found else self.channel.verified + 1
        self.channel.read(end, data_of(key), end)
        self.channel.end_reading()

    @property
    def said(self) -> str:
        return "\n".join(self.complaints.texts)


@pytest.fixture
def story() -> Story:
    return Story()


def test_what_is_kept_is_no_complaint(story: Story) -> None:
    story.publish(1, 2)
    story.publish(3, 4, acknowledged=False)
    story.channel.seen(1, data_of(key_of(1, 1, 0)), 1)
    story.read((1, 1), (2, 2), (3, 3))
    story.publish(4, attempt=1)
    story.publish(5, acknowledged=False)
    key = key_of(1, 4, 1)
    story.channel.seen(2, data_of(key_of(1, 2, 0)), 2)
    story.channel.begin_reading(5)
    story.channel.read(5, data_of(key), 5)
    story.channel.end_reading()
    assert story.said == ""
    assert (story.channel.sent_count, story.channel.acknowledged_count, story.channel.verified) == (7, 4, 5)
    assert story.channel.checked_count == 5


def test_lost_at_the_end(story: Story) -> None:
    story.publish(1, 2)
    story.read((1, 1))
    assert story.said == "life 2: c: message 2 of publisher 1 of life 1 was acknowledged, and is not there"


def test_lost_in_the_middle(story: Story) -> None:
    story.publish(1, 2, 3)
    story.read((1, 1), (2, 3))
    assert story.said == "life 2: c: message 2 of publisher 1 of life 1 was acknowledged, and is not there"


def test_lost_before_a_later_life(story: Story) -> None:
    story.publish(1, 2)
    story.complaints.life += 1
    story.publish(3)
    story.read((1, 1), (2, 3))
    assert story.said == "life 3: c: message 2 of publisher 1 of life 1 was acknowledged, and is not there"


def test_a_hole_in_what_one_publisher_sent(story: Story) -> None:
    story.publish(1, 2, 3, acknowledged=False)
    story.read((1, 1), (2, 3))
    assert story.said == (
        "life 2: c: message 2 of publisher 1 is not there, but message 3 of publisher 1 is, which was sent after it"
    )


def test_what_a_dead_server_did_not_store_may_be_missing_before_what_the_next_one_did(story: Story) -> None:
    story.publish(1, 2, acknowledged=False)
    story.complaints.life += 1
    story.publish(3)
    story.read((1, 1), (2, 3))
    assert story.said == ""


def test_stored_twice(story: Story) -> None:
    story.publish(1, 2)
    story.read((1, 1), (2, 2), (3, 1))
    assert story.said == (
        "life 2: c: sequence 3 is message 1 of publisher 1, which was stored before, or is not there any more"
    )


def test_what_was_gone_must_not_come_back(story: Story) -> None:
    story.publish(1, acknowledged=False)
    story.read()
    story.read((2, 1))
    assert "sequence 2 is message 1 of publisher 1, which was stored before, or is not there any more" in story.said


def test_a_missing_sequence(story: Story) -> None:
    story.publish(1, 2)
    story.read((1, 1), (3, 2))
    assert story.said == "life 2: c: sequences 2 to 2 are missing"


def test_a_sequence_that_comes_twice(story: Story) -> None:
    story.publish(1)
    story.read((1, 1), (1, 1))
    assert story.said == "life 2: c: sequence 1 came after 1"


def test_another_message_at_a_sequence_that_was_read(story: Story) -> None:
    story.publish(1, 2)
    story.read((1, 1), (2, 2))
    story.read((1, 2), (2, 2), (3, 9), first=1)
    assert (
        "life 3: c: sequence 1 is message 2 of publisher 1 stored at 1, it was message 1 of publisher 1" in story.said
    )


def test_another_time_at_a_sequence_that_was_read(story: Story) -> None:
    story.publish(1)
    story.read((1, 1))
    story.channel.seen(1, data_of(key_of(1, 1, 0)), 77)
    assert story.said.endswith(
        "sequence 1 is message 1 of publisher 1 stored at 77, it was message 1 of publisher 1 stored at 1"
    )


def test_another_message_at_a_sequence_that_was_delivered(story: Story) -> None:
    story.publish(1, 2, acknowledged=False)
    story.channel.seen(1, data_of(key_of(1, 2, 0)), 1)
    story.read((1, 1), (2, 2))
    assert "sequence 1 is message 1 of publisher 1 stored at 1, delivered was message 2 of publisher 1" in story.said


def test_two_who_were_delivered_different_messages(story: Story) -> None:
    story.channel.seen(1, data_of(key_of(1, 1, 0)), 1)
    story.channel.seen(1, data_of(key_of(1, 2, 0)), 1)
    assert "sequence 1 is message 2 of publisher 1 stored at 1, delivered was message 1 of publisher 1" in story.said


def test_what_was_delivered_must_stay_even_if_nobody_acknowledged_it(story: Story) -> None:
    story.publish(1, 2, acknowledged=False)
    story.channel.seen(3, data_of(key_of(1, 2, 0)), 2)
    story.read((1, 1))
    assert story.said == "life 2: c: sequence 3 (message 2 of publisher 1) was delivered once, and is not there"


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:-1] + b"\0"])
def test_changed_bytes(story: Story, damage: Callable[[bytes], bytes]) -> None:
    story.publish(2)
    story.channel.begin_reading(1)
    story.channel.read(1, damage(data_of(key_of(1, 2, 0))), 1)
    assert "sequence 1 is not what anybody published" in story.said


def test_time_does_not_go_back(story: Story) -> None:
    story.publish(1, 2)
    story.channel.begin_reading(1)
    story.channel.read(1, data_of(key_of(1, 1, 0)), 5)
    story.channel.read(2, data_of(key_of(1, 2, 0)), 4)
    assert story.said == "life 1: c: sequence 2 is older than the one before it"


# A channel with a limit.


def test_what_a_limit_removed_unread_is_no_complaint() -> None:
    story = Story(messages_max=2)
    story.publish(1, 2, 3)
    story.read((3, 3))
    story.channel.check_first(3)
    assert story.said == ""
    story.publish(4, 5)
    story.read((5, 4), (6, 5), first=2)
    story.channel.check_first(6)
    assert story.said == ""


def test_a_limit_that_removed_too_much_or_too_little() -> None:
    story = Story(messages_max=3)
    story.publish(1, 2, 3)
    story.read((3, 3))
    story.channel.check_first(3)
    assert story.said == "life 2: c: the first message is 3, by the limit it is 2"


def test_what_is_lost_above_the_gap_is_found() -> None:
    story = Story(messages_max=3)
    story.publish(1, 2, 3, 4)
    story.read((2, 2), (3, 4))
    assert story.said == "life 2: c: message 3 of publisher 1 of life 1 was acknowledged, and is not there"


# Durables.


class Durable:
    """A durable that was sent 1 to 5 by the first server and acknowledged 1, 2 and 4."""

    def __init__(self, *, is_group: bool = False) -> None:
        self.complaints = Complaints()
        self.ledger = DurableLedger("d", ChannelLedger(b"c", self.complaints), self.complaints, is_group=is_group)
        self.ledger.begin_life()
        for sequence in range(1, 6):
            self.ledger.delivered(sequence, is_new=True)
        for sequence in (1, 2, 4):
            self.ledger.acknowledged(sequence)
        self.ledger.confirmed(10.0, [1, 2])
        self.ledger.confirmed(11.0, [4])

    def restart(self, published_s: float = 0.0) -> None:
        self.complaints.life += 1
        self.ledger.end_life(published_s)
        self.ledger.begin_life()

    def deliver(self, *sequences: int, is_new: bool = False) -> list[str]:
        for sequence in sequences:
            self.ledger.delivered(sequence, is_new=is_new)
        return self.complaints.texts

    def lacks(self, last: int) -> list[str]:
        self.ledger.expect(last, lambda: None)
        self.ledger.give_up()
        return self.complaints.texts


def test_a_durable_that_goes_on_where_it_was() -> None:
    durable = Durable()
    durable.restart(published_s=12.5)
    assert durable.deliver(3, 4) == []
    assert durable.deliver(5, 6, is_new=True) == []
    assert durable.lacks(6) == []
    assert (durable.ledger.delivered_count, durable.ledger.repeated_count, durable.ledger.settled_count) == (9, 1, 2)


def test_what_was_acknowledged_just_before_the_kill_may_come_again() -> None:
    durable = Durable()
    durable.restart(published_s=11.9)
    assert durable.deliver(1, 2, 3, 4, 5) == []


def test_what_was_acknowledged_long_before_may_not() -> None:
    durable = Durable()
    durable.restart(published_s=12.0)
    assert durable.deliver(2) == ["life 1: d: 2 came again, although it was acknowledged long before the kill"]
    durable.restart()
    assert durable.deliver(1)[1:] == ["life 2: d: 1 came again, although it was acknowledged long before the kill"]


def test_something_new_before_what_is_unacknowledged() -> None:
    durable = Durable()
    durable.restart()
    assert durable.deliver(6, is_new=True) == ["life 1: d: goes on with 6, its first unacknowledged message is 3"]


def test_what_is_unacknowledged_comes_in_any_order() -> None:
    durable = Durable()
    durable.restart()
    assert durable.deliver(5, 3) == []
    assert durable.deliver(6, is_new=True) == []


def test_members_of_a_group_have_sockets_of_their_own() -> None:
    durable = Durable(is_group=True)
    durable.restart()
    assert durable.deliver(6, is_new=True) == []


@pytest.mark.parametrize("is_group", [False, True])
def test_what_was_never_acknowledged_must_come_in_each_life(is_group: bool) -> None:
    durable = Durable(is_group=is_group)
    durable.restart()
    durable.deliver(3)
    assert durable.lacks(7) == [
        "life 1: d: was not sent 3 messages that it never acknowledged, 5 first and 7 last",
    ]


def test_it_is_told_when_all_has_come() -> None:
    durable = Durable()
    durable.restart()
    complete: list[int] = []
    durable.ledger.expect(6, lambda: complete.append(1))
    durable.deliver(3, 5)
    assert complete == []
    durable.deliver(6, is_new=True)
    assert complete == [1]
    durable.ledger.expect(6, lambda: complete.append(2))
    assert complete == [1, 2]


# The messages.


def test_a_message_is_known_by_its_bytes() -> None:
    keys = {
        key_of(publisher, number, attempt)
        for publisher in (0, 15)
        for number in (0, 100, 7_000_000)
        for attempt in (0, 9)
    }
    assert len(keys) == 12
    assert {key_within(data_of(key)) for key in keys} == keys
    assert key_within(b"") is None
    assert key_within(b"1" * 30 + b":") is None
    assert key_within(b"x:") is None


def test_complaints_do_not_grow_without_end() -> None:
    complaints = Complaints()
    for _ in range(1000):
        complaints.add("x")
    assert complaints
    assert len(complaints.texts) == 30
