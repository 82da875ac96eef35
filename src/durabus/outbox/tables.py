"""The tables of outbox and inbox, in the MetaData of the service that has them.

Names and types are part of what users rely on (migrations): a change of them is a change of the interface.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

__all__ = ["NAME_LENGTH_MAX", "inbox_table", "outbox_tables"]

NAME_LENGTH_MAX: Final = 255
"""Letters of a subject, an entity or a consumer: what every database can index."""

# SQLite counts only this kind by itself, and MySQL's BLOB would end at 64 KiB.
_ID: Final = BigInteger().with_variant(Integer(), "sqlite")
_PAYLOAD: Final = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def outbox_tables(metadata: MetaData, name: str = "durabus_outbox", schema: str | None = None) -> tuple[Table, Table]:
    """The outbox and the table that says who empties it (`<name>_relay`), in `metadata`.

    They are made like every other table of it: by a migration, `metadata.create_all` or `Outbox.create`. Asked again, the
    same tables.
    """
    found = metadata.tables.get(_full_name(name, schema)), metadata.tables.get(_full_name(f"{name}_relay", schema))
    if found[0] is not None and found[1] is not None:
        return found[0], found[1]
    outbox = Table(
        name,
        metadata,
        Column("id", _ID, primary_key=True, autoincrement=True),  # the order
        Column("subject", String(NAME_LENGTH_MAX), nullable=False),
        Column("lane", String(NAME_LENGTH_MAX), nullable=False),  # one after the other; the subject, or an entity
        Column("identity", Text),
        Column("payload", _PAYLOAD, nullable=False),
        Column("created_ns", BigInteger, nullable=False),  # since 1970, UTC
        Column("attempts", Integer, nullable=False),  # that failed
        Column("reason", Text),  # why the last one failed
        Column("set_aside_ns", BigInteger),  # since when it is not tried any more
        schema=schema,
        sqlite_autoincrement=True,  # or an ID would be given again
    )
    relay = Table(
        f"{name}_relay",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("owner", String(NAME_LENGTH_MAX)),
        Column("until_ns", BigInteger, nullable=False),
        schema=schema,
    )
    return outbox, relay


def inbox_table(metadata: MetaData, name: str = "durabus_inbox", schema: str | None = None) -> Table:
    """The inbox in `metadata`, one for all consumers of a database; asked again, the same table.

    The primary key is a digest of consumer, subject and identity: these may be of any length, and databases that take
    small letters for capitals do not take one event for another.
    """
    found = metadata.tables.get(_full_name(name, schema))
    if found is not None:
        return found
    return Table(
        name,
        metadata,
        Column("digest", String(64), primary_key=True),
        Column("consumer", String(NAME_LENGTH_MAX), nullable=False),
        Column("subject", Text, nullable=False),
        Column("identity", Text, nullable=False),
        Column("seen_ns", BigInteger, nullable=False),  # since 1970, UTC
        Index(f"{name}_by_age", "consumer", "seen_ns"),
        schema=schema,
    )


def _full_name(name: str, schema: str | None) -> str:
    return name if schema is None else f"{schema}.{name}"
