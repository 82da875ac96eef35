"""Traces of the protocol, line by line as nats-server writes them; and that they tell no secret."""

import io

import pytest

from durabus.broker.broker import Broker
from durabus.broker.router import Router
from durabus.clock import ManualClock
from durabus.config.options import BrokerOptions, LogOptions, Options
from durabus.logs import LogOutput
from durabus.server.network import broker_settings
from durabus.server.trace import shown_document, trace_broker
from tests.broker.fakes import WITH_HEADERS, Client, FakeReceiver

LABEL = "10.0.0.1:4711 - cid:"


class Traced:
    """A broker without a port, and what is traced there."""

    def __init__(self, *, verbose: bool = False, message_bytes_max: int = 0) -> None:
        self.options = LogOptions(
            broker_trace=True, broker_trace_verbose=verbose, max_traced_message_bytes=message_bytes_max, with_time=False
        )
        self.text = io.StringIO()
        self.log = LogOutput(self.options, self.text).broker
        settings = broker_settings(Options(broker=BrokerOptions(server_name="bus")), "ID")
        self.broker = Broker(settings, Router(), ManualClock())
        trace_broker(self.broker, self.options, self.log)

    def client(self, connect: bytes) -> Client:
        """One more client, with an address."""
        client = Client(self.broker.router, b"", limits=self.broker.settings.limits)
        client.session.address, client.session.port = "10.0.0.1", 4711
        client.say(connect)
        client.heard()
        return client

    def lines(self) -> list[str]:
        """The texts of the traces since the last time, without the client's number."""
        lines = self.text.getvalue().splitlines()
        self.text.seek(0)
        self.text.truncate()
        assert all("[TRC] " in line for line in lines)
        return [line.partition("[TRC] ")[2] for line in lines]


def of_one(client: Client, lines: list[str], name: str = "") -> list[str]:
    """Lines without their start, which must be the label of `client`."""
    start = f"{LABEL}{client.session.client_id} - {name}"
    assert all(line.startswith(start) for line in lines), lines
    return [line.removeprefix(start) for line in lines]


def test_what_a_client_says_and_is_told() -> None:
    it = Traced()
    client = it.client(
        b'CONNECT {"verbose":true,"pedantic":false,"headers":true,"name":"n","lang":"raw","version":"1"}\r\n'
    )
    first, answer = it.lines()
    assert of_one(client, [first]) == [
        '<<- [CONNECT {"verbose":true,"pedantic":false,"headers":true,"name":"n","lang":"raw","version":"1"}]'
    ]
    assert of_one(client, [answer], '"v1:raw:n" - ') == ["->> [OK]"]
    client.say(b"PING\r\nSUB foo 1\r\nSUB foo q 2\r\nUNSUB 2 5\r\nPUB foo bar 3\r\na\x00\xff\r\nPONG\r\nUNSUB 1\r\n")
    assert of_one(client, it.lines(), '"v1:raw:n" - ') == [
        "<<- [PING]",
        "->> [PONG]",
        "<<- [SUB foo 1]",
        "->> [OK]",
        "<<- [SUB foo q 2]",
        "->> [OK]",
        "<<- [UNSUB 2 5]",
        "->> [OK]",
        "<<- [PUB foo bar 3]",
        r'<<- MSG_PAYLOAD: ["a\x00\xff"]',
        "->> [OK]",
        "->> [MSG foo 1 bar 3]",
        "->> [MSG foo 2 bar 3]",
        "<<- [PONG]",
        "<<- [UNSUB 1]",
        "<-> [DELSUB 1]",
        "->> [OK]",
    ]
    client.say(b"NONSENSE\r\n")
    assert of_one(client, it.lines(), '"v1:raw:n" - ') == ["->> [-ERR Unknown Protocol Operation]", "<-> [DELSUB 2]"]


