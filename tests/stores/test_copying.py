"""Copying: whatever is in a store arrives in another one, also when the copy is broken off and begun again."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.errors import StoreError
from durabus.stores import copying
from durabus.stores.copying import CopyReport, copy_store
from durabus.stores.delegating import DelegatingStore
from durabus.stores.file.store import FileStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.records import decode_server, encode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, REFUSED, Batch, Store
from durabus.testing.disk import SimulatedDisk, SimulatedFiles
from tests.stores.copy_steps import ChannelContent, Content, CutError, CutStore, contents, fill, found_in
from tests.stores.sql_harness import new_source, open_store

Opener = Callable[[], Store]
KINDS = ("memory", "file", "sqlite")
SOME = Content(
    [
        ChannelContent(1, "++++++++++", 3),
        ChannelContent(1, "++-++"),
        ChannelContent(),
        ChannelContent(1, "++++", 4),
        ChannelContent(7, "++-"),
    ],
    clients=2,
    durables=[(0, 8, [(4, 5), (8, 8)]), (1, 0, []), (3, 4, [])],
)


@contextmanager
def stores(kind: str) -> Iterator[Opener]:
    """A place for one store; what is returned opens it, again and again."""
    if kind == "memory":
        store = MemoryStore()
        yield lambda: store
    elif kind == "file":
        disk = SimulatedDisk()
        yield lambda: FileStore("simulated", SimulatedFiles(disk), 64 * 1024)
    else:
        folder = Path(tempfile.mkdtemp(prefix="durabus-"))
        try:
            source = new_source(kind, folder)
            yield lambda: open_store(kind, source)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


async def copied(source: Store, target: Store) -> CopyReport:
    """Copy, and close both."""
    try:
        async with asyncio.timeout(60):
            return await copy_store(source, target, lambda _: None)
    finally:
        await source.close()
        await target.close()


async def assert_same(source: Opener, target: Opener) -> None:
    one, two = source(), target()
    try:
        assert await found_in(two) == await found_in(one)
    finally:
        await one.close()
        await two.close()


async def filled(source: Opener, content: Content) -> None:
    store = source()
    await fill(store, content)
    await store.close()


@pytest.mark.parametrize(("one", "two"), list(product(KINDS, KINDS)))
@given(content=contents(), cuts=st.lists(st.integers(0, 6), max_size=4), entries=st.sampled_from((1, 3, 1000)))
@settings(max_examples=15)
def test_any_store_arrives_however_often_it_is_cut_off(
    one: str, two: str, content: Content, cuts: list[int], entries: int
) -> None:
    async def run(source: Opener, target: Opener) -> None:
        await filled(source, content)
        for cut in cuts:
            try:
                await copied(source(), CutStore(target(), cut))
            except CutError:
                continue
        report = await copied(source(), target())
        messages = sum(max(0, len(channel.kept) - channel.removed) for channel in content.channels)
        assert report.was_complete or report.channels == len(content.channels)
        assert report.was_complete or report.messages + report.messages_there <= messages
        await assert_same(source, target)
        assert (await copied(source(), target())).was_complete

    with patch.object(copying, "BATCH_MESSAGES", entries), stores(one) as source, stores(two) as target:
        asyncio.run(run(source, target))


@pytest.mark.parametrize("kind", ["postgres", "mysql"])
async def test_to_a_database_and_back(kind: str) -> None:
    with stores("file") as source, stores(kind) as middle, stores("memory") as target:
        await filled(source, SOME)
        with patch.object(copying, "BATCH_MESSAGES", 4), pytest.raises(CutError):
            await copied(source(), CutStore(middle(), 4))
        await copied(source(), middle())
        await assert_same(source, middle)
        await copied(middle(), target())
        await assert_same(source, target)


async def test_report_says_what_was_copied() -> None:
    with stores("file") as source, stores("memory") as target:
        await filled(source, SOME)
        report = await copied(source(), target())
    assert (report.channels, report.messages, report.clients, report.subscriptions) == (5, 7 + 5 + 3, 2, 3)
    assert report.lost_count == 2
    assert [str(lost) for lost in report.lost] == [
        'message 3 of channel "channel.1"',
        'message 9 of channel "channel.4"',
    ]
    assert not report.was_complete
    assert report.message_bytes > 15 * 10


async def test_progress_is_told() -> None:
    said: list[str] = []
    with stores("memory") as source, stores("memory") as target:
        await filled(source, Content([ChannelContent(1, "+" * 40)]))
        with patch.object(copying, "_REPORT_MESSAGES", 10), patch.object(copying, "BATCH_MESSAGES", 5):
            await copy_store(source(), target(), said.append)
    assert len(said) == 4
    assert said[1].startswith("20 of 40 messages copied")


async def test_a_lost_range_is_one_range() -> None:
    with stores("memory") as source, stores("memory") as target:
        await filled(source, Content([ChannelContent(1, "+---+-+")]))
        report = await copied(source(), target())
    assert [str(lost) for lost in report.lost] == [
        'messages 2 to 4 of channel "channel.0"',
        'message 6 of channel "channel.0"',
    ]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (Content([ChannelContent(1, "+++")]), "the store of a server"),
        (Content([ChannelContent(1, "++++++++++", 3)]), "the store of a server"),
    ],
)
async def test_target_of_another_server_is_refused(there: Content, words: str) -> None:
    with stores("memory") as source, stores("memory") as target:
        await filled(source, SOME)
        await filled(target, there)
        with pytest.raises(StoreError, match=words):
            await copied(source(), target())


@pytest.mark.parametrize(
    "there",
    [
        Content([ChannelContent()] * 6),  # a channel more
        Content([ChannelContent(1, "+" * 11)]),  # a message more
        Content([ChannelContent(1, "++++", size=3)]),  # other messages
        Content([ChannelContent(1, "++")]),  # messages before those of the source
        Content([ChannelContent(), ChannelContent(), ChannelContent(1, "+")]),  # messages where there were none
    ],
)
async def test_other_content_is_refused_and_stays(there: Content) -> None:
    with stores("memory") as source, stores("memory") as target:
        await filled(source, SOME)
        await fill(target(), there, with_server=False)
        before = await found_in(target())
        with pytest.raises(StoreError, match="not an earlier try of this copy"):
            await copied(source(), target())
        assert await found_in(target()) == before


async def test_channels_get_other_numbers_where_theirs_are_taken() -> None:
    with stores("memory") as source, stores("memory") as target:
        await filled(source, SOME)
        # An earlier try gave channel.4 the number 1, which is that of channel.0 now.
        batch = Batch(1, 0)
        batch.state.append((KIND_CHANNEL, b"1", encode_channel_name(b"channel.4")))
        target().submit(batch)
        await copied(source(), target())
        await assert_same(source, target)
        found = await found_in(target())
    assert found.server is not None
    assert decode_server(found.server).channel_id_last == 100


async def test_source_without_a_server_is_refused() -> None:
    with stores("memory") as source, stores("memory") as target:
        await fill(source(), SOME, with_server=False)
        with pytest.raises(StoreError, match="no record of its server"):
            await copied(source(), target())


async def test_nothing_is_copied_from_an_empty_store() -> None:
    with stores("file") as source, stores("memory") as target:
        report = await copied(source(), target())
        assert report.channels == 0
        assert (await found_in(target())).server is None


async def test_failure_of_the_target_is_told() -> None:
    class FullStore(DelegatingStore):
        def submit(self, batch: Batch) -> None:
            self.on_failed(batch.number, REFUSED, "no space left on device")

    with stores("memory") as source, stores("memory") as target:
        await filled(source, SOME)
        with pytest.raises(StoreError, match="no space left on device"):
            await copied(source(), FullStore(target()))
        await copied(source(), target())
        await assert_same(source, target)
