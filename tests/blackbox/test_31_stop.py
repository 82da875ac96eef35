"""Stopping: signals, exit codes, and that nothing under way is lost (docs/protocol.md §12.6, §12.7)."""

import contextlib
import os
import signal
import socket
import time

import pytest

from tests.blackbox.stan_client import FIRST, StanClient, read_fields
from tests.blackbox.wire_client import WireClient
from tests.server_process import PATIENCE_S, ServerProcess, running_server
from tests.wire.wire_format import blob

ours = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is how Durabus differs")

ENDS = [(signal.SIGINT, 0), (signal.SIGTERM, 143)]


@pytest.mark.row(124)
@pytest.mark.parametrize(("number", "code"), ENDS)
def test_exit_codes(number: signal.Signals, code: int) -> None:
    with running_server("-m", "-1") as server, WireClient(server.port) as client:
        assert client.ask() == b""
        assert server.stop(number) == code
        assert client.rest() == b""
        assert "Shutting down." in server.log
        with pytest.raises(ConnectionRefusedError):
            WireClient(server.port)


@ours
@pytest.mark.row(124)
def test_quit_shows_what_the_server_was_doing_and_stops_it() -> None:
    with running_server("-m", "-1") as server, WireClient(server.port) as client:
        assert client.ask() == b""
        assert server.stop(signal.SIGQUIT) == 2
        assert client.rest() == b""
        assert "(most recent call first)" in server.log
        assert "[WRN] STREAM: QUIT: standard error shows what every thread was doing; stopping" in server.log
        assert "Shutting down." in server.log


@pytest.mark.row(126)
@pytest.mark.parametrize(("number", "code"), ENDS)
def test_publishes_that_were_sent_before_the_signal_are_answered(number: signal.Signals, code: int) -> None:
    count = 3000
    with running_server() as server, StanClient(server.port) as client, StanClient(server.port) as listener:
        client.connect()
        listener.connect()
        subscription = listener.subscribe(b"in-flight", start=FIRST, max_in_flight=count)
        for i in range(count):
            client.send_publish(b"in-flight", b"%d" % i)
        server.process.send_signal(number)
        answers = [client.receive() for _ in range(count)]
        assert {message.subject for message in answers} == {client.ack_subject}
        assert not any(read_fields(message.payload).text(2) for message in answers)
        assert [got.data for got in listener.deliveries(count, subscription)] == [b"%d" % i for i in range(count)]
        assert server.wait_end() == code
        assert client.wire.rest() == listener.wire.rest() == b""


@pytest.mark.row(126)
@pytest.mark.parametrize(("number", "code"), ENDS)
def test_publishes_that_had_arrived_but_were_not_read_yet_are_answered(number: signal.Signals, code: int) -> None:
    """The server stands still while they and the signal come: all of it is there at the same moment."""
    count = 12
    with running_server() as server, StanClient(server.port) as client:
        client.connect()
        assert client.wire.ask() == b""
        client.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        server.process.send_signal(signal.SIGSTOP)
        for _ in range(count):
            client.send_publish(b"in-flight", bytes(30_000))
        server.process.send_signal(number)
        server.process.send_signal(signal.SIGCONT)
        answers = [client.receive() for _ in range(count)]
        assert {message.subject for message in answers} == {client.ack_subject}
        assert not any(read_fields(message.payload).text(2) for message in answers)
        assert server.wait_end() == code


def test_nobody_begins_anything_during_a_stop() -> None:
    with running_server() as server, StanClient(server.port) as client, StanClient(server.port) as newcomer:
        client.connect()
        assert client.wire.ask() == newcomer.wire.ask() == b""
        server.process.send_signal(signal.SIGTERM)
        server.wait_line("Shutting down.")
        with contextlib.suppress(ConnectionError):
            newcomer.request(b"_STAN.discover.test-cluster", newcomer.connect_payload())
            client.request(client.registered.text(2), blob(1, client.client_id) + blob(2, b"late"))
        # Silence, or the end of the connection: nothing that could be taken for a success.
        assert newcomer.wire.rest() == client.wire.rest() == b""
        assert server.wait_end() == 143


def test_a_client_that_never_stops_talking_does_not_hold_the_server() -> None:
    with running_server() as server, WireClient(server.port) as client, WireClient(server.port) as deaf:
        deaf.send(b"SUB chatter 1\r\n")
        server.process.send_signal(signal.SIGTERM)
        began_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began_s < PATIENCE_S:
                client.send(b"PUB chatter 1000\r\n" + b"x" * 1000 + b"\r\n")
        assert time.monotonic() - began_s < PATIENCE_S
        assert server.wait_end() == 143


@pytest.mark.row(126)
def test_a_client_that_does_not_read_does_not_hold_the_server() -> None:
    with running_server() as server, WireClient(server.port, receive_buffer_bytes=65536) as deaf:
        deaf.ask(b"SUB flood 1\r\n")
        with WireClient(server.port) as publisher:
            for _ in range(16):
                publisher.publish(b"flood", bytes(1 << 20))
            assert publisher.ask() == b""
        assert server.stop() == 0


@pytest.mark.row(126)
def test_two_signals_are_one_stop() -> None:
    with running_server("-m", "-1") as server, WireClient(server.port) as client:
        assert client.ask() == b""
        server.process.send_signal(signal.SIGTERM)
        server.wait_line("Shutting down.")
        server.process.send_signal(signal.SIGINT)
        assert server.wait_end() == 143


def test_a_signal_as_soon_as_the_process_is_there() -> None:
    for _ in range(3):
        server = ServerProcess()
        server.wait_line("Starting nats-streaming-server")
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.log


def test_after_a_stop_the_port_is_free_at_once() -> None:
    with running_server() as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"before", b"x")
        assert server.stop(signal.SIGTERM) == 143
        with running_server(port=server.port) as successor:
            client.reconnect(successor.port)
            # Nothing outlives the memory store, and clients are told so.
            assert client.ping() == b"client has been replaced or is no longer registered"
            assert client.try_publish(b"before", b"x") == b"stan: invalid publish request"
            client.connect()
            client.publish(b"before", b"y")
            assert client.delivery(client.subscribe(b"before", start=FIRST)).sequence == 1


def test_reopening_the_log_and_reloading_are_harmless() -> None:
    with running_server() as server, WireClient(server.port) as client:
        server.process.send_signal(signal.SIGUSR1)
        server.wait_line("File log re-open ignored, not a file logger")
        server.process.send_signal(signal.SIGHUP)
        server.wait_line("Reload")
        assert client.ask(b"SUB a 1\r\nPUB a 1\r\nx\r\n") == b"MSG a 1 1\r\nx\r\n"
