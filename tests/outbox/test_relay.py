"""What a relay publishes, when, in which order; and what becomes of it when the bus or the database is lost."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text

import durabus
from durabus.client import Bus, ClosedError, ReplacedError
from durabus.outbox import Outbox, OutboxUsageError, Relay, RelayStoppedError, SetAside
from tests.client.harness import lose, serving, until
from tests.databases import mariadb_server, postgres_server
from tests.outbox.harness import PATIENCE_S, Paid, Service, Ticket, new_service, new_subject, received
from tests.server_process import HOST

pytestmark = pytest.mark.once
NEVER_S = 1000.0


async def numbers(bus: Bus, subject: str, count: int) -> list[int]:
    """What was published, in its order."""
    return [int(message.data) for message in await received(bus, subject, count)]


async def add(service: Service, subject: str, *payloads: bytes, entity: str | None = None) -> None:
    """Commit events, each in a transaction."""
    async with service.async_sessions() as sessions:
        for payload in payloads:
            async with sessions.begin() as session:
                await service.outbox.add_payload(session, subject, payload, identity="x", entity=entity)


async def flush(relay: Relay) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await relay.flush()


async def test_a_commit_is_published_at_once(service: Service, bus: Bus) -> None:
    subject = new_subject()
    async with (
        service.async_sessions() as sessions,
        service.async_engine() as engine,
        Relay(service.outbox, engine, bus, poll_s=NEVER_S) as relay,
    ):
        await flush(relay)
        async with sessions.begin() as session:
            session.add(Ticket(id=1))
            await service.outbox.add(session, Paid(ticket=1, event_id="a"), channel=subject)
        (message,) = await received(bus, subject, 1)
        assert message.data == b'{"ticket":1,"event_id":"a"}'
        async with engine.begin() as connection:
            await service.outbox.add_payload(connection, subject, b"b", identity="b")
        assert (await received(bus, subject, 2))[1].data == b"b"
        await flush(relay)
        async with sessions() as session:
            assert (await service.outbox.state(session)).waiting == 0


async def test_a_rollback_is_not(service: Service, bus: Bus) -> None:
    subject = new_subject()
    async with (
        service.async_sessions() as sessions,
        service.async_engine() as engine,
        Relay(service.outbox, engine, bus) as relay,
    ):
        async with sessions() as session:
            await service.outbox.add_payload(session, subject, b"0", identity="x")
            await session.rollback()
        await add(service, subject, b"1")
        await flush(relay)
    assert await numbers(bus, subject, 1) == [1]


async def test_what_others_commit_is_found(service: Service, bus: Bus) -> None:
    """By looking, as another process would have it."""
    elsewhere = Outbox(service.metadata)
    subject = new_subject()
    async with service.async_engine() as engine, Relay(elsewhere, engine, bus, poll_s=0.01):
        await add(service, subject, b"1")
        assert await numbers(bus, subject, 1) == [1]


@pytest.mark.parametrize("is_pipelined", [False, True])
async def test_the_order(service: Service, bus: Bus, is_pipelined: bool) -> None:
    one, other = new_subject(), new_subject()
    count = 100
    async with service.async_sessions() as sessions, sessions.begin() as session:
        for number in range(count):
            await service.outbox.add_payload(session, one, b"%d" % number, identity="x")
            await service.outbox.add_payload(session, other, b"%d" % number, identity="x", entity=f"e{number % 7}")
    async with (
        service.async_engine() as engine,
        Relay(service.outbox, engine, bus, batch_events=64, is_pipelined=is_pipelined) as relay,
    ):
        await flush(relay)
    assert await numbers(bus, one, count) == list(range(count))
    found = await numbers(bus, other, count)
    assert sorted(found) == list(range(count))
    for lane in range(7):
        mine = [number for number in found if number % 7 == lane]
        assert mine == sorted(mine)


async def test_with_an_engine_without_asyncio(service: Service, bus: Bus) -> None:
    subject = new_subject()
    await add(service, subject, b"1", b"2")
    with service.engine() as engine:
        async with Relay(service.outbox, engine, bus) as relay:
            await flush(relay)
            assert await numbers(bus, subject, 2) == [1, 2]


async def test_several_relays_publish_once(service: Service, url: str) -> None:
    subject, count = new_subject(), 60
    async with service.async_engine() as engine, durabus.connect(url) as one, durabus.connect(url) as two:
        first = Relay(service.outbox, engine, one, poll_s=0.02, batch_events=5)
        second = Relay(service.outbox, engine, two, poll_s=0.02, batch_events=5)
        async with first, second:
            await add(service, subject, *(b"%d" % number for number in range(count)))
            await asyncio.gather(flush(first), flush(second))
            await one.publish(subject, b"-1")
            assert await numbers(one, subject, count + 1) == [*range(count), -1]


async def test_what_the_bus_never_takes_is_set_aside(
    service: Service, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    subject, told = new_subject(), list[SetAside]()
    await add(service, subject, b"1", b"x" * 2_000_000, b"3")
    async with service.async_sessions() as sessions, service.async_engine() as engine:
        async with sessions.begin() as session:  # as another program could have written it
            wrong = service.outbox.table.insert().values(
                subject="not a channel", lane=subject, payload=b"4", created_ns=1, attempts=0
            )
            await session.execute(wrong)
        await add(service, subject, b"5")
        async with Relay(service.outbox, engine, bus, on_set_aside=told.append) as relay:
            await flush(relay)
            assert await numbers(bus, subject, 3) == [1, 3, 5]
            async with sessions() as session:
                aside = await service.outbox.set_aside(session)
                state = await service.outbox.state(session)
            assert told == aside
            assert (state.waiting, state.set_aside) == (0, 2)
            assert "the server takes" in aside[0].reason
            assert "blanks" in aside[1].reason
            assert [record.levelname for record in caplog.records if "set aside" in record.message] == ["ERROR"] * 2
            async with sessions.begin() as session:
                await session.execute(service.outbox.table.update().values(payload=b"7", subject=subject))
                assert await service.outbox.retry(session) == 2
            assert await numbers(bus, subject, 5) == [1, 3, 5, 7, 7]


async def test_a_refusal_for_now_holds_up_its_lane_only(sqlite: Service) -> None:
    """Nothing overtakes within a lane, not even when the server lacks room for a channel."""
    one, two = new_subject(), new_subject()
    server = serving("-mc", "1")
    try:
        async with durabus.connect(f"nats://{HOST}:{server.port}") as bus:
            await bus.publish(one, b"0")
            await add(sqlite, two, b"1", b"2")
            await add(sqlite, one, b"1")
            async with sqlite.async_sessions() as sessions, sqlite.async_engine() as engine:
                relay = Relay(sqlite.outbox, engine, bus, retry_wait_s=0.01, batch_events=1)
                async with relay:
                    assert await numbers(bus, one, 2) == [0, 1]

                    async def attempts() -> list[tuple[int, str | None]]:
                        table = sqlite.outbox.table.c
                        async with sessions() as session:
                            wanted = sqlite.outbox.table.select().order_by(table.id)
                            return [(row.attempts, row.reason) for row in await session.execute(wanted)]

                    found = await attempts()
                    async with asyncio.timeout(PATIENCE_S):
                        while found[0][0] < 3:
                            found = await attempts()
                    assert "too many channels" in str(found[0][1])
                    assert found[1] == (0, None), "it waits for the one before it"
    finally:
        server.stop()


async def test_the_bus_is_lost_in_between(service: Service, tmp_path: Path) -> None:
    """The server is killed and started again while events wait: in the end each is there, in order, once or more."""
    subject, count = new_subject(), 200
    flags = ("-store", "FILE", "-dir", str(tmp_path / "store"))
    server = serving(*flags)
    port = server.port
    try:
        async with durabus.connect(f"nats://{HOST}:{port}", reconnect_wait_s=0.02, reconnect_wait_max_s=0.1) as bus:
            async with service.async_engine() as engine, Relay(service.outbox, engine, bus, batch_events=20) as relay:
                adding = asyncio.create_task(add(service, subject, *(b"%d" % number for number in range(count))))
                await received(bus, subject, 10)
                server.kill()
                await adding
                server = serving(*flags, port=port)
                await flush(relay)
            await bus.publish(subject, b"-1")
            found: list[int] = []
            async with asyncio.timeout(PATIENCE_S):
                async with await bus.subscribe(subject, start=durabus.client.StartPosition.all_available()) as messages:
                    while -1 not in found:
                        found.append(int((await messages.next()).data))
    finally:
        server.stop()
    assert list(dict.fromkeys(found)) == [*range(count), -1], "first copies are in order, and none is missing"


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_the_database_is_lost_in_between(
    kind: str, bus: Bus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = postgres_server() if kind == "postgresql" else mariadb_server()
    subject = new_subject()
    with new_service(kind, tmp_path) as service:
        async with service.async_engine() as engine:
            relay = Relay(service.outbox, engine, bus, poll_s=0.02, retry_wait_s=0.02, retry_wait_max_s=0.1)
            async with relay:
                await add(service, subject, b"1")
                await flush(relay)
                database.kill()
                await until(lambda: "cannot be worked on" in caplog.text, "the complaint")
                database.start()
                await add(service, subject, b"2")
                assert await numbers(bus, subject, 2) == [1, 2]


async def test_tables_that_are_missing_are_told(sqlite: Service, bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(sqlite.metadata, name="late")
    async with sqlite.async_engine() as engine, Relay(outbox, engine, bus, retry_wait_s=0.01) as relay:
        await until(lambda: "no such table" in caplog.text, "the complaint")
        await outbox.create(engine)
        await until(lambda: relay._failures == 0, "the first turn")


async def test_a_connection_that_is_lost_while_the_relay_waits(sqlite: Service, bus: Bus) -> None:
    subject = new_subject()
    async with sqlite.async_engine() as engine, Relay(sqlite.outbox, engine, bus, poll_s=0.01):
        await lose(bus)
        await add(sqlite, subject, b"1")
        assert await numbers(bus, subject, 1) == [1]


async def test_it_ends_with_its_bus(sqlite: Service, url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with sqlite.async_engine() as engine:
        bus = await durabus.connect(url)
        relay = Relay(sqlite.outbox, engine, bus, poll_s=0.01)
        running = asyncio.create_task(relay.run())
        await until(lambda: relay._task is not None)
        await bus.close()
        async with asyncio.timeout(PATIENCE_S):
            await running  # closed by its own program: that is no error
        with pytest.raises(RelayStoppedError):
            await relay.flush()
        assert "has stopped" in caplog.text


async def test_replaced_by_another_instance(sqlite: Service, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        raise ReplacedError("another one took the ID")

    monkeypatch.setattr(bus, "wait_connected", fail)
    async with sqlite.async_engine() as engine:
        relay = Relay(sqlite.outbox, engine, bus)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RelayStoppedError, match="another one"):
                await relay.run()


async def test_stopping_finishes_what_was_begun(service: Service, bus: Bus) -> None:
    """What is removed is published, what is published is removed."""
    subject, count = new_subject(), 100
    await add(service, subject, *(b"%d" % number for number in range(count)))
    async with service.async_engine() as engine, service.async_sessions() as sessions:
        relay = Relay(service.outbox, engine, bus, batch_events=10)
        await relay.start()
        await received(bus, subject, 1)
        await relay.stop()
        await relay.stop()
        async with sessions() as session:
            left = (await service.outbox.state(session)).waiting
        await bus.publish(subject, b"-1")
        assert await numbers(bus, subject, count - left + 1) == [*range(count - left), -1]


async def test_what_is_no_relay(sqlite: Service, bus: Bus) -> None:
    with pytest.raises(OutboxUsageError):
        Relay(sqlite.outbox, "engine", bus)  # type: ignore[arg-type]
    async with sqlite.async_engine() as engine:
        with pytest.raises(OutboxUsageError):
            Relay(sqlite.outbox, engine, bus, poll_s=0)
        relay = Relay(sqlite.outbox, engine, bus)
        await relay.stop()
        async with relay:
            with pytest.raises(OutboxUsageError):
                await relay.start()


async def test_a_program_that_fails_when_it_is_told(
    sqlite: Service, bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: SetAside) -> None:
        raise KeyError

    subject = new_subject()
    await add(sqlite, subject, b"x" * 2_000_000, b"2")
    async with sqlite.async_engine() as engine, Relay(sqlite.outbox, engine, bus, on_set_aside=fail):
        assert await numbers(bus, subject, 1) == [2]
    assert "on_set_aside failed" in caplog.text


async def test_a_lapsed_lease_is_taken_over(sqlite: Service, bus: Bus) -> None:
    """What a killed relay left in the table does not keep others out for longer than it says."""
    subject = new_subject()
    await add(sqlite, subject, b"1")
    with sqlite.engine() as engine, engine.begin() as connection:
        until_ns = sqlite.outbox.clock.wall_ns() + 200_000_000
        connection.execute(sqlite.outbox.relay_table.insert().values(id=1, owner="gone", until_ns=until_ns))
        assert connection.execute(text("SELECT count(*) FROM durabus_outbox")).scalar_one() == 1
    async with sqlite.async_engine() as of_asyncio, Relay(sqlite.outbox, of_asyncio, bus, poll_s=0.01):
        assert await numbers(bus, subject, 1) == [1]


async def test_a_closed_bus_from_the_start(sqlite: Service, url: str) -> None:
    bus = await durabus.connect(url)
    await bus.close()
    with pytest.raises(ClosedError):
        await bus.wait_connected()
