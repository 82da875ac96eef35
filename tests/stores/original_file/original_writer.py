"""Directories as NATS Streaming Server's FILE store writes them, made from the description of their bytes alone.

original = OriginalDirectory(folder)
orders = original.channel("orders")
orders.publish(b"1", b"2")
orders.new(1, client="me", durable="d"), orders.sent(1, 1, 2), orders.acknowledged(1, 1)
original.write()
"""

import struct
import zlib
from pathlib import Path

from tests.wire.wire_format import blob, integer

__all__ = ["EPOCH_NS", "IEEE", "ChannelWriter", "OriginalDirectory", "checksum", "message", "record", "typed"]

IEEE = 0xEDB88320
EPOCH_NS = 1_700_000_000_000_000_000
VERSION = b"\x01\0\0\0"
NEW, UPDATED, DELETED, ACKNOWLEDGED, SENT = range(1, 6)
ADD_CLIENT, DELETE_CLIENT = 1, 2


def checksum(data: bytes, polynomial: int = IEEE) -> int:
    """CRC-32, bit by bit."""
    if polynomial == IEEE:
        return zlib.crc32(data)
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (polynomial if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def record(payload: bytes, polynomial: int = IEEE) -> bytes:
    """A record that has no type."""
    return struct.pack("<II", len(payload), checksum(payload, polynomial)) + payload


def typed(kind: int, payload: bytes, polynomial: int = IEEE) -> bytes:
    """A record with a type."""
    return struct.pack("<II", kind << 24 | len(payload), checksum(payload, polynomial)) + payload


def message(sequence: int, subject: bytes, data: bytes, timestamp_ns: int, reply: bytes = b"") -> bytes:
    """A MsgProto; defaults are not written."""
    found = integer(1, sequence) + blob(2, subject)
    if reply:
        found += blob(3, reply)
    if data:
        found += blob(4, data)
    return found + integer(5, timestamp_ns)


class SliceWriter:
    """One slice: its data and its index, as bytes that a test may change before they are written."""

    def __init__(self, polynomial: int) -> None:
        self.polynomial = polynomial
        self.data = bytearray(VERSION)
        self.index = bytearray(VERSION)
        self.has_index = True
        self.offsets: list[int] = []
        self.payloads: list[bytes] = []

    def add(self, sequence: int, payload: bytes, timestamp_ns: int) -> None:
        """A message, in the data and in the index."""
        head = struct.pack("<QqqI", sequence, len(self.data), timestamp_ns, len(payload))
        self.index += head + struct.pack("<I", checksum(head, self.polynomial))
        self.offsets.append(len(self.data))
        self.payloads.append(payload)
        self.data += record(payload, self.polynomial)


class ChannelWriter:
    """One channel. Messages get ascending sequences and timestamps, a second apart."""

    def __init__(self, name: str, polynomial: int) -> None:
        self.name = name
        self.subject = name.encode(errors="surrogateescape")
        self.polynomial = polynomial
        self.next = 1
        self.slices: dict[int, SliceWriter] = {}
        self.subscriptions: bytearray = bytearray(VERSION)
        self.extra: dict[str, bytes] = {}

    def slice(self, number: int) -> SliceWriter:
        """The slice with this number, made if it is not there."""
        return self.slices.setdefault(number, SliceWriter(self.polynomial))

    def publish(self, *all_data: bytes, number: int = 1) -> None:
        """Messages in one slice."""
        for data in all_data:
            timestamp_ns = EPOCH_NS + self.next % 1_000_000_000 * 1_000_000_000
            payload = message(self.next, self.subject, data, timestamp_ns)
            self.slice(number).add(self.next, payload, timestamp_ns)
            self.next += 1

    def bodies(self) -> list[bytes]:
        """All messages, as they are stored."""
        return [payload for number in sorted(self.slices) for payload in self.slices[number].payloads]

    def state(
        self,
        number: int,
        *,
        client: str = "",
        durable: str = "",
        group: str = "",
        last_sent: int = 0,
        is_closed: bool = False,
        max_in_flight: int = 1024,
        ack_wait_s: int = 30,
    ) -> bytes:
        """A SubState."""
        found = integer(1, number)
        for field, text in ((2, client), (3, group), (4, f"_INBOX.in.{number}"), (5, f"_INBOX.ack.{number}")):
            found += blob(field, text.encode()) if text else b""
        found += integer(6, max_in_flight) + integer(7, ack_wait_s)
        found += blob(8, durable.encode()) if durable else b""
        found += integer(9, last_sent) if last_sent else b""
        found += integer(10, 1) if durable or ":" in group else b""
        return found + (integer(11, 1) if is_closed else b"")

    def new(self, number: int, **fields: str | int | bool) -> None:
        """A subscription is made."""
        self.subscriptions += typed(NEW, self.state(number, **fields), self.polynomial)  # type: ignore[arg-type]

    def updated(self, number: int, **fields: str | int | bool) -> None:
        """A subscription is another one now."""
        self.subscriptions += typed(UPDATED, self.state(number, **fields), self.polynomial)  # type: ignore[arg-type]

    def deleted(self, number: int) -> None:
        """A subscription ends."""
        self.subscriptions += typed(DELETED, integer(1, number), self.polynomial)

    def sent(self, number: int, *sequences: int) -> None:
        """It was sent messages."""
        for sequence in sequences:
            self.subscriptions += typed(SENT, integer(1, number) + integer(2, sequence), self.polynomial)

    def acknowledged(self, number: int, *sequences: int) -> None:
        """It acknowledged messages."""
        for sequence in sequences:
            self.subscriptions += typed(ACKNOWLEDGED, integer(1, number) + integer(2, sequence), self.polynomial)

    def write(self, folder: Path) -> None:
        """Write the files."""
        folder.mkdir()
        (folder / "subs.dat").write_bytes(self.subscriptions)
        for number, part in self.slices.items():
            (folder / f"msgs.{number}.dat").write_bytes(part.data)
            if part.has_index:
                (folder / f"msgs.{number}.idx").write_bytes(part.index)
        for name, content in self.extra.items():
            (folder / name).write_bytes(content)


class OriginalDirectory:
    """All of a store. `write` writes what the attributes say."""

    def __init__(self, folder: Path, cluster_id: str = "test-cluster", polynomial: int = IEEE) -> None:
        self.folder = folder
        self.polynomial = polynomial
        subjects = ("discover", "pub", "sub", "unsub", "close", "subclose", "ack")
        info = blob(1, cluster_id.encode()) + b"".join(
            blob(field, f"_STAN.{subject}.{cluster_id}".encode()) for field, subject in enumerate(subjects, 2)
        )
        self.server: bytes | None = VERSION + record(info, polynomial)
        self.clients: bytearray | None = bytearray(VERSION)
        self.channels: dict[str, ChannelWriter] = {}

    def channel(self, name: str) -> ChannelWriter:
        """The channel of this name, made if it is not there."""
        return self.channels.setdefault(name, ChannelWriter(name, self.polynomial))

    def client(self, client_id: str) -> bytes:
        """A client registers; its record."""
        info = blob(1, client_id.encode()) + blob(2, f"_INBOX.{client_id}".encode())
        info += blob(3, b"connection-" + client_id.encode()) + integer(4, 1) + integer(5, 5) + integer(6, 3)
        assert self.clients is not None
        self.clients += typed(ADD_CLIENT, info, self.polynomial)
        return info

    def no_client(self, client_id: str) -> None:
        """A client goes."""
        assert self.clients is not None
        self.clients += typed(DELETE_CLIENT, blob(1, client_id.encode()), self.polynomial)

    def write(self) -> Path:
        """Write all files; the folder."""
        self.folder.mkdir(exist_ok=True)
        if self.server is not None:
            (self.folder / "server.dat").write_bytes(self.server)
        if self.clients is not None:
            (self.folder / "clients.dat").write_bytes(self.clients)
        for name, channel in self.channels.items():
            channel.write(self.folder / name)
        return self.folder
