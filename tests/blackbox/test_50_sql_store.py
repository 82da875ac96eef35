"""A server on the SQL store, killed and started again: on sqlite, PostgreSQL and MariaDB (docs/sql-store.md)."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.blackbox.stan_client import FIRST, StanClient
from tests.databases import PASSWORD
from tests.server_process import PATIENCE_S, failed_start, running_server
from tests.stores.sql_harness import KINDS, ask, new_source, server_of

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="the original knows no sqlite")


def refusal(*told: str) -> str:
    """What a server says that does not start."""
    done = failed_start("-a", "127.0.0.1", "-p", "-1", *told)
    assert done.returncode == 1
    return done.stdout + done.stderr


def flags(kind: str, source: str) -> tuple[str, ...]:
    return ("-st", "SQL", "-sql_driver", kind, "-sql_source", source)


@pytest.mark.row(153)
@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_there_after_a_kill(kind: str, tmp_path: Path) -> None:
    told = flags(kind, new_source(kind, tmp_path))
    with running_server(*told) as server:
        client = StanClient(server.port, b"me").connect()
        client.publish(b"foo", b"1", b"2", b"3")
        durable = client.subscribe(b"foo", durable=b"dur", start=FIRST, max_in_flight=2, ack_wait_s=1)
        assert [one.sequence for one in client.deliveries(2, durable)] == [1, 2]
        client.acknowledge(durable, 1)
        assert client.delivery(durable).sequence == 3
        client.publish(b"foo", b"4")
        # What a subscriber has acknowledged is stored a little later than what a publisher was told.
        deadline = time.monotonic() + PATIENCE_S
        while ask(kind, told[-1], "SELECT lastsent FROM Subscriptions") != [("3",)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.process.send_signal(signal.SIGKILL)
        server.wait_end()
    with running_server(*told) as server, client:
        assert "Recovered 1 channel(s)" in server.log
        assert "Message store is SQL" in server.log
        assert "A message is acknowledged when the database has committed it" in server.log
        client.reconnect(server.port)
        assert sorted({client.delivery(durable).sequence, client.delivery(durable).sequence}) == [2, 3]
        client.acknowledge(durable, 2, 3)
        while (one := client.delivery(durable)).sequence < 4:
            pass  # sent again before it was acknowledged
        assert one.data == b"4"
        client.unsubscribe(durable)
        client.publish(b"foo", b"5")
        with StanClient(server.port, b"reader").connect() as reader:
            everything = reader.subscribe(b"foo", start=FIRST)
            assert [one.data for one in reader.deliveries(5, everything)] == [b"1", b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_server_does_not_start(kind: str, tmp_path: Path) -> None:
    told = flags(kind, new_source(kind, tmp_path))
    with running_server(*told) as server, StanClient(server.port, b"me") as client:
        client.connect()
        log = refusal(*told)
        assert "sql: another server uses the database" in log
        assert PASSWORD not in log
        client.publish(b"foo", b"1")


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
def test_a_database_that_goes_away_and_comes_back(kind: str, tmp_path: Path) -> None:
    database = server_of(kind)
    told = flags(kind, new_source(kind, tmp_path))
    with running_server(*told) as server, StanClient(server.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"1")
        database.kill()
        try:
            while not (error := client.try_publish(b"foo", b"2")):
                pass  # a process of PostgreSQL whose parent was killed may go on for a moment
            assert error.startswith(b"sql: ")
            assert client.try_publish(b"foo", b"lost").startswith(b"sql: ")
        finally:
            database.start()
        server.wait_line("the store is recovered, serving again")
        client.publish(b"foo", b"the end")
        everything = client.subscribe(b"foo", start=FIRST)
        found = [client.delivery(everything).data]
        while found[-1] != b"the end":
            found.append(client.delivery(everything).data)
        assert found[0] == b"1"
        assert {*found} <= {b"1", b"2", b"the end"}
        assert PASSWORD not in server.log


def test_a_database_that_is_not_there() -> None:
    log = refusal(*flags("mysql", "u:secret1@tcp(127.0.0.1:1)/db"))
    assert "Failed to start: sql: cannot connect to the database at 127.0.0.1:1" in log
    assert "secret1" not in log


def test_a_channel_whose_name_does_not_fit(tmp_path: Path) -> None:
    with running_server(*flags("sqlite", str(tmp_path / "x.db"))) as server, StanClient(server.port, b"me") as client:
        client.connect()
        client.publish(b"foo", b"1")
        assert client.try_publish(b"x" * 1025, b"2").startswith(b"channel name too long for this store")
        client.publish(b"foo", b"3")
        assert "recovering" not in server.log
