"""Every option of the stores, as a flag and under each name of its key, on a server of that store: what COMPATIBILITY.md says of it."""

import os
import signal
from pathlib import Path

import pytest

from durabus.config.flags import Kind
from durabus.config.store_table import STORE_TABLE, StoreOption
from tests.blackbox.durable_stores import Place, new_place
from tests.blackbox.stan_client import FIRST, StanClient
from tests.databases import PASSWORD
from tests.server_process import HOST, ServerProcess, failed_start, running_server
from tests.stores.sql_harness import ask

pytestmark = pytest.mark.skipif("DURABUS_TEST_SERVER" in os.environ, reason="this is how Durabus differs")

OTHER_VALUES = {Kind.BOOL: "false", Kind.INT: "7", Kind.SIZE: "3MB", Kind.DURATION: "7s", Kind.STRING: "/bin/true"}
IGNORED = [entry for entry in STORE_TABLE if entry.store == "FILE" and entry.ignored]
REFUSED = [
    entry
    for entry in STORE_TABLE
    if entry.flag in ("file_sync", "file_slice_archive_script", "file_truncate_bad_eof") or entry.refused
]
ALIASES = max(len(entry.keys.split()) for entry in IGNORED)


def another_value(entry: StoreOption) -> str:
    """A value of its kind that is not the default."""
    return "true" if entry.kind is Kind.BOOL and not entry.default else OTHER_VALUES[entry.kind]


def flag(entry: StoreOption) -> str:
    """On a command line."""
    return f"-{entry.flag}={another_value(entry)}"


def written(entry: StoreOption, key: str) -> str:
    """In a configuration file."""
    value = another_value(entry)
    return f'{key}: "{value}"' if entry.kind in (Kind.STRING, Kind.DURATION) else f"{key}: {value}"


def warnings(server: ServerProcess) -> list[str]:
    """What it told, without what its database is told about itself."""
    return [line.partition("[WRN] STREAM: ")[2] for line in server.lines if "[WRN]" in line and "sql: " not in line]


EXPECTED = [f"-{entry.flag} has no effect here: {entry.ignored}" for entry in IGNORED]


@pytest.mark.row(145, 146, 148)
def test_flags_without_effect(tmp_path: Path) -> None:
    place = new_place("file", tmp_path)
    with place.server(*map(flag, IGNORED)) as server, StanClient(server.port) as client:
        assert warnings(server) == EXPECTED
        client.connect().publish(b"foo", b"1")
    defaults = [f"-{entry.flag}={str(entry.default).lower()}" for entry in IGNORED if entry.kind is Kind.BOOL]
    with place.server(*defaults) as server, StanClient(server.port) as client:
        assert warnings(server) == []
        replay = client.connect().subscribe(b"foo", start=FIRST)
        assert client.delivery(replay).data == b"1"


@pytest.mark.parametrize("alias", range(ALIASES))
def test_keys_without_effect(alias: int, tmp_path: Path) -> None:
    lines = [written(entry, entry.keys.split()[alias % len(entry.keys.split())]) for entry in IGNORED]
    config = tmp_path / "bus.conf"
    config.write_text(f"streaming {{ file {{\n{chr(10).join(lines)}\n}} }}", encoding="utf-8")
    with new_place("file", tmp_path).server("-sc", str(config)) as server:
        assert warnings(server) == EXPECTED


def fatal(*flags: str) -> str:
    """Why a server does not start."""
    ended = failed_start("-a", HOST, "-p", "-1", *flags)
    assert ended.returncode == 1
    (line,) = [line for line in (ended.stdout + ended.stderr).splitlines() if "[FTL]" in line]
    return line.partition("Failed to start: ")[2]


