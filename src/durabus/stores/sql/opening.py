"""A SQL store out of the server's options: which driver, which source."""

from durabus.config.options import Options, SqlOptions
from durabus.errors import StartError
from durabus.stores.sql.database import Database
from durabus.stores.sql.plan import Rules
from durabus.stores.sql.setup import prepare_tables
from durabus.stores.sql.source import parse_mysql, parse_postgres, parse_sqlite
from durabus.stores.sql.store import SqlStore

__all__ = ["DRIVERS", "init_schema", "make_database", "make_sql_store"]

DRIVERS = ("postgres", "mysql", "sqlite")
"""What -sql_driver can be. The first two are the original's."""


def make_database(sql: SqlOptions) -> Database:
    """The database that `sql` says, not opened yet; raises StartError."""
    if sql.driver not in DRIVERS:
        what = f'unknown driver "{sql.driver}"' if sql.driver else "for SQL stores, a driver must be specified"
        raise StartError(f"sql: {what}; -sql_driver can be {', '.join(DRIVERS)}")
    if not sql.source:
        raise StartError("sql: for SQL stores, the source must be specified: -sql_source says where the database is")
    if sql.driver == "sqlite":
        from durabus.stores.sql.sqlite import SqliteDatabase

        return SqliteDatabase(parse_sqlite(sql.source))
    try:
        if sql.driver == "postgres":
            from durabus.stores.sql.postgres import PostgresDatabase

            return PostgresDatabase(parse_postgres(sql.source), sql.connections_max)
        from durabus.stores.sql.mysql import MysqlDatabase

        return MysqlDatabase(parse_mysql(sql.source), sql.connections_max)
    except ModuleNotFoundError as error:
        raise StartError(
            f"sql: the driver {sql.driver} needs {error.name}, which is not installed: pip install 'durabus[{sql.driver}]'"
        ) from None


def make_sql_store(options: Options) -> SqlStore:
    """The SQL store that `options` say, not opened yet; raises StartError."""
    rules = Rules()
    rules.single_rows = options.sql.no_caching
    rules.discover_prefix = options.streaming.discover_prefix.encode()
    return SqlStore(make_database(options.sql), rules, options.sql.create_tables)


async def init_schema(sql: SqlOptions) -> list[str]:
    """Make what is missing of the tables; what was made, in words. Raises StartError and StoreError.

    For `durabus store init`. No server may be at work on the database.
    """
    database = make_database(sql)
    try:
        await database.open(exclusive=True)
        return await prepare_tables(database, create=True)
    finally:
        await database.close()
