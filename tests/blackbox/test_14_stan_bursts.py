"""Bursts: thousands of requests of one kind in one go. Each is answered, because none waits in a queue that could be full."""

from collections.abc import Callable

import pytest

from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.blackbox.wire_client import WireClient
from tests.server_process import ServerProcess, running_server
from tests.wire.wire_format import blob, integer

COUNT = 4000


def frame(subject: bytes, reply: bytes, payload: bytes) -> bytes:
    """A PUB; without a reply there are two blanks, which are as good as one."""
    return b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)


def connect_request(number: int) -> bytes:
    """That of one of many clients."""
    return blob(1, b"burst-%d" % number) + blob(2, b"burst.heartbeat") + integer(3, 1) + blob(4, b"c%d" % number)


def subscription_request(number: int) -> bytes:
    """One of many of one client, each on a channel of its own of a few."""
    start = blob(1, b"burst") + blob(2, b"foo%d" % (number % 8)) + blob(4, b"burst.%d" % number)
    return start + integer(5, 1) + integer(6, 30)


def ping_request(number: int) -> bytes:
    """That of the one client."""
    return blob(1, b"burst-connection")


@pytest.mark.row(131)
@pytest.mark.parametrize(
    ("subject", "request_of", "error_field"),
    [
        (b"_STAN.discover.test-cluster", connect_request, 5),
        (b"_STAN.sub.test-cluster", subscription_request, 3),
        (b"_STAN.discover.test-cluster.pings", ping_request, 1),
    ],
)
def test_every_request_of_a_burst_is_answered(
    subject: bytes, request_of: Callable[[int], bytes], error_field: int
) -> None:
    with (
        running_server("-hbi", "1h") as server,
        StanClient(server.port, b"burst", connection_id=b"burst-connection") as client,
    ):
        client.connect()
        with WireClient(server.port) as wire:
            wire.ask(b"SUB answers.* 1\r\n")
            wire.send(b"".join(frame(subject, b"answers.%d" % number, request_of(number)) for number in range(COUNT)))
            answers = [wire.message() for _ in range(COUNT)]
        assert {message.subject for message in answers} == {b"answers.%d" % number for number in range(COUNT)}
        assert {read_fields(message.payload).text(error_field) for message in answers} == {b""}
        assert client.ping() == b""


@pytest.mark.row(131)
def test_every_publish_and_acknowledgement_of_a_burst_counts(server: ServerProcess) -> None:
    channel = b"burst-of-acknowledgements"
    with StanClient(server.port) as client:
        client.connect()
        subject = client.registered.text(1) + b"." + channel
        payloads = [client.publish_payload(channel, b"%d" % number) for number in range(COUNT)]
        client.wire.send(b"".join(frame(subject, client.ack_subject, payload) for payload in payloads))
        assert {client.receive().subject for _ in range(COUNT)} == {client.ack_subject}
        subscription = client.subscribe(channel, durable=b"d", start=FIRST, max_in_flight=COUNT)
        client.deliveries(COUNT, subscription)
        acks = [blob(1, channel) + integer(2, sequence) for sequence in range(1, COUNT + 1)]
        client.wire.send(b"".join(frame(subscription.ack_inbox, b"", ack) for ack in acks))
        assert client.close_subscription(subscription) == b""
        client.publish(channel, b"next")
        again = client.subscribe(channel, durable=b"d")
        assert client.delivery(again).data == b"next", "of what was acknowledged nothing comes again"
