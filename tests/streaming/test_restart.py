"""A restart of the whole server, and who is sent what after it. How a store is read is in test_recovery.py."""

import pytest

from durabus.broker.router import Router
from durabus.errors import StartError
from durabus.stores.memory import MemoryStore
from durabus.streaming.core import Core
from durabus.streaming.options import CoreOptions
from durabus.streaming.records import decode_server, encode_server
from durabus.streaming.store_port import KIND_SERVER
from tests.streaming.harness import Bus, RecordingLog, at_once
from tests.streaming.test_recovery import put, remembered


@pytest.mark.row(86)
@pytest.mark.parametrize("how", ["close", "client"])
@pytest.mark.parametrize("fields", [{"durable": "d"}, {"durable": "d", "queue": "q"}])
def test_nothing_is_sent_after_a_restart_to_who_is_offline(fields: dict[str, str], how: str) -> None:
    bus = Bus()
    client, other = bus.connect("a"), bus.connect("b")
    sub = client.subscribe("foo", ack_wait_s=1, **fields)  # type: ignore[arg-type]
    other.publish("foo", b"1")
    assert (sub.close() if how == "close" else client.close()) == ""
    other.listen(sub.inbox)
    bus.restart()
    other.publish("foo", b"2")
    bus.advance(100)
    assert sub.inbox.encode() not in [subject for subject, _ in other.heard]
    assert bus.core.state.statistics.out_messages == 0


@pytest.mark.row(98)
def test_who_holds_what_was_moved_is_remembered() -> None:
    bus = Bus()
    a, b = bus.connect("a"), bus.connect("b")
    a.subscribe("foo", queue="q", ack_wait_s=5)
    a.publish("foo", b"1")
    second = b.subscribe("foo", queue="q", ack_wait_s=60)
    bus.advance(4)
    assert {cursor.subscription_id: cursor.pending for cursor in at_once(bus.store.recover(None)).cursors} == {
        1: [(1, 1)],
        2: [],
    }
    bus.advance(2)
    assert second.sequences == [1]
    assert {cursor.subscription_id: cursor.pending for cursor in at_once(bus.store.recover(None)).cursors} == {
        1: [],
        2: [(1, 1)],
    }
    bus.restart(crash=True)
    (cohort,) = bus.core.state.channels[b"foo"].cohorts
    assert {member.subscription_id: int(member.pending) for member in cohort.members} == {1: 0, 2: 1}


@pytest.mark.row(111)
def test_what_was_there_may_be_more_than_the_limits_allow() -> None:
    bus = Bus()
    client = bus.connect("a")
    for name in ("foo", "bar", "baz"):
        client.publish(name, b"x")
    subs = [client.subscribe("foo", durable=durable) for durable in ("", "d", "e")]
    subs[2].close()
    bus.options.channels_max = bus.options.channel_limits.subscriptions_max = 1
    bus.restart()
    assert [client.publish(name, b"y")[0].error for name in ("foo", "bar", "baz")] == [""] * 3
    assert [sub.sequences[-1] for sub in subs] == [2, 2, 1]
    assert client.subscribe("foo", durable="e").error == "", "it is no new one"
    assert client.publish("new", b"x")[0].error == "too many channels"
    assert client.subscribe("foo").error == "too many subscriptions per channel"


def test_an_end_in_order_is_remembered_until_the_next_start() -> None:
    bus = Bus()
    bus.connect("a").publish("foo", b"x")
    assert not decode_server(remembered(bus, KIND_SERVER)[b"server"]).knows_all_acks
    bus.core.finish()
    assert decode_server(remembered(bus, KIND_SERVER)[b"server"]).knows_all_acks
    bus.restart(crash=True)
    assert not decode_server(remembered(bus, KIND_SERVER)[b"server"]).knows_all_acks


def test_a_core_that_could_not_begin_writes_nothing_at_its_end() -> None:
    store = MemoryStore()
    put(store, (KIND_SERVER, b"server", encode_server(b"y")))
    core = Core(CoreOptions("x"), Router(), store, RecordingLog())
    with pytest.raises(StartError):
        core.restore(at_once(store.recover(None)), 0)
    core.finish()
    assert at_once(store.recover(None)).state == [(KIND_SERVER, b"server", encode_server(b"y"))]


def test_a_core_that_never_served_leaves_what_was_known_before() -> None:
    store = MemoryStore()
    value = encode_server(b"test-cluster", knows_all_acks=True)
    put(store, (KIND_SERVER, b"server", value))
    bus = Bus(store, listens=False)
    bus.core.finish()
    assert remembered(bus, KIND_SERVER) == {b"server": value}
