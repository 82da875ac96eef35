"""Each refused request is one line in the log, in the original's words, and no client can fill it."""

import pytest

from tests.streaming.harness import Bus, encoded


def asked(bus: Bus, subject: str, payload: bytes) -> list[str]:
    """What the log says when a connected client sends `payload` there."""
    client = bus.clients[0] if bus.clients else bus.connect("a")
    bus.log.lines.clear()
    client.ask(subject, payload)
    return bus.log.texts("error")


def subscription(**fields: object) -> bytes:
    values = {"client_id": "a", "subject": "foo", "inbox": "_INBOX.x", "max_in_flight": 1, "ack_wait_s": 1}
    return encoded("SubscriptionRequest", **{**values, **fields})


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (b"\xff", "Invalid Subscription request from _STAN.sub.test-cluster: "),
        (subscription(client_id=""), "Missing ClientID in subscription request from _STAN.sub.test-cluster"),
        (
            subscription(ack_wait_s=0),
            "[Client:a] Invalid AckWait (0) in subscription request from _STAN.sub.test-cluster",
        ),
        (subscription(max_in_flight=-1), "[Client:a] Invalid MaxInflight (-1) in subscription request from "),
        (subscription(start_position=7), "[Client:a] Invalid StartPosition (7) in subscription request from "),
        (subscription(subject="a..b"), '[Client:a] Invalid channel "a..b" in subscription request from '),
        (subscription(inbox="a b"), '[Client:a] Invalid inbox "a b" in subscription request from '),
        (subscription(client_id="zz"), "Unable to add subscription for foo: stan: unknown clientID"),
        (
            subscription(queue_group="q", durable_name="a:b"),
            '[Client:a] Invalid DurableName ("a:b") for queue subscriber from foo',
        ),
    ],
)
def test_subscription_requests(payload: bytes, line: str) -> None:
    (found,) = asked(Bus(), "_STAN.sub.test-cluster", payload)
    assert found.startswith(line)


def test_a_durable_that_is_online_and_a_full_channel() -> None:
    bus = Bus()
    bus.connect("a").subscribe("foo", durable="d")
    line = "[Client:a] Duplicate durable subscription registration"
    assert asked(bus, "_STAN.sub.test-cluster", subscription(durable_name="d")) == [line]
    bus.core.state.channels[b"foo"].limits.subscriptions_max = 1
    line = "Unable to add subscription for foo: too many subscriptions per channel"
    assert asked(bus, "_STAN.sub.test-cluster", subscription()) == [line]


@pytest.mark.parametrize(("subject", "action"), [("unsub", "unsub"), ("subclose", "sub close")])
def test_ends_of_subscriptions(subject: str, action: str) -> None:
    bus = Bus()
    sub = bus.connect("a").subscribe("foo")
    where = f"_STAN.{subject}.test-cluster"

    def end(**fields: object) -> list[str]:
        values = {"client_id": "a", "subject": "foo", "inbox": sub.ack_inbox}
        return asked(bus, where, encoded("UnsubscribeRequest", **{**values, **fields}))

    assert asked(bus, where, b"\xff") == [f"Invalid {action} request from {where}"]
    assert end(subject="bar") == [f"[Client:a] {action} request missing subject bar"]
    assert end(inbox="_INBOX.other") == [f"[Client:a] {action} request for missing inbox _INBOX.other"]
    assert end(client_id="zz") == [f"[Client:zz] {action} request for missing client"]
    assert end() == []


def test_close_requests() -> None:
    where = "_STAN.close.test-cluster"
    assert asked(Bus(), where, b"\xff") == [f"Received invalid close request, subject={where}"]
    assert asked(Bus(), where, encoded("CloseRequest", client_id="zz")) == ['Unknown client "zz" in close request']


def test_connect_requests() -> None:
    where = "_STAN.discover.test-cluster"
    (line,) = asked(Bus(), where, b"\xff")
    assert line.startswith("[Client:?] Invalid conn request: ClientID=, Inbox=, err=")
    line = "[Client:?] Invalid conn request: ClientID=b, Inbox=, err=<nil>"
    assert asked(Bus(), where, encoded("ConnectRequest", client_id="b")) == [line]
    request = encoded("ConnectRequest", client_id="b c", heartbeat_inbox="_INBOX.x")
    line = "[Client:b c] Invalid ClientID, only alphanumeric and `-` or `_` characters allowed"
    assert asked(Bus(), where, request) == [line]


def test_publish_requests() -> None:
    where = "_STAN.pub.test-cluster.foo"
    assert asked(Bus(), where, b"\xff") == ["Unable to unmarshal PubMsg: it is none"]
    bus = Bus()
    client = bus.connect("a")
    message = client.publish_message("foo", b"secret", client_id="zz", connection_id=b"other")
    line = 'Received invalid client publish message clientID:"zz" subject:"foo"'
    assert asked(bus, where, message) == [line], "what it says is nobody's business"
    assert asked(bus, where, b"\x08\x01") == [], "what servers say to each other is no mistake"


def test_nobody_fills_the_log() -> None:
    bus = Bus()
    client = bus.connect("a")
    bus.log.lines.clear()
    for _ in range(100):
        client.ask("_STAN.close.test-cluster", encoded("CloseRequest", client_id="zz"))
    assert len(bus.log.texts("error")) == 10
    bus.advance(10)
    assert bus.log.texts("error")[10:] == ["Close requests refused: 90 more times in 10 seconds"]
