"""The Node client on a server that keeps everything: a restart is a lost connection, and nothing more."""

import signal
from pathlib import Path

import pytest

from tests.clients.conftest import Cast
from tests.server_process import running_server


@pytest.mark.row(16)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_is_nothing_but_a_lost_connection(node: Cast, tmp_path: Path, number: signal.Signals) -> None:
    flags = ("--store", "FILE", "--dir", str(tmp_path / "data"))
    options = {"setManualAckMode": True, "setAckWait": 30_000, "setDeliverAllAvailable": [], "setDurableName": "d"}
    with running_server(*flags) as server:
        client = node().connect(server.port, stanPingInterval=1000, stanMaxPingOut=20)
        client.subscribe("it", "kept", options)
        assert client.publish("kept", "1", "2") == ["", ""]
        assert client.sequences("it", 2) == [1, 2]
        client.ack("it", 1)
        client.ack("it", 2)
        # An acknowledgement has no answer; this one comes after it on the same connection.
        assert client.publish("other", "x") == [""]
        server.stop(number)
        client.wait("disconnect")
        with running_server(*flags, port=server.port) as successor:
            client.wait("reconnect")
            assert client.publish("kept", "3") == [""]
            # An acknowledgement of the last second before the end may be lost, an event never.
            while (message := client.message("it")).sequence != 3:
                assert number == signal.SIGKILL
                client.ack("it", message.sequence)
            assert message.data == "3"
            client.ack("it", 3)
            client.close_subscription("it")
            client.subscribe("again", "kept", options)
            assert client.publish("kept", "4") == [""]
            assert client.message("again").sequence == 4
            assert client.count("connection_lost") == client.count("close") == 0
            assert successor.log.count("[ERR]") == 0
            client.close()
