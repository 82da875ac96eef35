"""What single messages tell about a store: whether it is encrypted, and with which key. More: test_encryption.py."""

import pytest

from durabus.stores.encryption_samples import channel_names, find_encrypted
from durabus.stores.memory import MemoryStore
from durabus.streaming.records import encode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, KIND_CLIENT, Batch, Recovered, Run
from durabus.testing.faults import FaultyStore
from durabus.wire.stan_messages import encode_message
from tests.stores.encryption_harness import encrypted

STAMP_NS = 1_700_000_000_000_000_000


def test_the_names_of_channels() -> None:
    recovered = Recovered()
    recovered.state = [
        (KIND_CHANNEL, b"3", encode_channel_name(b"foo")),
        (KIND_CHANNEL, b"4", b"\xff"),
        (KIND_CHANNEL, b"x", encode_channel_name(b"bar")),
        (KIND_CLIENT, b"5", encode_channel_name(b"me")),
    ]
    assert channel_names(recovered) == {3: b"foo"}


async def store_with(*all_data: bytes) -> tuple[MemoryStore, Recovered]:
    """A store, not encrypted, whose channels 1, 2 and so on have one message each."""
    store = MemoryStore()
    batch = Batch(1, 0)
    for number, data in enumerate(all_data, 1):
        batch.state.append((KIND_CHANNEL, b"%d" % number, encode_channel_name(b"channel.%d" % number)))
        run = Run(number, 1)
        run.bodies, run.stamps = [encode_message(1, b"channel.%d" % number, b"", data, STAMP_NS)], [(0, STAMP_NS)]
        batch.runs.append(run)
    store.submit(batch)
    return store, await store.recover(None)


@pytest.mark.parametrize(
    "all_data",
    [(), (b"plain",), (b"", b"\x01short"), (b"\x01and long, but with another number",), (b"\x03" + bytes(50),)],
)
async def test_plain_data_are_no_surprise(all_data: tuple[bytes, ...]) -> None:
    assert await find_encrypted(*await store_with(*all_data)) == []


@pytest.mark.parametrize("cipher", ["AES", "CHACHA"])
async def test_encrypted_data_that_nobody_decrypts_are_told(cipher: str) -> None:
    inner, _ = await store_with(b"plain")
    store = encrypted(inner, cipher=cipher)
    await store.recover(None)
    batch = Batch(1, 0)
    batch.state.append((KIND_CHANNEL, b"2", encode_channel_name(b"foo")))
    run = Run(2, 1)
    run.bodies, run.stamps = [encode_message(1, b"foo", b"", b"x", STAMP_NS)], [(0, STAMP_NS + 1)]
    batch.runs.append(run)
    store.submit(batch)
    text = (
        'message 1 of channel "foo" looks encrypted, and is delivered as it is stored: '
        "if it is encrypted, start with -encrypt and its key"
    )
    assert await find_encrypted(inner, await inner.recover(None)) == [text]


async def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    inner, _ = await store_with(b"plain")
    store = FaultyStore(inner)
    store.hold_answers()
    monkeypatch.setattr("durabus.stores.encryption_samples._PATIENCE_S", 0.01)
    assert await find_encrypted(store, await store.recover(None)) == []
    store.stop_holding_answers()  # too late, and for nobody
