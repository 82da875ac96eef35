"""The original's tables in three dialects, and what is missing of them.

Names, types and keys are those of the original's scripts for PostgreSQL and MySQL. Tables that are there stay as they
are. Where we make them, MySQL's differ in two points that the original does not notice: a LONGBLOB stands where it has
a BLOB, which ends at 64 KB, and texts compare byte by byte, for client IDs that differ in case are two clients.
"""

from typing import Final

__all__ = ["COLUMNS", "MYSQL", "POSTGRES", "SQLITE", "TABLES", "Dialect"]

TABLES: Final = ("ServerInfo", "Clients", "Channels", "Messages", "Subscriptions", "SubsPending", "StoreLock")
"""All tables, in the original's spelling."""
COLUMNS: Final = {
    "ServerInfo": ("uniquerow", "id", "proto", "version"),
    "Clients": ("id", "hbinbox", "proto"),
    "Channels": ("id", "name", "maxseq", "maxmsgs", "maxbytes", "maxage", "deleted"),
    "Messages": ("id", "seq", "timestamp", "size", "data"),
    "Subscriptions": ("id", "subid", "lastsent", "proto", "deleted"),
    "SubsPending": ("subid", "row", "seq", "lastsent", "pending", "acks"),
    "StoreLock": ("id", "tick"),
}
"""What must be in them."""


class Dialect:
    """How one kind of database writes things. `name` is what -sql_driver says."""

    def __init__(self, name: str, row: str, placeholder: str, tables: dict[str, tuple[str, ...]], columns: str) -> None:
        """Keep the words: `row` is the quoted name of that column, `columns` asks for table, column and type of all."""
        self.name = name
        self.tables = tables
        self.columns = columns
        self._row = row
        self._placeholder = placeholder
        self._known: dict[str, str] = {}

    def statement(self, text: str) -> str:
        """A statement in the words of this database."""
        known = self._known.get(text)
        if known is None:
            known = text.replace("{row}", self._row)
            parts = known.split("?")
            known = parts[0]
            for number, part in enumerate(parts[1:], 1):
                known += self._placeholder.format(number) + part
            self._known[text] = known
        return known

    def creation(self, missing: list[str]) -> list[str]:
        """The statements that make the tables in `missing`."""
        return [statement for table in TABLES if table in missing for statement in self.tables[table]]


POSTGRES: Final = Dialect(
    "postgres",
    "row",
    "${}",
    {
        "ServerInfo": (
            (
                "CREATE TABLE IF NOT EXISTS ServerInfo (uniquerow INTEGER DEFAULT 1, id VARCHAR(1024), proto BYTEA,"
                " version INTEGER, PRIMARY KEY (uniquerow))"
            ),
        ),
        "Clients": (
            "CREATE TABLE IF NOT EXISTS Clients (id VARCHAR(1024), hbinbox TEXT, proto BYTEA, PRIMARY KEY (id))",
        ),
        "Channels": (
            (
                "CREATE TABLE IF NOT EXISTS Channels (id INTEGER, name VARCHAR(1024) NOT NULL, maxseq BIGINT DEFAULT 0,"
                " maxmsgs INTEGER DEFAULT 0, maxbytes BIGINT DEFAULT 0, maxage BIGINT DEFAULT 0,"
                " deleted BOOL DEFAULT FALSE, PRIMARY KEY (id))"
            ),
            # The original's own index is on a constant, by a slip; nobody looks channels up by name.
            "CREATE INDEX IF NOT EXISTS Idx_ChannelsName ON Channels (left(name, 256))",
        ),
        "Messages": (
            (
                "CREATE TABLE IF NOT EXISTS Messages (id INTEGER, seq BIGINT, timestamp BIGINT, size INTEGER, data BYTEA,"
                " CONSTRAINT PK_MsgKey PRIMARY KEY(id, seq))"
            ),
            "CREATE INDEX IF NOT EXISTS Idx_MsgsTimestamp ON Messages (timestamp)",
        ),
        "Subscriptions": (
            (
                "CREATE TABLE IF NOT EXISTS Subscriptions (id INTEGER, subid BIGINT, lastsent BIGINT DEFAULT 0, proto BYTEA,"
                " deleted BOOL DEFAULT FALSE, CONSTRAINT PK_SubKey PRIMARY KEY(id, subid))"
            ),
        ),
        "SubsPending": (
            (
                "CREATE TABLE IF NOT EXISTS SubsPending (subid BIGINT, row BIGINT, seq BIGINT DEFAULT 0,"
                " lastsent BIGINT DEFAULT 0, pending BYTEA, acks BYTEA, CONSTRAINT PK_MsgPendingKey PRIMARY KEY(subid, row))"
            ),
            "CREATE INDEX IF NOT EXISTS Idx_SubsPendingSeq ON SubsPending (seq)",
        ),
        "StoreLock": ("CREATE TABLE IF NOT EXISTS StoreLock (id VARCHAR(30), tick BIGINT DEFAULT 0)",),
    },
    "SELECT table_name, column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = ANY (current_schemas(false))",
)
"""PostgreSQL."""

_MYSQL_END: Final = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

