"""Our records and the original's columns, one into the other.

What the original's tables have no column for, its records carry in fields that it ignores: a subscription's channel in
field 100 of its SubState, the numbers given up in fields 100 and 101 of the ServerInfo (`streaming/records.py`). What
the original's records have and ours do not, the store adds when it writes and removes when it reads: the subjects of the
ServerInfo, without which the original would listen nowhere.
"""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from durabus.streaming.records import (
    ClientRecord,
    decode_client,
    decode_server,
    encode_client,
)
from durabus.wire.varint import WIRE_BYTES, WIRE_VARINT, DecodeError, FieldReader, bytes_field, uint_field

__all__ = [
    "CLIENT_KEY_CHARACTERS_MAX",
    "NAME_CHARACTERS_MAX",
    "PENDING_PER_ROW",
    "channel_column",
    "channel_complaint",
    "channel_name",
    "client_columns",
    "client_record",
    "decode_sequences",
    "encode_sequences",
    "ranges",
    "server_columns",
    "server_record",
    "subscription_channel",
    "subscription_last_sent",
    "subscription_record",
]

NAME_CHARACTERS_MAX: Final = 1024
"""What the column of a channel's name holds."""
CLIENT_KEY_CHARACTERS_MAX: Final = 250
"""What the column of a client ID is given: MySQL's key ends at 256. The whole ID is in the record."""
_INBOX_CHARACTERS_MAX: Final = 2000  # nobody reads that column where there is a record
PENDING_PER_ROW: Final = 2000
"""Sequences in one row of SubsPending: as many as the original writes, and below the 64 KB of MySQL's BLOB."""

_SUBJECTS: Final = (2, 3, 4, 5, 6, 7, 8, 9)  # the fields of ServerInfo that are not ours
_CHANNEL: Final = 100  # the field of SubState with the channel's name
_CHANNEL_LAST: Final = 100
_SUBSCRIPTION_LAST: Final = 101


def _escaped(text: bytes) -> str:
    """Bytes as text that any database takes: what is not UTF-8, NUL and `/` itself become `/` and two hex digits."""
    # No channel name has a `/` (the original's rule), so the original's own names stay what they are.
    safe = text.replace(b"/", b"/2f").replace(b"\0", b"/00")
    try:
        return safe.decode()
    except UnicodeDecodeError:
        decoded = safe.decode(errors="surrogateescape")
        return "".join(f"/{ord(char) - 0xDC00:02x}" if 0xDC80 <= ord(char) <= 0xDCFF else char for char in decoded)


def channel_column(name: bytes) -> str:
    """The column `Channels.name` for a channel."""
    return _escaped(name)


def channel_complaint(name: bytes) -> str:
    """Why a channel cannot have this name; empty when it can."""
    if len(_escaped(name)) <= NAME_CHARACTERS_MAX:
        return ""
    return f"channel name too long for this store, which takes {NAME_CHARACTERS_MAX} characters"


def channel_name(column: str) -> bytes:
    """The channel that a column `Channels.name` names."""
    parts = column.encode(errors="surrogatepass").split(b"/")
    name = parts[0]
    for part in parts[1:]:
        digits = part[:2]
        if len(digits) == 2 and all(digit in b"0123456789abcdef" for digit in digits):
            name += bytes((int(digits, 16),)) + part[2:]
        else:
            name += b"/" + part  # not written by us
    return name


def client_columns(key: bytes, value: bytes) -> tuple[str, str, bytes]:
    """The columns of Clients (id, hbinbox, proto) for a client's record. Two clients never have the same id."""
    try:
        inbox = decode_client(value).heartbeat_inbox
    except DecodeError:
        inbox = b""
    identity = _escaped(key)
    if len(identity) > CLIENT_KEY_CHARACTERS_MAX:
        digest = sha256(key).hexdigest()
        identity = identity[: CLIENT_KEY_CHARACTERS_MAX - len(digest)] + digest
    return identity, _escaped(inbox)[:_INBOX_CHARACTERS_MAX], value


def client_record(identity: str, inbox: str, proto: bytes | None) -> tuple[bytes, bytes]:
    """Key and record out of the columns of Clients; before 0.10 the original had no proto there."""
    if proto:
        try:
            return decode_client(proto).client_id, proto
        except DecodeError:
            return channel_name(identity), proto
    client_id = channel_name(identity)
    return client_id, encode_client(ClientRecord(client_id, channel_name(inbox), b"", 0))


