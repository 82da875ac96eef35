"""STAN: presence. Who is gone is known at once, and finds everything at the return (docs/protocol.md §5.2, §5.6, §9.6)."""

import time
from collections.abc import Callable

import pytest

from tests.blackbox.stan_client import StanClient
from tests.server_process import PATIENCE_S, ServerProcess, running_server

REGISTERED = b"stan: clientID already registered"
REPLACED = b"client has been replaced or is no longer registered"
PROBE_S = 0.5
GRACE_S = 3.0
TRIES = 5

Goodbye = Callable[[StanClient], None]


def leave(client: StanClient) -> None:
    """The process ended, the system closed its socket."""
    client.wire.close()


def crash(client: StanClient) -> None:
    """The process was killed with something unread."""
    client.wire.reset()


def misbehave(client: StanClient) -> None:
    """The server threw it out."""
    client.wire.send(b"NONSENSE\r\n")
    client.wire.rest()


def stop_listening(client: StanClient) -> None:
    """The connection stays, the client library is gone from it."""
    client.wire.ask(b"UNSUB 1\r\n")


def hold_one_message(server: ServerProcess, channel: bytes) -> tuple[StanClient, StanClient]:
    """Two members of a group; the first holds a message that it will not acknowledge, AckWait is 30 s."""
    holds, waits = StanClient(server.port), StanClient(server.port)
    holds.connect()
    waits.connect()
    first = holds.subscribe(channel, group=b"g", ack_wait_s=30)
    waits.subscribe(channel, group=b"g", ack_wait_s=30)
    waits.publish(channel, b"work")
    assert holds.delivery(first).sequence == 1
    assert waits.quiet()
    return holds, waits


def test_the_message_of_a_member_that_was_killed_goes_to_another_one(server: ServerProcess) -> None:
    holds, waits = hold_one_message(server, b"killed")
    with holds, waits:
        began_s = time.monotonic()
        holds.wire.reset()
        assert waits.delivery() == (1, b"killed", b"work", 1)
        took_s = time.monotonic() - began_s
    assert GRACE_S - 0.1 < took_s < GRACE_S + 10, "far below AckWait, which is 30 s"


@pytest.mark.parametrize("goodbye", [leave, crash, misbehave, stop_listening])
def test_presence_is_interest_in_the_heartbeat_inbox(goodbye: Goodbye) -> None:
    with running_server("-presence_grace", "100ms", "-SD") as server:
        holds, waits = hold_one_message(server, b"gone")
        with holds, waits:
            goodbye(holds)
            assert waits.delivery() == (1, b"gone", b"work", 1)
            # The session is another matter: it ends by heartbeats only.
            holds.reconnect(server.port)
            assert holds.ping() == b""


def test_while_nobody_else_is_there_the_message_stays() -> None:
    with running_server("-presence_grace", "50ms", "-SD") as server:
        holds, waits = hold_one_message(server, b"both")
        with holds, waits:
            first, second = (client.client_id.decode() for client in (holds, waits))
            waits.wire.close()
            server.wait_line(f"[Client:{second}] Is away")
            holds.wire.close()
            server.wait_line(f"[Client:{first}] Is away")
            # Whoever comes back first has it: a message is never lost, and never with two.
            waits.reconnect(server.port)
            assert waits.delivery() == (1, b"both", b"work", 1)
            holds.reconnect(server.port)
            assert holds.quiet()


@pytest.mark.row(6, 14)
def test_a_client_id_is_free_at_once_when_its_connection_is_gone(server: ServerProcess) -> None:
    took_s = []
    for _ in range(TRIES):
        with StanClient(server.port) as old, StanClient(server.port, old.client_id) as new:
            old.connect()
            old.wire.close()
            server.wait_line(f"[Client:{old.client_id.decode()}] Is away")
            began_s = time.monotonic()
            assert new.try_connect() == b""
            took_s.append(time.monotonic() - began_s)
            # The old instance is fenced off.
            assert new.ping() == b""
            old.reconnect(server.port)
            assert old.ping() == REPLACED
            assert old.try_publish(b"fenced", b"x") == b"stan: invalid publish request"
    assert min(took_s) < PROBE_S * 0.8, "it did not wait for an answer that cannot come"