MYSQL: Final = Dialect(
    "mysql",
    "`row`",
    "%s",
    {
        "ServerInfo": (
            "CREATE TABLE IF NOT EXISTS ServerInfo (uniquerow INT DEFAULT 1, id VARCHAR(1024), proto LONGBLOB,"
            " version INTEGER, PRIMARY KEY (uniquerow))" + _MYSQL_END,
        ),
        "Clients": (
            "CREATE TABLE IF NOT EXISTS Clients (id VARCHAR(1024), hbinbox TEXT, proto LONGBLOB, PRIMARY KEY (id(256)))"
            + _MYSQL_END,
        ),
        "Channels": (
            "CREATE TABLE IF NOT EXISTS Channels (id INTEGER, name VARCHAR(1024) NOT NULL,"
            " maxseq BIGINT UNSIGNED DEFAULT 0, maxmsgs INTEGER DEFAULT 0, maxbytes BIGINT DEFAULT 0,"
            " maxage BIGINT DEFAULT 0, deleted BOOL DEFAULT FALSE, PRIMARY KEY (id),"
            " INDEX Idx_ChannelsName (name(256)))" + _MYSQL_END,
        ),
        "Messages": (
            "CREATE TABLE IF NOT EXISTS Messages (id INTEGER, seq BIGINT UNSIGNED, timestamp BIGINT, size INTEGER,"
            " data LONGBLOB, CONSTRAINT PK_MsgKey PRIMARY KEY(id, seq), INDEX Idx_MsgsTimestamp (timestamp))"
            + _MYSQL_END,
        ),
        "Subscriptions": (
            "CREATE TABLE IF NOT EXISTS Subscriptions (id INTEGER, subid BIGINT UNSIGNED,"
            " lastsent BIGINT UNSIGNED DEFAULT 0, proto LONGBLOB, deleted BOOL DEFAULT FALSE,"
            " CONSTRAINT PK_SubKey PRIMARY KEY(id, subid))" + _MYSQL_END,
        ),
        "SubsPending": (
            "CREATE TABLE IF NOT EXISTS SubsPending (subid BIGINT UNSIGNED, `row` BIGINT UNSIGNED,"
            " seq BIGINT UNSIGNED DEFAULT 0, lastsent BIGINT UNSIGNED DEFAULT 0, pending LONGBLOB, acks LONGBLOB,"
            " CONSTRAINT PK_MsgPendingKey PRIMARY KEY(subid, `row`), INDEX Idx_SubsPendingSeq(seq))" + _MYSQL_END,
        ),
        "StoreLock": (
            "CREATE TABLE IF NOT EXISTS StoreLock (id VARCHAR(30), tick BIGINT UNSIGNED DEFAULT 0)" + _MYSQL_END,
        ),
    },
    "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = DATABASE()",
)
"""MySQL and MariaDB."""

SQLITE: Final = Dialect(
    "sqlite",
    '"row"',
    "?",
    {
        "ServerInfo": (
            (
                "CREATE TABLE IF NOT EXISTS ServerInfo (uniquerow INTEGER DEFAULT 1, id VARCHAR(1024), proto BLOB,"
                " version INTEGER, PRIMARY KEY (uniquerow))"
            ),
        ),
        "Clients": (
            "CREATE TABLE IF NOT EXISTS Clients (id VARCHAR(1024), hbinbox TEXT, proto BLOB, PRIMARY KEY (id))",
        ),
        "Channels": (
            (
                "CREATE TABLE IF NOT EXISTS Channels (id INTEGER, name VARCHAR(1024) NOT NULL, maxseq BIGINT DEFAULT 0,"
                " maxmsgs INTEGER DEFAULT 0, maxbytes BIGINT DEFAULT 0, maxage BIGINT DEFAULT 0,"
                " deleted BOOL DEFAULT FALSE, PRIMARY KEY (id))"
            ),
        ),
        "Messages": (
            # No index on timestamps: a moment is searched for along the key.
            (
                "CREATE TABLE IF NOT EXISTS Messages (id INTEGER, seq BIGINT, timestamp BIGINT, size INTEGER, data BLOB,"
                " CONSTRAINT PK_MsgKey PRIMARY KEY(id, seq)) WITHOUT ROWID"
            ),
        ),
        "Subscriptions": (
            (
                "CREATE TABLE IF NOT EXISTS Subscriptions (id INTEGER, subid BIGINT, lastsent BIGINT DEFAULT 0, proto BLOB,"
                " deleted BOOL DEFAULT FALSE, CONSTRAINT PK_SubKey PRIMARY KEY(id, subid))"
            ),
        ),
        "SubsPending": (
            (
                'CREATE TABLE IF NOT EXISTS SubsPending (subid BIGINT, "row" BIGINT, seq BIGINT DEFAULT 0,'
                ' lastsent BIGINT DEFAULT 0, pending BLOB, acks BLOB, CONSTRAINT PK_MsgPendingKey PRIMARY KEY(subid, "row"))'
            ),
        ),
        "StoreLock": ("CREATE TABLE IF NOT EXISTS StoreLock (id VARCHAR(30), tick BIGINT DEFAULT 0)",),
    },
    "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'",
)
"""sqlite, which the original does not have: one file, the same tables."""
