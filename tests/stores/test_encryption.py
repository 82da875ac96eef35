"""The encrypted store: what lies in the store below, what comes back, and what is told when it does not."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from durabus.errors import StoreError
from durabus.stores import encryption_samples
from durabus.stores.copying import copy_store
from durabus.stores.encryption import EncryptedStore
from durabus.stores.encryption_bodies import OVERHEAD_BYTES
from durabus.stores.memory import MemoryStore
from durabus.stores.sql.plan import Rules
from durabus.stores.sql.sqlite import SqliteDatabase
from durabus.stores.sql.store import SqlStore
from durabus.streaming.options import ChannelLimits, CoreOptions
from durabus.streaming.records import SERVER_KEY, encode_channel_name, encode_server
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SERVER, REFUSED, Batch, Lease, Recovered, Run, Store
from durabus.testing.conformance.probe import Probe
from durabus.testing.faults import FaultyStore
from durabus.wire.stan_messages import encode_message
from tests.conftest import ROOT
from tests.stores.encryption_harness import KEY, encrypted
from tests.streaming.harness import FIRST, SEQUENCE, Bus

STAMP_NS = 1_700_000_000_000_000_000
MUCH = 1 << 30


def message(sequence: int, data: bytes, channel: bytes = b"foo") -> bytes:
    return encode_message(sequence, channel, b"", data, STAMP_NS + sequence)


class Desk:
    """Writes to a store, and reads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.probe = Probe(store, 5)
        self.number = 0

    async def open(self) -> Recovered:
        self.number = 0
        return await self.store.recover(None)

    def write(self, channel: int, first: int, *all_data: bytes, name: bytes = b"") -> Batch:
        """Submit a batch with messages of the channel `channel`, which is created with its first one."""
        self.number += 1
        batch = Batch(self.number, 0)
        name = name or b"channel.%d" % channel
        if first == 1:
            batch.state.append((KIND_CHANNEL, b"%d" % channel, encode_channel_name(name)))
        run = Run(channel, first)
        run.bodies = [message(first + index, data, name) for index, data in enumerate(all_data)]
        run.stamps = [(0, STAMP_NS + 1000 * self.number)]
        batch.runs.append(run)
        self.probe.submit(batch)
        return batch

    def now(self, channel: int, first: int = 1) -> list[bytes]:
        return self.store.read_now(channel, first, MUCH, MUCH) or []

    async def read(self, channel: int, first: int = 1) -> list[bytes]:
        return await self.probe.page(self.probe.ask_page(channel, first, MUCH, MUCH))


async def desk_on(inner: Store, key: str = KEY, cipher: str = "", problems: list[str] | None = None) -> Desk:
    """A desk on `inner`, opened."""
    desk = Desk(encrypted(inner, key, cipher, problems))
    await desk.open()
    return desk


# What lies in the store.


@pytest.mark.row(160)
async def test_data_are_not_stored_as_they_are() -> None:
    inner = MemoryStore()
    desk = await desk_on(inner)
    desk.write(1, 1, b"a secret message", b"", b"another secret")
    stored = inner.read_now(1, 1, 10, MUCH)
    assert stored is not None
    assert b"secret" not in b"".join(stored)
    assert [b"channel.1" in body for body in stored] == [True] * 3, "names are not encrypted"
    assert stored[1] == message(2, b"", b"channel.1")
    assert desk.now(1) == await desk.read(1)
    assert desk.now(1) == [
        message(i + 1, d, b"channel.1") for i, d in enumerate((b"a secret message", b"", b"another secret"))
    ]


@pytest.mark.row(160)
async def test_both_ciphers_and_plain_data_in_one_channel() -> None:
    inner = MemoryStore()
    plain = Desk(inner)
    await plain.open()
    plain.write(1, 1, b"plain")
    (await desk_on(inner, cipher="AES")).write(1, 2, b"with AES", name=b"channel.1")
    (await desk_on(inner, cipher="CHACHA")).write(1, 3, b"with ChaCha", name=b"channel.1")
    desk = await desk_on(inner)
    data = (b"plain", b"with AES", b"with ChaCha")
    assert desk.now(1) == [message(i + 1, d, b"channel.1") for i, d in enumerate(data)]