@pytest.mark.row(4)
def test_a_client_id_in_use_is_refused_by_the_answer_of_its_owner(server: ServerProcess) -> None:
    with StanClient(server.port) as old, StanClient(server.port, old.client_id) as new:
        old.connect()
        took_s = []
        for _ in range(TRIES):
            began_s = time.monotonic()
            reply = new.request(b"_STAN.discover.test-cluster", new.connect_payload())
            assert old.quiet()  # which answers the heartbeat that asks
            assert (message := new.receive()).subject == reply
            assert REGISTERED in message.payload
            took_s.append(time.monotonic() - began_s)
        assert old.heartbeats == TRIES
        assert min(took_s) < PROBE_S * 0.8
        assert old.ping() == b""


@pytest.mark.row(5, 7)
def test_a_client_id_whose_owner_hangs_is_free_after_half_a_second(server: ServerProcess) -> None:
    with (
        StanClient(server.port) as old,
        StanClient(server.port, old.client_id) as new,
        StanClient(server.port, old.client_id) as third,
    ):
        old.answers_heartbeats = False
        old.connect()
        subscription = old.subscribe(b"hangs", durable=b"d")
        began_s = time.monotonic()
        reply = new.request(b"_STAN.discover.test-cluster", new.connect_payload())
        # While that question is open, everybody else is refused.
        assert new.wire.ask() == b""
        assert third.try_connect() == REGISTERED
        assert new.receive().subject == reply
        took_s = time.monotonic() - began_s
        assert PROBE_S - 0.05 < took_s < PATIENCE_S / 2
        new.try_connect()
        assert old.ping() == REPLACED
        assert old.close_subscription(subscription) == b"stan: invalid subscription"


def test_a_session_survives_a_lost_connection(server: ServerProcess) -> None:
    with StanClient(server.port) as client, StanClient(server.port) as publisher:
        client.connect()
        publisher.connect()
        plain = client.subscribe(b"survives", max_in_flight=3)
        durable = client.subscribe(b"survives", durable=b"d", max_in_flight=3)
        publisher.publish(b"survives", b"1")
        assert sorted(got.sequence for got in client.deliveries(2)) == [1, 1]
        client.acknowledge(plain, 1)
        assert client.quiet()
        client.wire.reset()
        server.wait_line(f"[Client:{client.client_id.decode()}] Is away")
        # Nothing is thrown at its inboxes now: what is published waits, and is no redelivery when it comes.
        publisher.publish(b"survives", b"2", b"3", b"4")
        client.reconnect(server.port)
        got: dict[bytes, list[tuple[int, int]]] = {plain.inbox: [], durable.inbox: []}
        for _ in range(5):
            message = client.receive()
            client.waiting.appendleft(message)
            delivery = client.delivery()
            got[message.subject].append((delivery.sequence, delivery.redeliveries))
        assert got[plain.inbox] == [(2, 0), (3, 0), (4, 0)]
        assert [sequence for sequence, _ in got[durable.inbox]] == [2, 3]
        assert client.ping() == b""
        client.acknowledge(durable, 1)
        assert client.delivery(durable) == (4, b"survives", b"4", 0)
        client.publish(b"survives", b"5")
        assert client.unsubscribe(plain) == b""
        assert client.disconnect() == b""


def test_an_acknowledgement_after_the_return_counts(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"late-ack", ack_wait_s=1, max_in_flight=1)
        client.publish(b"late-ack", b"1", b"2")
        assert client.delivery(subscription).sequence == 1
        client.reconnect(server.port)
        client.acknowledge(subscription, 1)
        assert client.delivery(subscription) == (2, b"late-ack", b"2", 0)


@pytest.mark.row(10)
def test_an_absent_client_is_removed_when_its_heartbeats_have_failed() -> None:
    with running_server("-hbi", "50ms", "-hbt", "10s", "-hbf", "3", "-SD") as server, StanClient(server.port) as other:
        other.connect()
        with StanClient(server.port) as client:
            client.connect()
            client.subscribe(b"forgotten")
        name = client.client_id.decode()
        server.wait_line(f"[Client:{name}] Is away")
        # Nobody listens, so each heartbeat fails at once and not after its time-out.
        server.wait_line(f"[Client:{name}] Timed out on heartbeats")
        server.wait_line(f"[Client:{name}] Closed")
        client.reconnect(server.port)
        assert client.ping() == REPLACED
        client.wire.close()
