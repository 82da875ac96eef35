"""Whose store it is, and who is registered, from files that may be damaged."""

from pathlib import Path

import pytest

from tests.stores.original_file.original_writer import VERSION, OriginalDirectory, record, typed
from tests.stores.original_file.reading_steps import read_original
from tests.wire.wire_format import blob, integer


@pytest.mark.row(144)
@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (VERSION + record(b"\x0a\x05abc"), "a field of 5 bytes where 3 are left"),
        (VERSION + record(integer(9, 1)), "it names no cluster"),
        (VERSION + record(blob(1, b"abc"))[:-1], "its checksum is wrong"),
        (VERSION + record(blob(1, b"abc"))[:-1] + b"?", "its checksum is wrong"),
        (VERSION + b"abc", "its checksum is wrong"),
    ],
)
async def test_a_damaged_record_of_the_server(tmp_path: Path, server: bytes, reason: str) -> None:
    original = OriginalDirectory(tmp_path / "data")
    original.client("me")
    original.server = server
    found = await read_original(original.write(), cluster_id=b"given", quarantine=tmp_path / "quarantine")
    assert found.cluster_id == b"given"
    assert found.damage[0] == f"server.dat is damaged, so it does not say whose store this is: {reason}"
    assert (tmp_path / "quarantine").exists()
    assert list(found.clients) == [b"me"]


async def test_what_follows_it_does_not_count(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data", "mine")
    assert original.server is not None
    original.server += b"more"
    found = await read_original(original.write())
    assert found.cluster_id == b"mine"
    assert "there is one record only" in found.damage[0]


@pytest.mark.row(144)
async def test_damaged_clients(tmp_path: Path) -> None:
    original = OriginalDirectory(tmp_path / "data")
    records = [original.client(name) for name in ("a", "b", "c")]
    assert original.clients is not None
    original.clients += (
        typed(1, blob(2, b"inbox")) + typed(2, b"\x0a") + typed(1, b"\x0a\x01d") + typed(2, blob(1, b"a"))
    )
    at = original.clients.index(b"_INBOX.b")
    original.clients[at] ^= 1
    found = await read_original(original.write())
    assert found.clients == {b"c": records[2], b"d": b"\x0a\x01d"}
    assert len(found.damage) == 3
