"""What becomes of each option of a store: it has an effect, or none and the log says so, or it is refused."""

import pytest

from durabus.config.options import Options, Setting, with_settings
from durabus.config.store_table import STORE_TABLE, StoreOption, effect_notes, first_refusal

OTHER_STORES = {"FILE": ("MEMORY", "SQL"), "SQL": ("MEMORY", "FILE")}


def with_store(store: str, settings: dict[str, Setting] | None = None) -> Options:
    return with_settings(Options(), {"streaming.store": store, **(settings or {})})


def another_value(entry: StoreOption) -> Setting:
    """One that is not the default."""
    value = entry.default
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else "x"


def named(entry: StoreOption) -> str:
    return entry.flag


def test_each_option_has_one_fate() -> None:
    for entry in STORE_TABLE:
        assert [bool(words) for words in (entry.help, entry.ignored, entry.refused)].count(True) == 1, entry.flag


def test_what_becomes_of_each() -> None:
    def flags(fate: str) -> set[str]:
        return {entry.flag for entry in STORE_TABLE if getattr(entry, fate)}

    assert flags("refused") == {"file_sync", "file_slice_archive_script", "file_truncate_bad_eof"}
    assert flags("help") == {
        "file_crc_poly",
        "file_slice_max_bytes",
        "sql_driver",
        "sql_source",
        "sql_no_caching",
        "sql_max_open_conns",
        "sql_create_tables",
    }


@pytest.mark.parametrize("entry", STORE_TABLE, ids=named)
def test_the_default_is_nothing_to_talk_about(entry: StoreOption) -> None:
    options = with_store(entry.store, {entry.option: entry.default})
    assert effect_notes(options) == []
    assert first_refusal(options) == ("", "")


@pytest.mark.parametrize("entry", [entry for entry in STORE_TABLE if entry.ignored], ids=named)
def test_what_has_no_effect_is_told(entry: StoreOption) -> None:
    options = with_store(entry.store, {entry.option: another_value(entry)})
    assert effect_notes(options) == [f"-{entry.flag} has no effect here: {entry.ignored}"]
    assert first_refusal(options) == ("", "")


@pytest.mark.parametrize("entry", [entry for entry in STORE_TABLE if entry.refused], ids=named)
def test_what_cannot_be_is_refused(entry: StoreOption) -> None:
    options = with_store(entry.store, {entry.option: another_value(entry)})
    text = f"-{entry.flag} with the {entry.store} store is not available: {entry.refused}"
    assert first_refusal(options) == (text, entry.option)
    assert effect_notes(options) == []


@pytest.mark.parametrize("entry", [entry for entry in STORE_TABLE if not entry.help], ids=named)
def test_another_store_is_not_concerned(entry: StoreOption) -> None:
    for store in OTHER_STORES[entry.store]:
        options = with_store(store, {entry.option: another_value(entry)})
        assert effect_notes(options) == []
        assert first_refusal(options) == ("", "")


@pytest.mark.parametrize(("size_bytes", "is_told"), [(0, False), (1, True), (1024**2 - 1, True), (1024**2, False)])
def test_files_have_a_least_size(size_bytes: int, is_told: bool) -> None:
    notes = effect_notes(with_store("FILE", {"file.slice_bytes_max": size_bytes}))
    assert notes == ["-file_slice_max_bytes is taken as 1048576 bytes, the least that a file can have"] * is_told


def test_who_names_a_place_without_its_store_is_told() -> None:
    (note,) = effect_notes(with_store("MEMORY", {"file.directory": "data"}))
    assert note.startswith("-dir has no effect with -st MEMORY: ")
    for name in ("sql.driver", "sql.source"):
        (note,) = effect_notes(with_store("FILE", {"file.directory": "data", name: "s3cret"}))
        assert "no effect with -st FILE" in note
        assert "s3cret" not in note
    assert effect_notes(with_store("SQL", {"sql.driver": "sqlite", "sql.source": "x"})) == []
