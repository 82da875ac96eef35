"""The checks of state and cursors catch what they are there for."""

import pytest

from durabus.streaming.store_port import KIND_CHANNEL, Batch, Cursor, Lease, Recovered
from durabus.testing.conformance import Check, checks_state
from tests.testing.conformance.mutants import Mutant, Mutants, Parts, assert_catches, unlisted


class DeletesFirst(Mutant):
    def change(self, batch: Batch) -> None:
        batch.state.sort(key=lambda entry: entry[2] is not None)


class LeavesMessages(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.deleted: set[bytes] = set()

    def change(self, batch: Batch) -> None:
        gone = {key for kind, key, value in batch.state if kind == KIND_CHANNEL and value is None}
        batch.state = [entry for entry in batch.state if entry[0] != KIND_CHANNEL or entry[1] not in gone]
        self.deleted |= gone

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await self.inner.recover(lease)
        recovered.state = [
            entry for entry in recovered.state if entry[0] != KIND_CHANNEL or entry[1] not in self.deleted
        ]
        return recovered


class DeletesByName(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.names: dict[bytes, bytes] = {}

    def change(self, batch: Batch) -> None:
        channels = [(key, value) for kind, key, value in batch.state if kind == KIND_CHANNEL]
        self.names |= {key: value for key, value in channels if value is not None}
        for name in [self.names[key] for key, value in channels if value is None and key in self.names]:
            batch.state += [(KIND_CHANNEL, key, None) for key, known in self.names.items() if known == name]


class StateFirst(Parts):
    def parts(self, batch: Batch) -> list[Batch]:
        first = Batch(batch.number, batch.epoch)
        first.state, batch.state = batch.state, []
        return [first, batch]


class AddsToCursors(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[int, list[tuple[int, int]]] = {}

    def change(self, batch: Batch) -> None:
        for index, cursor in enumerate(batch.cursors):
            pending = self.pending.setdefault(cursor.subscription_id, [])
            pending += [gap for gap in cursor.pending if gap not in pending]
            batch.cursors[index] = Cursor(cursor.subscription_id, cursor.last_sent, sorted(pending))


class KeepsCursors(Mutant):
    def __init__(self) -> None:
        super().__init__()
        self.cursors: dict[int, Cursor] = {}

    def change(self, batch: Batch) -> None:
        self.cursors |= {cursor.subscription_id: cursor for cursor in batch.cursors}

    async def recover(self, lease: Lease | None) -> Recovered:
        recovered = await self.inner.recover(lease)
        recovered.cursors = list(self.cursors.values())
        return recovered


MUTANTS: Mutants = {
    "state_is_put_replaced_and_deleted": (DeletesFirst, "the state of (kind, key) (1, b'three') is"),
    "deleted_channel_takes_its_messages": (LeavesMessages, "messages of a deleted channel can be read"),
    "deletion_and_creation_in_one_batch": (DeletesByName, "the state of (kind, key) (2, b'2') is None"),
    "deletion_takes_all_of_its_batch": (StateFirst, "messages of a deleted channel can be read"),
    "cursors_are_replaced_as_a_whole": (AddsToCursors, "the cursor of subscription 2 is (3000, [(1, 3000), "),
    "cursors_go_with_their_subscription": (
        KeepsCursors,
        "the cursor of subscription 3 is (10, [(2, 4), (9, 9)]), not None",
    ),
}


@pytest.mark.parametrize("check", checks_state.CHECKS, ids=str)
async def test_check_catches(check: Check) -> None:
    await assert_catches(check, MUTANTS)


def test_all_checks_are_listed() -> None:
    assert unlisted(checks_state, checks_state.CHECKS) == set()
