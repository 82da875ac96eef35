"""STAN: publishing (docs/protocol.md §2.3, §4.2, §5.3, §6)."""

import time

import pytest

from tests.blackbox.stan_client import FIRST, Fields, StanClient, read_fields
from tests.blackbox.wire_client import WireClient
from tests.server_process import ServerProcess, running_server
from tests.wire.wire_format import blob, integer

INVALID = b"stan: invalid publish request"
PUBLISH = b"_STAN.pub.test-cluster"


@pytest.mark.row(28)
def test_the_acknowledgement_has_the_guid(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        payload = blob(1, client.client_id) + blob(2, b"the guid") + blob(3, b"guids") + blob(6, client.connection_id)
        assert client.answer(PUBLISH + b".guids", payload) == blob(1, b"the guid")
        # Twice is twice.
        assert client.answer(PUBLISH + b".guids", payload) == blob(1, b"the guid")
        subscription = client.subscribe(b"guids", start=FIRST)
        assert [got.sequence for got in client.deliveries(2, subscription)] == [1, 2]


@pytest.mark.row(25)
def test_every_field_of_a_message_is_delivered(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"fields")
        before_ns = time.time_ns()
        payload = blob(2, b"g") + blob(3, b"fields") + blob(4, b"answer.here") + blob(5, b"\x00data\xff")
        client.wire.publish(PUBLISH + b".fields", payload + blob(6, client.connection_id), client.ack_subject)
        fields = read_fields(client.receive().payload)
        assert read_fields(client.receive().payload) == {1: b"g"}
        stamp_ns = fields.number(5)
        assert fields == {1: 1, 2: b"fields", 3: b"answer.here", 4: b"\x00data\xff", 5: stamp_ns}
        assert before_ns <= stamp_ns <= time.time_ns()
        assert client.quiet()
        assert subscription.inbox


@pytest.mark.row(29)
def test_a_subscriber_has_the_message_before_its_publisher_has_the_acknowledgement(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"first-things-first")
        for _ in range(50):
            client.send_publish(b"first-things-first", b"x")
            assert client.receive().subject == subscription.inbox
            assert client.receive().subject == client.ack_subject


@pytest.mark.row(26, 29)
def test_publishes_in_one_chunk_are_delivered_and_acknowledged_in_order(server: ServerProcess) -> None:
    count = 1000
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"chunk", max_in_flight=count)
        for i in range(count):
            client.send_publish(b"chunk", b"%d" % i)
        deliveries: list[Fields] = []
        acks: list[Fields] = []
        for _ in range(2 * count):
            message = client.receive()
            (deliveries if message.subject == subscription.inbox else acks).append(read_fields(message.payload))
            assert len(acks) <= len(deliveries)
        assert [fields.number(1) for fields in deliveries] == list(range(1, count + 1))
        assert [fields.text(4) for fields in deliveries] == [b"%d" % i for i in range(count)]
        assert [int(fields.text(1).rpartition(b"-")[2]) for fields in acks] == sorted(
            int(fields.text(1).rpartition(b"-")[2]) for fields in acks
        )
        stamps = [fields.number(5) for fields in deliveries]
        assert stamps == sorted(stamps)


