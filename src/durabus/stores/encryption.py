"""Encryption at rest: a wrapper around any store, so that the data of messages never lie there as they are.

The format is that of NATS Streaming Server, so either can read what the other one stored (docs/encryption.md). Only the
data of messages are encrypted; names, sequences, timestamps, clients and subscriptions are not.
"""

import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from durabus.stores.delegating import DelegatingStore
from durabus.stores.encryption_bodies import OVERHEAD_BYTES, ChannelCipher
from durabus.stores.encryption_keys import Keys
from durabus.stores.encryption_samples import NOT_DELIVERED, channel_names, try_key
from durabus.stores.tail import Tail
from durabus.streaming.records import decode_channel_name
from durabus.streaming.store_port import KIND_CHANNEL, Batch, Lease, Recovered, Run, Store

__all__ = ["EncryptedStore"]

_GROWTH_BYTES_MAX: Final = OVERHEAD_BYTES + 1
"""What a message can grow by: its data, and the number that says how long they are."""
_TAIL_BYTES_MAX: Final = 16 * 1024 * 1024
"""How much of the newest messages is kept as it came, so that it need not be decrypted for everybody who keeps up."""


class EncryptedStore(DelegatingStore):
    """`inner`, with the data of all messages encrypted. What was stored plain before is read as it is.

    A message that cannot be decrypted ends its page: whoever wants it waits, as for any that cannot be read, and nothing
    of it or behind it counts as delivered, for it is whole, and can be read with the right key.
    """

    def __init__(self, inner: Store, keys: Keys, on_problem: Callable[[str], None] = lambda text: None) -> None:
        """Touch nothing yet. `on_problem` is told of messages that cannot be decrypted, each once."""
        super().__init__(inner)
        self.is_immediate = inner.is_immediate
        self.message_bytes_max = inner.message_bytes_max - _GROWTH_BYTES_MAX
        self.data_overhead_bytes = inner.data_overhead_bytes + OVERHEAD_BYTES
        self._keys = keys
        self._on_problem = on_problem
        self._names: dict[int, bytes] = {}
        self._ciphers: dict[int, ChannelCipher] = {}
        self._lasts: dict[int, int] = {}
        self._batches: deque[Batch] = deque()  # submitted and not ended, as they came
        self._tail = Tail(_TAIL_BYTES_MAX)
        self._reads: dict[int, tuple[int, int]] = {}  # the channel and the first sequence of questions, by number
        self._reported: dict[int, int] = {}
        self._was_tried = False

    def take_figures(self) -> None:
        """As the inner store says; but messages are larger there."""
        super().take_figures()
        self.message_bytes_max = self.inner.message_bytes_max - _GROWTH_BYTES_MAX
        self.data_overhead_bytes = self.inner.data_overhead_bytes + OVERHEAD_BYTES

    # Recovery.

    async def recover(self, lease: Lease | None) -> Recovered:
        """As the inner store does. The first time, raises StoreError when the key is not that of the messages."""
        recovered = await super().recover(lease)
        self._names = channel_names(recovered)
        # With new nonces: what was encrypted and not stored is encrypted anew, perhaps as something else.
        self._ciphers = {}
        self._lasts = {state.channel_id: state.last_sequence for state in recovered.channels}
        self._batches.clear()
        self._tail.clear()
        self._reads.clear()
        self._reported.clear()
        if not self._was_tried:
            recovered.damage += await try_key(self.inner, recovered, self._cipher)
            self.attach()
            self._was_tried = True
        return recovered

    def _shown(self, channel_id: int) -> str:
        return self._names.get(channel_id, b"?").decode("utf-8", "backslashreplace")

    def _cipher(self, channel_id: int) -> ChannelCipher:
        """The cipher of a channel."""
        cipher = self._ciphers.get(channel_id)
        if cipher is None:
            cipher = self._keys.cipher(self._names[channel_id])
            self._ciphers[channel_id] = cipher
        return cipher

    # Writing.

    def submit(self, batch: Batch) -> None:
        """Encrypt what `batch` has to store, and pass that on."""
        for kind, number, value in batch.state:
            if kind == KIND_CHANNEL and value is not None:
                self._names[int(number)] = decode_channel_name(value)
        stored = Batch(batch.number, batch.epoch)
        stored.state, stored.floors, stored.cursors = batch.state, batch.floors, batch.cursors
        stored.runs = [self._encrypted(run) for run in batch.runs]
        self._batches.append(batch)
        self.inner.submit(stored)

    def _encrypted(self, run: Run) -> Run:
        cipher = self._cipher(run.channel_id)
        first = int(run.first_sequence)
        if not cipher.has_begun:
            cipher.begin(secrets.token_bytes(4), first)
        stored = Run(run.channel_id, first)
        stored.stamps = run.stamps
        stored.bodies = cipher.encrypted(run.bodies)
        return stored

    def on_durable(self, number: int) -> None:
        """What is durable now can be read as it came, as long as there is room for it."""
        while self._batches:
            batch = self._batches.popleft()
            for run in batch.runs:
                self._remember(run)
            for kind, key, value in batch.state:
                if kind == KIND_CHANNEL and value is None:
                    self._forget(int(key))
            if batch.number == number:
                break
        super().on_durable(number)

    def _remember(self, run: Run) -> None:
        channel_id, first, count = run.channel_id, int(run.first_sequence), len(run.bodies)
        last = self._lasts.get(channel_id, 0)
        if b"" in run.bodies:
            self.has_lost = True
        if last == 0 or first == last + 1:
            self._tail.add(channel_id, first, run.bodies)
        else:
            self._tail.forget(channel_id)  # a part of it was there before, perhaps as something else
        self._lasts[channel_id] = max(last, first + count - 1)

    def _forget(self, channel_id: int) -> None:
        """The channel is gone."""
        self._tail.forget(channel_id)
        self._names.pop(channel_id, None)
        self._ciphers.pop(channel_id, None)
        self._lasts.pop(channel_id, None)
        self._reported.pop(channel_id, None)

    # Reading.

    def read_now(self, channel_id: int, first: int, count_max: int, bytes_max: int) -> list[bytes] | None:
        """The newest messages as they came; others as the inner store has them, decrypted."""
        page = self._tail.read(channel_id, int(first), count_max, bytes_max)
        if page is not None:
            return page
        stored = super().read_now(channel_id, first, count_max, bytes_max)
        return self._decrypted(channel_id, first, stored) if stored else stored

    def read(self, request: int, channel_id: int, first: int, count_max: int, bytes_max: int) -> None:
        """Ask the inner store."""
        self._reads[request] = (channel_id, first)
        self.inner.read(request, channel_id, first, count_max, bytes_max)

    def on_page(self, request: int, bodies: list[bytes]) -> None:
        """The inner store answers: pass on what it has, decrypted if that was wanted."""
        if request < 0:
            return  # a sample that came too late
        asked = self._reads.pop(request, None)
        if asked is not None and bodies:
            bodies = self._decrypted(*asked, bodies)
        super().on_page(request, bodies)

    def _decrypted(self, channel_id: int, first: int, stored: list[bytes]) -> list[bytes]:
        """Plain messages out of `stored` ones, up to the first that cannot be decrypted, which is told once."""
        if channel_id not in self._names:
            return []
        cipher = self._cipher(channel_id)
        page = cipher.decrypted(stored, first)
        sequence = int(cipher.stopped_at)
        if sequence and self._reported.get(channel_id) != sequence:
            self._reported[channel_id] = sequence
            self._on_problem(f'message {sequence} of channel "{self._shown(channel_id)}" {NOT_DELIVERED}')
        return page
