"""What a subscription does with bytes: new messages, copies, acknowledgements, and sequences that begin anew."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.client.intake import Intake
from durabus.wire.stan_messages import decode_ack, encode_message
from durabus.wire.varint import uint_field

HOUR_NS = 3_600_000_000_000


class Side:
    """An intake, and what it wants to be told of."""

    def __init__(self, *, queue: bool = False, durable: bool = False) -> None:
        self.calls = 0
        self.intake = Intake("orders", not queue, not queue and not durable, self._on_acks)
        self.intake.send_acks_to(b"_INBOX.acks")

    def _on_acks(self, intake: Intake) -> None:
        assert intake is self.intake
        self.calls += 1

    def give(self, *sequences: int, at_ns: int = 0, redelivered: int = 0) -> list[int]:
        """Deliver messages; the sequences of those that are news. Their time is their sequence, plus `at_ns`."""
        before = len(self.intake.waiting)
        suffix = uint_field(6, 1) + uint_field(7, redelivered) if redelivered else b""
        count = self.intake.take(
            [encode_message(n, b"orders", b"", b"data %d" % n, at_ns + n) + suffix for n in sequences]
        )
        news = [message.sequence for message in list(self.intake.waiting)[before:]]
        assert len(news) == count
        return news

    def sent_acks(self) -> list[int]:
        """What is sent now."""
        out: list[bytes] = []
        self.intake.take_acks(out)
        sent: list[int] = []
        rest = b"".join(out)
        while rest:
            line, _, rest = rest.partition(b"\r\n")
            verb, subject, size = line.split(b" ")
            assert (verb, subject) == (b"PUB", b"_INBOX.acks")
            ack = decode_ack(rest[: int(size)])
            assert ack.subject == b"orders"
            assert rest[int(size) : int(size) + 2] == b"\r\n"
            sent.append(ack.sequence)
            rest = rest[int(size) + 2 :]
        return sent

    def ack_all(self) -> None:
        while self.intake.waiting:
            self.intake.waiting.popleft().ack()


@given(
    st.integers(1, 2**62), st.binary(max_size=300), st.text(max_size=20), st.integers(1, 2**62), st.integers(0, 1000)
)
def test_a_message_is_what_was_sent(sequence: int, data: bytes, reply: str, timestamp_ns: int, count: int) -> None:
    side = Side()
    suffix = uint_field(6, 1) + uint_field(7, count) if count else b""
    body = encode_message(sequence, b"orders", reply.encode(), data, timestamp_ns) + suffix
    assert side.intake.take([body]) == 1
    message = side.intake.waiting[0]
    assert (message.channel, message.sequence, message.data, message.reply) == ("orders", sequence, data, reply)
    assert (message.timestamp_ns, message.redelivery_count) == (timestamp_ns, count)
    assert message.is_redelivered == (count > 0)


@given(st.binary(max_size=60))
def test_nonsense_is_counted_and_nothing_else(payload: bytes) -> None:
    side = Side()
    taken = side.intake.take([payload])
    assert taken + side.intake.malformed_count == 1


def test_a_flag_without_a_count_is_a_redelivery_too() -> None:
    side = Side()
    side.intake.take([encode_message(1, b"orders", b"", b"", 1) + uint_field(6, 1)])
    assert side.intake.waiting[0].is_redelivered


def test_acknowledgements_are_sent_together_and_once() -> None:
    side = Side()
    assert side.give(1, 2, 3, 200, 20_000) == [1, 2, 3, 200, 20_000]
    for message in list(side.intake.waiting):
        message.ack()
    assert side.calls == 1
    assert side.sent_acks() == [1, 2, 3, 200, 20_000]
    assert side.sent_acks() == []
    assert side.intake.open_count == 0


def test_a_copy_of_what_is_still_here_is_suppressed() -> None:
    for side in (Side(), Side(durable=True), Side(queue=True)):
        side.give(1, 2)
        assert side.give(1, redelivered=1) == []
        assert side.intake.suppressed_count == 1


def test_what_was_let_go_comes_again() -> None:
    for side in (Side(), Side(durable=True), Side(queue=True)):
        side.give(1, 2)
        side.intake.waiting.popleft().let_go()
        assert side.give(1, redelivered=1) == [1]


def test_what_was_put_back_is_the_next_and_here_again() -> None:
    for queue in (False, True):
        side = Side(queue=queue)
        side.give(1, 2)
        one = side.intake.waiting.popleft()
        one.let_go()
        assert one.put_back()
        assert [message.sequence for message in side.intake.waiting] == [1, 2]
        assert side.give(1, redelivered=1) == []
        side.ack_all()
        assert sorted(side.sent_acks()) == [1, 2]


def test_what_belongs_to_a_store_of_before_is_not_put_back() -> None:
    side = Side()
    side.give(1)
    one = side.intake.waiting.popleft()
    side.intake.begin_anew()
    assert not one.put_back()
    assert not side.intake.waiting
    assert side.intake.open_count == 0


def test_a_copy_of_what_was_acknowledged_is_acknowledged_again() -> None:
    for side in (Side(), Side(durable=True), Side(queue=True)):
        side.give(1, 2)
        side.ack_all()
        assert side.sent_acks() == [1, 2]
        assert side.give(2, redelivered=1) == []
        assert side.sent_acks() == [2]


def test_a_durable_takes_old_messages_that_it_never_had() -> None:
    """An older instance had it, and a server may send new messages before what that one left."""
    side = Side(durable=True)
    assert side.give(10) == [10]
    assert side.give(5, redelivered=1) == [5]


def test_acknowledgements_wait_for_a_place_to_go_to() -> None:
    side = Side(durable=True)
    side.give(1)
    side.intake.send_acks_to(b"")
    side.ack_all()
    assert side.sent_acks() == []
    side.intake.send_acks_to(b"_INBOX.acks")
    assert side.sent_acks() == [1]


def test_where_a_new_session_begins() -> None:
    side = Side()
    side.give(1, 2, 3, 4)
    assert side.intake.resume_sequence == 1
    messages = list(side.intake.waiting)
    messages[0].ack()
    messages[1].let_go()
    assert side.intake.resume_sequence == 2
    for message in messages[1:]:
        message.ack()
    assert side.intake.resume_sequence == 5


def test_a_plain_subscription_that_begins_again_gets_only_what_is_missing() -> None:
    side = Side()
    side.give(1, 2, 3, 4)
    messages = list(side.intake.waiting)
    messages[0].ack()
    messages[2].ack()
    messages[1].let_go()  # its handler failed; 4 is still at work
    side.intake.send_acks_to(b"")
    side.intake.send_acks_to(b"_INBOX.acks")
    assert side.give(2, 3, 4, 5) == [2, 5]


def test_sequences_that_begin_anew_are_noticed() -> None:
    for side in (Side(), Side(durable=True), Side(queue=True)):
        side.give(1, 2, 3, 4)
        old = list(side.intake.waiting)
        assert side.give(1, at_ns=HOUR_NS) == [1]
        assert side.intake.lost_sequence == 4
        assert side.intake.last_sequence == 1
        old[0].ack()
        assert side.sent_acks() == [], "an acknowledgement of before would fall on another message"
        side.intake.waiting[-1].ack()
        assert side.sent_acks() == [1]


def test_the_same_sequence_later_in_time_is_a_new_beginning_too() -> None:
    side = Side()
    side.give(1)
    assert side.give(1, at_ns=HOUR_NS) == [1]
    assert side.intake.lost_sequence == 1


def test_a_redelivery_is_no_new_beginning() -> None:
    side = Side(durable=True)
    side.give(1, 2, 3)
    side.ack_all()
    side.give(1, redelivered=3)
    assert side.intake.lost_sequence == 0


def test_a_server_that_may_be_another_gets_no_acknowledgements_of_before() -> None:
    side = Side()
    side.give(1, 2)
    one, two = list(side.intake.waiting)
    one.ack()
    side.intake.distrust()
    two.ack()
    assert side.sent_acks() == []
    assert side.give(2) == [2], "so it has to be dealt with again"


def test_a_drained_one_takes_nothing() -> None:
    side = Side()
    side.give(1)
    side.intake.is_draining = True
    assert side.give(2) == []
    side.ack_all()
    assert side.sent_acks() == [1]


def test_what_is_dropped_comes_again() -> None:
    side = Side(durable=True)
    side.give(1, 2)
    side.intake.drop_waiting()
    assert not side.intake.waiting
    assert side.give(1, 2, redelivered=1) == [1, 2]


def test_memory_of_acknowledged_messages_is_bounded() -> None:
    side = Side(durable=True)
    for start in range(1, 100_000, 500):
        side.give(*range(start, start + 500))
        side.ack_all()
        side.sent_acks()
    remembered = sum(map(len, side.intake._recent))
    assert 16_384 <= remembered <= 2 * 16_384
    assert side.give(99_999, redelivered=1) == [], "the last ones are remembered"


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_and_nothing_is_acknowledged_unseen(seed: int) -> None:
    """A server that sends what is not acknowledged again and again, connections that lose acknowledgements."""
    chance = random.Random(seed)
    kind = chance.choice([{}, {"durable": True}, {"queue": True}])
    side = Side(**kind)
    stored, sent, acknowledged = 60, 0, set[int]()
    seen: dict[int, int] = {}
    for _ in range(2000):
        if len(acknowledged) == stored:
            break
        step = chance.random()
        if step < 0.35 and sent < stored:
            sent += 1
            side.give(sent)
        elif step < 0.5:
            open_ones = [n for n in range(1, sent + 1) if n not in acknowledged]
            if open_ones:
                side.give(*sorted(chance.sample(open_ones, min(3, len(open_ones)))), redelivered=1)
        elif step < 0.85 and side.intake.waiting:
            message = side.intake.waiting.popleft()
            if chance.random() < 0.7:
                seen[message.sequence] = seen.get(message.sequence, 0) + 1
                message.ack()
            else:
                message.let_go()
        else:
            acks = side.sent_acks()
            if chance.random() < 0.8:
                acknowledged.update(acks)
        assert acknowledged <= set(seen)
    else:
        raise AssertionError("it does not come to an end")
    assert set(seen) == set(range(1, stored + 1))
    assert max(seen.values()) == 1, "what was acknowledged is not given to the program again"
