"""The Node client listens: start positions, durables, acknowledgements by hand, unsubscribe against close."""

import time

import pytest

from tests.clients.conftest import Cast
from tests.clients.node_client import Message, Options
from tests.server_process import ServerProcess


@pytest.mark.row(37)
@pytest.mark.parametrize(
    ("setters", "expected"),
    [
        ({}, []),
        ({"setStartWithLastReceived": []}, [5]),
        ({"setDeliverAllAvailable": []}, [1, 2, 3, 4, 5]),
        ({"setStartAtSequence": 3}, [3, 4, 5]),
        ({"setStartAtSequence": 99}, []),
        ({"setStartAtTimeDelta": 3_600_000}, [1, 2, 3, 4, 5]),
        ({"setStartAt": 4}, [1, 2, 3, 4, 5]),
    ],
)
def test_start_positions(server: ServerProcess, node: Cast, setters: Options, expected: list[int]) -> None:
    client = node().connect(server.port)
    subject = f"positions-{client.client_id}"
    assert client.publish(subject, *"12345") == [""] * 5
    client.subscribe("it", subject, setters)
    # The next one shows that nothing else came before it.
    client.publish(subject, "6")
    assert client.sequences("it", len(expected) + 1) == [*expected, 6]
    client.close()


def test_start_at_a_moment(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    client.publish("moment", "1", "2")
    time.sleep(1)
    client.publish("moment", "3")
    client.subscribe("it", "moment", {"setStartAtTimeDelta": 500})
    client.publish("moment", "4")
    assert client.sequences("it", 2) in ([3, 4], [4, 3])
    client.close()


def test_a_message_says_what_it_is(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    before_ms = int(time.time() * 1000)
    client.publish("ticket:created", '{"id": 1}')
    client.subscribe("it", "ticket:created", {"setDeliverAllAvailable": []})
    message = client.wait("message")
    after_ms = int(time.time() * 1000) + 1
    moment = message.pop("time")
    assert isinstance(moment, int) and before_ms <= moment <= after_ms
    assert message == {
        "event": "message",
        "name": "it",
        "sequence": 1,
        "subject": "ticket:created",
        "data": '{"id": 1}',
        "redelivered": False,
        "redeliveries": 0,
    }
    client.close()


def test_a_durable_resumes_in_another_process(server: ServerProcess, node: Cast) -> None:
    first, publisher = node().connect(server.port), node().connect(server.port)
    options: Options = {"setDurableName": "d", "setDeliverAllAvailable": []}
    publisher.publish("durable", "1", "2")
    first.subscribe("it", "durable", options)
    assert first.sequences("it", 2) == [1, 2]
    first.close()
    publisher.publish("durable", "3")
    second = node().connect(server.port, first.client_id)
    second.subscribe("it", "durable", options)
    assert second.message("it") == Message(3, "3")
    # A crash is no goodbye: what was acknowledged stays so all the same.
    second.kill()
    publisher.publish("durable", "4")
    third = node().connect(server.port, first.client_id)
    third.subscribe("it", "durable", options)
    assert third.message("it").sequence in (3, 4)


@pytest.mark.row(64)
def test_acknowledgement_by_hand_and_redelivery(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    client.subscribe("it", "by-hand", {"setManualAckMode": True, "setAckWait": 1000, "setMaxInFlight": 1})
    client.publish("by-hand", "1", "2")
    assert [client.message("it") for _ in range(3)] == [
        Message(1, "1", redelivered=False, redeliveries=0),
        Message(1, "1", redelivered=True, redeliveries=1),
        Message(1, "1", redelivered=True, redeliveries=2),
    ]
    client.ack("it", 1)
    assert client.message("it") == Message(2, "2")
    client.ack("it", 2)
    client.publish("by-hand", "3")
    assert client.message("it") == Message(3, "3")
    client.close()


@pytest.mark.row(53, 54)
def test_the_window(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    client.subscribe("it", "window", {"setManualAckMode": True, "setMaxInFlight": 2})
    client.publish("window", *"12345")
    assert client.sequences("it", 2) == [1, 2]
    client.ack("it", 2)
    assert client.sequences("it", 1) == [3]
    client.publish("window", "6")
    assert client.count("message") == 0
    client.close()


@pytest.mark.row(81)
def test_unsubscribe_forgets_a_durable_and_close_does_not(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    options: Options = {"setDurableName": "d", "setDeliverAllAvailable": []}
    client.publish("forgotten", "1", "2")
    client.subscribe("first", "forgotten", options)
    assert client.sequences("first", 2) == [1, 2]
    client.close_subscription("first")
    client.publish("forgotten", "3")
    client.subscribe("second", "forgotten", options)
    assert client.sequences("second", 1) == [3]
    client.unsubscribe("second")
    client.subscribe("third", "forgotten", options)
    assert client.sequences("third", 3) == [1, 2, 3]
    client.close()


def test_after_an_unsubscribe_nothing_comes(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    client.subscribe("goes", "left", {})
    client.subscribe("stays", "left", {})
    client.unsubscribe("goes")
    client.publish("left", "1")
    assert client.sequences("stays", 1) == [1]
    assert client.count("message") == 0
    client.close()


def test_a_durable_that_is_online_already(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    client.subscribe("first", "twice", {"setDurableName": "d"})
    client.begin_subscribe("second", "twice", {"setDurableName": "d"})
    assert client.wait("error", name="second")["error"] == "stan: duplicate durable registration"
    client.close()
