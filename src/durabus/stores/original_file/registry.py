"""Whose store it is, and which clients are registered: server.dat and clients.dat of the original."""

import os

from durabus.stores.original_file.checksum import KNOWN_POLYNOMIALS, Checksum
from durabus.stores.original_file.files import SourceFile
from durabus.stores.original_file.findings import Findings
from durabus.stores.original_file.records import GOOD, VERSION_BYTES, RecordReader, version_complaint
from durabus.stores.original_file.subscription_log import RECORDS_BEGIN
from durabus.stores.original_file.typed_file import TypedWalk
from durabus.streaming.records import decode_client, decode_server
from durabus.wire.varint import WIRE_BYTES, DecodeError, FieldReader, bytes_field

__all__ = ["fitting_polynomials", "has_fitting_record", "read_clients", "read_cluster_id"]

_ADDED = 1
_DELETED = 2
_RECORDS_BEGIN = b"\x0a"  # field 1, a client ID


def read_cluster_id(file: SourceFile, reader: RecordReader, findings: Findings) -> bytes:
    """The cluster ID in server.dat; empty when that cannot be read. Raises StoreError."""
    complaint = version_complaint(file)
    if complaint:
        findings.note(f"{file.name}: {complaint}; it is read as if it were right")
    if file.size <= VERSION_BYTES:
        return b""  # a first start that did not get far
    outcome = reader.look(VERSION_BYTES)
    reason = "its checksum is wrong"
    if outcome == GOOD:
        try:
            cluster_id = decode_server(reader.payload).cluster_id
        except DecodeError as error:
            reason = str(error)
        else:
            if cluster_id:
                if reader.end != reader.size:
                    findings.cut(file, int(reader.end), int(reader.size), b"", 0, "there is one record only")
                return cluster_id
            reason = "it names no cluster"
    findings.note(f"{file.name} is damaged, so it does not say whose store this is: {reason}")
    findings.aside(file, VERSION_BYTES, file.size, b"", 0, reason)
    return b""


def read_clients(file: SourceFile, reader: RecordReader, findings: Findings) -> dict[bytes, bytes]:
    """The records of the clients in clients.dat, by client ID. Raises StoreError."""
    clients: dict[bytes, bytes] = {}
    walk = TypedWalk(file, reader, _DELETED, _RECORDS_BEGIN, b"", findings)
    while walk.next():
        try:
            if walk.kind == _ADDED:
                clients[decode_client(walk.payload).client_id] = walk.payload
            else:
                clients.pop(_client_id(walk.payload), None)
        except DecodeError as error:
            walk.leave_out(str(error))
    return clients


def _client_id(record: bytes) -> bytes:
    """The only field of a ClientDelete; raises DecodeError."""
    fields = FieldReader(record)
    found = b""
    while number := fields.next():
        if number == 1:
            fields.expect(WIRE_BYTES)
            found = fields.data
    return found


def has_fitting_record(file: SourceFile, reader: RecordReader, is_typed: bool) -> bool:
    """Whether the checksum of any record in `file` is right, of the first one if that is not damaged."""
    if reader.look(VERSION_BYTES) == GOOD:
        return True
    if not is_typed:
        channel = os.fsencode(file.name).rpartition(b"/")[0]
        return reader.next_message(VERSION_BYTES, bytes_field(2, channel)) >= 0
    return any(reader.next_typed(VERSION_BYTES, begins) >= 0 for begins in (RECORDS_BEGIN, _RECORDS_BEGIN))


def fitting_polynomials(file: SourceFile, is_typed: bool) -> list[int]:
    """With which of the known polynomials the checksum of the first record fits."""
    found: list[int] = []
    for polynomial in KNOWN_POLYNOMIALS:
        reader = RecordReader(file, is_typed, Checksum(polynomial))
        if reader.look(VERSION_BYTES) == GOOD:
            found.append(polynomial)
    return found
