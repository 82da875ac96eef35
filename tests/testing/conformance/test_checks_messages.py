"""The checks of messages catch what they are there for."""

import pytest

from durabus.streaming.store_port import Batch, Lease, Recovered
from durabus.testing.conformance import Check, checks_messages
from tests.stores.broken_stores import SwappedChannels
from tests.testing.conformance.mutants import Mutant, Mutants, assert_catches, unlisted

MUCH = 1 << 30


class TurnsChunksRound(Mutant):
    def change(self, batch: Batch) -> None:
        for run in batch.runs:
            if len(run.stamps) > 1:
                run.bodies.reverse()


class CutsAt64KB(Mutant):
    def change(self, batch: Batch) -> None:
        for run in batch.runs:
            run.bodies = [body[:65_535] for body in run.bodies]


class CountsIn32Bits(Mutant):
    def change(self, batch: Batch) -> None:
        for run in batch.runs:
            run.first_sequence &= 0xFFFFFFFF


class Page(Mutant):
    """Answers every question about a page with `page`."""

    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        return self.inner.read_now(channel_id, first, count_max, bytes_max) or []

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        return self.page(channel_id, first, count_max, bytes_max)

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        self.on_page(request, self.page(channel_id, first, count_max, bytes_max))


class NeverSaysNothing(Page):
    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        page = super().page(channel_id, first, count_max, bytes_max)
        return page or super().page(channel_id, 1, 1, bytes_max)


class CountsNot(Page):
    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        return super().page(channel_id, first, MUCH, bytes_max)


class WeighsNot(Page):
    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        return super().page(channel_id, first, count_max, MUCH)


class AnswersTwice(Mutant):
    def on_page(self, request: int, bodies: list[bytes]) -> None:
        super().on_page(request, bodies)
        super().on_page(request, bodies)


class LendsItsPages(Page):
    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[tuple[int, int], list[bytes]] = {}

    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        page = super().page(channel_id, first, count_max, bytes_max)
        return self.pages.setdefault((channel_id, first), page)


class LosesEndsOfBlocks(Page):
    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        page = super().page(channel_id, first, count_max, bytes_max)
        return page[1:] if first % 4096 == 1 and first > 1 else page


class LeavesOutTheLost(Page):
    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        return [body for body in super().page(channel_id, first, count_max, bytes_max) if body]


class FillsHoles(Page):
    def page(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes]:
        return [body or b"?" for body in super().page(channel_id, first, count_max, bytes_max)]


class KeepsTheLists(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []

    def submit(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.inner.submit(batch)

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await self.inner.recover(lease)
        state = {(kind, key): value for batch in self.batches for kind, key, value in batch.state}
        recovered.state = [(kind, key, value) for (kind, key), value in state.items() if value is not None]
        return recovered


MUTANTS: Mutants = {
    "messages_are_read_unchanged": (TurnsChunksRound, "channel 1 has "),
    "bodies_of_every_size": (CutsAt64KB, "channel 1 has "),
    "channels_do_not_mix": (SwappedChannels, "channel 1 has "),
    "channel_may_begin_anywhere": (CountsIn32Bits, "has first_sequence 705032705, not 5000000001"),
    "beyond_the_last_message": (NeverSaysNothing, "channel 1 has 1 messages from 4 on, and should have none"),
    "count_limits_a_page": (CountsNot, "a page of at most 1 messages from 1 on has 50"),
    "bytes_limit_a_page": (WeighsNot, "a page of at most 0 bytes from 1 on has 4 messages"),
    "every_read_is_answered_once": (AnswersTwice, "on_page(1) answers no open page"),
    "pages_belong_to_the_reader": (LendsItsPages, "from 1 on there are 0 messages, not 10"),
    "many_thousand_messages": (LosesEndsOfBlocks, "channel 1 has "),
    "batch_is_read_once": (KeepsTheLists, "is None, not b"),
    "lost_messages_keep_their_numbers": (LeavesOutTheLost, "where some are lost,"),
    "lost_messages_stay_lost": (FillsHoles, "are read after opening again"),
}


@pytest.mark.parametrize("check", checks_messages.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_messages, checks_messages.CHECKS) == set()
