"""Stopped and killed, and started again, on every store that keeps what it acknowledged (docs/protocol.md §10.6)."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from durabus.streaming.records import SubscriptionRecord, decode_subscription, encode_subscription
from durabus.streaming.store_port import KIND_CLIENT, KIND_SUBSCRIPTION, Cursor
from tests.blackbox.durable_stores import DURABLE, Place, new_place
from tests.blackbox.stan_client import FIRST, Delivery, StanClient, Subscription
from tests.blackbox.test_30_start import get
from tests.nats_server import running_nats_server
from tests.server_process import HOST, PATIENCE_S, ServerProcess, failed_start

pytestmark = pytest.mark.skipif(
    "DURABUS_TEST_SERVER" in os.environ, reason="the original has other files and no sqlite"
)

ENDS = (signal.SIGTERM, signal.SIGKILL)
TOGETHER_S = 0.015
"""So much earlier than it is due something may go out with others."""


@pytest.fixture(params=DURABLE)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store."""
    return new_place(request.param, tmp_path)


@contextmanager
def restarted(place: Place, server: ServerProcess, number: signal.Signals, *flags: str) -> Iterator[ServerProcess]:
    """End `server` with a signal; its successor on the same port."""
    code = server.stop(number)
    assert code == (143 if number == signal.SIGTERM else -number)
    with place.server(*flags, port=server.port) as successor:
        yield successor


def channel(server: ServerProcess, name: str) -> dict[str, object]:
    """What monitoring says of a channel and its subscriptions."""
    status, body = get(server.monitor_port, f"/streaming/channelsz?channel={name}&subs=1")
    assert status == 200
    found: dict[str, object] = json.loads(body)
    return found


def until(holds: str, condition: object) -> None:
    """Ask again until it holds, which is soon."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {holds}"
        time.sleep(0.02)


def first_seen(client: StanClient, subscription: Subscription, count: int) -> list[int]:
    """The next `count` sequences that were not seen yet, in the order in which they come."""
    seen: dict[int, Delivery] = {}
    while len(seen) < count:
        got = client.delivery(subscription)
        seen.setdefault(got.sequence, got)
    return list(seen)


def test_the_lines_of_a_start_and_its_exit_codes(place: Place) -> None:
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 0)):
        with place.server("-m", "-1", "-cid", "shop") as server:
            words = [
                "STREAM: Starting nats-streaming-server[shop] version ",
                "Listening for client connections on ",
                "STREAM: Recovering the state...",
                "STREAM: No recovered state" if number == signal.SIGTERM else "STREAM: Recovered 0 channel(s)",
                f"STREAM: Message store is {place.name}",
                "STREAM: ---------- Store Limits ----------",
                "STREAM: Streaming Server is ready",
            ]
            lines = server.log.splitlines()
            places = [next(i for i, line in enumerate(lines) if word in line) for word in words]
            assert places == sorted(places)
            assert server.stop(number) == code


@pytest.mark.row(118)
def test_another_cluster_is_refused_and_changes_nothing(place: Place) -> None:
    with place.server("-cid", "first") as server, StanClient(server.port, cluster=b"first") as client:
        client.connect().publish(b"foo", b"1")
    ended = failed_start("-a", HOST, "-p", "-1", *place.flags, "-cid", "second")
    assert ended.returncode == 1
    assert 'cluster ID "second" does not match recovered value of "first"' in ended.stdout + ended.stderr
    with place.server("-cid", "first") as server, StanClient(server.port, cluster=b"first") as client:
        replay = client.connect().subscribe(b"foo", start=FIRST)
        assert client.delivery(replay).data == b"1"


@pytest.mark.row(117)
@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_second_server_of_the_cluster_is_refused_and_its_store_is_as_it_was(kind: str, tmp_path: Path) -> None:
    """With a store of its own, behind the same NATS server; a change of state in it would be nobody's."""
    places = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        places.append(new_place(kind, folder))
    first, second = places
    with second.server() as server, StanClient(server.port) as client:
        client.connect().publish(b"foo", b"of the second")
    before = second.look()
    with running_nats_server(tmp_path) as nats, first.server("-ns", nats.url) as server:
        ended = failed_start("-p", "-1", *second.flags, "-ns", nats.url)
        assert ended.returncode == 1
        assert 'discovered another streaming server with cluster ID "test-cluster"' in ended.stdout + ended.stderr
        with StanClient(nats.port) as client:
            client.connect().publish(b"foo", b"of the first")
        assert server.stop(signal.SIGTERM) == 143
    after = second.look()
    assert sorted(after.state) == sorted(before.state)
    assert [(one.first_sequence, one.last_sequence) for one in after.channels] == [(1, 1)]


