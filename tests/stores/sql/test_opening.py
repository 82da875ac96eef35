"""A SQL store out of the server's options."""

import subprocess
import sys
from pathlib import Path

import pytest

from durabus.config.options import Options, SqlOptions, with_settings
from durabus.errors import StartError
from durabus.stores.sql.opening import init_schema, make_database, make_sql_store
from durabus.stores.sql.schema import TABLES
from tests.stores.sql_harness import ask


@pytest.mark.parametrize(
    ("driver", "source", "complaint"),
    [
        ("", "x", "for SQL stores, a driver must be specified; -sql_driver can be postgres, mysql, sqlite"),
        ("oracle", "x", 'unknown driver "oracle"; -sql_driver can be'),
        ("postgres", "", "the source must be specified: -sql_source says where"),
        ("sqlite", ":memory:", ":memory: is no file"),
        ("mysql", "u:secret@x", "missing the slash"),
    ],
)
def test_options_of_which_there_is_no_database(driver: str, source: str, complaint: str) -> None:
    with pytest.raises(StartError) as caught:
        make_database(SqlOptions(driver=driver, source=source))
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)


def test_options_become_rules() -> None:
    store = make_sql_store(
        with_settings(
            Options(),
            {
                "streaming.store": "SQL",
                "streaming.discover_prefix": "my.discover",
                "sql.driver": "sqlite",
                "sql.source": "x.db",
                "sql.no_caching": True,
                "sql.create_tables": False,
            },
        )
    )
    assert store.name == "SQL"
    assert store._rules.single_rows
    assert not store._create_tables
    assert store._rules.discover_prefix == b"my.discover"


async def test_tables_are_made_by_hand(kind: str, source: str) -> None:
    options = SqlOptions(driver=kind, source=source)
    assert await init_schema(options) == [f"table {name}" for name in TABLES]
    assert await init_schema(options) == []
    assert ask(kind, source, "SELECT COUNT(*) FROM Messages") == [("0",)]


@pytest.mark.parametrize(("driver", "package"), [("postgres", "asyncpg"), ("mysql", "asyncmy")])
def test_a_driver_that_is_not_installed(tmp_path: Path, driver: str, package: str) -> None:
    script = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from durabus.config.options import SqlOptions\n"
        "from durabus.errors import StartError\n"
        "from durabus.stores.sql.opening import make_database\n"
        "try:\n"
        f"    make_database(SqlOptions(driver='{driver}', source='/db'))\n"
        "except StartError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"sql: the driver {driver} needs {package}, which is not installed: ")
    assert f"'durabus[{driver}]'" in done.stdout