@pytest.mark.row(160)
async def test_nonces_are_new_after_every_recovery() -> None:
    inner = MemoryStore()
    desk = await desk_on(inner)
    nonces: list[bytes] = []
    for first in (1, 2, 3):
        if first == 3:
            await desk.open()
        desk.write(1, first, b"data")
        stored = inner.read_now(1, first, 1, MUCH)
        assert stored is not None
        at = stored[0].index(b"channel.1") + len(b"channel.1") + 3
        nonces.append(stored[0][at : at + 12])
        assert nonces[-1][4:] == first.to_bytes(8, "big")
    assert nonces[0][:4] == nonces[1][:4]
    assert nonces[2][:4] != nonces[1][:4]


async def test_a_channel_of_the_same_name_has_the_same_key_and_other_nonces() -> None:
    inner = MemoryStore()
    desk = await desk_on(inner)
    desk.write(1, 1, b"data", name=b"foo")
    stored = list(inner.read_now(1, 1, 1, MUCH) or [])
    batch = Batch(2, 0)
    batch.state.append((KIND_CHANNEL, b"1", None))
    desk.number = 2
    desk.probe.submit(batch)
    assert desk.now(1) == [], "deleted, and forgotten"
    desk.write(2, 1, b"data", name=b"foo")
    again = list(inner.read_now(2, 1, 1, MUCH) or [])
    assert again[0] != stored[0]
    assert desk.now(2) == [message(1, b"data", b"foo")]


# What it says of itself.


async def test_it_is_the_inner_store_but_for_the_sizes() -> None:
    inner = MemoryStore()
    store = encrypted(inner)
    assert (store.name, store.durability, store.is_immediate) == (inner.name, inner.durability, True)
    assert store.batches_in_flight_max == inner.batches_in_flight_max
    assert store.message_bytes_max == inner.message_bytes_max - 30
    assert (store.message_overhead_bytes, store.data_overhead_bytes) == (0, OVERHEAD_BYTES)
    inner.message_bytes_max, inner.batches_in_flight_max, inner.has_lost = 1000, 7, True
    await store.recover(None)
    assert (store.message_bytes_max, store.batches_in_flight_max, store.has_lost) == (970, 7, True)
    assert not encrypted(FaultyStore(MemoryStore())).is_immediate


async def test_messages_that_came_lost() -> None:
    desk = await desk_on(MemoryStore())
    batch = desk.write(1, 1, b"1", b"2", b"3")
    had_lost = desk.store.has_lost
    desk.number += 1
    lost = Batch(desk.number, 0)
    run = Run(1, 4)
    run.bodies, run.stamps = [b"", message(5, b"5", b"channel.1")], [(0, STAMP_NS)]
    lost.runs.append(run)
    desk.probe.submit(lost)
    assert desk.now(1, 4) == run.bodies
    assert (had_lost, desk.store.has_lost) == (False, True)
    assert desk.now(1) == batch.runs[0].bodies + run.bodies


# Wrong keys.


@pytest.mark.row(160)
async def test_another_key_is_told_at_the_start() -> None:
    inner = MemoryStore()
    (await desk_on(inner)).write(1, 1, b"data", name="größe".encode())
    with pytest.raises(StoreError) as caught:
        await desk_on(inner, "a wrong secret")
    assert str(caught.value) == (
        'the encryption key is not that of the stored messages: message 1 of channel "größe" cannot be decrypted with it; '
        "start with the key that they were encrypted with"
    )
    await desk_on(inner)


async def test_messages_of_two_keys() -> None:
    """Whichever is given, what it fits to is delivered, and the rest is told."""
    inner = MemoryStore()
    (await desk_on(inner)).write(1, 1, b"one", name=b"foo")
    # Only the original lets that happen: a key that fits to nothing does not get so far here.
    other = encrypted(inner, "another")
    other._was_tried = True
    desk = Desk(other)
    await desk.open()
    desk.write(1, 2, b"two", name=b"foo")
    for key, readable, unreadable in ((KEY, 1, 2), ("another", 2, 1)):
        problems: list[str] = []
        desk = Desk(encrypted(inner, key, problems=problems))
        recovered = await desk.open()
        found = [text.split(" cannot be decrypted")[0] for text in recovered.damage]
        assert found == ([f'message {unreadable} of channel "foo"'] if unreadable == 2 else [])
        assert desk.now(1, readable) == [message(readable, b"one" if readable == 1 else b"two", b"foo")]
        assert desk.now(1, unreadable) == []
        assert desk.now(1, unreadable) == await desk.read(1, unreadable) == []
        assert len(problems) == 1, "each is told once"
        assert f'message {unreadable} of channel "foo" cannot be decrypted' in problems[0]
        assert KEY not in problems[0]


