"""The bus for tests without asyncio."""

import threading

import pytest

import durabus.sync
import durabus.testing
from durabus.client import PublishRefusedError, StartPosition
from durabus.errors import StartError
from tests.testing.running.listening import OrderCreated, TicketCreated

PATIENCE_S = 20.0


def test_everything_without_asyncio() -> None:
    with durabus.testing.bus_in_thread(store="FILE") as bus:
        assert bus.url.endswith(str(bus.port)) and bus.cluster_id == "test-cluster"
        assert bus.directory is not None and bus.directory.exists()
        client = bus.connect("a")
        bus.wait_connected("a")
        subscription = client.subscribe(
            "ticket:created", durable_name="d", start=StartPosition.all_available(), manual_ack=True
        )
        bus.wait_subscribed(TicketCreated)
        bus.publish(TicketCreated(id="1"))
        assert bus.wait_for(TicketCreated).id == "1"
        assert subscription.next(PATIENCE_S).redelivery_count == 0
        before = bus.now()
        bus.advance(30, handling_s=0)
        assert (bus.now() - before).total_seconds() >= 30
        again = subscription.next(PATIENCE_S)
        assert again.redelivery_count == 1
        again.ack()
        bus.wait_idle()
        assert [each.is_done for each in bus.subscriptions()] == [True]
        bus.settle()
        assert bus.published("ticket:created", 1)[0].sequence == 1
        assert bus.events(TicketCreated)[0].id == "1"
        bus.assert_nothing(OrderCreated)
        bus.forget_events()
        bus.assert_nothing()


def test_restarts_and_faults_without_asyncio() -> None:
    with durabus.testing.bus_in_thread() as bus:
        bus.publish("orders", b"1")
        with bus.refusing_publishes("no room"), pytest.raises(PublishRefusedError, match="no room"):
            bus.publish("orders", b"2")
        assert bus.kill_connections() == 1
        bus.restart()
        assert bus.events("orders") == []
        bus.stop()
        assert not bus.is_running
        bus.start()
        with durabus.sync.connect(bus.url, client_id="own") as client:
            client.publish("orders", b"3")
        assert len(bus.published("orders", 2)) == 2


def test_a_client_in_another_thread_stays_alive_when_much_time_passes() -> None:
    with durabus.testing.bus_in_thread("-hbi", "10s", "-hbt", "1s", "-hbf", "0") as bus:
        subscription = bus.connect("a").subscribe("orders", durable_name="d")
        bus.advance(3600)
        assert [position.client_ids for position in bus.subscriptions()] == [("a",)]
        bus.publish("orders", b"1")
        message = subscription.next(PATIENCE_S)
        message.ack()
        bus.wait_idle()


def test_nothing_is_left_behind() -> None:
    threads = set(threading.enumerate())
    with durabus.testing.bus_in_thread() as bus:
        bus.connect("left-open")
    assert set(threading.enumerate()) <= threads
    with pytest.raises(RuntimeError, match="within its `with` block"):
        bus.settle()


def test_before_its_block_there_is_nothing() -> None:
    bus = durabus.testing.bus_in_thread()
    with pytest.raises(RuntimeError, match="within its `with` block"):
        bus.url  # noqa: B018


def test_a_failed_start_ends_the_thread() -> None:
    threads = set(threading.enumerate())
    with pytest.raises(StartError), durabus.testing.bus_in_thread("-ns", "nats://127.0.0.1:4222"):
        raise AssertionError("it cannot start")
    assert set(threading.enumerate()) <= threads
