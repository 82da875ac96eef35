"""A real bus in the process of a test: start, time, restarts, faults, and nothing left behind."""

import asyncio
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop

import durabus
import durabus.testing
from durabus.client import ConnectError, Message, PublishRefusedError, StartPosition
from durabus.config.flags import UsageError
from durabus.errors import StartError
from durabus.testing.running import settling
from durabus.testing.running.bus import RunningBus, bus_options
from tests.testing.running.listening import TicketCreated, Worker, all_of

PATIENCE_S = 20.0
LONG_S = 10 * 24 * 3600.0

always: Callable[[Worker], bool] = lambda _: True  # noqa: E731


async def test_any_client_can_connect() -> None:
    async with durabus.testing.bus() as bus:
        assert bus.url == f"nats://127.0.0.1:{bus.port}"
        async with durabus.connect(bus.url, client_id="any") as client:
            await client.publish("orders", b"{}")
            await bus.wait_connected("any")
        assert [str(message) for message in bus.events("orders")] == ["orders #1 {}"]


async def test_several_at_once_know_nothing_of_each_other() -> None:
    async with durabus.testing.bus() as one, durabus.testing.bus("-cid", "shop") as two:
        assert one.port != two.port
        assert (one.cluster_id, two.cluster_id) == ("test-cluster", "shop")
        await one.publish("orders", b"1")
        await two.publish("orders", b"2")
        assert [message.data for message in one.events("orders") + two.events("orders")] == [b"1", b"2"]