async def test_plain_data_that_look_encrypted_do_not_prevent_a_start() -> None:
    inner = MemoryStore()
    plain = Desk(inner)
    await plain.open()
    plain.write(1, 1, b"\x01" + bytes(60))
    plain.write(2, 1, b"plain")
    desk = Desk(encrypted(inner))
    damage = (await desk.open()).damage
    assert len(damage) == 1
    assert 'message 1 of channel "channel.1" cannot be decrypted' in damage[0]
    assert desk.now(1) == []
    assert desk.now(2) == [message(1, b"plain", b"channel.2")]


async def test_the_key_is_tried_in_some_channels_only() -> None:
    inner = FaultyStore(MemoryStore())
    desk = await desk_on(inner)
    for channel in range(1, 41):
        desk.write(channel, 1, b"data")
    before = inner.reads
    await desk_on(inner)
    assert inner.reads - before == 16


async def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = FaultyStore(MemoryStore())
    (await desk_on(inner)).write(1, 1, b"data")
    inner.hold_answers()
    monkeypatch.setattr(encryption_samples, "_PATIENCE_S", 0.01)
    desk = await desk_on(inner, "another")
    inner.stop_holding_answers()  # nobody wants it any more
    desk.probe.check()
    assert desk.now(1) == []


async def test_a_record_without_a_name_is_left_alone() -> None:
    inner = MemoryStore()
    plain = Desk(inner)
    await plain.open()
    plain.write(1, 1, b"data")
    batch = Batch(2, 0)
    batch.state += [(KIND_CHANNEL, b"1", b"\xff"), (KIND_CHANNEL, b"x", encode_channel_name(b"foo"))]
    plain.probe.submit(batch)
    desk = Desk(encrypted(inner))
    assert (await desk.open()).damage == []
    assert desk.now(1) == []


# Reading.


async def test_the_newest_messages_are_not_decrypted_again() -> None:
    inner = FaultyStore(MemoryStore())
    desk = await desk_on(inner)
    desk.write(1, 1, b"1", b"2", b"3")
    inner.answers_now = False
    assert desk.now(1, 2) == [message(i, b"%d" % i, b"channel.1") for i in (2, 3)]
    await desk.open()
    assert desk.store.read_now(1, 2, 10, MUCH) is None
    assert await desk.read(1, 2) == [message(i, b"%d" % i, b"channel.1") for i in (2, 3)]


async def test_only_what_is_durable_is_remembered() -> None:
    inner = FaultyStore(MemoryStore())
    inner.batches_in_flight_max = 3
    desk = await desk_on(inner)
    inner.hold()
    desk.write(1, 1, b"1")
    desk.write(1, 2, b"2")
    assert desk.now(1) == []
    inner.release(1)
    assert desk.now(1) == [message(1, b"1", b"channel.1")]
    inner.fail(REFUSED, "no room")
    inner.stop_holding()
    desk.write(1, 3, b"3")
    assert desk.probe.failed
    assert desk.now(1, 2) == [message(2, b"2", b"channel.1")]
    assert desk.now(1, 3) == []


async def test_what_was_stored_first_counts() -> None:
    """A batch may be sent again in part, though never with other messages."""
    desk = await desk_on(MemoryStore())
    desk.write(1, 1, b"1", b"2")
    desk.write(1, 2, b"never", b"3", name=b"channel.1")
    assert desk.now(1) == [message(i, b"%d" % i, b"channel.1") for i in (1, 2, 3)]
    desk.write(1, 4, b"4")
    assert (await desk.read(1))[3:] == [message(4, b"4", b"channel.1")]


async def test_a_store_that_wants_to_be_acquired() -> None:
    class Leased(FaultyStore):
        async def acquire(self, owner: str) -> Lease | None:
            return Lease(5, 0)

    store = encrypted(Leased(MemoryStore()))
    lease = await store.acquire("me")
    assert lease is not None
    assert lease.epoch == 5
    with pytest.raises(StoreError):
        await encrypted(MemoryStore()).acquire("me")
    await store.close()


# Under a core.