@pytest.mark.row(16)
@pytest.mark.parametrize("number", ENDS)
def test_running_clients_go_on(place: Place, number: signal.Signals) -> None:
    """The connection comes back and nothing else is said; everybody has the inboxes, names and positions of before."""
    with place.server("-hbi", "1s", "-hbt", "1s", "-hbf", "2") as server, StanClient(server.port) as client:
        client.connect()
        plain = client.subscribe(b"foo", ack_wait_s=600)
        durable = client.subscribe(b"foo", durable=b"d", ack_wait_s=600)
        group = client.subscribe(b"foo", group=b"g", ack_wait_s=600)
        durable_group = client.subscribe(b"foo", group=b"g", durable=b"d", ack_wait_s=600)
        everybody = (plain, durable, group, durable_group)
        with restarted(place, server, number, "-hbi", "1s", "-hbt", "1s", "-hbf", "2") as successor:
            client.reconnect(successor.port)
            assert client.ping() == b""
            client.publish(b"foo", b"1")
            messages = [client.receive() for _ in everybody]
            assert sorted(message.subject for message in messages) == sorted(one.inbox for one in everybody)
            for subscription in everybody:
                client.acknowledge(subscription, 1)
            heard = client.heartbeats
            while client.heartbeats < heard + 2:
                assert client.ping() == b""
            assert client.quiet(), "everything was acknowledged"
            for subscription in everybody:
                assert client.unsubscribe(subscription) == b""
            assert client.disconnect() == b""
            assert client.disconnect() == b"stan: unknown clientID"
            successor.stop(signal.SIGTERM)
    assert place.keys(KIND_SUBSCRIPTION) == set()
    assert place.keys(KIND_CLIENT) == set()


@pytest.mark.row(74)
@pytest.mark.parametrize("number", ENDS)
def test_what_is_unacknowledged_is_due_ack_wait_after_it_was_stored(place: Place, number: signal.Signals) -> None:
    with place.server() as server, StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"foo", durable=b"d", ack_wait_s=2)
        before_s = time.monotonic()
        client.publish(b"foo", b"1", b"2")
        assert [got.redeliveries for got in client.deliveries(2, subscription)] == [0, 0]
        with restarted(place, server, number) as successor:
            client.reconnect(successor.port)
            # Killed before the position was stored, it has got nothing yet, and gets it at once.
            got = client.deliveries(2, subscription)
            assert [one.sequence for one in got] == [1, 2]
            assert all(one.redeliveries == (number == signal.SIGTERM) for one in got)
            if number == signal.SIGTERM:
                assert time.monotonic() - before_s > 2 - TOGETHER_S


@pytest.mark.row(76)
@pytest.mark.parametrize(("number", "ack_wait_s"), [(signal.SIGTERM, 1), (signal.SIGTERM, 600), (signal.SIGKILL, 1)])
def test_what_is_unacknowledged_comes_in_order_and_before_what_is_new(
    place: Place, number: signal.Signals, ack_wait_s: int
) -> None:
    """Due or not: more than one read of the store, from times that are apart."""
    count = 60
    with place.server() as server, StanClient(server.port) as client, StanClient(server.port) as publisher:
        client.connect()
        publisher.connect()
        subscription = client.subscribe(b"foo", durable=b"d", ack_wait_s=ack_wait_s)
        for i in range(count):
            publisher.publish(b"foo", b"%d" % i + bytes(40_000))
        assert first_seen(client, subscription, count) == [*range(1, count + 1)]
        acknowledged = {*range(5, count, 7)}
        client.acknowledge(subscription, *acknowledged)
        assert client.ping() == b""
        with restarted(place, server, number) as successor:
            publisher.reconnect(successor.port)
            publisher.publish(b"foo", b"new")
            client.reconnect(successor.port)
            seen: list[int] = []
            while not seen or seen[-1] <= count:
                got = client.delivery(subscription)
                if got.sequence not in seen:
                    seen.append(got.sequence)
            assert seen == sorted(seen)
            missing = {*range(1, count + 2)} - {*seen}
            # Killed, it may not have known of all that was acknowledged.
            assert missing == acknowledged if number == signal.SIGTERM else missing <= acknowledged


@pytest.mark.row(76)
def test_a_full_window_of_acknowledged_messages_holds_up_nothing(place: Place) -> None:
    """Killed when the store knew that the window was full, and not yet that it was acknowledged: nobody waits for AckWait."""
    with place.server() as server, StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"foo", durable=b"d", ack_wait_s=600, max_in_flight=2)
        client.publish(b"foo", b"1", b"2", b"3", b"4", b"5")
        assert [got.sequence for got in client.deliveries(2, subscription)] == [1, 2]
        stopped = server.stop(signal.SIGKILL)
        assert stopped == -signal.SIGKILL
        record = decode_subscription(next(value for kind, _, value in place.look().state if kind == KIND_SUBSCRIPTION))
        place.change([], [Cursor(record.subscription_id, 2, [(1, 2)])])
        with place.server(port=server.port) as successor:
            client.reconnect(successor.port)
            for sequence in range(1, 6):
                got = client.delivery(subscription)
                assert (got.sequence, got.redeliveries) == (sequence, int(sequence < 3))
                client.acknowledge(subscription, sequence)


