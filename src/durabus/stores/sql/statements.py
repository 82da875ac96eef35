"""The statements, with `?` for every value; `{row}` is the quoted name of the column `row`. A driver puts both in its words."""

from typing import Final

__all__ = [
    "BURY_SUBSCRIPTION",
    "CHECK_MESSAGES",
    "CHECK_ORPHANS",
    "CHECK_SERVER",
    "CHECK_SIZES",
    "DELETE_CLIENT",
    "DELETE_LOST",
    "DELETE_MESSAGE",
    "DELETE_PENDING",
    "DELETE_PENDING_ROW",
    "DELETE_SUBSCRIPTION",
    "FENCE",
    "INSERT_CHANNEL",
    "INSERT_CLIENT",
    "INSERT_MESSAGE",
    "INSERT_PENDING",
    "INSERT_SERVER",
    "INSERT_SUBSCRIPTION",
    "LEAVE_CHANNEL",
    "LIMITS_UNKNOWN",
    "LOADING",
    "LOAD_CHANNELS",
    "LOAD_CLIENTS",
    "LOAD_FIGURES",
    "LOAD_PENDING",
    "LOAD_SERVER",
    "LOAD_SUBSCRIPTIONS",
    "LOAD_UNSWEPT",
    "LOCK_CLEAR",
    "LOCK_INSERT",
    "LOCK_READ",
    "LOCK_RELEASE",
    "LOCK_TAKE",
    "LOCK_TICK",
    "LOSE_MESSAGE",
    "MARK_CHANNEL_DELETED",
    "MOVE_SUBSCRIPTION",
    "RAISE_FLOOR",
    "READ_MESSAGES",
    "READ_NEXT_TIMESTAMP",
    "READ_SIZE",
    "READ_SIZES",
    "RESIZE_MESSAGE",
    "SWEEP_CHANNEL",
    "SWEEP_KEEP_HIGHEST",
    "SWEEP_MESSAGES",
    "SWEEP_PENDING",
    "SWEEP_SUBSCRIPTIONS",
    "UPDATE_CLIENT",
    "UPDATE_SERVER",
    "UPDATE_SUBSCRIPTION",
]

LIMITS_UNKNOWN: Final = (2**31 - 1, 2**63 - 1, 0)
"""For maxmsgs, maxbytes and maxage of a new channel: so high that the original applies its own limits when it starts."""

INSERT_SERVER: Final = "INSERT INTO ServerInfo (id, proto, version) VALUES (?, ?, 1)"
UPDATE_SERVER: Final = "UPDATE ServerInfo SET id=?, proto=?, version=1 WHERE uniquerow=1"
INSERT_CLIENT: Final = "INSERT INTO Clients (id, hbinbox, proto) VALUES (?, ?, ?)"
UPDATE_CLIENT: Final = "UPDATE Clients SET hbinbox=?, proto=? WHERE id=?"
DELETE_CLIENT: Final = "DELETE FROM Clients WHERE id=?"
INSERT_CHANNEL: Final = "INSERT INTO Channels (id, name, maxmsgs, maxbytes, maxage) VALUES (?, ?, ?, ?, ?)"
MARK_CHANNEL_DELETED: Final = "UPDATE Channels SET deleted=TRUE WHERE id=?"
RAISE_FLOOR: Final = "UPDATE Channels SET maxseq=? WHERE id=?"
"""What is stored up to Channels.maxseq is dead. The original writes it when the last message expires, and reads it so, too."""
INSERT_SUBSCRIPTION: Final = "INSERT INTO Subscriptions (id, subid, proto) VALUES (?, ?, ?)"
UPDATE_SUBSCRIPTION: Final = "UPDATE Subscriptions SET proto=? WHERE id=? AND subid=?"
DELETE_SUBSCRIPTION: Final = "DELETE FROM Subscriptions WHERE id=? AND subid=?"
BURY_SUBSCRIPTION: Final = "UPDATE Subscriptions SET deleted=TRUE WHERE id=? AND subid=?"
LEAVE_CHANNEL: Final = "UPDATE Subscriptions SET id=0 WHERE id=?"
"""Whatever stands under a channel marked as deleted may be swept, so what is to stay stands under none."""
MOVE_SUBSCRIPTION: Final = "UPDATE Subscriptions SET lastsent=? WHERE id=? AND subid=?"
DELETE_PENDING: Final = "DELETE FROM SubsPending WHERE subid=?"
INSERT_PENDING: Final = "INSERT INTO SubsPending (subid, {row}, seq, lastsent, pending) VALUES (?, ?, ?, ?, ?)"
INSERT_MESSAGE: Final = "INSERT INTO Messages (id, seq, timestamp, size, data) VALUES (?, ?, ?, ?, ?)"
DELETE_LOST: Final = "DELETE FROM Messages WHERE id=? AND seq=? AND size=0"
"""A row of size 0 keeps the number of a lost message for as long as it is the last one."""