@pytest.fixture
def blocked() -> tuple[Bus, MemoryStore, list[str]]:
    """A bus whose channel has messages of another key from 2 to 3: 1 to 6 are there."""
    inner = MemoryStore()
    bus = Bus(encrypted(inner))
    bus.connect("a").publish("foo", b"1")
    strange = encrypted(inner, "another")
    strange._was_tried = True
    Bus(strange).connect("b").publish("foo", b"2", b"3")
    problems: list[str] = []
    store = encrypted(inner, problems=problems)
    store._was_tried = True
    bus = Bus(store)
    bus.connect("c").publish("foo", b"4", b"5", b"6")
    return bus, inner, problems


@pytest.mark.row(160)
def test_nothing_is_passed_over(blocked: tuple[Bus, MemoryStore, list[str]]) -> None:
    """A durable waits before what cannot be decrypted, and goes on there with the right key."""
    bus, inner, problems = blocked
    client = bus.connect("d")
    durable = client.subscribe("foo", durable="dur", start=FIRST, auto_ack=True)
    late = client.subscribe("foo", start=SEQUENCE, start_sequence=4, auto_ack=True)
    assert durable.sequences == [1]
    assert late.sequences == [4, 5, 6], "others are served"
    client.publish("foo", b"7")
    assert (durable.sequences, late.sequences[-1]) == ([1], 7)
    assert len(problems) == 1
    bus.restart()
    assert durable.sequences == [1]

    right = encrypted(inner, "another")
    right._was_tried = True
    bus.store = right
    bus.restart()
    assert durable.sequences == [1, 2, 3], "and what follows is of the first key again"


def test_what_cannot_be_decrypted_counts_and_goes_with_its_limit(blocked: tuple[Bus, MemoryStore, list[str]]) -> None:
    _, inner, _ = blocked
    options = CoreOptions()
    size = len((inner.read_now(1, 4, 1, MUCH) or [])[0])
    options.channel_limits = ChannelLimits(bytes_max=4 * size)
    store = encrypted(inner)
    store._was_tried = True
    bus = Bus(store, options)
    channel = bus.core.state.channels[b"foo"]
    assert (channel.first, channel.last, channel.stored_bytes) == (3, 6, 4 * size)
    bus.connect("e").publish("foo", b"7")
    assert (channel.first, channel.last, channel.stored_bytes) == (4, 7, 4 * size)
    assert bus.connect("f").subscribe("foo", start=FIRST).sequences == [4, 5, 6, 7]


