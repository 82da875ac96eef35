"""A database as NATS Streaming Server leaves it, written by SQL from the description of its tables."""

from durabus.streaming.records import (
    ClientRecord,
    SubscriptionRecord,
    encode_client,
    encode_subscription,
)
from durabus.wire.stan_messages import encode_message
from durabus.wire.varint import bytes_field
from tests.stores.sql_harness import ask

__all__ = ["CREATION", "SUBJECTS", "blob", "write_original"]

SUBJECTS = (b"discover", b"pub", b"sub", b"unsub", b"close", b"subclose", b"ack")

# As operators made them for PostgreSQL: the last column came with version 0.10.
POSTGRES = """
CREATE TABLE ServerInfo (uniquerow INTEGER DEFAULT 1, id VARCHAR(1024), proto BYTEA, version INTEGER, PRIMARY KEY (uniquerow));
CREATE TABLE Clients (id VARCHAR(1024), hbinbox TEXT, PRIMARY KEY (id));
CREATE TABLE Channels (id INTEGER, name VARCHAR(1024) NOT NULL, maxseq BIGINT DEFAULT 0, maxmsgs INTEGER DEFAULT 0,
  maxbytes BIGINT DEFAULT 0, maxage BIGINT DEFAULT 0, deleted BOOL DEFAULT FALSE, PRIMARY KEY (id));
CREATE TABLE Messages (id INTEGER, seq BIGINT, timestamp BIGINT, size INTEGER, data BYTEA, PRIMARY KEY(id, seq));
CREATE INDEX Idx_MsgsTimestamp ON Messages (timestamp);
CREATE TABLE Subscriptions (id INTEGER, subid BIGINT, lastsent BIGINT DEFAULT 0, proto BYTEA, deleted BOOL DEFAULT FALSE,
  PRIMARY KEY(id, subid));
CREATE TABLE SubsPending (subid BIGINT, row BIGINT, seq BIGINT DEFAULT 0, lastsent BIGINT DEFAULT 0, pending BYTEA,
  acks BYTEA, PRIMARY KEY(subid, row));
CREATE TABLE StoreLock (id VARCHAR(30), tick BIGINT DEFAULT 0);
"""
MYSQL = """
CREATE TABLE ServerInfo (uniquerow INT DEFAULT 1, id VARCHAR(1024), proto BLOB, version INTEGER, PRIMARY KEY (uniquerow));
CREATE TABLE Clients (id VARCHAR(1024), hbinbox TEXT, PRIMARY KEY (id(256)));
CREATE TABLE Channels (id INTEGER, name VARCHAR(1024) NOT NULL, maxseq BIGINT UNSIGNED DEFAULT 0,
  maxmsgs INTEGER DEFAULT 0, maxbytes BIGINT DEFAULT 0, maxage BIGINT DEFAULT 0, deleted BOOL DEFAULT FALSE,
  PRIMARY KEY (id));
CREATE TABLE Messages (id INTEGER, seq BIGINT UNSIGNED, timestamp BIGINT, size INTEGER, data BLOB, PRIMARY KEY(id, seq));
CREATE TABLE Subscriptions (id INTEGER, subid BIGINT UNSIGNED, lastsent BIGINT UNSIGNED DEFAULT 0, proto BLOB,
  deleted BOOL DEFAULT FALSE, PRIMARY KEY(id, subid));
CREATE TABLE SubsPending (subid BIGINT UNSIGNED, `row` BIGINT UNSIGNED, seq BIGINT UNSIGNED DEFAULT 0,
  lastsent BIGINT UNSIGNED DEFAULT 0, pending BLOB, acks BLOB, PRIMARY KEY(subid, `row`));
CREATE TABLE StoreLock (id VARCHAR(30), tick BIGINT UNSIGNED DEFAULT 0);
"""
CREATION = {
    "postgres": POSTGRES + "ALTER TABLE Clients ADD proto BYTEA;\n",
    "mysql": MYSQL + "ALTER TABLE Clients ADD proto BLOB;\n",
    "sqlite": POSTGRES.replace(" row BIGINT", ' "row" BIGINT').replace("subid, row", 'subid, "row"')
    + "ALTER TABLE Clients ADD proto BLOB;\n",
}
SERVER = bytes_field(1, b"test-cluster") + b"".join(
    bytes_field(number, b"_STAN." + name + b".test-cluster") for number, name in enumerate(SUBJECTS, 2)
)


