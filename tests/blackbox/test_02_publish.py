"""PUB, SUB, UNSUB, MSG: what is delivered, to whom, in which order (docs/protocol.md §1.4 to §1.6)."""

import pytest

from tests.blackbox.wire_client import WireClient
from tests.server_process import ServerProcess


def test_a_message_reaches_every_subscription(server: ServerProcess) -> None:
    with WireClient(server.port) as first, WireClient(server.port) as second:
        first.ask(b"SUB every 1\r\nSUB every two\r\n")
        second.ask(b"SUB every 1\r\n")
        assert sorted(first.ask(b"PUB every answer.here 2\r\nhi\r\n").split(b"hi\r\n")) == [
            b"",
            b"MSG every 1 answer.here 2\r\n",
            b"MSG every two answer.here 2\r\n",
        ]
        assert second.ask() == b"MSG every 1 answer.here 2\r\nhi\r\n"


def test_nobody_listens(server: ServerProcess) -> None:
    with WireClient(server.port) as client:
        assert client.ask(b"PUB nobody 2\r\nhi\r\nPUB nobody reply 0\r\n\r\n") == b""


def test_any_bytes_are_a_payload(server: ServerProcess) -> None:
    every_byte = bytes(range(256)) * 2
    with WireClient(server.port) as client:
        client.ask(b"SUB bytes 1\r\n")
        for payload in (b"", b"\r\n", b"\r\nPUB bytes 1\r\nx\r\n", every_byte):
            client.publish(b"bytes", payload)
            assert client.message().payload == payload
        assert client.ask() == b""


def test_the_largest_payload(server: ServerProcess) -> None:
    payload = bytes(1_048_576)
    with WireClient(server.port) as client:
        client.ask(b"SUB largest 1\r\n")
        client.publish(b"largest", payload)
        assert client.message().payload == payload


def test_messages_of_one_connection_keep_their_order(server: ServerProcess) -> None:
    count = 5000
    with WireClient(server.port) as publisher, WireClient(server.port) as listener:
        listener.ask(b"SUB order.> 1\r\n")
        publisher.send(b"".join(b"PUB order.%d 4\r\n%04d\r\n" % (i % 7, i) for i in range(count)))
        got = [listener.message() for _ in range(count)]
    assert [message.payload for message in got] == [b"%04d" % i for i in range(count)]
    assert [message.subject for message in got] == [b"order.%d" % (i % 7) for i in range(count)]


def test_a_subscription_counts_from_where_it_stands(server: ServerProcess) -> None:
    with WireClient(server.port) as client:
        assert client.ask(b"PUB place 1\r\n1\r\nSUB place 1\r\nPUB place 1\r\n2\r\n") == b"MSG place 1 1\r\n2\r\n"
        assert client.ask(b"PUB place 1\r\n3\r\nUNSUB 1\r\nPUB place 1\r\n4\r\n") == b"MSG place 1 1\r\n3\r\n"


def test_a_sid_that_is_in_use_changes_nothing(server: ServerProcess) -> None:
    with WireClient(server.port) as client:
        assert client.ask(b"SUB one 1\r\nSUB another 1\r\nPUB another 1\r\nx\r\nPUB one 1\r\ny\r\n") == (
            b"MSG one 1 1\r\ny\r\n"
        )
        assert client.ask(b"UNSUB 1\r\nSUB another 1\r\nPUB another 1\r\nx\r\n") == b"MSG another 1 1\r\nx\r\n"


@pytest.mark.parametrize("max_count", [1, 3])
def test_unsubscribe_after_so_many(server: ServerProcess, max_count: int) -> None:
    with WireClient(server.port) as client:
        heard = client.ask(b"SUB some 9\r\nUNSUB 9 %d\r\n" % max_count + b"PUB some 1\r\nx\r\n" * 5)
        assert heard == b"MSG some 9 1\r\nx\r\n" * max_count
        # The sid is free again.
        assert client.ask(b"SUB some 9\r\nPUB some 1\r\ny\r\n") == b"MSG some 9 1\r\ny\r\n"


def test_unsubscribe_after_so_many_that_have_come_already(server: ServerProcess) -> None:
    with WireClient(server.port) as client:
        heard = client.ask(b"SUB past 9\r\n" + b"PUB past 1\r\nx\r\n" * 3 + b"UNSUB 9 3\r\nPUB past 1\r\ny\r\n")
        assert heard == b"MSG past 9 1\r\nx\r\n" * 3
        assert client.ask(b"UNSUB 9\r\nUNSUB never\r\n") == b""


def test_a_closed_connection_listens_no_more(server: ServerProcess) -> None:
    with WireClient(server.port) as stays, WireClient(server.port) as goes:
        goes.ask(b"SUB gone group 1\r\n")
        stays.ask(b"SUB gone group 1\r\n")
        goes.send(b"SUB x 1\r\nUNKNOWN\r\n")
        assert goes.rest().startswith(b"-ERR")
        assert stays.ask(b"PUB gone 1\r\nx\r\n" * 10) == b"MSG gone 1 1\r\nx\r\n" * 10
