"""Stores that are broken on purpose, each in one way that has happened to somebody, to see that the suite notices."""

from durabus.stores.delegating import DelegatingStore
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Batch, Store
from tests.stores.harnesses import JournalStore, copy_of


class LostTail(JournalStore):
    """Forgets the last message when it is opened again: a torn tail cut one record too early."""

    def __init__(self, journal: list[Batch]) -> None:
        kept = [copy_of(batch) for batch in journal]
        runs = [run for batch in kept for run in batch.runs]
        if runs:
            runs[-1].bodies.pop()
        super().__init__(kept)


class DoubledSequence(DelegatingStore):
    """Stores a resubmitted run once more, behind the first: an insert without a look at what is there."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.lasts: dict[int, int] = {}

    def submit(self, batch: Batch) -> None:
        changed = copy_of(batch)
        for run in changed.runs:
            last = self.lasts.get(run.channel_id, 0)
            if last and run.first_sequence <= last:
                run.first_sequence = last + 1
            self.lasts[run.channel_id] = int(run.first_sequence) + len(run.bodies) - 1
        self.inner.submit(changed)


class WrongFloor(DelegatingStore):
    """Drops the message at the floor too: up to and including, where below was meant."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    def submit(self, batch: Batch) -> None:
        changed = copy_of(batch)
        changed.floors = {channel_id: floor + 1 for channel_id, floor in batch.floors.items()}
        self.inner.submit(changed)


class SwappedChannels(DelegatingStore):
    """Confuses the first two runs of a batch when they are equally long: an index where an id was meant."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    def submit(self, batch: Batch) -> None:
        changed = copy_of(batch)
        if len(changed.runs) > 1:
            one, two = changed.runs[:2]
            if len(one.bodies) == len(two.bodies):
                one.bodies, two.bodies = two.bodies, one.bodies
        self.inner.submit(changed)


class EarlyAcknowledgement(DelegatingStore):
    """Reports a batch durable and then goes about storing it."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())

    def submit(self, batch: Batch) -> None:
        super().on_durable(batch.number)
        self.inner.submit(batch)

    def on_durable(self, number: int) -> None:
        """Too late: this was reported."""

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        """Too late: something else was reported."""


class UnsyncedAcknowledgement(JournalStore):
    """Reports a batch durable when it can be read, but makes it safe only with the next one: a write without a sync."""

    def __init__(self, journal: list[Batch]) -> None:
        self.unsynced: list[Batch] = []
        super().__init__(journal)

    def write(self, number: int) -> None:
        self.journal += self.unsynced
        self.unsynced = [self.submitted.pop(number)] if number in self.submitted else []

    async def close(self) -> None:
        self.write(0)
        await super().close()


class GoesOn(DelegatingStore):
    """Takes what was decided after a batch that failed, as if that had never been: a refusal without a memory."""

    def __init__(self) -> None:
        self.memory = MemoryStore()
        super().__init__(self.memory)

    def submit(self, batch: Batch) -> None:
        self.memory._failure = ""
        super().submit(batch)


# Each with the check that is there to catch it, and with what it says then.
BROKEN: dict[str, tuple[type[Store], str, str]] = {
    "lost tail": (LostTail, "everything_is_found_again", "has last_sequence 310, not 311"),
    "doubled sequence": (DoubledSequence, "resubmitting_changes_nothing", "has last_sequence 28, not 14"),
    "wrong floor": (WrongFloor, "floor_hides_what_lies_below", "has first_sequence 2, not 1"),
    "swapped channels": (SwappedChannels, "channels_do_not_mix", "channel 1 has "),
    "early acknowledgement": (EarlyAcknowledgement, "acknowledged_is_readable", "sequence 1 reads as []"),
    "goes on": (GoesOn, "after_a_failure_everything_fails", "which was decided after it, was stored"),
    "unsynced acknowledgement": (UnsyncedAcknowledgement, "acknowledged_survives_a_crash", "after a crash"),
}
