"""STAN: subscriptions, start positions, the window, acknowledgements, redelivery (docs/protocol.md §4.2, §7, §8, §10)."""

import time

import pytest

from tests.blackbox.stan_client import FIRST, LAST_RECEIVED, NEW_ONLY, SEQUENCE, TIME_DELTA, StanClient, read_fields
from tests.server_process import ServerProcess, running_server
from tests.wire.wire_format import blob, integer

SUBSCRIBE = b"_STAN.sub.test-cluster"
SECOND_NS = 1_000_000_000


def sequences(client: StanClient, count: int) -> list[int]:
    """What comes next, and that nothing comes behind it."""
    found = [got.sequence for got in client.deliveries(count)]
    assert client.quiet()
    return found


@pytest.mark.row(36)
def test_the_answer_comes_before_any_message(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        client.publish(b"answer-first", *[b"x"] * 20)
        for _ in range(20):
            client.listen(inbox := b"%b.x%d" % (client.inbox, len(client.waiting)))
            payload = blob(1, client.client_id) + blob(2, b"answer-first") + blob(4, inbox) + integer(5, 1)
            reply = client.request(SUBSCRIBE, payload + integer(6, 30) + integer(10, FIRST))
            answer = client.receive()
            assert answer.subject == reply
            assert client.delivery().sequence == 1
            client.wire.ask(b"UNSUB %d\r\n" % len(client.waiting))


@pytest.mark.row(37, 38, 39)
@pytest.mark.parametrize(
    ("start", "sequence", "delta_ns", "expected"),
    [
        (NEW_ONLY, 0, 0, []),
        (LAST_RECEIVED, 0, 0, [10]),
        (FIRST, 0, 0, [6, 7, 8, 9, 10]),
        (SEQUENCE, 0, 0, [6, 7, 8, 9, 10]),
        (SEQUENCE, 1, 0, [6, 7, 8, 9, 10]),
        (SEQUENCE, 8, 0, [8, 9, 10]),
        (SEQUENCE, 10, 0, [10]),
        (SEQUENCE, 11, 0, []),
        (SEQUENCE, 2**64 - 1, 0, []),
        (TIME_DELTA, 0, 0, []),
        (TIME_DELTA, 0, -5 * SECOND_NS, []),
        (TIME_DELTA, 0, 3600 * SECOND_NS, [6, 7, 8, 9, 10]),
        (TIME_DELTA, 0, 2**63 - 1, [6, 7, 8, 9, 10]),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "durable", "group"])
def test_start_positions(
    limited: ServerProcess, kind: str, start: int, sequence: int, delta_ns: int, expected: list[int]
) -> None:
    with StanClient(limited.port) as client:
        client.connect()
        name = client.client_id if kind != "plain" else b""
        subscription = client.subscribe(
            b"six-to-ten",
            start=start,
            start_sequence=sequence,
            start_delta_ns=delta_ns,
            durable=name if kind == "durable" else b"",
            group=name if kind == "group" else b"",
        )
        assert sequences(client, len(expected)) == expected
        assert client.unsubscribe(subscription) == b""


@pytest.fixture(scope="module")
def limited() -> object:
    """A server with a channel that has dropped its first messages: 6 to 10 are left."""
    with running_server("-mm", "5", "-msu", "0") as server, StanClient(server.port) as publisher:
        publisher.connect()
        publisher.publish(b"six-to-ten", *[b"x"] * 10)
        yield server


def test_start_in_an_empty_channel_means_the_next(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        for start in range(5):
            client.subscribe(b"still-empty", start=start, start_sequence=5, start_delta_ns=SECOND_NS)
        assert client.quiet()
        client.publish(b"still-empty", b"x")
        assert sequences(client, 5) == [1] * 5


def test_start_at_a_moment_between_two_messages(server: ServerProcess) -> None:
    gap_ns = SECOND_NS // 5
    with StanClient(server.port) as client:
        client.connect()
        client.publish(b"moment", b"1", b"2")
        middle_ns = time.time_ns() + gap_ns // 2
        time.sleep(gap_ns / SECOND_NS)
        client.publish(b"moment", b"3", b"4")
        while True:
            delta_ns = time.time_ns() - middle_ns
            client.subscribe(b"moment", start=TIME_DELTA, start_delta_ns=delta_ns)
            # The server subtracts from its own clock, which is a little later: much later on a machine without time.
            if time.time_ns() - middle_ns - delta_ns < gap_ns // 2:
                break
            client.quiet()
            client.waiting.clear()
        assert sequences(client, 2) == [3, 4]


@pytest.mark.row(35)
@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (b"\xff", b"stan: invalid subscription request"),
        (b"", b"stan: clientID missing"),
        (blob(2, b"a") + integer(5, 1) + integer(6, 1), b"stan: clientID missing"),
        (blob(1, b"me"), b"stan: invalid ack wait time, should be >= 1s"),
        (blob(1, b"me") + integer(6, -1), b"stan: invalid ack wait time, should be >= 1s"),
        (blob(1, b"me") + integer(6, 1), b"stan: invalid MaxInflight, should be >= 1"),
        (blob(1, b"me") + integer(5, -1) + integer(6, 1), b"stan: invalid MaxInflight, should be >= 1"),
        (blob(1, b"me") + integer(5, 1) + integer(6, 1) + integer(10, 5), b"stan: invalid start position"),
        (blob(1, b"me") + integer(5, 1) + integer(6, 1) + integer(10, -1), b"stan: invalid start position"),
        (blob(1, b"me") + integer(5, 1) + integer(6, 1), b"stan: invalid subject"),
        (blob(1, b"me") + blob(2, b"a.*") + integer(5, 1) + integer(6, 1), b"stan: invalid subject"),
        (blob(1, b"nobody") + blob(2, b"never") + integer(5, 1) + integer(6, 1), b"stan: unknown clientID"),
    ],
)
def test_subscriptions_that_are_refused(server: ServerProcess, fields: bytes, error: bytes) -> None:
    with StanClient(server.port) as client:
        client.connect()
        assert read_fields(client.answer(SUBSCRIBE, fields)) == {3: error}


