"""The tables in three dialects."""

import re

import pytest

from durabus.stores.sql.schema import COLUMNS, MYSQL, POSTGRES, SQLITE, TABLES, Dialect

DIALECTS = pytest.mark.parametrize("dialect", [SQLITE, POSTGRES, MYSQL], ids=lambda dialect: dialect.name)


@DIALECTS
def test_every_table_has_its_columns(dialect: Dialect) -> None:
    for table in TABLES:
        text = dialect.creation([table])[0]
        assert text.startswith(f"CREATE TABLE IF NOT EXISTS {table} (")
        for column in COLUMNS[table]:
            assert re.search(rf'[(, ][`"]?{column}[`"]? [A-Z]', text), f"{table}.{column}"


@DIALECTS
def test_only_what_is_missing_is_made(dialect: Dialect) -> None:
    assert dialect.creation([]) == []
    assert all("StoreLock" in text for text in dialect.creation(["StoreLock"]))
    assert sum("CREATE TABLE" in text for text in dialect.creation(list(TABLES))) == len(TABLES)


def test_placeholders() -> None:
    text = "INSERT INTO SubsPending (subid, {row}) VALUES (?, ?)"
    assert POSTGRES.statement(text) == "INSERT INTO SubsPending (subid, row) VALUES ($1, $2)"
    assert MYSQL.statement(text) == "INSERT INTO SubsPending (subid, `row`) VALUES (%s, %s)"
    assert SQLITE.statement(text) == 'INSERT INTO SubsPending (subid, "row") VALUES (?, ?)'
    assert POSTGRES.statement(text) is POSTGRES.statement(text)


def test_messages_may_be_larger_than_the_original_allowed() -> None:
    assert "data LONGBLOB" in MYSQL.creation(["Messages"])[0]
