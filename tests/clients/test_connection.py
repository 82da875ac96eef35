"""The Node client loses its connection, its server, or its client ID."""

import pytest

from tests.clients.conftest import Cast
from tests.clients.tcp_proxy import TcpProxy
from tests.server_process import ServerProcess, running_server

REPLACED = "client has been replaced or is no longer registered"
PINGS_FAILED = "stan: connection lost due to PING failure"


def test_a_lost_connection_is_no_lost_session(server: ServerProcess, proxy: TcpProxy, node: Cast) -> None:
    client, publisher = node().connect(proxy.port), node().connect(server.port)
    client.subscribe("it", "goes-on", {"setManualAckMode": True, "setAckWait": 30_000})
    publisher.publish("goes-on", "1")
    assert client.sequences("it", 1) == [1]
    for number in range(2, 5):
        proxy.lets_through = False
        proxy.cut()
        client.wait("disconnect")
        server.wait_line(f"[Client:{client.client_id}] Is away", number - 1)
        publisher.publish("goes-on", f"{number}")
        proxy.lets_through = True
        client.wait("reconnect")
        # Published while nobody listened: it waited, and what was under way before may come again.
        while client.message("it").sequence != number:
            pass
        client.ack("it", number)
    assert client.publish("goes-on", "from the other side") == [""]
    assert client.count("connection_lost") == client.count("close") == 0
    client.close()


@pytest.mark.row(14)
def test_a_server_that_restarts_without_its_memory_is_noticed(node: Cast) -> None:
    with running_server() as server:
        client = node().connect(server.port, stanPingInterval=1000, stanMaxPingOut=10)
        assert client.publish("memory", "1") == [""]
        assert server.stop() == 0
        client.wait("disconnect")
        with running_server(port=server.port):
            client.wait("reconnect")
            assert client.wait("connection_lost")["error"] == REPLACED
            client.wait("close")
            # What a service does then: it begins anew.
            client.connect(server.port)
            assert client.publish("memory", "2") == [""]
            client.subscribe("it", "memory", {"setDeliverAllAvailable": []})
            assert client.message("it") == (1, "2", False, 0)
            client.close()


def test_a_server_that_does_not_come_back_is_noticed_by_pings(node: Cast) -> None:
    with running_server() as server:
        client = node().connect(server.port, stanPingInterval=1000, stanMaxPingOut=1)
        server.kill()
        assert client.wait("connection_lost")["error"] == PINGS_FAILED


@pytest.mark.row(14)
def test_a_client_that_was_replaced_while_it_was_away_is_told(
    server: ServerProcess, proxy: TcpProxy, node: Cast
) -> None:
    first = node().connect(proxy.port, stanPingInterval=1000)
    proxy.lets_through = False
    proxy.cut()
    first.wait("disconnect")
    second = node().connect(server.port, first.client_id)
    proxy.lets_through = True
    first.wait("reconnect")
    assert first.wait("connection_lost")["error"] == REPLACED
    assert second.publish("owned", "x") == [""]
    second.close()
