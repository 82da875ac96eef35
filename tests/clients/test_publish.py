"""The Node client connects, publishes and leaves."""

import pytest

from tests.clients.conftest import Cast
from tests.server_process import ServerProcess


def test_connect_and_close(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    client.close()
    assert client.events == []
    # It said goodbye, so its ID is free.
    node().connect(server.port, client.client_id).close()


def test_connect_with_a_connection_that_is_confirmed_and_checked(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port, verbose=True, pedantic=True)
    assert client.publish("verbose", "x") == [""]
    client.close()


def test_publish_is_acknowledged(server: ServerProcess, node: Cast) -> None:
    client = node().connect(server.port)
    assert client.publish("acknowledged", "one", "zwei \u00e4\u00f6\u00fc \u2603", "") == ["", "", ""]
    client.subscribe("all", "acknowledged", {"setDeliverAllAvailable": []})
    assert [client.message("all").data for _ in range(3)] == ["one", "zwei \u00e4\u00f6\u00fc \u2603", ""]
    client.close()


def test_many_publishes_are_under_way_at_once(server: ServerProcess, node: Cast) -> None:
    count = 2000
    client = node().connect(server.port)
    data = [f"event {i}" for i in range(count)]
    client.subscribe("all", "many", {})
    client.tell("publish", subject="many", data=data)
    assert [client.message("all") for _ in range(count)] == [(i + 1, data[i], False, 0) for i in range(count)]
    assert [client.wait("published")["data"] for _ in range(count)] == data
    client.close()


@pytest.mark.row(21)
@pytest.mark.parametrize("subject", ["a/b", "a..b", "a.*"])
def test_a_subject_that_is_none(server: ServerProcess, node: Cast, subject: str) -> None:
    client = node().connect(server.port)
    assert client.publish(subject, "x") == ["stan: invalid publish request"]
    client.close()


def test_a_message_that_is_too_large_is_not_stored(server: ServerProcess, node: Cast) -> None:
    """What nobody may send ends the connection; the client library reconnects and goes on."""
    client = node().connect(server.port)
    client.tell("publish", subject="large", data=["x" * 2_000_000])
    assert "Maximum Payload Violation" in str(client.wait("error")["error"])


@pytest.mark.row(4)
def test_a_client_id_that_is_in_use(server: ServerProcess, node: Cast) -> None:
    owner, other = node().connect(server.port), node()
    other.begin_connect(server.port, owner.client_id)
    assert other.wait("error")["error"] == "stan: clientID already registered"
    other.wait("close")
    assert owner.publish("still-here", "x") == [""]
    owner.close()


def test_a_client_id_with_letters_that_are_not_allowed(server: ServerProcess, node: Cast) -> None:
    client = node()
    client.begin_connect(server.port, "a.b")
    error = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed"
    assert client.wait("error")["error"] == error


@pytest.mark.row(6)
def test_a_client_id_whose_owner_was_killed_is_free_at_once(server: ServerProcess, node: Cast) -> None:
    owner = node().connect(server.port)
    owner.kill()
    node().connect(server.port, owner.client_id).close()


@pytest.mark.row(5)
def test_a_client_id_whose_owner_hangs_is_free_after_half_a_second(server: ServerProcess, node: Cast) -> None:
    owner = node().connect(server.port, stanPingInterval=1000)
    owner.hang()
    node().connect(server.port, owner.client_id).close()
    owner.go_on()
    assert owner.wait("connection_lost")["error"] == "client has been replaced or is no longer registered"