@pytest.mark.row(160)
@pytest.mark.parametrize("answers_now", [True, False])
def test_limits_count_what_is_stored(answers_now: bool) -> None:
    """The figures of the core are those of the store below at any time, as the original's are."""
    inner = FaultyStore(MemoryStore())
    options = CoreOptions()
    options.channel_limits = ChannelLimits(messages_max=9, bytes_max=700)
    bus = Bus(encrypted(inner), options)
    client = bus.connect("a")
    inner.answers_now = answers_now
    for size in (0, 1, 98, 99, 100, 127, 128, 0, 0, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 600):
        client.publish("foo", b"d" * size, b"e" * (size // 2))
        channel = bus.core.state.channels[b"foo"]
        if answers_now:  # else some sizes are estimated: tests/streaming/test_retention.py
            stored = inner.read_now(channel.channel_id, channel.first, 100, MUCH) or []
            assert channel.stored_bytes == sum(map(len, stored))
        assert channel.stored_bytes <= 700 or channel.message_count == 1


def test_an_encrypted_store_is_waited_for_as_any_other() -> None:
    """With answers that come later, several batches under way, and a failure in between."""
    inner = FaultyStore(MemoryStore())
    inner.batches_in_flight_max = 3
    bus = Bus(encrypted(inner))
    client = bus.connect("a")
    sub = client.subscribe("foo", durable="d", auto_ack=True)
    inner.hold()
    client.publish("foo", b"1")
    client.publish("foo", b"2")
    assert sub.sequences == []
    with bus.turn():
        inner.stop_holding()
    assert [one.data for one in sub.messages] == [b"1", b"2"]
    bus.advance(2)  # positions are stored
    inner.fail(REFUSED, "no room")
    client.publish("foo", b"refused")
    bus.recover()
    client.publish("foo", b"3")
    assert [one.data for one in sub.messages] == [b"1", b"2", b"3"]
    assert [one.data for one in bus.stored("foo")] == [b"1", b"2", b"3"]


async def test_many_channels_and_messages() -> None:
    inner = MemoryStore()
    desk = await desk_on(inner)
    for channel in range(1, 30):
        desk.write(channel, 1, *[b"%d" % number * channel for number in range(200)])
    await asyncio.sleep(0)
    again = await desk_on(inner)
    assert isinstance(again.store, EncryptedStore)
    for channel in range(1, 30):
        wanted = [message(n + 1, b"%d" % n * channel, b"channel.%d" % channel) for n in range(200)]
        assert again.now(channel) == wanted


# Another key.


async def test_a_copy_gets_another_key() -> None:
    """What there is in place of a change of the key."""
    old, new = MemoryStore(), MemoryStore()
    desk = await desk_on(old, "old key", "AES")
    desk.write(1, 1, b"one", b"", b"three", name=b"foo")
    desk.number += 1
    server = Batch(desk.number, 0)
    server.state.append((KIND_SERVER, SERVER_KEY, encode_server(b"test-cluster", 1)))
    desk.probe.submit(server)
    report = await copy_store(encrypted(old, "old key"), encrypted(new, "new key", "CHACHA"), lambda text: None)
    assert report.messages == 3
    assert report.damage == []
    desk = await desk_on(new, "new key")
    assert desk.now(1) == [message(i + 1, data, b"foo") for i, data in enumerate((b"one", b"", b"three"))]
    with pytest.raises(StoreError, match="the encryption key is not that of the stored messages"):
        await desk_on(new, "old key")


async def test_a_copy_ends_where_something_cannot_be_decrypted() -> None:
    inner = MemoryStore()
    (await desk_on(inner)).write(1, 1, b"one", name=b"foo")
    other = encrypted(inner, "another")
    other._was_tried = True
    desk = Desk(other)
    await desk.open()
    desk.write(1, 2, b"two", name=b"foo")
    batch = Batch(2, 0)
    batch.state.append((KIND_SERVER, SERVER_KEY, encode_server(b"test-cluster", 1)))
    desk.probe.submit(batch)
    with pytest.raises(StoreError, match='message 2 of channel "foo" cannot be read from the source'):
        await copy_store(encrypted(inner), encrypted(MemoryStore(), "new"), lambda text: None)


async def test_the_command_that_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From plain to encrypted, to another key, and back to plain; with keys that do not fit nothing is copied."""
    plain = SqlStore(SqliteDatabase(str(tmp_path / "plain.db")), Rules())
    desk = Desk(plain)
    await desk.open()
    batch = Batch(1, 0)
    batch.state.append((KIND_SERVER, SERVER_KEY, encode_server(b"test-cluster", 1)))
    batch.state.append((KIND_CHANNEL, b"1", encode_channel_name(b"foo")))
    run = Run(1, 1)
    run.bodies, run.stamps = [message(1, b"plain text"), message(2, b"")], [(0, STAMP_NS + 1), (1, STAMP_NS + 2)]
    batch.runs.append(run)
    desk.probe.submit(batch)
    await desk.probe.wait_ended(1)
    await plain.close()
    monkeypatch.setenv("KEY_1", "one")
    monkeypatch.setenv("KEY_2", "two")

    def copy(source: str, target: str, *keys: str) -> bool:
        places = [
            f"sqlite:{tmp_path}/{name}" if name.endswith(".db") else str(tmp_path / name) for name in (source, target)
        ]
        command = [sys.executable, "-m", "durabus", "store", "copy", "--quiet", *places, *keys]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode == 0

    for is_done, source, target, *keys in (
        (True, "plain.db", "first", "--encrypt", "KEY_1"),
        (True, "first", "second", "--decrypt", "KEY_1", "--encrypt=KEY_2"),
        (True, "second", "back.db", "--decrypt", "KEY_2"),
        (True, "first", "again", "--encrypt", "KEY_1"),
        (False, "first", "wrong", "--encrypt", "KEY_2"),
        (False, "first", "wrong", "--decrypt", "KEY_2"),
        (False, "first", "wrong", "--decrypt", "KEY_3"),
    ):
        assert await asyncio.to_thread(copy, source, target, *keys) == is_done, (source, target, keys)
    for name, is_plain in (
        ("plain.db", True),
        ("first", False),
        ("second", False),
        ("again", False),
        ("back.db", True),
    ):
        path = tmp_path / name
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        assert any(b"plain text" in file.read_bytes() for file in files) == is_plain, name
    back = SqlStore(SqliteDatabase(str(tmp_path / "back.db")), Rules())
    desk = Desk(back)
    await desk.open()
    assert await desk.read(1) == run.bodies
    await back.close()
