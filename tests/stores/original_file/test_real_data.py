"""What the real NATS Streaming Server wrote: read back, and compared with what it said of it, and with our own writer."""

import base64
from pathlib import Path

import pytest

from tests.stores.original_file.original_writer import IEEE, ChannelWriter, checksum, message, record, typed
from tests.stores.original_file.reading_steps import ReadStore, checksums_of, read_original
from tests.stores.original_file.recording import FLAGS, Recording, can_record, recorded
from tests.stores.original_file.recording import record as record_now


def recordings() -> list[tuple[str, Recording | None, list[str]]]:
    """Those that are there; where there is an original, also what it writes now. Encrypted data needs a server."""
    found: list[tuple[str, Recording | None, list[str]]] = []
    for name, recording in recorded().items():
        if name != "encrypted":
            found.append((name, recording, FLAGS[name]))
            if can_record():
                found.append((f"{name}, now", None, FLAGS[name]))
    return found


def polynomial_of(flags: list[str]) -> int:
    return int(flags[flags.index("-file_crc_poly") + 1]) if flags else IEEE


@pytest.fixture(params=recordings(), ids=lambda case: case[0])
def recording(request: pytest.FixtureRequest) -> Recording:
    _, found, flags = request.param
    return found if found is not None else record_now(flags)


async def read(recording: Recording, folder: Path) -> ReadStore:
    return await read_original(recording.write(folder), page=3, crc_polynomial=polynomial_of(recording.flags))


async def test_what_is_read_is_what_the_original_serves(recording: Recording, tmp_path: Path) -> None:
    found = await read(recording, tmp_path / "data")
    assert found.damage == []
    assert found.cluster_id == b"test-cluster"
    assert sorted(found.clients) == [client.encode() for client in recording.clients]
    assert sorted(found.channels) == sorted(recording.channels)
    for name, expected in recording.channels.items():
        channel = found.channels[name]
        assert (channel.first, channel.last) == (expected["first"], expected["last"])
        assert channel.bodies == [
            message(sequence, name.encode(), base64.b64decode(data), timestamp_ns)
            for sequence, (data, timestamp_ns) in enumerate(expected["messages"], expected["first"])
        ]
        subscriptions = [
            [
                subscription.client_id.decode(),
                subscription.queue_group.decode(),
                subscription.durable_name.decode(),
                subscription.is_closed,
                last_sent,
                len(pending),
            ]
            for subscription, last_sent, pending in found.subscriptions.values()
            if subscription.channel == name.encode()
        ]
        assert sorted(subscriptions) == expected["subscriptions"]
    assert checksums_of(tmp_path / "data") == recording.files


async def test_every_cut_of_the_newest_slice(recording: Recording, tmp_path: Path) -> None:
    """Whole messages are read, the others are named, and no number is given to another one."""
    folder = recording.write(tmp_path / "data")
    name = max(name for name in recording.files if name.startswith("orders/msgs") and name.endswith(".dat"))
    whole = (await read(recording, folder)).channels["orders"]
    for size in range(len(recording.files[name])):
        (folder / name).write_bytes(recording.files[name][:size])
        found = await read_original(folder, crc_polynomial=polynomial_of(recording.flags))
        channel = found.channels["orders"]
        assert (channel.first, channel.last) == (whole.first, whole.last)
        assert all(body in (b"", whole.by_sequence[sequence]) for sequence, body in channel.by_sequence.items())
        assert found.lost_count == len(channel.lost) > 0
        assert found.damage


def test_our_writer_writes_the_same_bytes(recording: Recording) -> None:
    """So what the other tests make up is what the original would have written."""
    polynomial = polynomial_of(recording.flags)
    slices: dict[str, dict[int, bytes]] = {}
    for name, content in recording.files.items():
        folder, _, rest = name.partition("/")
        if rest.startswith("msgs.") and rest.endswith(".dat"):
            slices.setdefault(folder, {})[int(rest.split(".")[1])] = content
    assert len(slices["orders"]) > 2
    for folder, contents in slices.items():
        expected = recording.channels[folder]
        writer = ChannelWriter(folder, polynomial)
        messages = list(enumerate(expected["messages"], expected["first"]))
        for number in sorted(contents):
            while messages and len(writer.slice(number).data) < len(contents[number]):
                sequence, (data, timestamp_ns) = messages.pop(0)
                payload = message(sequence, folder.encode(), base64.b64decode(data), timestamp_ns)
                writer.slice(number).add(sequence, payload, timestamp_ns)
            assert bytes(writer.slice(number).data) == contents[number]
            assert bytes(writer.slice(number).index) == recording.files[f"{folder}/msgs.{number}.idx"]
    server = recording.files["server.dat"]
    assert server == b"\x01\0\0\0" + record(server[12:], polynomial)
    for name in ("clients.dat", "orders/subs.dat"):
        content = recording.files[name]
        at, again = 4, content[:4]
        while at < len(content):
            size = int.from_bytes(content[at : at + 3], "little")
            again += typed(content[at + 3], content[at + 8 : at + 8 + size], polynomial)
            at += 8 + size
        assert again == content
    assert checksum(b"123456789", 0x82F63B78) == 0xE3069283