def test_every_message_of_a_run_is_told_and_headers_belong_to_it() -> None:
    it = Traced()
    client = it.client(WITH_HEADERS)
    client.say(b"SUB foo 1\r\n")
    it.lines()
    client.say(b"HPUB foo 12 13\r\nNATS/1.0\r\n\r\nm\r\nPUB foo 1\r\na\r\nPUB foo 1\r\nb\r\n")
    assert of_one(client, it.lines()) == [
        "<<- [HPUB foo 12 13]",
        r'<<- MSG_PAYLOAD: ["NATS/1.0\r\n\r\nm"]',
        "->> [HMSG foo 1 12 13]",
        "<<- [PUB foo 1]",
        '<<- MSG_PAYLOAD: ["a"]',
        "<<- [PUB foo 1]",
        '<<- MSG_PAYLOAD: ["b"]',
        "->> [MSG foo 1 1]",
        "->> [MSG foo 1 1]",
    ]


@pytest.mark.parametrize(
    ("message_bytes_max", "shown"), [(0, '"hello"'), (3, '"hel..."'), (5, '"hello"'), (4, '"hell..."')]
)
def test_long_messages_are_cut_off(message_bytes_max: int, shown: str) -> None:
    it = Traced(message_bytes_max=message_bytes_max)
    client = it.client(WITH_HEADERS)
    it.lines()
    client.say(b"PUB foo 5\r\nhello\r\n")
    assert of_one(client, it.lines()) == ["<<- [PUB foo 5]", f"<<- MSG_PAYLOAD: [{shown}]"]


def test_what_the_server_says_itself_is_told_only_when_that_is_asked_for() -> None:
    for verbose in (False, True):
        it = Traced(verbose=verbose)
        router = it.broker.router
        router.subscribe(b"foo", FakeReceiver())
        router.publish(b"foo", b"reply", b"x")
        router.publish_run(b"foo", b"head", [b"1", b"22"])
        router.unsubscribe(b"foo")
        expected = [
            "SERVER - <<- [SUB foo 1]",
            "SERVER - <<- [PUB foo reply 1]",
            'SERVER - <<- MSG_PAYLOAD: ["x"]',
            "SERVER - <<- [PUB foo 5]",
            'SERVER - <<- MSG_PAYLOAD: ["head1"]',
            "SERVER - <<- [PUB foo 6]",
            'SERVER - <<- MSG_PAYLOAD: ["head22"]',
            "SERVER - <<- [UNSUB 1]",
        ]
        assert it.lines() == (expected if verbose else [])


def test_traces_can_be_switched_while_clients_are_connected() -> None:
    it = Traced(verbose=True)
    client = it.client(WITH_HEADERS)
    it.lines()
    trace_broker(it.broker, LogOptions(), it.log)
    client.say(b"PING\r\n")
    it.broker.router.publish(b"foo", b"", b"x")
    assert it.lines() == []
    trace_broker(it.broker, it.options, it.log)
    client.say(b"PING\r\n")
    assert of_one(client, it.lines()) == ["<<- [PING]", "->> [PONG]"]


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        (b'{"user":"a","pass":"s3cret"}', '{"user":"a","pass":"[REDACTED]"}'),
        (b'{"PASS" : "s3cret", "auth_token": "s3cret"}', '{"PASS":"[REDACTED]","auth_token":"[REDACTED]"}'),
        (b'{"jwt":"s3cret","sig":"s3cret","nkey":"public"}', '{"jwt":"[REDACTED]","sig":"[REDACTED]","nkey":"public"}'),
        (b'{"pass":"s3cret","pass":"s3cret"}', '{"pass":"[REDACTED]"}'),
        ('{"pass":"","name":"é"}'.encode(), '{"pass":"","name":"é"}'),
        (b'{"pass":"s3cret"', "[REDACTED]"),
        (b'["s3cret"]', "[REDACTED]"),
        (b'{"name":"\xff"}', "[REDACTED]"),
        (b"[" * 100_000, "[REDACTED]"),
    ],
)
def test_secrets_are_not_told(document: bytes, shown: str) -> None:
    assert shown_document(document) == shown
