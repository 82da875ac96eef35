"""The tables: users' migrations rely on their names and types."""

import pytest
from sqlalchemy import MetaData, create_mock_engine, make_url
from sqlalchemy.schema import CreateTable

from durabus.outbox import inbox_table, outbox_tables

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("address", "types"),
    [
        ("postgresql+asyncpg://", ("BIGSERIAL", "BYTEA")),
        ("mysql+asyncmy://", ("BIGINT NOT NULL AUTO_INCREMENT", "LONGBLOB")),
        ("mariadb+pymysql://", ("BIGINT NOT NULL AUTO_INCREMENT", "LONGBLOB")),
        ("sqlite://", ("INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "BLOB")),
    ],
)
def test_the_outbox_counts_and_keeps_any_payload(address: str, types: tuple[str, str]) -> None:
    outbox, relay = outbox_tables(MetaData())
    dialect = make_url(address).get_dialect()()
    words = " ".join(str(CreateTable(outbox).compile(dialect=dialect)).split())
    assert f"id {types[0]}" in words
    assert f"payload {types[1]}" in words
    assert [column.name for column in relay.columns] == ["id", "owner", "until_ns"]


def test_names_and_schemas() -> None:
    metadata = MetaData()
    outbox, relay = outbox_tables(metadata, "events", "shop")
    assert (outbox.fullname, relay.fullname) == ("shop.events", "shop.events_relay")
    inbox = inbox_table(metadata, schema="shop")
    assert inbox.fullname == "shop.durabus_inbox"
    assert inbox_table(metadata, schema="shop") is inbox
    assert outbox_tables(metadata, "events", "shop") == (outbox, relay)
    assert outbox_tables(metadata)[0] is not outbox
    assert [column.name for column in inbox.primary_key] == ["digest"]


def test_they_are_made_with_the_others() -> None:
    metadata, said = MetaData(), list[str]()
    outbox_tables(metadata)
    inbox_table(metadata)
    engine = create_mock_engine("postgresql://", lambda statement, *_, **__: said.append(str(statement)))
    metadata.create_all(engine, checkfirst=False)
    assert sum("CREATE TABLE" in each for each in said) == 3
