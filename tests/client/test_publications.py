"""The window: frames that the server understands, and outcomes that are never wrong."""

import random
from collections.abc import Iterator

import pytest

from durabus.client.errors import PublishNotSentError, PublishRefusedError, PublishUnknownError
from durabus.client.publications import Publication, PublishWindow
from durabus.wire.operations import Publish
from durabus.wire.parser import Parser
from durabus.wire.publish_request import PublishRequest
from durabus.wire.stan_messages import encode_publish_ack

SECOND_NS = 1_000_000_000
NOT_KNOWN = "stan: invalid publish request"
LARGE = 1 << 20


class Sent:
    """A PubMsg as the server reads it."""

    def __init__(self, run: Publish, payload: bytes) -> None:
        request = PublishRequest()
        assert request.decode(payload)
        self.subject = run.subject
        self.reply = run.reply
        self.channel = request.subject
        self.guid = request.guid_field[1:]
        self.connection_id = request.connection_id
        self.client_id = payload[request.client_id_start : request.client_id_end]
        self.data = payload[request.data_start : request.data_end]


def sent(window: PublishWindow) -> list[Sent]:
    """What was sent since the last time."""
    operations = Parser().feed(b"".join(window.out))
    window.out.clear()

    def read() -> Iterator[Sent]:
        for operation in operations:
            assert isinstance(operation, Publish), operation
            for payload in operation.payloads:
                yield Sent(operation, payload)

    return list(read())


def make_window(*, messages_max: int = 10, bytes_max: int = 1000, retries: bool = True) -> PublishWindow:
    return PublishWindow(b"me", b"abcdefghijkl", messages_max, bytes_max, SECOND_NS, retries)


def open_session(window: PublishWindow, number: int = 1, payload_bytes_max: int = LARGE) -> None:
    window.open_session(b"_STAN.pub.c", b"_INBOX.s%d.a" % number, b"conn%d" % number, payload_bytes_max, [])


def add(window: PublishWindow, channel: str = "orders", data: bytes = b"x", now_ns: int = 0) -> Publication:
    return window.add(channel, channel.encode(), data, now_ns, None)


def acknowledge(window: PublishWindow, *publications: Publication, error: str = "") -> None:
    window.take_acks([encode_publish_ack(publication.guid_bytes, error) for publication in publications])


def test_the_server_reads_what_was_published() -> None:
    window = make_window()
    open_session(window)
    made = [add(window, channel, data) for channel in ("a", "b") for data in (b"1", b"", b"22", b"3" * 300, b"1")]
    got = sent(window)
    assert [one.guid for one in got] == [publication.guid_bytes for publication in made]
    assert [one.data for one in got] == [b"1", b"", b"22", b"3" * 300, b"1"] * 2
    assert {one.channel for one in got[:5]} == {b"a"}
    assert {one.subject for one in got[5:]} == {b"_STAN.pub.c.b"}
    assert {(one.client_id, one.connection_id) for one in got} == {(b"me", b"conn1")}
    assert [one.reply for one in got] == [b"_INBOX.s1.a.0"] * 5 + [b"_INBOX.s1.a.1"] * 5
    assert len({publication.guid for publication in made}) == 10


def test_an_acknowledgement() -> None:
    window = make_window()
    open_session(window)
    one, two = add(window), add(window)
    acknowledge(window, two)
    assert (one.is_acknowledged, two.is_acknowledged) == (False, True)
    assert not two.is_possibly_duplicated
    acknowledge(window, two)
    acknowledge(window, one)
    assert not window.pending
    assert window.pending_bytes == 0


def test_the_window_in_messages_and_bytes() -> None:
    window = make_window(messages_max=2, bytes_max=100)
    open_session(window)
    assert window.has_room(500), "one that is larger than the window may, alone"
    one = add(window, data=b"x" * 60)
    assert window.has_room(40)
    assert not window.has_room(41)
    assert window.room_count == 1
    add(window, data=b"")
    assert not window.has_room(0)
    acknowledge(window, one)
    assert window.has_room(100)


def test_without_a_session_they_wait_for_the_next() -> None:
    window = make_window()
    one = add(window)
    assert window.out == []
    open_session(window)
    assert [each.guid for each in sent(window)] == [one.guid_bytes]
    acknowledge(window, one)
    assert not one.is_possibly_duplicated


def test_what_was_not_acknowledged_is_sent_again_in_order() -> None:
    window = make_window()
    open_session(window)
    one, two, three = add(window), add(window), add(window)
    acknowledge(window, two)
    sent(window)
    window.close_session()
    four = add(window)
    open_session(window, 2)
    got = sent(window)
    assert [each.guid for each in got] == [one.guid_bytes, three.guid_bytes, four.guid_bytes]
    assert {each.connection_id for each in got} == {b"conn2"}
    acknowledge(window, one, three, four)
    assert [each.is_possibly_duplicated for each in (one, two, three, four)] == [True, False, True, False]


def test_without_retries_the_outcome_is_unknown_at_once() -> None:
    window = make_window(retries=False)
    open_session(window)
    one = add(window)
    window.close_session()
    two = add(window)
    assert isinstance(one.error, PublishUnknownError)
    open_session(window, 2)
    assert [each.guid for each in sent(window)] == [two.guid_bytes]


def test_a_refusal() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    acknowledge(window, one, error="too many channels")
    assert isinstance(one.error, PublishRefusedError)
    assert "too many channels" in str(one.error)
    assert not window.pending


def test_a_refusal_after_an_attempt_without_an_answer_is_no_refusal() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    window.close_session()
    open_session(window, 2)
    acknowledge(window, one, error="too many channels")
    assert isinstance(one.error, PublishUnknownError)


