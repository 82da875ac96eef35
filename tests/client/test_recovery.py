"""What killed the old clients: servers that restart, networks that are cut or stall, pings that fail, stores that are gone."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Sized
from functools import partial
from pathlib import Path

import pytest

from durabus.client import (
    Connected,
    Disconnected,
    Message,
    PublishError,
    PublishNotSentError,
    PublishUnknownError,
    RequestTimeoutError,
    StartPosition,
    StoreReset,
    SubscriptionRefusedError,
)
from tests.client.harness import (
    PATIENCE_S,
    Events,
    collect,
    connect,
    lose,
    new_channel,
    new_client_id,
    serving,
    until,
)
from tests.clients.tcp_proxy import TcpProxy
from tests.server_process import ServerProcess

ROUNDS = int(os.environ.get("DURABUS_CLIENT_ROUNDS", "4"))
KINDS = [
    pytest.param({}, id="plain"),
    pytest.param({"durable_name": "d"}, id="durable"),
    pytest.param({"queue_group": "g"}, id="queue"),
    pytest.param({"queue_group": "g", "durable_name": "d"}, id="durable-queue"),
]


def has_length(collected: Sized, count: int) -> bool:
    """Whether there are as many."""
    return len(collected) == count


def has_more(collected: Sized, count: int) -> bool:
    """Whether there are more."""
    return len(collected) > count


@pytest.mark.parametrize("options", KINDS)
async def test_a_lost_connection_goes_unnoticed(port: int, options: dict[str, str]) -> None:
    channel, events = new_channel(), Events()
    seen: list[int] = []
    async with connect(port, on_event=events) as bus:
        await bus.subscribe(channel, lambda message: seen.append(message.sequence), **options)  # type: ignore[arg-type]
        for part in range(3):
            await bus.publish_all((channel, b"%d" % n) for n in range(10))
            await until(partial(has_length, seen, 10 * (part + 1)))
            await lose(bus)
        await bus.publish(channel, b"last")
        await until(lambda: 31 in seen)
        assert seen == list(range(1, 32))
    assert len(events.of(Disconnected)) == 3
    again = [event for event in events.of(Connected) if isinstance(event, Connected) and event.is_again]
    assert [event.was_known for event in again] == [True] * 3
    assert events.of(StoreReset) == []


async def test_what_is_published_while_the_connection_is_lost_is_kept(port: int) -> None:
    channel = new_channel()
    with TcpProxy(port) as proxy:
        async with connect(proxy.port) as bus:
            subscription = await bus.subscribe(channel)
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            publishing = [asyncio.create_task(bus.publish(channel, b"%d" % n)) for n in range(5)]
            await asyncio.sleep(0)
            assert not any(task.done() for task in publishing)
            proxy.lets_through = True
            for publication in await asyncio.gather(*publishing):
                assert not publication.is_possibly_duplicated
            assert [message.data for message in await collect(subscription, 5)] == [b"%d" % n for n in range(5)]


async def test_a_subscription_that_is_asked_for_meanwhile_begins_in_the_next_session(port: int) -> None:
    channel = new_channel()
    with TcpProxy(port) as proxy:
        async with connect(proxy.port) as bus:
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            subscribing = asyncio.create_task(bus.subscribe(channel))
            await asyncio.sleep(0)
            proxy.lets_through = True
            subscription = await subscribing
            await bus.publish(channel, b"1")
            assert [message.data for message in await collect(subscription, 1)] == [b"1"]


async def test_unsubscribing_meanwhile_removes_a_durable_all_the_same(port: int) -> None:
    channel, client_id = new_channel(), new_client_id()
    with TcpProxy(port) as proxy:
        async with connect(proxy.port, client_id=client_id) as bus:
            await bus.publish(channel, b"1")
            subscription = await bus.subscribe(channel, durable_name="d", start=StartPosition.all_available())
            await collect(subscription, 1)
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            unsubscribing = asyncio.create_task(subscription.unsubscribe())
            await asyncio.sleep(0)
            proxy.lets_through = True
            await unsubscribing
            anew = await bus.subscribe(channel, durable_name="d", start=StartPosition.all_available())
            assert [message.data for message in await collect(anew, 1)] == [b"1"]


async def test_unsubscribing_without_a_server_is_an_error(port: int) -> None:
    with TcpProxy(port) as proxy:
        async with connect(proxy.port, request_timeout_s=0.05) as bus:
            subscription = await bus.subscribe(new_channel(), durable_name="d")
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            with pytest.raises(RequestTimeoutError):
                await subscription.unsubscribe()
            with pytest.raises(RequestTimeoutError):
                await bus.subscribe(new_channel())
            assert subscription.is_over
            proxy.lets_through = True
            await until(lambda: bus.is_connected)


async def test_a_subscription_that_was_given_up_leaves_nothing_behind(port: int) -> None:
    channel = new_channel()
    async with connect(port) as bus:
        giving_up = asyncio.create_task(bus.subscribe(channel, queue_group="g"))
        await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.wait([giving_up])
        subscription = await bus.subscribe(channel, queue_group="g")
        await bus.publish_all((channel, b"%d" % n) for n in range(10))
        assert len(await collect(subscription, 10)) == 10, "nobody else is in the group"


async def test_a_subscription_that_is_refused_in_a_new_session_ends_with_the_reason() -> None:
    channel = new_channel()
    server = serving()
    port = server.port
    try:
        async with connect(port) as bus:
            subscription = await bus.subscribe(channel)
            other = await bus.subscribe(new_channel())
            server.kill()
            server = serving("-mc", "1", port=port)
            await until(lambda: subscription.is_over != other.is_over)
            refused = subscription if subscription.is_over else other
            with pytest.raises(SubscriptionRefusedError, match="too many channels"):
                await refused.next()
            await until(lambda: bus.is_connected)
    finally:
        server.kill()


@pytest.mark.parametrize("start", ["new_only", "last_received", "time_delta"])
async def test_a_subscription_that_had_nothing_yet_misses_nothing(port: int, start: str) -> None:
    channel = new_channel()
    position = StartPosition.time_delta(3600) if start == "time_delta" else getattr(StartPosition, start)()
    with TcpProxy(port) as proxy:
        async with connect(proxy.port) as bus, connect(port) as other:
            subscription = await bus.subscribe(channel, start=position)
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            await other.publish_all((channel, b"%d" % n) for n in range(3))
            proxy.lets_through = True
            assert [message.data for message in await collect(subscription, 3)] == [b"0", b"1", b"2"]


async def test_a_network_that_stalls_is_noticed_by_pings(port: int) -> None:
    """The proxy lives, and passes nothing on: only pings can tell."""
    channel, events = new_channel(), Events()
    stall = asyncio.Event()
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if not stall.is_set():
                    writer.write(data)
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stall.clear()  # a new connection works
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps.add(asyncio.create_task(pump(reader, far_writer)))
        pumps.add(asyncio.create_task(pump(far_reader, writer)))

    proxy = await asyncio.start_server(meet, "127.0.0.1", 0)
    proxy_port = proxy.sockets[0].getsockname()[1]
    async with connect(proxy_port, on_event=events, ping_interval_s=0.1, pings_out_max=2) as bus:
        subscription = await bus.subscribe(channel)
        await bus.publish(channel, b"1")
        await collect(subscription, 1)
        stall.set()
        await bus.publish(channel, b"2")
        assert [message.data for message in await collect(subscription, 1)] == [b"2"]
    assert "pings were not answered" in str(events.of(Disconnected)[0])
    proxy.close()
    for task in pumps:
        task.cancel()
    await asyncio.wait(pumps)


async def test_the_outcome_is_never_reported_wrongly(port: int) -> None:
    """Connections that are cut at any moment of a publish; afterwards the channel is compared with what was said."""
    channel, chance = new_channel(), random.Random(5)
    with TcpProxy(port) as proxy:
        for retries in (True, False):
            outcomes: dict[bytes, object] = {}
            async with connect(proxy.port, retries_publishes=retries, publish_timeout_s=5) as bus:

                async def publish(data: bytes, bus=bus, outcomes=outcomes) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
                    try:
                        outcomes[data] = await bus.publish(channel, data)
                    except PublishError as error:
                        outcomes[data] = error

                async def cut(bus=bus) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
                    for _ in range(8):
                        await until(lambda: bus.is_connected)
                        await asyncio.sleep(chance.random() * 0.01)
                        proxy.cut()

                cutting = asyncio.create_task(cut())
                n = 0
                while not cutting.done():
                    await asyncio.gather(*(publish(b"%d %d" % (retries, n + i)) for i in range(50)))
                    n += 50
                await cutting
            async with connect(port) as bus:
                subscription = await bus.subscribe(channel, start=StartPosition.all_available())
                await bus.publish(channel, b"end %d" % retries)
                counts: dict[bytes, int] = {}
                while (message := await subscription.next()).data != b"end %d" % retries:
                    counts[message.data] = counts.get(message.data, 0) + 1
                    message.ack()
            for data, outcome in outcomes.items():
                count = counts.get(data, 0)
                if isinstance(outcome, PublishNotSentError):
                    assert count == 0
                elif isinstance(outcome, PublishUnknownError):
                    assert count <= 1 or retries
                elif getattr(outcome, "is_possibly_duplicated", False):
                    assert count >= 1
                else:
                    assert count == 1, (data, outcome)


async def test_nothing_is_published_in_time_without_a_server(port: int) -> None:
    with TcpProxy(port) as proxy:
        async with connect(proxy.port, publish_timeout_s=0.2) as bus:
            proxy.lets_through = False
            proxy.cut()
            await until(lambda: not bus.is_connected)
            with pytest.raises(PublishNotSentError):
                await bus.publish(new_channel(), b"")


async def test_a_memory_store_that_is_gone_is_reported_and_nothing_new_is_missed() -> None:
    channel, empty, events, client_id = new_channel(), new_channel(), Events(), new_client_id()
    server = serving()
    port = server.port
    seen: dict[str, list[bytes]] = {"plain": [], "durable": [], "queue": [], "empty": []}
    try:
        async with connect(port, on_event=events, client_id=client_id) as bus:
            for name, options in (("plain", {}), ("durable", {"durable_name": "d"}), ("queue", {"queue_group": "g"})):
                await bus.subscribe(channel, lambda m, name=name: seen[name].append(m.data), **options)  # type: ignore[arg-type, misc]
            await bus.subscribe(empty, lambda m: seen["empty"].append(m.data))
            expected: list[bytes] = []

            def is_complete() -> bool:
                return seen["plain"] == seen["durable"] == seen["queue"] == expected

            for life in range(3):
                expected += [b"%d %d" % (life, n) for n in range(5)]
                await bus.publish_all((channel, data) for data in expected[-5:])
                await until(is_complete)
                server.kill()
                server = serving(port=port)
                # Somebody else is quicker than our bus: what he publishes must not be missed.
                async with connect(port) as other:
                    expected += [b"first of %d" % (life + 1)]
                    await other.publish(channel, expected[-1])
                    await other.publish(empty, b"%d" % life)
                await events.wait(StoreReset, 3 * (life + 1))
                await until(is_complete)
                await until(partial(has_length, seen["empty"], life + 1))
        assert {event.channel for event in events.of(StoreReset) if isinstance(event, StoreReset)} >= {channel}
        last = events.of(Connected)[-1]
        assert isinstance(last, Connected)
        assert not last.was_known
    finally:
        server.kill()


@pytest.mark.parametrize("options", KINDS)
async def test_a_store_that_is_new_and_has_more_than_the_one_before_is_not_taken_for_it(
    options: dict[str, str],
) -> None:
    channel, events = new_channel(), Events()
    server = serving()
    port = server.port
    seen: list[bytes] = []
    try:
        with TcpProxy(port) as proxy:
            async with connect(proxy.port, on_event=events) as bus:
                await bus.subscribe(channel, lambda message: seen.append(message.data), **options)  # type: ignore[arg-type]
                await bus.publish_all((channel, b"old %d" % n) for n in range(3))
                await until(partial(has_length, seen, 3))
                proxy.lets_through = False
                server.kill()
                server = serving(port=port)
                async with connect(port) as other:
                    await other.publish_all((channel, b"new %d" % n) for n in range(9))
                proxy.lets_through = True
                await until(partial(has_more, seen, 11))
                await bus.publish(channel, b"last")
                await until(lambda: b"last" in seen)
        assert seen[3:] == [b"new %d" % n for n in range(9)] + [b"last"]
        assert [str(event) for event in events.of(StoreReset)] == [str(StoreReset(channel, 3))]
    finally:
        server.kill()


async def test_a_client_that_was_forgotten_finds_the_store_of_before_which_went_on(tmp_path: Path) -> None:
    """The same question, and the other answer: the server has closed the session of a client that was away."""
    channel, events = new_channel(), Events()
    flags = ("-store", "FILE", "-dir", str(tmp_path / "store"), "-hbi", "50ms", "-hbt", "50ms", "-hbf", "1")
    server = serving(*flags)
    seen: list[int] = []
    try:
        with TcpProxy(server.port) as proxy:
            async with connect(proxy.port, on_event=events) as bus, connect(server.port) as other:
                await bus.subscribe(channel, lambda message: seen.append(message.sequence))
                await other.publish_all((channel, b"%d" % n) for n in range(3))
                await until(partial(has_length, seen, 3))
                proxy.lets_through = False
                proxy.cut()
                await asyncio.to_thread(server.wait_line, f"[Client:{bus.client_id}] Timed out")
                await other.publish_all((channel, b"%d" % n) for n in range(9))
                proxy.lets_through = True
                await until(partial(has_more, seen, 11))
                await other.publish(channel, b"last")
                await until(lambda: 13 in seen)
        assert seen == list(range(1, 14))
        assert events.of(StoreReset) == []
        again = events.of(Connected)[-1]
        assert isinstance(again, Connected)
        assert again.is_again
        assert not again.was_known
    finally:
        server.kill()


async def test_an_acknowledgement_of_before_does_not_fall_on_a_new_message() -> None:
    channel, events = new_channel(), Events()
    server = serving()
    port = server.port
    try:
        async with connect(port, on_event=events) as bus:
            subscription = await bus.subscribe(channel, manual_ack=True, ack_wait_s=1)
            await bus.publish(channel, b"old")
            old = await subscription.next()
            server.kill()
            server = serving(port=port)
            await events.wait(StoreReset)
            await bus.publish(channel, b"new")
            new = await subscription.next()
            assert (old.sequence, new.sequence) == (1, 1)
            old.ack()
            again = await subscription.next()
            assert (again.data, again.redelivery_count) == (b"new", 1)
            again.ack()
    finally:
        server.kill()


@pytest.mark.parametrize("seed", range(2))
async def test_cut_again_and_again_every_event_is_handled_once_and_in_order(port: int, seed: int) -> None:
    """In one process, with one handler at a time, nobody notices anything: copies are sorted out."""
    channel, chance = new_channel(), random.Random(seed)
    seen: dict[str, list[int]] = {"plain": [], "durable": [], "small": []}
    count = 0

    async def handler(name: str, message: Message) -> None:
        if chance.random() < 0.2:
            await asyncio.sleep(0.001)
        seen[name].append(message.sequence)

    with TcpProxy(port) as proxy:
        async with connect(proxy.port) as bus, connect(port) as other:
            await bus.subscribe(channel, partial(handler, "plain"))
            await bus.subscribe(channel, partial(handler, "durable"), durable_name="d")
            await bus.subscribe(channel, partial(handler, "small"), durable_name="e", max_in_flight=3)
            for _ in range(15):
                count += await other.publish_all((channel, b"x") for _ in range(chance.randrange(40)))
                await asyncio.sleep(chance.random() * 0.02)
                proxy.cut()
            await other.publish(channel, b"last")
            for sequences in seen.values():
                await until(partial(has_length, sequences, count + 1), "the last one")
    for sequences in seen.values():
        assert sequences == list(range(1, count + 2))


@pytest.mark.timeout(60 + 30 * ROUNDS)
async def test_killed_again_and_again_under_load_nothing_is_lost(tmp_path: Path) -> None:
    """FILE store, kill -9: every acknowledged event reaches every kind of listener, and none needs a restart."""
    flags = ("-store", "FILE", "-dir", str(tmp_path / "store"))
    channel, chance = new_channel(), random.Random(11)
    server: ServerProcess = serving(*flags)
    port = server.port
    acknowledged: set[bytes] = set()
    seen: dict[str, set[bytes]] = {"plain": set(), "durable": set(), "queue": set()}
    stopping = False

    async def handler(name: str, message: Message) -> None:
        await asyncio.sleep(0)
        if chance.random() < 0.01:
            raise ValueError("now and then it fails")
        seen[name].add(message.data)

    try:
        async with connect(port) as bus, connect(port) as listening:
            for name, options in (
                ("plain", {}),
                ("durable", {"durable_name": "d"}),
                ("queue", {"durable_name": "d", "queue_group": "g"}),
            ):
                await listening.subscribe(
                    channel,
                    lambda message, name=name: handler(name, message),  # type: ignore[misc]
                    ack_wait_s=1,
                    concurrency=4,
                    **options,  # type: ignore[arg-type]
                )

            async def publish(number: int) -> None:
                n = 0
                while not stopping:
                    n += 1
                    data = b"%d %d" % (number, n)
                    await bus.publish(channel, data)
                    acknowledged.add(data)

            publishing = [asyncio.create_task(publish(number)) for number in range(8)]
            for _ in range(ROUNDS):
                before = len(acknowledged)
                await until(partial(has_more, acknowledged, before + 50))
                await asyncio.sleep(chance.random() * 0.05)
                server.kill()
                server = await asyncio.to_thread(serving, *flags, port=port)
            stopping = True
            await asyncio.gather(*publishing)
            for name, data in seen.items():
                await until(partial(acknowledged.issubset, data), f"all of {name}")
    finally:
        server.kill()


async def test_a_server_that_stands_still_for_a_moment_changes_nothing() -> None:
    channel = new_channel()
    server = serving()
    try:
        async with connect(server.port) as bus:
            subscription = await bus.subscribe(channel)
            os.kill(server.process.pid, signal.SIGSTOP)
            publishing = asyncio.create_task(bus.publish(channel, b"1"))
            await asyncio.sleep(0)
            os.kill(server.process.pid, signal.SIGCONT)
            publication = await asyncio.wait_for(publishing, PATIENCE_S)
            assert not publication.is_possibly_duplicated
            assert len(await collect(subscription, 1)) == 1
    finally:
        server.kill()
