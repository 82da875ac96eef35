"""The statements are ones that each database understands: every one is used by the conformance suite; here, their shape."""

import pytest

from durabus.stores.sql import statements
from durabus.stores.sql.schema import COLUMNS, MYSQL, POSTGRES, SQLITE, Dialect

TEXTS = {name: text for name in statements.__all__ if isinstance(text := getattr(statements, name), str)}


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES, MYSQL], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("name", TEXTS)
def test_each_can_be_put_in_the_words_of_a_database(name: str, dialect: Dialect) -> None:
    text = dialect.statement(TEXTS[name])
    assert "{" not in text
    assert text.count("%s") == (TEXTS[name].count("?") if dialect is MYSQL else 0)


@pytest.mark.parametrize("name", TEXTS)
def test_each_is_about_the_tables_of_the_original(name: str) -> None:
    assert any(table in TEXTS[name] for table in COLUMNS)


def test_nothing_is_deleted_without_a_condition() -> None:
    for name, text in TEXTS.items():
        if name == "LOCK_CLEAR":
            continue  # repair makes the one row of this table anew
        assert not text.startswith(("DELETE", "UPDATE")) or " WHERE " in text
