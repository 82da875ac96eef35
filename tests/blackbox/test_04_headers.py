"""Headers, and the 503 for a request that nobody listens to (docs/protocol.md §1.9)."""

import pytest

from tests.blackbox.wire_client import QUIET, WITH_HEADERS, Message, WireClient
from tests.server_process import ServerProcess

BLOCK = b"NATS/1.0\r\nTrace: 1\r\n\r\n"
NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"
ONLY_HEADERS = b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\n'


def hpub(subject: bytes, payload: bytes, reply: bytes = b"") -> bytes:
    arguments = subject + b" " + reply if reply else subject
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (arguments, len(BLOCK), len(BLOCK + payload), BLOCK, payload)


def test_headers_are_delivered_as_they_are(server: ServerProcess) -> None:
    with WireClient(server.port, WITH_HEADERS) as client:
        client.ask(b"SUB headed.one 1\r\n")
        client.send(hpub(b"headed.one", b"body", b"reply") + hpub(b"headed.one", b""))
        assert client.message() == Message(b"headed.one", b"1", b"reply", BLOCK, b"body")
        assert client.message() == Message(b"headed.one", b"1", b"", BLOCK, b"")


def test_who_does_not_know_headers_gets_the_message_without(server: ServerProcess) -> None:
    with WireClient(server.port, WITH_HEADERS) as publisher, WireClient(server.port) as listener:
        listener.ask(b"SUB headed.two 1\r\n")
        publisher.ask(hpub(b"headed.two", b"body", b"reply") + hpub(b"headed.two", b""))
        assert listener.ask() == b"MSG headed.two 1 reply 4\r\nbody\r\nMSG headed.two 1 0\r\n\r\n"


def test_a_request_that_nobody_listens_to(server: ServerProcess) -> None:
    with WireClient(server.port, WITH_HEADERS) as client:
        client.ask(b"SUB answers.* 7\r\n")
        client.publish(b"nobody.there", b"hello", b"answers.1")
        assert client.message() == Message(b"answers.1", b"7", b"", NO_RESPONDERS, b"")
        assert client.ask(b"PUB nobody.there 0\r\n\r\n") == b""


@pytest.mark.parametrize("connect", [QUIET, ONLY_HEADERS])
def test_no_answer_unless_it_was_asked_for(server: ServerProcess, connect: bytes) -> None:
    with WireClient(server.port, connect) as client:
        assert client.ask(b"SUB answers.* 7\r\nPUB nobody.there answers.1 0\r\n\r\n") == b""


def test_whoever_listens_is_the_responder(server: ServerProcess) -> None:
    with WireClient(server.port, WITH_HEADERS) as client, WireClient(server.port) as other:
        client.ask(b"SUB answers.* 7\r\n")
        other.ask(b"SUB somebody.> 1\r\n")
        assert client.ask(b"PUB somebody.there answers.1 0\r\n\r\n") == b""
        other.ask(b"UNSUB 1\r\nSUB somebody.there group 2\r\n")
        assert client.ask(b"PUB somebody.there answers.2 0\r\n\r\n") == b""
        other.close()


def test_a_stan_request_without_a_bus_of_that_name(server: ServerProcess) -> None:
    with WireClient(server.port, WITH_HEADERS) as client:
        client.ask(b"SUB answers.* 7\r\n")
        client.publish(b"_STAN.discover.another-cluster", b"", b"answers.1")
        assert client.message().headers == NO_RESPONDERS
