"""Pages of messages out of the table, and the search for a moment."""

from collections.abc import Sequence
from typing import Any, Final

from durabus.stores.sql import statements as sql
from durabus.stores.sql.contents import StoredChannel
from durabus.stores.sql.database import Database

__all__ = ["PAGE_BYTES_MAX", "PAGE_MESSAGES_MAX", "measure", "read_page", "seek"]

PAGE_MESSAGES_MAX: Final = 2048
"""Messages in a page, whatever is asked for."""
PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes in a page, whatever is asked for; one message may be larger."""


async def read_page(
    database: Database, channel: StoredChannel, first: int, count_max: int, bytes_max: int
) -> list[bytes]:
    """Messages of `channel` from `first` on, consecutive, at least one where there is one; raises StoreError.

    The channel's figures are those of what is durable. A message that is gone from the table is an empty body: whoever
    deleted it was not us, and nobody is to wait for it.
    """
    end = min(first + min(max(count_max, 1), PAGE_MESSAGES_MAX), channel.last + 1)
    first = max(first, 1)
    if channel.last == 0 or first >= end:
        return []
    bytes_max = min(bytes_max, PAGE_BYTES_MAX)
    if (end - first) * channel.body_bytes_max > bytes_max:
        sizes = await database.fetch(sql.READ_SIZES, (channel.channel_id, first, end))
        end = _end_within(sizes, first, end, bytes_max)
    rows = await database.fetch(sql.READ_MESSAGES, (channel.channel_id, first, end))
    if len(rows) == end - first:
        return [bytes(row[1]) for row in rows]
    return _without_gaps(rows, first, end)


def _end_within(sizes: Sequence[Sequence[Any]], first: int, end: int, bytes_max: int) -> int:
    """Where to end so that no more than `bytes_max` bytes are taken, but at least one message is."""
    total = 0
    for sequence, size in sizes:
        total += int(size)
        if total > bytes_max:
            return max(int(sequence), first + 1)
    return end


def _without_gaps(rows: Sequence[Sequence[Any]], first: int, end: int) -> list[bytes]:
    """The messages from `first` to before `end`, empty where there is no row."""
    found = {int(sequence): bytes(body) for sequence, body in rows}
    return [found.get(sequence, b"") for sequence in range(first, end)]


async def seek(database: Database, channel: StoredChannel, timestamp_ns: int) -> int:
    """The first message at or after `timestamp_ns`; last + 1 when there is none. Raises StoreError.

    Timestamps never fall within a channel, so the key is halved again and again: as good with thousands of channels in
    one table, and no index on timestamps is needed.
    """
    low, high = channel.first, channel.last + 1
    if channel.last == 0:
        return 0
    while low < high:
        middle = (low + high) // 2
        rows = await database.fetch(sql.READ_NEXT_TIMESTAMP, (channel.channel_id, middle))
        if not rows or int(rows[0][0]) >= high:
            high = middle  # nothing from there on
        elif int(rows[0][1]) < timestamp_ns:
            low = int(rows[0][0]) + 1
        else:
            high = middle
    if low > channel.last:
        return channel.last + 1
    rows = await database.fetch(sql.READ_NEXT_TIMESTAMP, (channel.channel_id, low))
    return int(rows[0][0]) if rows else channel.last + 1


async def measure(
    database: Database, channel: StoredChannel, first: int, end: int, enough_bytes: int
) -> tuple[int, int]:
    """As `measure` of the store port: the sequence behind the last message that counts, and the bytes. Raises StoreError."""
    if enough_bytes <= 0:
        rows = await database.fetch(sql.READ_SIZE, (channel.channel_id, first, end))
        return end, int(rows[0][0] or 0)
    end = min(end, first + PAGE_MESSAGES_MAX)
    total = 0
    for sequence, size in await database.fetch(sql.READ_SIZES, (channel.channel_id, first, end)):
        total += int(size)
        if total >= enough_bytes:
            return int(sequence) + 1, total
    return end, total
