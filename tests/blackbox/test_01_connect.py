"""INFO, CONNECT and what it switches: verbose, pedantic, echo (docs/protocol.md §1.1 to §1.3)."""

import socket

import pytest

from tests.blackbox.wire_client import QUIET, WireClient
from tests.server_process import HOST, ServerProcess, running_server


def test_info_comes_first(server: ServerProcess) -> None:
    with WireClient(server.port, b"") as client:
        info = client.info
    assert set(info) >= {"server_id", "server_name", "version", "proto", "go", "host", "port", "headers", "max_payload"}
    assert (info["proto"], info["headers"], info["max_payload"]) == (1, True, 1_048_576)
    assert (info["host"], info["port"]) == (HOST, server.port)
    assert info["client_ip"] == HOST
    assert len(str(info["server_id"])) >= 22
    assert "auth_required" not in info
    assert "tls_required" not in info


def test_connections_are_numbered(server: ServerProcess) -> None:
    with WireClient(server.port) as first, WireClient(server.port) as second:
        assert int(str(first.info["client_id"])) < int(str(second.info["client_id"]))


def test_the_server_name_is_told() -> None:
    with running_server("-n", "the shop's bus") as server, WireClient(server.port) as client:
        assert client.info["server_name"] == "the shop's bus"


@pytest.mark.parametrize("connect", [b"", b"CONNECT {}\r\n"])
def test_without_options_everything_is_confirmed(server: ServerProcess, connect: bytes) -> None:
    with WireClient(server.port, b"") as client:
        assert client.ask(connect) == (b"+OK\r\n" if connect else b"")
        assert client.ask(b"SUB confirmed 1\r\n") == b"+OK\r\n"
        assert client.ask(b"PUB confirmed 2\r\nhi\r\n") == b"+OK\r\nMSG confirmed 1 2\r\nhi\r\n"
        assert client.ask(b"UNSUB 1\r\n") == b"+OK\r\n"
        assert client.ask(b"PONG\r\n") == b""


def test_not_verbose(server: ServerProcess) -> None:
    with WireClient(server.port, b"") as client:
        assert client.ask(b'CONNECT {"verbose":false}\r\nSUB silent 1\r\nUNSUB 1\r\n') == b""
        assert client.ask(b'CONNECT {"verbose":true}\r\n') == b"+OK\r\n"


def test_pedantic_checks_the_subject_and_routes_all_the_same(server: ServerProcess) -> None:
    with WireClient(server.port, b"") as client, WireClient(server.port) as listener:
        listener.ask(b"SUB pedantic.> 1\r\n")
        assert client.ask(b'CONNECT {"verbose":false,"pedantic":true}\r\n') == b""
        assert client.ask(b"PUB pedantic.* 1\r\nx\r\n") == b"-ERR 'Invalid Publish Subject'\r\n"
        assert listener.ask() == b"MSG pedantic.* 1 1\r\nx\r\n"
        assert client.ask(b'CONNECT {"verbose":false,"pedantic":false}\r\nPUB pedantic.* 1\r\nx\r\n') == b""


def test_echo_off(server: ServerProcess) -> None:
    with (
        WireClient(server.port, b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n') as client,
        WireClient(server.port) as other,
    ):
        other.ask(b"SUB echo 1\r\n")
        assert client.ask(b"SUB echo 1\r\nPUB echo 1\r\nx\r\n") == b""
        assert other.ask() == b"MSG echo 1 1\r\nx\r\n"
        assert other.ask(b"PUB echo 1\r\ny\r\n") == b"MSG echo 1 1\r\ny\r\n"
        assert client.ask() == b"MSG echo 1 1\r\ny\r\n"


def test_unknown_options_are_ignored(server: ServerProcess) -> None:
    with WireClient(server.port, b"") as client:
        document = b'{"verbose":false,"user":"a","pass":"b","lang":"raw","version":"1","unheard":{"of":[1]},"name":"x"}'
        assert client.ask(b"CONNECT " + document + b"\r\n") == b""


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        (b'{"protocol":2}', b"-ERR 'invalid client protocol'\r\n"),
        (b'{"protocol":-1}', b"-ERR 'invalid client protocol'\r\n"),
        (b'{"no_responders":true}', b"-ERR 'no responders requires headers support'\r\n"),
        (b"{not json}", b""),
        (b"[]", b""),
        (b'{"verbose":"yes"}', b""),
    ],
)
def test_a_connect_that_cannot_be_followed_ends_the_connection(
    server: ServerProcess, document: bytes, answer: bytes
) -> None:
    with WireClient(server.port, b"") as client:
        client.send(b"CONNECT " + document + b"\r\nPING\r\n")
        assert client.rest() == answer


@pytest.mark.parametrize(
    "data",
    [
        QUIET + b"SUB any 1\r\nPUB any 2\r\nhi\r\n",
        QUIET + b"sub any 1\nPub\tany   2 \r\nhi\r\n",
        QUIET.replace(b"\r\n", b"\n") + b"SUB any 1\r\nPUB any 2\nhi\r\n",
    ],
)
def test_case_blanks_line_ends_and_cuts_do_not_matter(server: ServerProcess, data: bytes) -> None:
    with WireClient(server.port, b"") as client:
        assert client.ask(data) == b"MSG any 1 2\r\nhi\r\n"
    with WireClient(server.port, b"") as client:
        for i in range(len(data)):
            client.send(data[i : i + 1])
        assert client.ask() == b"MSG any 1 2\r\nhi\r\n"


def test_what_was_asked_before_the_end_of_input_is_answered(server: ServerProcess) -> None:
    for _ in range(20):
        with WireClient(server.port, b"") as client:
            client.send(QUIET + b"SUB half 1\r\nPUB half 2\r\nhi\r\nPING\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.rest() == b"MSG half 1 2\r\nhi\r\nPONG\r\n"