def blob(kind: str, value: bytes) -> str:
    """Bytes as SQL."""
    return f"'\\x{value.hex()}'" if kind == "postgres" else f"x'{value.hex()}'"


def subscription(number: int, durable: bytes, *, group: bytes = b"", last_sent: int = 0) -> bytes:
    """A SubState as the original writes it: it does not name its channel."""
    record = SubscriptionRecord(number, b"")
    record.client_id = b"me"
    record.inbox = b"_INBOX.messages"
    record.ack_inbox = b"_INBOX.acks"
    record.queue_group = group
    record.durable_name = durable
    record.is_durable = True
    record.max_in_flight = 1024
    record.ack_wait_s = 30
    record.last_sent = last_sent
    return encode_subscription(record)


def write_original(kind: str, source: str, *, single_rows: bool) -> None:
    """Two clients (one of before 0.10), four channels, three subscriptions, a tombstone; what is pending in either format.

    foo (1) has messages 4 to 10. bar (2) had 7, all expired. old (3) is marked as deleted, with a message, a subscription
    (6) and what that has pending. new (4) never had a message. Subscription 1 was sent 10 and waits for 5, 6 and 9,
    2 (a queue group) was sent 8 and waits for nothing, 3 was sent nothing, 7 is a tombstone.
    """

    def row(table: str, columns: str, *values: object) -> str:
        shown = ",".join(
            blob(kind, value) if isinstance(value, bytes) else f"'{value}'" if isinstance(value, str) else str(value)
            for value in values
        )
        return f"INSERT INTO {table} ({columns}) VALUES ({shown});\n"

    quoted = "`row`" if kind == "mysql" else '"row"'
    client = encode_client(ClientRecord(b"me", b"_INBOX.heart", b"connection", 1))
    text = CREATION[kind]
    text += row("ServerInfo", "id,proto,version", "test-cluster", SERVER, 1)
    text += row("Clients", "id,hbinbox,proto", "me", "_INBOX.heart", client)
    text += row("Clients", "id,hbinbox", "ancient", "_INBOX.ancient")
    for number, name, floor in ((1, "foo", 0), (2, "bar", 7), (3, "old", 0), (4, "new", 0)):
        text += row("Channels", "id,name,maxseq,maxmsgs,maxbytes", number, name, floor, 1_000_000, 1_024_000_000)
    text += "UPDATE Channels SET deleted=TRUE WHERE id=3;\n"
    for sequence in range(4, 11):
        body = encode_message(sequence, b"foo", b"", b"message %d" % sequence, sequence * 1000)
        text += row("Messages", "id,seq,timestamp,size,data", 1, sequence, sequence * 1000, len(body), body)
    text += row("Messages", "id,seq,timestamp,size,data", 3, 1, 1000, 1, b"x")
    text += row("Subscriptions", "id,subid,proto,lastsent", 1, 1, subscription(1, b"dur"), 10 if single_rows else 0)
    text += row("Subscriptions", "id,subid,proto,lastsent", 1, 2, subscription(2, b"", group=b"dur:group"), 8)
    text += row("Subscriptions", "id,subid,proto,lastsent", 4, 3, subscription(3, b"dur"), 0)
    text += row("Subscriptions", "id,subid,proto,lastsent", 3, 6, subscription(6, b"dur"), 1)
    text += row("Subscriptions", "id,subid,proto,lastsent", 2, 7, subscription(7, b"dur"), 7)
    text += "UPDATE Subscriptions SET deleted=TRUE WHERE subid=7;\n"
    columns = f"subid,{quoted},seq,lastsent,pending,acks"
    if single_rows:
        for number, sequence in ((3, 5), (4, 6), (9, 9)):
            text += row("SubsPending", f"subid,{quoted},seq", 1, number, sequence)
    else:
        text += row("SubsPending", columns, 1, 3, 0, 7, b"[4,6,5,7]", b"")
        text += row("SubsPending", columns, 1, 5, 0, 10, b"[9,8,10]", b"[4,7]")
        text += row("SubsPending", columns, 1, 8, 0, 10, b"", b"[8,10]")
    text += row("SubsPending", columns, 6, 1, 0, 1, b"[1]", b"")
    ask(kind, source, text)
