"""Stores by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from durabus.config.options import Options, Setting, with_settings
from durabus.errors import StartError
from durabus.stores.encryption import EncryptedStore
from durabus.stores.file.journal import SEGMENT_BYTES
from durabus.stores.file.store import FileStore
from durabus.stores.names import make_store
from durabus.stores.original_file.predecessor import Predecessor

MIB = 1 << 20


def options(name: str, **settings: str) -> Options:
    return with_settings(
        Options(), {"streaming.store": name, **{f"sql.{key}": value for key, value in settings.items()}}
    )


def test_the_memory_store() -> None:
    store = make_store(options("MEMORY"))
    assert store.name == "MEMORY"
    assert make_store(options("MEMORY")) is not store


@pytest.mark.parametrize(
    ("asked_bytes", "segment_bytes"),
    [(0, SEGMENT_BYTES), (1, MIB), (3 * MIB, 3 * MIB), (64 * MIB, SEGMENT_BYTES), (1 << 40, SEGMENT_BYTES)],
)
def test_the_file_store(tmp_path: Path, asked_bytes: int, segment_bytes: int) -> None:
    directory = tmp_path / "data"
    told: list[str] = []
    settings: dict[str, Setting] = {"file.directory": str(directory), "file.slice_bytes_max": asked_bytes}
    store = make_store(with_settings(options("FILE"), settings), told.append)
    assert isinstance(store, FileStore)
    assert store.name == "FILE"
    assert store._segment_bytes == segment_bytes
    store.on_problem("a disk that fails")
    assert told == ["a disk that fails"]
    assert isinstance(store.predecessor, Predecessor)
    assert not directory.exists(), "nothing is touched before it is opened"


@pytest.mark.parametrize("settings", [{"encryption.enabled": True, "encryption.key": "k"}, {"encryption.key": "k"}])
def test_any_store_can_be_encrypted(tmp_path: Path, settings: dict[str, Setting]) -> None:
    for name in ("MEMORY", "FILE", "SQL"):
        asked = with_settings(options(name, driver="sqlite", source="events.db"), settings)
        asked = with_settings(asked, {"file.directory": str(tmp_path / "data"), "encryption.cipher": "chacha"})
        told: list[str] = []
        store = make_store(asked, told.append)
        assert isinstance(store, EncryptedStore)
        assert store.name == name
        assert not isinstance(make_store(options(name, driver="sqlite", source="events.db")), EncryptedStore)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"encryption.enabled": True}, "encryption key required"),
        ({"encryption.key": "k", "encryption.cipher": "DES"}, "encryption cipher not supported"),
    ],
)
def test_encryption_that_cannot_be(settings: dict[str, Setting], error: str) -> None:
    with pytest.raises(StartError) as caught:
        make_store(with_settings(options("MEMORY"), settings))
    assert str(caught.value) == error


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