@pytest.mark.row(24)
def test_the_channel_is_in_the_message_and_not_in_its_subject(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        inside = client.subscribe(b"inside")
        client.subscribe(b"outside")
        payload = client.publish_payload(b"inside", b"x")
        assert read_fields(client.answer(PUBLISH + b".outside", payload)).text(2) == b""
        assert client.delivery(inside).channel == b"inside"
        assert client.quiet()


@pytest.mark.parametrize(
    "channel",
    [b"ticket:created", b"with blank", b"tab\there", b"\xff\xfe", "Grüße".encode(), b"a.b.c", b"$", b"nul\x00"],
)
def test_channel_names(server: ServerProcess, channel: bytes) -> None:
    with StanClient(server.port) as client:
        client.connect()
        payload = client.publish_payload(channel, b"x")
        assert read_fields(client.answer(PUBLISH + b".any", payload)).text(2) == b""
        assert client.delivery(client.subscribe(channel, start=FIRST)).channel == channel


@pytest.mark.row(21)
@pytest.mark.parametrize("channel", [b"", b".", b".a", b"a.", b"a..b", b"a.*", b"a*", b">", b"a.>", b"a/b"])
def test_names_that_are_none(server: ServerProcess, channel: bytes) -> None:
    with StanClient(server.port) as client:
        client.connect()
        answer = read_fields(client.answer(PUBLISH + b".any", client.publish_payload(channel, b"x")))
        assert answer.text(2) == INVALID
        assert client.try_subscribe(channel)[1] == b"stan: invalid subject"


@pytest.mark.row(17, 21)
def test_publishes_that_are_refused(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        me, inside = blob(6, client.connection_id), blob(3, b"refused")
        for payload, guid in (
            (b"", b""),
            (b"\xff", b""),
            (inside + me, b""),
            (blob(2, b"g") + me, b"g"),
            (blob(2, b"g") + inside, b"g"),
            (blob(1, b"nobody") + blob(2, b"g") + inside, b"g"),
            (blob(1, client.client_id) + blob(2, b"g") + inside + blob(6, b"wrong"), b"g"),
        ):
            answer = read_fields(client.answer(PUBLISH + b".refused", payload))
            assert (answer.text(1), answer.text(2)) == (guid, INVALID)
        # Who one is: by connection ID alone, or by client ID without one.
        assert client.answer(PUBLISH + b".x", blob(1, b"nobody") + blob(2, b"g") + inside + me) == blob(1, b"g")
        assert client.answer(PUBLISH + b".x", blob(1, client.client_id) + blob(2, b"g") + inside) == blob(1, b"g")
        assert [got.sequence for got in client.deliveries(2, client.subscribe(b"refused", start=FIRST))] == [1, 2]


@pytest.mark.row(25)
def test_unknown_fields_are_skipped(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        payload = client.publish_payload(b"unknown-fields", b"x") + blob(10, b"hash") + blob(99, b"?") + integer(12, 5)
        assert read_fields(client.answer(PUBLISH + b".x", payload)).text(2) == b""


@pytest.mark.row(22)
def test_a_control_message_gets_no_answer(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        client.wire.publish(PUBLISH + b".x", integer(1, 3) + blob(2, b"server") + blob(3, b"data"), client.ack_subject)
        assert client.quiet()


def test_names_that_differ_by_case_only(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        client.publish(b"case-of-it", b"x")
        error = (
            b'rejecting channel "Case-Of-It" because channel "case-of-it" alreay exists (different cases not allowed)'
        )
        assert client.try_publish(b"Case-Of-It", b"x") == error
        assert client.try_subscribe(b"CASE-OF-IT")[1].startswith(b'rejecting channel "CASE-OF-IT" because')


@pytest.mark.row(33)
def test_limits_of_channels_and_messages() -> None:
    with running_server("-mc", "1", "-mm", "3", "-msu", "2") as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"only", b"1", b"2", b"3", b"4", b"5")
        assert client.try_publish(b"second", b"x") == b"too many channels"
        assert client.try_subscribe(b"second")[1] == b"too many channels"
        subscription = client.subscribe(b"only", start=FIRST)
        assert [got.sequence for got in client.deliveries(3, subscription)] == [3, 4, 5]
        client.subscribe(b"only")
        assert client.try_subscribe(b"only")[1] == b"too many subscriptions per channel"
        assert client.unsubscribe(subscription) == b""
        client.subscribe(b"only")


def test_limits_of_bytes_and_age() -> None:
    with running_server("-mb", "1KB", "-ma", "300ms") as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"bytes", *[b"x" * 200] * 10)
        subscription = client.subscribe(b"bytes", start=FIRST)
        assert [got.sequence for got in client.deliveries(4, subscription)] == [7, 8, 9, 10]
        client.publish(b"bytes", b"x" * 2000)
        assert client.delivery(subscription).sequence == 11
        # When all have grown too old there is nothing to replay, and sequences go on.
        while True:
            late = client.subscribe(b"bytes", start=FIRST)
            if client.quiet():
                break
            client.waiting.clear()
            client.unsubscribe(late)
        client.publish(b"bytes", b"new")
        assert sorted(got.sequence for got in client.deliveries(2)) == [12, 12]


def test_an_inactive_channel_is_deleted() -> None:
    with running_server("-mi", "200ms", "-SD") as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"short-lived", b"1", b"2")
        server.wait_line('Channel "short-lived" has been deleted')
        client.publish(b"short-lived", b"again")
        assert client.delivery(client.subscribe(b"short-lived", start=FIRST)).sequence == 1


def test_the_largest_message(server: ServerProcess) -> None:
    with StanClient(server.port) as client:
        client.connect()
        subscription = client.subscribe(b"large")
        data = b"x" * 1_048_000
        client.publish(b"large", data)
        assert client.delivery(subscription).data == data
    with WireClient(server.port) as client_of_nothing:
        assert client_of_nothing.ask() == b""
