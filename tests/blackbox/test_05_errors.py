"""Mistakes on the wire: the text, whether the connection stays, and that nobody else notices (docs/protocol.md §1.8)."""

import pytest

from tests.blackbox.wire_client import QUIET, WITH_HEADERS, WireClient
from tests.server_process import ServerProcess

UNKNOWN = b"-ERR 'Unknown Protocol Operation'\r\n"
TOO_LONG = b"-ERR 'maximum control line exceeded'\r\n"
TOO_LARGE = b"-ERR 'Maximum Payload Violation'\r\n"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"HELLO\r\n", UNKNOWN),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", UNKNOWN),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", UNKNOWN),
        (b"INFO {}\r\n", UNKNOWN),
        (b"MSG a 1 2\r\nhi\r\n", UNKNOWN),
        (b"PINGS\r\n", UNKNOWN),
        (b"PUB a " + b"1" * 5000, TOO_LONG),
        (b"SUB " + b"a" * 5000 + b" 1\r\n", TOO_LONG),
        (b'CONNECT {"name":"' + b"a" * 5000, TOO_LONG),
        (b"PUB a 1048577\r\n", TOO_LARGE),
        (b"PUB a 999999999999999999999\r\n", b""),
    ],
)
def test_a_mistake_ends_the_connection(server: ServerProcess, data: bytes, answer: bytes) -> None:
    with WireClient(server.port) as other, WireClient(server.port) as client:
        other.ask(b"SUB undisturbed 1\r\n")
        client.send(data)
        assert client.rest() == answer
        assert other.ask(b"PUB undisturbed 1\r\nx\r\n") == b"MSG undisturbed 1 1\r\nx\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"PUB\r\n",
        b"PUB a\r\n",
        b"PUB a b c 1\r\n",
        b"PUB a x\r\n",
        b"PUB a -1\r\n",
        b"PUB a 1\r\nxy\r\n",
        b"PUB a 3\r\nx\r\n  \r\n",
        b"SUB\r\n",
        b"SUB a\r\n",
        b"SUB a b c d\r\n",
        b"UNSUB\r\n",
        b"UNSUB a b c\r\n",
        b"HPUB a 1\r\n",
        b"HPUB a 3 2\r\n",
    ],
)
def test_operations_that_make_no_sense_end_the_connection(server: ServerProcess, data: bytes) -> None:
    with WireClient(server.port, WITH_HEADERS) as client:
        client.send(data)
        heard = client.rest()
        assert heard == b"" or heard.startswith(b"-ERR '")


def test_what_came_before_the_mistake_is_done(server: ServerProcess) -> None:
    with WireClient(server.port) as client, WireClient(server.port) as listener:
        listener.ask(b"SUB before.mistake 1\r\n")
        client.send(b"PING\r\nPUB before.mistake 2\r\nhi\r\nWHAT\r\nPUB before.mistake 2\r\nno\r\n")
        assert client.rest() == b"PONG\r\n" + UNKNOWN
        assert listener.ask() == b"MSG before.mistake 1 2\r\nhi\r\n"


def test_the_longest_line_that_is_allowed(server: ServerProcess) -> None:
    subject = b"x" * 4000
    with WireClient(server.port) as client:
        assert client.ask(b"SUB %b 1\r\n" % subject) == b""
        assert client.ask(b"PUB %b 2\r\nhi\r\n" % subject) == b"MSG %b 1 2\r\nhi\r\n" % subject


def test_mistakes_that_keep_the_connection(server: ServerProcess) -> None:
    with WireClient(server.port, b'CONNECT {"verbose":false,"pedantic":true}\r\n') as client:
        assert client.ask(b"SUB a..b 1\r\n") == b"-ERR 'Invalid Subject'\r\n"
        assert client.ask(b"PUB a.> 0\r\n\r\n") == b"-ERR 'Invalid Publish Subject'\r\n"
        assert client.ask(b"UNSUB never\r\nUNSUB 1 x\r\n") == b""
        assert client.ask(QUIET + b"+OK\r\nPONG\r\n") == b""


def test_many_connections_that_end_badly_leave_nothing_behind(server: ServerProcess) -> None:
    with WireClient(server.port) as other:
        for i in range(200):
            client = WireClient(server.port)
            client.send(b"SUB leftover 1\r\nSUB leftover group 2\r\n" + (b"PUB leftover 10\r\nhal" if i % 2 else b""))
            client.reset() if i % 3 else client.close()
        with WireClient(server.port, WITH_HEADERS) as client:
            client.ask(b"SUB answer 1\r\n")
            # Nobody is left who would take it; those that were reset last may still be on their way out.
            while b"503" not in client.ask(b"PUB leftover answer 0\r\n\r\n"):
                pass
        assert other.ask() == b""