@pytest.mark.row(86, 87, 102)
def test_who_has_no_client_any_more(place: Place) -> None:
    """Plain subscriptions go, durables are offline, groups keep one shadow, whatever was left behind."""
    with place.server() as server, StanClient(server.port, b"here") as client, StanClient(server.port, b"gone") as gone:
        client.connect()
        gone.connect()
        client.publish(b"foo", *[b"x"] * 6)
        for one in (client, gone):
            one.subscribe(b"foo", start=FIRST)
            one.subscribe(b"foo", durable=b"d", start=FIRST)
        member = client.subscribe(b"foo", group=b"g", durable=b"mixed")
        gone.subscribe(b"foo", group=b"g", durable=b"mixed")
        gone.subscribe(b"foo", group=b"g", durable=b"left", start=FIRST)
        gone.subscribe(b"foo", group=b"plain", start=FIRST)
        assert server.stop(signal.SIGTERM) == 143
    recovered = place.change([(KIND_CLIENT, b"gone", None)])
    # A second shadow of the group that nobody is left of, as the original could leave them behind.
    records = [decode_subscription(value) for kind, _, value in recovered.state if kind == KIND_SUBSCRIPTION]
    (left,) = [record for record in records if record.queue_group == b"left:g"]
    second = SubscriptionRecord(77, b"foo")
    second.queue_group, second.is_durable, second.is_closed = left.queue_group, True, True
    second.inbox, second.ack_inbox = left.inbox, b"_INBOX.another"
    second.max_in_flight, second.ack_wait_s = left.max_in_flight, left.ack_wait_s
    entry = (KIND_SUBSCRIPTION, b"77", encode_subscription(second))
    place.change([entry], [Cursor(77, 6, [(4, 4)]), Cursor(left.subscription_id, 5, [(1, 2)])])
    with place.server("-m", "-1") as server, client:
        assert server.log.count("of a group has no client any more: removed") == 2
        shown = channel(server, "foo")["subscriptions"]
        assert isinstance(shown, list)
        assert sorted(
            (one["client_id"], one["is_durable"], one["is_offline"], one.get("queue_name", "")) for one in shown
        ) == [
            ("gone", True, True, ""),
            ("gone", True, True, "left:g"),
            ("here", False, False, ""),
            ("here", True, False, ""),
            ("here", True, False, "mixed:g"),
        ]
        with StanClient(server.port, b"gone") as again:
            again.connect()
            resumed = again.subscribe(b"foo", group=b"g", durable=b"left")
            assert [(got.sequence, got.redeliveries) for got in again.deliveries(3, resumed)] == [
                (1, 1),
                (2, 1),
                (4, 1),
            ]
            durable = again.subscribe(b"foo", durable=b"d")
            assert [got.sequence for got in again.deliveries(6, durable)] == [1, 2, 3, 4, 5, 6]
        client.reconnect(server.port)
        assert client.ping() == b""
        assert client.unsubscribe(member) == b""


@pytest.mark.row(151)
@pytest.mark.parametrize("number", ENDS)
def test_no_number_of_a_subscription_is_given_twice_and_each_goes_on_where_it_was(
    place: Place, number: signal.Signals
) -> None:
    with place.server() as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"foo", *[b"x"] * 9)
        kept = client.subscribe(b"foo", durable=b"kept", start=FIRST, max_in_flight=4)
        client.acknowledge(kept, *[got.sequence for got in client.deliveries(4, kept)])
        assert [got.sequence for got in client.deliveries(4, kept)] == [5, 6, 7, 8]
        assert client.close_subscription(kept) == b""
        highest = client.subscribe(b"foo", durable=b"highest", start=FIRST)
        client.deliveries(9, highest)
        assert client.unsubscribe(highest) == b""
        with restarted(place, server, number, "-m", "-1") as successor:
            client.reconnect(successor.port)
            shown = channel(successor, "foo")["subscriptions"]
            assert isinstance(shown, list)
            assert [(one["durable_name"], one["last_sent"], one["pending_count"]) for one in shown] == [("kept", 8, 4)]
            client.subscribe(b"foo", durable=b"new")
            resumed = client.subscribe(b"foo", durable=b"kept", max_in_flight=5)
            assert [got.sequence for got in client.deliveries(5, resumed)] == [5, 6, 7, 8, 9]
            successor.stop(signal.SIGTERM)
    assert place.keys(KIND_SUBSCRIPTION) == {b"1", b"3"}


@pytest.mark.row(107, 154, 155)
@pytest.mark.parametrize("number", ENDS)
def test_a_channel_whose_messages_are_all_too_old_goes_on_counting(place: Place, number: signal.Signals) -> None:
    flags = ("-m", "-1", "-ma", "1s")
    with place.server(*flags) as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"foo", b"1", b"2", b"3")

        def figures(at: ServerProcess) -> tuple[object, ...]:
            found = channel(at, "foo")
            return found["msgs"], found["first_seq"], found["last_seq"]

        until("all are too old", lambda: figures(server) == (0, 4, 3))
        with restarted(place, server, number, *flags) as successor:
            assert figures(successor) == (0, 4, 3)
            client.reconnect(successor.port)
            subscription = client.subscribe(b"foo", start=FIRST)
            client.publish(b"foo", b"4")
            assert client.delivery(subscription).sequence == 4
