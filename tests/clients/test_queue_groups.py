"""Two instances of a service, each a Node process, in one queue group."""

import time

import pytest

from tests.clients.conftest import Cast
from tests.clients.node_client import Message, NodeClient, Options
from tests.server_process import ServerProcess

SERVICE: Options = {
    "setDeliverAllAvailable": [],
    "setManualAckMode": True,
    "setDurableName": "service",
}
ACK_WAIT_MS = 30_000


def two_instances(server: ServerProcess, node: Cast, subject: str, ack_wait_ms: int) -> tuple[NodeClient, NodeClient]:
    """Both listen; the first that comes gets the first message."""
    first, second = node().connect(server.port), node().connect(server.port)
    for client in (first, second):
        client.subscribe("it", subject, {**SERVICE, "setAckWait": ack_wait_ms}, "service")
    return first, second


def test_each_message_goes_to_one_instance(server: ServerProcess, node: Cast) -> None:
    count = 100
    first, second = two_instances(server, node, "shared", ACK_WAIT_MS)
    publisher = node().connect(server.port)
    publisher.publish("shared", *(str(i) for i in range(count)))
    shares = []
    for client in (first, second):
        share = client.sequences("it", count // 2)
        for sequence in share:
            client.ack("it", sequence)
        shares += share
    assert sorted(shares) == list(range(1, count + 1))
    assert first.count("message") == second.count("message") == 0


def test_an_instance_that_is_killed_leaves_its_message_to_the_other_well_before_ack_wait(
    server: ServerProcess, node: Cast
) -> None:
    first, second = two_instances(server, node, "killed", ACK_WAIT_MS)
    second.publish("killed", "work")
    assert first.message("it") == Message(1, "work")
    began_s = time.monotonic()
    first.kill()
    assert second.message("it") == Message(1, "work", redelivered=True, redeliveries=1)
    assert time.monotonic() - began_s < ACK_WAIT_MS / 1000 / 2
    second.ack("it", 1)


def test_an_instance_that_hangs_leaves_its_message_to_the_other_after_ack_wait(
    server: ServerProcess, node: Cast
) -> None:
    first, second = two_instances(server, node, "hangs", 1000)
    second.publish("hangs", "work")
    assert first.message("it") == Message(1, "work")
    began_s = time.monotonic()
    first.hang()
    assert second.message("it") == Message(1, "work", redelivered=True, redeliveries=1)
    assert time.monotonic() - began_s > 0.5
    second.ack("it", 1)
    # When it comes back to life, too late, what it says about that message is taken as said, and the group goes on.
    first.go_on()
    first.ack("it", 1)
    assert second.publish("hangs", "more") == [""]


def test_a_durable_group_catches_up_when_an_instance_is_back(server: ServerProcess, node: Cast) -> None:
    first, second = two_instances(server, node, "both-down", ACK_WAIT_MS)
    publisher = node().connect(server.port)
    publisher.publish("both-down", "1", "2")
    assert (first.message("it").sequence, second.message("it").sequence) == (1, 2)
    first.ack("it", 1)
    publisher.publish("barrier", "x")
    first.close()
    second.close()
    publisher.publish("both-down", "3", "4")
    third = node().connect(server.port)
    third.subscribe("it", "both-down", {**SERVICE, "setAckWait": ACK_WAIT_MS}, "service")
    assert [third.message("it") for _ in range(3)] == [
        Message(2, "2", redelivered=True, redeliveries=1),
        Message(3, "3"),
        Message(4, "4"),
    ]


@pytest.mark.row(92)
@pytest.mark.parametrize("leave", ["close", "unsubscribe"])
def test_who_leaves_hands_over_at_once(server: ServerProcess, node: Cast, leave: str) -> None:
    first, second = two_instances(server, node, f"leaves-{leave}", ACK_WAIT_MS)
    second.publish(f"leaves-{leave}", "work")
    assert first.message("it").sequence == 1
    if leave == "close":
        first.close()
    else:
        first.unsubscribe("it")
    assert second.message("it") == Message(1, "work", redelivered=True, redeliveries=1)