@pytest.mark.parametrize("store", ["MEMORY", "FILE"])
async def test_nothing_is_left_behind(store: str) -> None:
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = gc.get_threshold(), sys.getswitchinterval(), asyncio.get_event_loop_policy()
    frozen = gc.get_freeze_count()
    tasks, threads = asyncio.all_tasks(loop), set(threading.enumerate())
    root_handlers = list(logging.getLogger().handlers)
    async with durabus.testing.bus(store=store) as bus:
        port, directory = bus.port, bus.directory
        await bus.publish("orders", b"1")
        left_open = await bus.connect("left-open")
        assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert left_open.is_closed
    assert asyncio.all_tasks(loop) == tasks
    assert {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")} <= threads
    assert (gc.get_threshold(), sys.getswitchinterval(), asyncio.get_event_loop_policy()) == before
    assert gc.get_freeze_count() <= frozen  # what another test had frozen may end meanwhile: only more would be ours
    assert logging.getLogger().handlers == root_handlers
    assert directory is None or not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def test_it_runs_on_whichever_event_loop_the_test_has() -> None:
    async def work() -> list[tuple[int, int]]:
        async with durabus.testing.bus() as bus, bus.connect("a") as client:
            worker = Worker(fails=lambda me: len(me.got) < 2)
            await all_of(client, "orders", worker)
            await bus.publish("orders", b"1")
            await bus.advance(30)
            await bus.restart()
            return worker.got

    assert uvloop.run(work()) == asyncio.run(work()) == [(1, 0), (1, 1)]


async def test_an_error_in_the_block_comes_out_and_everything_is_closed() -> None:
    started: list[RunningBus] = []

    async def fail() -> None:
        async with durabus.testing.bus() as bus:
            started.append(bus)
            await bus.connect("a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not started[0].is_running
    assert len(asyncio.all_tasks()) == 1


async def test_the_log_goes_to_logging_only(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, "durabus.server"):
        async with durabus.testing.bus():
            pass
    assert "STREAM: Streaming Server is ready" in [record.getMessage() for record in caplog.records]
    assert all(record.levelno == logging.INFO for record in caplog.records)
    assert capfd.readouterr() == ("", "")


# Options.


async def test_flags_are_those_of_the_server() -> None:
    async with durabus.testing.bus("-max_msgs", "2", "-p", "4222", "-m", "8222", "-a", "0.0.0.0") as bus:
        for number in range(3):
            await bus.publish("orders", str(number))
        assert [message.data for message in bus.events("orders")] == [b"1", b"2"]
        assert bus.port != 4222


@pytest.mark.parametrize(
    ("flags", "kind", "text"),
    [
        (("-no_such_flag",), UsageError, "no_such_flag"),
        (("--version",), StartError, "do not start a server"),
        (("-ns", "nats://localhost:4222"), StartError, "leave out -ns"),
        (("-store", "FILE"), StartError, "dir"),
    ],
)
def test_flags_of_no_use_are_refused(flags: tuple[str, ...], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        bus_options(flags, "", None)


async def test_a_failed_start_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError):
        async with durabus.testing.bus(store="FILE", directory=tmp_path / "file"):
            raise AssertionError("it cannot start")
    assert len(asyncio.all_tasks()) == 1


# Time.


async def test_ack_wait_is_over_when_the_test_says_so() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        worker = Worker(fails=lambda me: len(me.got) < 3)
        await all_of(client, "orders", worker, ack_wait_s=30)
        await bus.publish("orders", b"1")
        await bus.advance(29.999)
        assert worker.got == [(1, 0)]
        await bus.advance(0.001)
        assert worker.got == [(1, 0), (1, 1)]
        await bus.advance(timedelta(minutes=5))
        assert worker.got == [(1, 0), (1, 1), (1, 2)]  # acknowledged at its third time
        await bus.wait_idle()


async def test_each_redelivery_on_the_way_happens_at_its_time() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        worker = Worker(fails=always)
        await all_of(client, "orders", worker, ack_wait_s=10)
        await bus.publish("orders", b"1")
        await bus.advance(35, handling_s=0.001)
        assert worker.got == [(1, 0), (1, 1), (1, 2), (1, 3)]


async def test_a_listener_that_waits_has_time_to_acknowledge_before_time_goes_on() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        got: list[int] = []

        async def work(message: Message) -> None:
            got.append(message.redelivery_count)
            if len(got) == 1:
                raise ValueError("the first time")
            for _ in range(50):
                await asyncio.sleep(0)

        await client.subscribe("orders", work, durable_name="d", ack_wait_s=30)
        await bus.publish("orders", b"1")
        await bus.advance(600, handling_s=PATIENCE_S)
        assert got == [0, 1]


async def test_everything_that_is_due_has_arrived_whatever_its_size() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        await client.subscribe("orders", durable_name="d", ack_wait_s=30, max_in_flight=100, manual_ack=True)
        subscription = await client.subscribe("orders", max_in_flight=100, ack_wait_s=30, manual_ack=True)
        await client.publish_all(("orders", bytes(500_000)) for _ in range(12))
        await bus.settle()
        assert subscription.waiting_count == 12
        for message in await subscription.next_batch(100):
            message.let_go()
        await bus.advance(30, handling_s=0.001)
        assert subscription.waiting_count == 12


async def test_clients_stay_alive_when_much_time_passes() -> None:
    async with durabus.testing.bus("-hbi", "1h", "-hbt", "10s", "-hbf", "1") as bus, bus.connect("a") as client:
        worker = Worker()
        await all_of(client, "orders", worker)
        session = client._session
        await bus.advance(LONG_S)
        await bus.publish("orders", b"1")
        await bus.wait_idle()
        assert client._session is session
        assert worker.got == [(1, 0)]


async def test_a_client_that_does_not_answer_is_removed_by_its_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_PATIENCE_S", 0.2)
    async with durabus.testing.bus("-hbi", "10s", "-hbt", "5s", "-hbf", "2") as bus, bus.connect("there"):
        _reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
        hello = b"\x0a\x04hung\x12\x02hb"
        writer.write(b"CONNECT {}\r\nSUB hb 1\r\nPUB _STAN.discover.test-cluster r %d\r\n%b\r\n" % (len(hello), hello))
        await bus.wait_connected("hung")
        await bus.advance(120)
        with pytest.raises(AssertionError, match="registered: there"):
            await bus.wait_connected("hung", timeout_s=0)
        writer.close()
        await writer.wait_closed()


async def test_old_messages_go_and_idle_channels_too() -> None:
    async with durabus.testing.bus("-max_age", "1h", "-max_inactivity", "2h") as bus:
        await bus.publish("orders", b"1")
        await bus.advance(3599)
        await bus.publish("orders", b"2")
        await bus.advance(1)
        assert [message.data for message in bus.events("orders")] == [b"2"]
        await bus.advance(3600)
        assert bus.events("orders") == []
        assert "orders" in bus._history.channels()
        await bus.advance(3600)
        assert bus._history.channels() == []


async def test_stamps_follow_the_time_of_the_bus() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        await bus.publish("orders", b"1")
        await bus.advance(3600)
        await bus.publish("orders", b"2")
        first, second = bus.events("orders")
        assert 3600 * 10**9 <= second.timestamp_ns - first.timestamp_ns < 3700 * 10**9
        assert first.timestamp_ns < bus.now().timestamp() * 1e9 - 3599 * 10**9
        subscription = await client.subscribe("orders", start=StartPosition.time_delta(1800))
        assert (await subscription.next()).data == b"2"


async def test_without_control_time_goes_on_and_can_be_moved() -> None:
    async with durabus.testing.bus(controlled_time=False) as bus, bus.connect("a") as client:
        worker = Worker(fails=lambda me: len(me.got) < 2)
        await all_of(client, "orders", worker, ack_wait_s=1)
        await bus.publish("orders", b"1")
        await bus.wait_idle(PATIENCE_S)
        assert worker.got == [(1, 0), (1, 1)]
        await bus.advance(LONG_S / 100)


async def test_time_only_goes_forward_and_one_call_after_the_other() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a"):
        with pytest.raises(ValueError, match="forward"):
            await bus.advance(-1)
        advancing = asyncio.create_task(bus.advance(10))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one after the other"):
            await bus.advance(10)
        await advancing


# Restarts and faults.


async def test_a_restart_with_files_keeps_what_was_stored(tmp_path: Path) -> None:
    async with durabus.testing.bus(store="FILE", directory=tmp_path / "data") as bus, bus.connect("a") as client:
        worker = Worker()
        await all_of(client, "orders", worker)
        await bus.publish("orders", b"1")
        await bus.wait_idle()
        port = bus.port
        await bus.restart()
        assert bus.port == port
        await bus.publish("orders", b"2")
        await bus.wait_idle()
        assert worker.got == [(1, 0), (2, 0)]
        assert len(bus.events("orders")) == 2
    async with durabus.testing.bus(store="FILE", directory=tmp_path / "data") as bus:
        assert [message.data for message in bus.events("orders")] == [b"1", b"2"]
        await bus.assert_nothing()


async def test_a_restart_with_memory_forgets_everything() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        worker = Worker()
        await all_of(client, "orders", worker)
        await bus.publish("orders", b"1")
        await bus.wait_idle()
        await bus.restart()
        assert bus.events("orders") == []
        assert len(await bus.published("orders")) == 1
        await bus.publish("orders", b"2")
        await bus.wait_subscribed("orders")
        await bus.wait_idle()
        assert worker.got == [(1, 0), (1, 0)]  # sequences began anew


async def test_stopped_it_can_be_started_again_and_time_passes_meanwhile() -> None:
    async with durabus.testing.bus(store="FILE") as bus:
        await bus.publish("orders", b"1")
        before = bus.now()
        await bus.stop()
        await bus.stop()
        assert not bus.is_running
        assert bus.subscriptions() == []
        with pytest.raises(ConnectError):
            await bus.connect("a", connect_timeout_s=0.05)
        with pytest.raises(StartError, match="start"):
            await bus.kill_connections()
        await bus.advance(60)
        await bus.start()
        await bus.start()
        assert bus.now() - before >= timedelta(seconds=60)
        assert len(bus.events("orders")) == 1


async def test_connections_are_cut_and_clients_come_back() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as one, bus.connect("b") as other:
        sessions = one._session, other._session
        assert await bus.kill_connections("a") == 1
        await bus.wait_connected("a")
        await one.publish("orders", b"1")
        assert one._session is not sessions[0]
        assert other._session is sessions[1]
        assert await bus.kill_connections() == 2
        await one.publish("orders", b"2")
        await other.publish("orders", b"3")
        with pytest.raises(ValueError, match="no client 'c'"):
            await bus.kill_connections("c")


async def test_publishes_are_refused_for_the_reason_given() -> None:
    async with durabus.testing.bus() as bus:
        await bus.publish("orders", b"1")
        async with bus.refusing_publishes("the disk is full"):
            for _ in range(2):
                with pytest.raises(PublishRefusedError, match="the disk is full"):
                    await bus.publish("orders", b"2")
        await bus.publish("orders", b"3")
        assert [message.data for message in bus.events("orders")] == [b"1", b"3"]


async def test_an_event_of_a_class_is_published_to_its_subject() -> None:
    async with durabus.testing.bus() as bus:
        await bus.publish(TicketCreated(id="1", price=2.5))
        assert bus.events(TicketCreated) == [TicketCreated(id="1", price=2.5)]
        assert bus.events("ticket:created")[0].sequence == 1
        with pytest.raises(TypeError, match="channel and data"):
            await bus.publish("orders")