def test_refused_as_somebody_unknown_waits_for_what_is_known() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    acknowledge(window, one, error=NOT_KNOWN)
    assert one.error is None
    assert window.suspects == [one]
    window.refuse_suspects()
    assert isinstance(one.error, PublishRefusedError)


def test_refused_as_somebody_unknown_and_sent_again_in_a_new_session() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    acknowledge(window, one, error=NOT_KNOWN)
    window.close_session()
    open_session(window, 2)
    acknowledge(window, one)
    assert one.is_acknowledged
    assert not one.is_possibly_duplicated, "the first attempt was refused for certain"


def test_refused_twice_as_somebody_unknown() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    acknowledge(window, one, error=NOT_KNOWN)
    window.close_session()
    open_session(window, 2)
    acknowledge(window, one, error=NOT_KNOWN)
    assert isinstance(one.error, PublishRefusedError)


def test_time_is_up() -> None:
    window = make_window()
    in_time = add(window, now_ns=5)
    open_session(window)
    window.close_session()
    late = add(window, now_ns=10)
    assert window.next_deadline_ns() == SECOND_NS + 5
    window.expire(SECOND_NS + 4)
    assert len(window.pending) == 2
    window.expire(SECOND_NS + 5)
    assert isinstance(in_time.error, PublishUnknownError), "it was sent in the session that was lost"
    window.expire(SECOND_NS + 10)
    assert isinstance(late.error, PublishNotSentError)
    assert window.next_deadline_ns() == 0


def test_too_large_for_the_server() -> None:
    window = make_window()
    open_session(window, payload_bytes_max=100)
    one, two = add(window, data=b"x" * 100), add(window, data=b"x")
    assert isinstance(one.error, PublishRefusedError)
    assert [each.guid for each in sent(window)] == [two.guid_bytes]


def test_too_large_for_the_next_server() -> None:
    window = make_window()
    open_session(window)
    one = add(window, data=b"x" * 100)
    window.close_session()
    open_session(window, 2, payload_bytes_max=100)
    assert isinstance(one.error, PublishUnknownError)
    assert sent(window) == []


def test_a_channel_that_nobody_takes() -> None:
    window = make_window()
    open_session(window)
    one, two = add(window, "a"), add(window, "b")
    window.fail_channel(1)
    window.fail_channel(7)
    assert one.error is None
    assert isinstance(two.error, PublishUnknownError)


def test_the_end() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    window.close_session()
    two = add(window)
    window.fail_all("closed")
    assert isinstance(one.error, PublishUnknownError)
    assert isinstance(two.error, PublishNotSentError)
    assert window.failure_count == 2
    assert window.take_failures() == [one.error, two.error]
    assert window.take_failures() == []


def test_failures_that_nobody_fetches_are_counted_and_not_all_kept() -> None:
    window = make_window(messages_max=5000)
    for _ in range(1500):
        add(window)
    window.fail_all("closed")
    assert window.failure_count == 1500
    assert len(window.take_failures()) == 1000


def test_nonsense_answers_nothing() -> None:
    window = make_window()
    open_session(window)
    one = add(window)
    window.take_acks([b"", b"\x0a", b"\x0a\x03abc", b"\xff" * 24, b"\x0a\x16" + b"?" * 22])
    assert one.error is None
    assert not one.is_acknowledged


def test_what_is_settled() -> None:
    window = make_window()
    open_session(window)
    assert window.is_settled_up_to(window.last_guid)
    one = add(window)
    mark = window.last_guid
    two = add(window)
    assert not window.is_settled_up_to(mark)
    acknowledge(window, one)
    assert window.is_settled_up_to(mark)
    assert not window.is_settled_up_to(two.guid_bytes)


class Server:
    """Stores what it is sent, now and then without answering; refuses now and then."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.stored: dict[bytes, int] = {}

    def take(self, window: PublishWindow) -> None:
        for each in sent(window):
            fate = self.chance.random()
            if fate < 0.6:
                self.stored[each.guid] = self.stored.get(each.guid, 0) + 1
                if fate < 0.4:
                    window.take_acks([encode_publish_ack(each.guid, "")])
            elif fate < 0.7:
                window.take_acks([encode_publish_ack(each.guid, "too many channels")])
            elif fate < 0.8:
                window.take_acks([encode_publish_ack(each.guid, NOT_KNOWN)])


@pytest.mark.parametrize("seed", range(40))
def test_outcomes_are_never_wrong(seed: int) -> None:
    chance = random.Random(seed)
    window = make_window(messages_max=30, bytes_max=10_000, retries=chance.random() < 0.7)
    server = Server(chance)
    made: list[Publication] = []
    now_ns = session = 0
    for _ in range(300):
        now_ns += chance.randrange(SECOND_NS // 20)
        step = chance.random()
        if step < 0.5 and window.has_room(3):
            made.append(add(window, chance.choice("ab"), b"x" * chance.randrange(4), now_ns))
        elif step < 0.7 and window.is_open:
            server.take(window)
        elif step < 0.8:
            if window.is_open:
                window.close_session()
            else:
                session += 1
                open_session(window, session)
        elif step < 0.85:
            window.refuse_suspects()
        window.expire(now_ns)
    window.fail_all("the end")
    for publication in made:
        count = server.stored.get(publication.guid_bytes, 0)
        assert publication.is_acknowledged == (publication.error is None)
        if publication.is_acknowledged:
            assert count == 1 or (count > 1 and publication.is_possibly_duplicated)
        elif not isinstance(publication.error, PublishUnknownError):
            assert count == 0, publication.error