LOAD_SERVER: Final = "SELECT id, proto, version FROM ServerInfo WHERE uniquerow=1"
LOAD_CLIENTS: Final = "SELECT id, hbinbox, proto FROM Clients"
LOAD_CHANNELS: Final = "SELECT id, name, maxseq, deleted FROM Channels ORDER BY id"
LOAD_FIGURES: Final = (
    "SELECT m.id, COUNT(m.seq), MIN(m.seq), MAX(m.seq), SUM(m.size), MAX(m.size), MAX(m.timestamp), MIN(m.size)"
    " FROM Messages m JOIN Channels c ON c.id=m.id WHERE m.seq>c.maxseq AND c.deleted=FALSE GROUP BY m.id"
)
LOAD_UNSWEPT: Final = "SELECT c.id, (SELECT MIN(m.seq) FROM Messages m WHERE m.id=c.id) FROM Channels c WHERE c.maxseq>0 AND c.deleted=FALSE"
LOAD_SUBSCRIPTIONS: Final = "SELECT id, subid, lastsent, proto, deleted FROM Subscriptions ORDER BY subid"
LOAD_PENDING: Final = "SELECT subid, {row}, seq, lastsent, pending, acks FROM SubsPending ORDER BY subid, {row}"

CHECK_SERVER: Final = "SELECT uniquerow, id, proto, version FROM ServerInfo ORDER BY uniquerow"
CHECK_SIZES: Final = "SELECT seq, LENGTH(data) FROM Messages WHERE id=? AND seq>=? ORDER BY seq LIMIT 2048"
CHECK_MESSAGES: Final = "SELECT seq, timestamp, size, data FROM Messages WHERE id=? AND seq>=? AND seq<=? ORDER BY seq"
DELETE_MESSAGE: Final = "DELETE FROM Messages WHERE id=? AND seq=?"
LOSE_MESSAGE: Final = "UPDATE Messages SET size=0, data=? WHERE id=? AND seq=?"
RESIZE_MESSAGE: Final = "UPDATE Messages SET size=? WHERE id=? AND seq=?"
DELETE_PENDING_ROW: Final = "DELETE FROM SubsPending WHERE subid=? AND {row}=?"
LOCK_CLEAR: Final = "DELETE FROM StoreLock"
CHECK_ORPHANS: Final = (
    "SELECT m.id, MIN(m.seq), MAX(m.seq) FROM Messages m LEFT JOIN Channels c ON c.id=m.id WHERE c.id IS NULL"
    " GROUP BY m.id ORDER BY m.id"
)

LOADING: Final = frozenset(
    (
        CHECK_ORPHANS,
        LOAD_CHANNELS,
        LOAD_CLIENTS,
        LOAD_FIGURES,
        LOAD_PENDING,
        LOAD_SUBSCRIPTIONS,
        LOAD_UNSWEPT,
    )
)
"""These go through whole tables, so they may take as long as they take."""

READ_MESSAGES: Final = "SELECT seq, data FROM Messages WHERE id=? AND seq>=? AND seq<? AND size>0 ORDER BY seq"
READ_SIZES: Final = "SELECT seq, size FROM Messages WHERE id=? AND seq>=? AND seq<? ORDER BY seq"
READ_SIZE: Final = "SELECT SUM(size) FROM Messages WHERE id=? AND seq>=? AND seq<?"
READ_NEXT_TIMESTAMP: Final = "SELECT seq, timestamp FROM Messages WHERE id=? AND seq>=? ORDER BY seq LIMIT 1"

SWEEP_MESSAGES: Final = "DELETE FROM Messages WHERE id=? AND seq>=? AND seq<?"
SWEEP_PENDING: Final = (
    "DELETE FROM SubsPending WHERE subid IN (SELECT subid FROM Subscriptions WHERE id=? AND deleted=FALSE)"
)
SWEEP_KEEP_HIGHEST: Final = "UPDATE Subscriptions SET id=0, deleted=TRUE WHERE id=? AND subid=?"
SWEEP_SUBSCRIPTIONS: Final = "DELETE FROM Subscriptions WHERE id=?"
SWEEP_CHANNEL: Final = "DELETE FROM Channels WHERE id=? AND deleted=TRUE"

LOCK_READ: Final = "SELECT id, tick FROM StoreLock"
LOCK_INSERT: Final = (
    "INSERT INTO StoreLock (id, tick) SELECT '', 0 FROM (SELECT 1 AS one) AS one_row"
    " WHERE NOT EXISTS (SELECT 1 FROM StoreLock)"
)
LOCK_TAKE: Final = "UPDATE StoreLock SET id=?, tick=? WHERE id=? AND tick=?"
LOCK_TICK: Final = "UPDATE StoreLock SET tick=tick+1 WHERE id=?"
LOCK_RELEASE: Final = "UPDATE StoreLock SET id='' WHERE id=?"
FENCE: Final = "SELECT id FROM StoreLock"
"""Whose the store is; a driver adds what makes the answer hold until the transaction ends."""
