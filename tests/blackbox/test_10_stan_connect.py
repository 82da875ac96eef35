"""STAN: registering, pings, closing, heartbeats (docs/protocol.md §2.2, §4, §5.1 to §5.5, §10)."""

import pytest

from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.blackbox.wire_client import WireClient
from tests.server_process import ServerProcess, running_server
from tests.wire.wire_format import blob, integer

DISCOVER = b"_STAN.discover.test-cluster"
INVALID_CONNECT = b"stan: invalid connection request"
INVALID_ID = b"stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed"
REPLACED = b"client has been replaced or is no longer registered"


@pytest.mark.row(1)
def test_the_answer_names_the_subjects(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        assert client.try_connect() == b""
        assert client.registered == {
            1: b"_STAN.pub.test-cluster",
            2: b"_STAN.sub.test-cluster",
            3: b"_STAN.unsub.test-cluster",
            4: b"_STAN.close.test-cluster",
            6: b"_STAN.subclose.test-cluster",
            7: DISCOVER + b".pings",
            8: 5,
            9: 3,
            10: 1,
        }


@pytest.mark.row(1)
def test_a_client_older_than_pings(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        answer = read_fields(client.answer(DISCOVER, client.connect_payload(protocol=0)))
        assert {7, 8, 9}.isdisjoint(answer)
        assert answer.number(10) == 1


def test_another_cluster_id() -> None:
    with running_server("-cid", "shop-1") as server, StanClient(server.port, cluster=b"shop-1") as client:
        client.connect()
        assert client.registered.text(1) == b"_STAN.pub.shop-1"
        assert client.ping() == b""
        client.publish(b"ticket:created", b"x")


@pytest.mark.row(2, 3)
@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", INVALID_CONNECT),
        (b"\xff\xff\xff", INVALID_CONNECT),
        (blob(1, b"a"), INVALID_CONNECT),
        (integer(1, 5) + blob(2, b"inbox"), INVALID_CONNECT),
        (blob(2, b"inbox"), INVALID_ID),
        (blob(1, b"a b") + blob(2, b"inbox"), INVALID_ID),
        (blob(1, b"a.b") + blob(2, b"inbox"), INVALID_ID),
        (blob(1, b"\xff\xfe") + blob(2, b"inbox"), INVALID_ID),
        (blob(1, b"a\n") + blob(2, b"inbox"), INVALID_ID),
    ],
)
def test_connect_requests_that_are_refused(server: ServerProcess, payload: bytes, error: bytes) -> None:
    with StanClient(server.port) as client:
        assert read_fields(client.answer(DISCOVER, payload)) == {5: error}


@pytest.mark.row(13)
def test_pings(server: ServerProcess) -> None:
    with StanClient(server.port) as client, StanClient(server.port) as other:
        client.connect()
        assert client.answer(DISCOVER + b".pings", blob(1, client.connection_id)) == b""
        other.connect()
        assert read_fields(other.answer(DISCOVER + b".pings", blob(1, b"unheard-of"))) == {1: REPLACED}
        # Nothing in it: no answer at all, to that one.
        other.request(DISCOVER + b".pings", b"")
        assert other.ping() == b""
        assert not other.waiting


@pytest.mark.row(14, 18)
def test_closing_a_client(server: ServerProcess) -> None:
    with StanClient(server.port) as client, StanClient(server.port) as other:
        client.connect()
        other.connect()
        subscription = client.subscribe(b"closing")
        assert client.disconnect() == b""
        assert client.disconnect() == b"stan: unknown clientID"
        assert client.ping() == REPLACED
        assert client.try_publish(b"closing", b"x") == b"stan: invalid publish request"
        assert client.unsubscribe(subscription) == b"stan: invalid subscription"
        other.publish(b"closing", b"x")
        assert client.wire.ask() == b""
        # Its ID is free again.
        with StanClient(server.port, client.client_id) as successor:
            assert successor.try_connect() == b""


@pytest.mark.parametrize(
    ("payload", "error"),
    [(b"", b"stan: unknown clientID"), (b"\x0a\x05a", b"stan: invalid close request")],
)
def test_close_requests_that_are_refused(server: ServerProcess, payload: bytes, error: bytes) -> None:
    with StanClient(server.port) as client:
        client.connect()
        assert read_fields(client.answer(client.registered.text(4), payload)) == {1: error}


@pytest.mark.row(19)
def test_what_was_sent_before_the_close_counts(server: ServerProcess) -> None:
    with StanClient(server.port) as client, StanClient(server.port) as other:
        client.connect()
        durable = client.subscribe(b"barrier", durable=b"d", start=FIRST)
        client.publish(b"barrier", b"1", b"2")
        assert [got.sequence for got in client.deliveries(2, durable)] == [1, 2]
        client.acknowledge(durable, 1)
        client.send_publish(b"barrier", b"3")
        reply = client.request(client.registered.text(4), blob(1, client.client_id))
        answers: dict[bytes, bytes] = {}
        while reply not in answers:
            message = client.receive()
            answers[message.subject] = message.payload
        assert list(answers)[-2:] == [client.ack_subject, reply]
        assert (read_fields(answers[client.ack_subject]).text(2), answers[reply]) == (b"", b"")
        # The acknowledgement counted: what is left is the second message and the third.
        client.connect()
        resumed = client.subscribe(b"barrier", durable=b"d")
        assert [got.sequence for got in client.deliveries(2, resumed)] == [2, 3]
        other.connect()
        everything = other.subscribe(b"barrier", start=FIRST)
        assert [got.data for got in other.deliveries(3, everything)] == [b"1", b"2", b"3"]


def test_requests_without_a_reply_subject_are_carried_out(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.wire.publish(DISCOVER, client.connect_payload())
        assert read_fields(client.answer(DISCOVER + b".pings", blob(1, client.connection_id))) == {}


@pytest.mark.row(9)
def test_heartbeats_are_sent_and_their_answers_keep_the_session() -> None:
    with running_server("-hbi", "50ms", "-hbt", "5s", "-hbf", "0") as server, StanClient(server.port) as client:
        client.connect()
        while client.heartbeats < 5:
            assert client.quiet()
        assert client.ping() == b""


@pytest.mark.row(10)
def test_a_client_that_hangs_is_removed_by_the_original_formula() -> None:
    with (
        running_server("-hbi", "50ms", "-hbt", "50ms", "-hbf", "2", "-SD") as server,
        StanClient(server.port) as hangs,
        WireClient(server.port) as watcher,
    ):
        hangs.answers_heartbeats = False
        hangs.connect()
        server.wait_line(f"[Client:{hangs.client_id.decode()}] Timed out on heartbeats")
        assert hangs.ping() == REPLACED
        assert hangs.heartbeats == 3, "one more than may fail"
        assert watcher.ask() == b""
