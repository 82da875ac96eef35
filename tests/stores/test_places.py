"""Names of stores: what each stands for, and that no password is shown."""

from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores.places import BACKUP, FILE, SQL, Place, parse_place

SECRET = "s3cret"


def parsed(text: str, **environment: str) -> tuple[str, str, str]:
    place = parse_place(text, environment)
    return place.kind, place.driver, place.value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("file:data", (FILE, "", "data")),
        ("data", (FILE, "", "data")),
        ("/var/lib/data:1", (FILE, "", "/var/lib/data:1")),
        ("backup:night", (BACKUP, "", "night")),
        ("night.tar", (BACKUP, "", "night.tar")),
        ("sqlite:events.db", (SQL, "sqlite", "events.db")),
        ("postgres://me@db/bus", (SQL, "postgres", "postgres://me@db/bus")),
        ("postgresql://me@db/bus", (SQL, "postgres", "postgresql://me@db/bus")),
        ("postgres:host=db user=me", (SQL, "postgres", "host=db user=me")),
        ("mysql:me@tcp(db)/bus", (SQL, "mysql", "me@tcp(db)/bus")),
    ],
)
def test_what_a_name_stands_for(
    text: str, found: tuple[str, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed(text) == found
    assert parsed("env:BUS", BUS=text) == found


def test_what_is_there_decides_what_a_path_is(tmp_path: Path) -> None:
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "backup").write_bytes(b"")
    assert parsed(str(tmp_path / "folder.tar"))[0] == FILE
    assert parsed(str(tmp_path / "backup"))[0] == BACKUP


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a store needs a name"),
        ("file:", "a store needs a name"),
        ("mysql:", "mysql: says no source"),
        ("redis://db", "redis:// is not the beginning of a store's name"),
        ("mysql://me@db", r"is named mysql:user:password@tcp\(host:port\)/database"),
        ("env:NOTHING", "the environment variable NOTHING is not set"),
        ("env:AGAIN", "names a variable again"),
    ],
)
def test_what_is_no_name(text: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        parse_place(text, {"AGAIN": "env:OTHER"})


@pytest.mark.parametrize(
    "text",
    [
        f"postgres://me:{SECRET}@db/bus",
        f"postgres:user=me password={SECRET}",
        f"mysql:me:{SECRET}@tcp(db)/bus",
    ],
)
def test_no_password_is_shown(text: str) -> None:
    for place in (parse_place(text, {}), parse_place("env:BUS", {"BUS": text})):
        assert SECRET in place.value
        assert SECRET not in place.shown + repr(place)
    assert parse_place("env:BUS", {"BUS": text}).shown == "env:BUS"


def test_paths() -> None:
    assert Place(FILE, "data", "data").path == Path("data")
    assert parse_place("sqlite:a/b.db", {}).path == Path("a/b.db")


@pytest.mark.parametrize(
    ("one", "two", "is_same"),
    [
        ("/data/one", "/data/two/../one/", True),
        ("/data/one", "/data/two", False),
        ("file:/data/one", "/data/one", True),
        ("sqlite:/data/bus.db", "sqlite:/data/../data/bus.db?mode=rwc", True),
        ("sqlite:/data/bus.db", "file:/data/bus.db", False),
        ("postgres://me@here/bus", "postgres://me@here/bus", True),
        ("postgres://me@here/bus", "postgres://me@here/other", False),
        ("mysql:me@tcp(here)/bus", "postgres:me@tcp(here)/bus", False),
    ],
)
def test_one_store_by_two_names(one: str, two: str, is_same: bool) -> None:
    assert parse_place(one, {}).is_same(parse_place(two, {})) is is_same