@pytest.mark.row(141, 147)
@pytest.mark.parametrize("entry", REFUSED, ids=lambda entry: entry.flag)
def test_what_is_refused(entry: StoreOption, tmp_path: Path) -> None:
    """With the store that it is for: as a flag, and under each name of its key, before a directory is touched."""
    place = new_place("file", tmp_path)
    reason = f"-{entry.flag} with the FILE store is not available: {entry.refused}"
    assert fatal(*place.flags, flag(entry)) == reason
    for key in entry.keys.split():
        config = tmp_path / f"{key}.conf"
        config.write_text(f"streaming {{ file {{ {written(entry, key)} }} }}", encoding="utf-8")
        assert fatal(*place.flags, "-sc", str(config)).endswith(reason)
    assert not Path(place.path).exists()
    with running_server(flag(entry)) as server:
        assert [line for line in warnings(server) if entry.flag in line] == [], "another store has no look at it"


def test_the_truncation_has_no_key(tmp_path: Path) -> None:
    """As in the original: it is for the command line only."""
    config = tmp_path / "bus.conf"
    config.write_text("streaming { file { truncate_bad_eof: true } }", encoding="utf-8")
    with new_place("file", tmp_path).server("-sc", str(config)) as server:
        assert server.is_running()


@pytest.mark.row(157)
@pytest.mark.parametrize("as_key", [False, True])
@pytest.mark.row(153)
def test_options_of_databases(as_key: bool, tmp_path: Path) -> None:
    place = new_place("sqlite", tmp_path)
    if as_key:
        config = tmp_path / "bus.conf"
        config.write_text(
            f"""streaming {{ store: SQL, sql {{ driver: sqlite, source: "{place.path}",
                no_caching: true, max_conns: 2, bulk_insert_limit: 100, create_tables: true }} }}""",
            encoding="utf-8",
        )
        told = ["-sc", str(config)]
    else:
        more = ["-sql_no_caching", "-sql_max_open_conns=2", "-sql_bulk_insert_limit=100", "-sql_create_tables=true"]
        told = [*place.flags, *more]
    with running_server(*told) as server, StanClient(server.port) as client:
        assert warnings(server) == [
            "-sql_bulk_insert_limit has no effect here: all messages of a batch are inserted together"
        ]
        client.connect()
        durable = client.subscribe(b"foo", durable=b"d")
        client.publish(b"foo", b"1", b"2", b"3")
        client.deliveries(3, durable)
        client.acknowledge(durable, 2)
        assert client.ping() == b""
        server.stop(signal.SIGTERM)
    # Without a cache there is a row for each message that waits for its acknowledgement.
    rows = ask(place.kind, place.path, "SELECT seq FROM SubsPending WHERE seq > 0 ORDER BY seq")
    assert rows == [("1",), ("3",)]


def test_tables_that_nobody_may_make(tmp_path: Path) -> None:
    place = new_place("sqlite", tmp_path)
    assert "ServerInfo" in fatal(*place.flags, "-sql_create_tables=false")


@pytest.mark.parametrize("connections_max", [1, 3])
def test_no_more_connections_than_allowed(connections_max: int, tmp_path: Path) -> None:
    place = new_place("postgres", tmp_path)
    with place.server("-sql_max_open_conns", str(connections_max)) as server, StanClient(server.port) as client:
        client.connect()
        client.publish(b"foo", *[b"x"] * 300)
        replays = [client.subscribe(b"foo", start=FIRST) for _ in range(10)]
        assert len(client.deliveries(300 * len(replays))) == 3000
        schema = place.path.rpartition("=")[2]
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid()"
        assert 1 <= int(ask(place.kind, place.path, count)[0][0]) <= connections_max, schema


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["-sql_driver", "oracle", "-sql_source", "x"], "oracle"),
        (["-sql_driver", "postgres"], "source"),
        (["-sql_source", "x"], "driver"),
    ],
)
def test_databases_that_cannot_be(flags: list[str], reason: str) -> None:
    assert reason in fatal("-st", "SQL", *flags)


def test_a_database_without_its_store_is_told_and_its_password_is_not(tmp_path: Path) -> None:
    place = Place("postgres", f"host=127.0.0.1 password={PASSWORD.replace(' ', '')} dbname=x")
    with running_server(*place.flags[2:]) as server:
        assert any("-sql_driver and -sql_source have no effect with -st MEMORY" in line for line in warnings(server))
        assert PASSWORD.replace(" ", "") not in server.log
