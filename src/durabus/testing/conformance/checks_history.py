"""Checks by chance: long histories of everything that a core may ask, compared with the model, restarts included."""

from random import Random

from durabus.streaming.store_port import KIND_CLIENT, KIND_SUBSCRIPTION, Batch, Cursor
from durabus.testing.conformance.probe import expect
from durabus.testing.conformance.trial import IF_RECOVERABLE, MUCH, Check, Trial

__all__ = ["CHECKS", "play"]

CHANNELS_MAX = 6
SIZES = (0, 1, 20, 20, 20, 128, 128, 1000, 20_000)
COUNTS = (1, 1, 1, 2, 5, 30, 500)


class History:
    """One random history on a trial, decided by `chance` alone."""

    def __init__(self, trial: Trial, chance: Random, *, reopens: bool) -> None:
        """Play on `trial`; `reopens` whether it may be closed and opened again."""
        self.trial = trial
        self.chance = chance
        self.reopens = reopens
        self.channels: list[int] = []
        self.last_batch: Batch | None = None

    async def play(self, steps: int) -> None:
        """Make `steps` steps, then compare everything."""
        for _ in range(steps):
            step = self.chance.random()
            if step < 0.72:
                await self.write()
            elif step < 0.80:
                await self.write_again()
            elif step < 0.84:
                await self.leave_a_gap()
            elif step < 0.94:
                await self.look()
            elif step < 0.97 or not self.reopens:
                await self.trial.verify()
            else:
                await self.trial.reopen()
        await self.trial.verify()

    async def write(self) -> None:
        """Write a batch with some of everything."""
        batch = self.trial.batch()
        self.change_channels(batch)
        self.append(batch)
        self.raise_floors(batch)
        self.change_clients(batch)
        self.change_subscriptions(batch)
        await self.trial.write(batch)
        self.last_batch = batch

    def change_channels(self, batch: Batch) -> None:
        """Perhaps create a channel, perhaps delete one with its subscriptions."""
        if len(self.channels) < CHANNELS_MAX and self.chance.random() < 0.15:
            self.channels.append(self.trial.add_channel(batch))
        if len(self.channels) > 2 and self.chance.random() < 0.03:
            channel_id = self.channels.pop(self.chance.randrange(len(self.channels) - 1))
            self.trial.delete_channel(batch, channel_id)
            for kind, key in sorted(self.trial.model.state):
                if kind == KIND_SUBSCRIPTION and self.trial.subscription_channels[int(key)] == channel_id:
                    batch.state.append((kind, key, None))

    def append(self, batch: Batch) -> None:
        """Append to some channels, to some of them in several runs."""
        for channel_id in self.channels:
            for _ in range(self.chance.choice((0, 0, 0, 1, 1, 2))):
                if self.chance.random() < 0.3:
                    self.trial.now_ns -= 1_000_000  # the same stamp as the run before, in whichever channel
                count, size, chunk = (self.chance.choice(given) for given in (COUNTS, SIZES, (0, 1, 3, 10)))
                self.trial.publish(batch, channel_id, count if size < 20_000 else 2, size, chunk)

    def raise_floors(self, batch: Batch) -> None:
        """Raise some floors, rarely up to removing everything; sometimes to where a floor was before."""
        for channel_id in self.channels:
            channel = self.trial.model.channels.get(channel_id)
            runs = [run for run in batch.runs if run.channel_id == channel_id]
            if channel is None or channel.last == 0 or self.chance.random() > 0.2:
                continue
            last = int(runs[-1].first_sequence) + len(runs[-1].bodies) - 1 if runs else channel.last
            above = last + 1 - channel.first
            floor = channel.first + self.chance.choice((0, 1, above // 3, above // 2, above - 1, above))
            batch.floors[channel_id] = max(1, floor - self.chance.choice((0, 0, 5)))

    def change_clients(self, batch: Batch) -> None:
        """Perhaps register, replace or remove clients."""
        for _ in range(self.chance.choice((0, 0, 0, 0, 1, 3))):
            client_id = b"client-%d" % self.chance.randrange(5)
            if self.chance.random() < 0.4:
                batch.state.append((KIND_CLIENT, client_id, None))
            else:
                self.trial.put_client(batch, client_id, b"_INBOX.%d" % self.chance.randrange(100))

    def change_subscriptions(self, batch: Batch) -> None:
        """Perhaps create a subscription, move cursors, and remove one."""
        if self.channels and self.chance.random() < 0.15:
            self.trial.add_subscription(batch, self.chance.choice(self.channels))
        gone = {key for kind, key, value in batch.state if kind == KIND_SUBSCRIPTION and value is None}
        keys = sorted(key for kind, key in self.trial.model.state if kind == KIND_SUBSCRIPTION and key not in gone)
        for key in keys:
            channel = self.trial.model.channels.get(self.trial.subscription_channels[int(key)])
            if channel is not None and channel.last and self.chance.random() < 0.4:
                batch.cursors.append(self.cursor(int(key), channel.last))
        if keys and self.chance.random() < 0.05:
            batch.state.append((KIND_SUBSCRIPTION, self.chance.choice(keys), None))

    def cursor(self, subscription_id: int, last: int) -> Cursor:
        """A position up to `last`, with some ranges pending below it."""
        last_sent = self.chance.randint(0, last)
        ends = sorted(self.chance.sample(range(1, last_sent + 1), min(last_sent, self.chance.choice((0, 1, 2, 6)))))
        pending = [(first, after - 1) for first, after in zip(ends[::2], ends[1::2], strict=False)]
        return Cursor(subscription_id, last_sent, pending)

    async def write_again(self) -> None:
        """Submit the last batch once more."""
        if self.last_batch is not None:
            await self.trial.write(self.trial.again(self.last_batch))

    async def leave_a_gap(self) -> None:
        """Submit a batch that has to be refused."""
        stored = [number for number in self.channels if number in self.trial.model.channels]
        if stored:
            batch = self.trial.batch()
            self.append(batch)
            self.change_clients(batch)
            channel_id = self.chance.choice(stored)
            self.trial.publish(batch, channel_id, 1).first_sequence += self.chance.choice((1, 2, 5000))
            await self.trial.refuse(batch)

    async def look(self) -> None:
        """Read somewhere, and seek somewhere."""
        for channel_id in self.channels:
            channel = self.trial.model.channels.get(channel_id)
            if channel is None or channel.last == 0:
                continue
            first = self.chance.randint(channel.first, channel.last + 1)
            count, limit = self.chance.choice((1, 2, 100, MUCH)), self.chance.choice((0, 100, 5000, MUCH))
            page = await self.trial.page(channel_id, first, count, limit)
            right = page == channel.range(first, len(page)) and bool(page) == (first <= channel.last)
            expect(right, f"channel {channel_id} has other messages from {first} on")
            small = len(page) <= count and (len(page) <= 1 or sum(map(len, page)) <= limit)
            expect(small, f"a page of at most {count} messages and {limit} bytes has {len(page)} messages")
            moment = channel.stamps.get(self.chance.randint(channel.first, channel.last + 1), self.trial.now_ns)
            await self.trial.verify_seeks(channel_id, [moment - 1, moment, moment + 1])


async def play(trial: Trial, chance: Random, steps: int, *, reopens: bool) -> None:
    """Play a random history of `steps` steps on a new store."""
    await History(trial, chance, reopens=reopens).play(steps)


async def random_history(trial: Trial) -> None:
    """A long random history, without opening again, leaves what the model says."""
    await play(trial, Random(1), 150, reopens=False)  # noqa: S311 - chance for tests, the same every time


async def random_history_with_restarts(trial: Trial) -> None:
    """A long random history, closed and opened again in between, leaves what the model says."""
    for seed in (2, 3):
        await play(trial, Random(seed), 150, reopens=True)  # noqa: S311 - chance for tests, the same every time


CHECKS = (
    Check(random_history),
    Check(random_history_with_restarts, IF_RECOVERABLE),
)
