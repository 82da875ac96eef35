"""Stores by name."""

import subprocess
import sys

import pytest

from durabus.config.options import Options, with_settings
from durabus.errors import StartError
from durabus.stores.names import make_store


def options(name: str, **settings: str) -> Options:
    return with_settings(Options(), {"streaming.store": name, **{f"sql.{key}": value for key, value in settings.items()}})


def test_the_memory_store() -> None:
    store = make_store(options("MEMORY"))
    assert store.name == "MEMORY"
    assert make_store(options("MEMORY")) is not store


def test_the_sql_store() -> None:
    assert make_store(options("SQL", driver="sqlite", source="events.db")).name == "SQL"


@pytest.mark.parametrize("name", ["BOGUS", "", "memory"])
def test_a_name_that_nobody_knows(name: str) -> None:
    with pytest.raises(StartError) as caught:
        make_store(options(name))
    assert str(caught.value) == f"unsupported store type: {name}"


def test_a_store_is_imported_when_it_is_chosen() -> None:
    script = (
        "import sys; from durabus.stores.names import make_store; from durabus.config.options import Options; "
        "before = 'durabus.stores.memory' in sys.modules; "
        "make_store(Options()); print(before, 'durabus.stores.memory' in sys.modules, 'asyncpg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]