def _split(proto: bytes, numbers: Iterable[int]) -> tuple[bytes, bytes]:
    """The fields of `proto` that are not in `numbers`, and those that are; raises DecodeError."""
    chosen = frozenset(numbers)
    kept, taken = b"", b""
    reader = FieldReader(proto)
    while number := reader.next():
        if reader.wire_type == WIRE_BYTES:
            field = bytes_field(number, reader.data)
        elif reader.wire_type == WIRE_VARINT:
            field = uint_field(number, reader.value)
        else:
            continue
        if number in chosen:
            taken += field
        else:
            kept += field
    return kept, taken


def _subjects(cluster_id: bytes, discover_prefix: bytes) -> bytes:
    """The subjects that a server of `cluster_id` listens on, as fields of its ServerInfo."""
    prefixes = (
        discover_prefix,
        b"_STAN.pub",
        b"_STAN.sub",
        b"_STAN.unsub",
        b"_STAN.close",
        b"_STAN.subclose",
        b"_STAN.ack",
    )
    return b"".join(bytes_field(number, prefix + b"." + cluster_id) for number, prefix in enumerate(prefixes, 2))


def server_columns(value: bytes, known: bytes, discover_prefix: bytes) -> tuple[str, bytes]:
    """The columns of ServerInfo (id, proto) for our record `value`, where `known` is the proto that is there.

    Raises DecodeError when `value` is no record of a server.
    """
    cluster_id = decode_server(value).cluster_id
    own, subjects = _split(value, _SUBJECTS)
    if not subjects and known and decode_server(known).cluster_id == cluster_id:
        subjects = _split(known, _SUBJECTS)[1]
    return _escaped(cluster_id), own + (subjects or _subjects(cluster_id, discover_prefix))


def server_record(proto: bytes, channel_id_dead: int, subscription_id_dead: int) -> bytes:
    """Our record out of a proto of ServerInfo.

    The numbers are the highest that only dead rows still tell of, 0 when living ones tell of higher ones: they are used up
    for good. Raises DecodeError.
    """
    own = _split(proto, _SUBJECTS)[0]
    record = decode_server(own)
    if channel_id_dead <= record.channel_id_last and subscription_id_dead <= record.subscription_id_last:
        return own
    rest = _split(own, (_CHANNEL_LAST, _SUBSCRIPTION_LAST))[0]
    return (
        rest
        + uint_field(_CHANNEL_LAST, max(channel_id_dead, record.channel_id_last))
        + uint_field(_SUBSCRIPTION_LAST, max(subscription_id_dead, record.subscription_id_last))
    )


def _field(proto: bytes, wanted: int) -> tuple[bytes, int]:
    """The last field `wanted` of `proto`, as bytes or as a number; nothing and zero when there is none."""
    data, value = b"", 0
    try:
        reader = FieldReader(proto)
        while number := reader.next():
            if number == wanted:
                data, value = (reader.data, 0) if reader.wire_type == WIRE_BYTES else (b"", reader.value)
    except DecodeError:
        pass  # the core names what it cannot read
    return data, value


def subscription_channel(value: bytes) -> bytes:
    """The channel that a subscription's record names; empty when it names none."""
    return _field(value, _CHANNEL)[0]


def subscription_last_sent(value: bytes) -> int:
    """How far a subscription's record says that it was."""
    return _field(value, 9)[1]


def subscription_record(proto: bytes, channel: bytes) -> bytes:
    """Our record out of a proto of Subscriptions, which on `channel` may be the original's."""
    return proto if subscription_channel(proto) or not channel else proto + bytes_field(_CHANNEL, channel)


def encode_sequences(sequences: list[int]) -> bytes:
    """A column `pending` of SubsPending."""
    return json.dumps(sequences, separators=(",", ":")).encode()


def decode_sequences(column: bytes | None) -> list[int]:
    """The sequences in a column `pending` or `acks` of SubsPending; raises ValueError when it holds something else."""
    found = json.loads(column) if column else []
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, int) and item >= 0 for item in found):
        raise ValueError("not a list of sequences")
    return found


def ranges(sequences: Iterable[int]) -> list[tuple[int, int]]:
    """Sequences as ascending closed ranges."""
    found: list[tuple[int, int]] = []
    for sequence in sorted(sequences):
        if found and sequence <= found[-1][1] + 1:
            found[-1] = (found[-1][0], sequence)
        else:
            found.append((sequence, sequence))
    return found