@pytest.mark.row(35, 89, 104)
def test_names_that_are_refused(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        error = b"stan: durable name of a durable queue subscriber can't contain the character ':'"
        assert client.try_subscribe(b"names", group=b"g", durable=b"a:b")[1] == error
        client.subscribe(b"names", durable=b"a:b")
        client.subscribe(b"names", group=b"a:b")
        assert client.try_subscribe(b"names", durable=b"a:b")[1] == b"stan: duplicate durable registration"


@pytest.mark.row(53, 54)
def test_the_window(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"window", max_in_flight=2)
        client.publish(b"window", *[b"x"] * 5)
        assert sequences(client, 2) == [1, 2]
        client.acknowledge(subscription, 2)
        assert sequences(client, 1) == [3]
        client.acknowledge(subscription, 1, 3, 3, 99)
        assert sequences(client, 2) == [4, 5]


def test_each_subscription_gets_every_message(server: ServerProcess) -> None:
    with StanClient(server.port) as client, StanClient(server.port) as other:
        client.connect()
        other.connect()
        subscriptions = [client.subscribe(b"every-one") for _ in range(3)]
        theirs = other.subscribe(b"every-one")
        client.publish(b"every-one", b"1", b"2")
        got = [client.receive() for _ in range(6)]
        for subscription in subscriptions:
            mine = [read_fields(message.payload).number(1) for message in got if message.subject == subscription.inbox]
            assert mine == [1, 2]
        assert [got.sequence for got in other.deliveries(2, theirs)] == [1, 2]


@pytest.mark.row(64)
def test_redelivery_after_ack_wait_until_the_acknowledgement(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"again", ack_wait_s=1, max_in_flight=1)
        began_s = time.monotonic()
        client.publish(b"again", b"1", b"2")
        assert [(got.sequence, got.redeliveries) for got in client.deliveries(3)] == [(1, 0), (1, 1), (1, 2)]
        # 15 ms ahead are included, twice.
        assert time.monotonic() - began_s > 1.9
        client.acknowledge(subscription, 1)
        assert [(got.sequence, got.redeliveries) for got in client.deliveries(1)] == [(2, 0)]
        client.acknowledge(subscription, 2)
        assert client.quiet()


@pytest.mark.row(69)
def test_an_acknowledgement_that_is_none(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"real", max_in_flight=1)
        client.publish(b"real", b"1", b"2")
        assert client.delivery(subscription).sequence == 1
        ack_inbox = subscription.ack_inbox
        client.wire.publish(ack_inbox, b"")
        client.wire.publish(ack_inbox, b"\xff\xff")
        client.wire.publish(ack_inbox, blob(1, b"no-such-channel") + integer(2, 1))
        client.wire.publish(ack_inbox, blob(1, b"real") + integer(2, 2))
        assert client.quiet()
        client.acknowledge(subscription, 1)
        assert client.delivery(subscription).sequence == 2


@pytest.mark.row(40, 47, 80)
def test_a_durable_resumes_where_it_was(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        first = client.subscribe(b"resume", durable=b"d", start=FIRST)
        client.publish(b"resume", b"1", b"2", b"3")
        assert [got.sequence for got in client.deliveries(3, first)] == [1, 2, 3]
        client.acknowledge(first, 1, 3)
        assert client.close_subscription(first) == b""
        assert client.close_subscription(first) == b"stan: invalid subscription"
        client.publish(b"resume", b"4")
        again = client.subscribe(b"resume", durable=b"d", start=NEW_ONLY, max_in_flight=1)
        assert again.ack_inbox != first.ack_inbox
        assert client.delivery(again) == (2, b"resume", b"2", 1)
        assert client.quiet()
        client.acknowledge(again, 2)
        assert client.delivery(again) == (4, b"resume", b"4", 0)
        # Another client's durable of that name is another one.
        with StanClient(server.port) as other:
            other.connect()
            other.subscribe(b"resume", durable=b"d", start=FIRST)
            assert sequences(other, 4) == [1, 2, 3, 4]
        # After an unsubscribe it is a new one.
        assert client.unsubscribe(again) == b""
        client.subscribe(b"resume", durable=b"d", start=FIRST)
        assert sequences(client, 4) == [1, 2, 3, 4]


@pytest.mark.row(82)
def test_replace_durable() -> None:
    with running_server("-replace_durable") as server, StanClient(server.port) as client:
        client.connect()
        first = client.subscribe(b"replaced", durable=b"d")
        client.publish(b"replaced", b"1")
        assert client.delivery(first).sequence == 1
        second = client.subscribe(b"replaced", durable=b"d")
        assert client.delivery(second) == (1, b"replaced", b"1", 1)
        client.publish(b"replaced", b"2")
        assert client.delivery(second).sequence == 2
        assert client.quiet()


@pytest.mark.row(48)
def test_a_subscription_is_found_by_its_delivery_inbox_too(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"by-inbox")
        payload = blob(1, client.client_id) + blob(2, b"by-inbox") + blob(3, subscription.inbox)
        # What a client library sends after its request timed out: no reply subject.
        client.wire.publish(b"_STAN.subclose.test-cluster", payload)
        assert client.close_subscription(subscription) == b"stan: invalid subscription"


@pytest.mark.row(49)
def test_unsubscribes_that_are_refused(server: ServerProcess) -> None:
    unsubscribe, close = b"_STAN.unsub.test-cluster", b"_STAN.subclose.test-cluster"
    with StanClient(server.port) as client, StanClient(server.port) as other:
        client.connect()
        other.connect()
        theirs = other.subscribe(b"unsubscribes")
        me, channel = blob(1, client.client_id), blob(2, b"unsubscribes")
        for subject in (unsubscribe, close):
            for payload, error in (
                (b"\xff", b"stan: invalid unsubscribe request"),
                (b"", b"stan: unknown channel"),
                (me + blob(2, b"no-such-channel"), b"stan: unknown channel"),
                (me + channel + blob(3, b"nothing"), b"stan: invalid subscription"),
                (me + channel + blob(3, theirs.ack_inbox), b"stan: unknown clientID"),
                (blob(1, b"nobody") + channel + blob(3, theirs.ack_inbox), b"stan: unknown clientID"),
            ):
                assert read_fields(client.answer(subject, payload)) == {3: error}
        client.publish(b"unsubscribes", b"still there")
        assert other.delivery(theirs).data == b"still there"


@pytest.mark.row(90)
def test_a_queue_group_takes_turns(server: ServerProcess) -> None:
    with StanClient(server.port) as publisher:
        publisher.connect()
        members = [StanClient(server.port).connect() for _ in range(3)]
        for member in members:
            member.subscribe(b"turns", group=b"g")
        publisher.publish(b"turns", *[b"x"] * 12)
        shares = [sequences(member, 4) for member in members]
        assert shares == [[1, 4, 7, 10], [2, 5, 8, 11], [3, 6, 9, 12]]
        for member in members:
            member.wire.close()


def test_who_leaves_a_group_leaves_its_messages_to_the_others(server: ServerProcess) -> None:
    with StanClient(server.port) as goes, StanClient(server.port) as stays:
        goes.connect()
        stays.connect()
        first = goes.subscribe(b"handover", group=b"g", max_in_flight=1)
        second = stays.subscribe(b"handover", group=b"g", max_in_flight=1)
        goes.publish(b"handover", b"1", b"2", b"3")
        assert (goes.delivery(first).sequence, stays.delivery(second).sequence) == (1, 2)
        assert goes.close_subscription(first) == b""
        assert stays.delivery(second) == (1, b"handover", b"1", 1)
        stays.acknowledge(second, 1, 2)
        assert stays.delivery(second) == (3, b"handover", b"3", 0)


@pytest.mark.row(94)
def test_a_durable_group_waits_for_anybody(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        member = client.subscribe(b"shadow", group=b"g", durable=b"d", start=FIRST)
        client.publish(b"shadow", b"1", b"2")
        assert [got.sequence for got in client.deliveries(2, member)] == [1, 2]
        client.acknowledge(member, 1)
        assert client.disconnect() == b""
    with StanClient(server.port) as other:
        other.connect()
        other.publish(b"shadow", b"3")
        member = other.subscribe(b"shadow", group=b"g", durable=b"d", start=FIRST)
        assert [(got.sequence, got.redeliveries) for got in other.deliveries(2, member)] == [(2, 1), (3, 0)]
        assert other.unsubscribe(member) == b""
        other.subscribe(b"shadow", group=b"g", durable=b"d", start=FIRST)
        assert sequences(other, 3) == [1, 2, 3]
